#!/usr/bin/env python3
"""protoc's plugin for the comments of the ministries' protos: ``NAME_comments.json`` beside ``NAME_pb2.py``.

Generated modules have none, so that a provider could publish none. Kept in the order of the source, without the places in
it: that is all that ``passerelle service protos`` needs to write a file that people can read.
"""

import json
import sys

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto

# Published by us. What others wrote (buf/validate) has its documentation elsewhere, and the road's own is not published.
PREFIX = "bj/"


def comments(file: FileDescriptorProto) -> dict[str, dict[str, str | list[str]]]:
    """What each place of a file has for comments, by its path in the descriptor (``SourceCodeInfo.Location.path``)."""
    found: dict[str, dict[str, str | list[str]]] = {}
    for place in file.source_code_info.location:
        told: dict[str, str | list[str]] = {}
        if place.leading_detached_comments:
            told["detached"] = list(place.leading_detached_comments)
        if place.leading_comments:
            told["leading"] = place.leading_comments
        if place.trailing_comments:
            told["trailing"] = place.trailing_comments
        if told:
            found[".".join(map(str, place.path))] = told
    return found


def _line(told: dict[str, str | list[str]]) -> str:
    return json.dumps(told, ensure_ascii=False)


def main() -> None:
    """Answer protoc on standard output."""
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    answer = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    for file in request.proto_file:
        if file.name in request.file_to_generate and file.name.startswith(PREFIX):
            name = file.name.removesuffix(".proto") + "_comments.json"
            # One place a line, so that a change of a proto is a change of few lines.
            lines = [f"{json.dumps(path)}: {_line(told)}" for path, told in comments(file).items()]
            answer.file.add(name=name, content="{\n" + ",\n".join(lines) + "\n}\n")
    sys.stdout.buffer.write(answer.SerializeToString())


if __name__ == "__main__":
    main()
