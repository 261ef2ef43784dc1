"""A ``.proto`` written from its descriptor compiles to the same descriptor, with the same comments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from adapters.descriptors import descriptor_set, standard_set
from cli.protosource import proto_source
from core.reasons import ExchangeError, Reason
from tests.support import ministry_protos

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "vectors" / "protos"

Comments = dict[tuple[int, ...], tuple[str, str]]


def compiled(directory: Path, names: Sequence[str]) -> FileDescriptorSet:
    """What protoc makes of files, with comments and imports."""
    out = directory / "compiled.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{directory}", f"--descriptor_set_out={out}"]
    done = subprocess.run(
        [*command, "--include_imports", "--include_source_info", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = FileDescriptorSet.FromString(out.read_bytes())
    out.unlink()
    return found


def written(files: FileDescriptorSet, directory: Path) -> FileDescriptorSet:
    """The set, written as ``.proto`` files into ``directory`` and compiled from there."""
    for file in files.file:
        path = directory / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(proto_source(file, files, ["A heading."]), encoding="utf-8")
    return compiled(directory, [file.name for file in files.file])


def comments(file: FileDescriptorProto) -> Comments:
    """Comments by place; a place that stands several times with the first that it has."""
    found: Comments = {}
    for place in file.source_code_info.location:
        if place.leading_comments or place.trailing_comments:
            found.setdefault(tuple(place.path), (place.leading_comments, place.trailing_comments))
    return found


def declared(file: FileDescriptorProto) -> FileDescriptorProto:
    """The descriptor without comments, and with the names in JSON that it would have anyway: not all sets tell them."""
    found = FileDescriptorProto.FromString(file.SerializeToString())
    found.ClearField("source_code_info")
    pending = list(found.message_type)
    while pending:
        message = pending.pop()
        pending += message.nested_type
        for field in (*message.field, *message.extension):
            field.ClearField("json_name")
    for field in found.extension:
        field.ClearField("json_name")
    return found


def test_everything_that_may_be_declared_comes_back(tmp_path: Path) -> None:
    """proto2, proto3, editions: options, defaults, scopes that hide names, maps among nested messages."""
    files = compiled(VECTORS, ["every_declaration.proto", "editions.proto", "no_package.proto"])

    again = {file.name: file for file in written(files, tmp_path).file}

    for file in files.file:
        back = again[file.name]
        if not file.name.startswith("google/"):
            # Three comments of Google's own file stand where the descriptor tells no place.
            assert comments(back) == comments(file)
        file.ClearField("source_code_info")
        back.ClearField("source_code_info")
        assert back == file


def test_the_ministries_protos_come_back_with_every_comment(tmp_path: Path) -> None:
    """As they are published: rules, classes of data, idempotency, comments."""
    services = [
        f"{it.full_name}" for file in ministry_protos.files() for it in file.services_by_name.values()
    ]
    files = FileDescriptorSet()
    for service in services:
        have = {file.name for file in files.file}
        for file in FileDescriptorSet.FromString(descriptor_set(service)).file:
            if file.name not in have:
                files.file.append(file)

    again = {file.name: file for file in written(files, tmp_path).file}

    for file in files.file:
        assert declared(again[file.name]) == declared(file)
        if file.name.startswith("bj/"):
            source = compiled(ROOT / "protos", [file.name]).file[-1]
            assert comments(again[file.name]) == comments(source)
            assert comments(file) == comments(source)


@pytest.mark.parametrize("kind", ["health", "reflection"])
def test_standard_services_come_back(kind: str, tmp_path: Path) -> None:
    """What a provider publishes of its server."""
    files = FileDescriptorSet.FromString(standard_set(kind))

    again = written(files, tmp_path)

    assert [declared(file) for file in again.file] == [declared(file) for file in files.file]


def test_fields_read_as_their_author_wrote_them() -> None:
    """One assignment a value, no escapes that nobody needs."""
    files = FileDescriptorSet.FromString(descriptor_set("bj.identity.v1.IdentityService"))
    by_name = {file.name: proto_source(file, files) for file in files.file}

    identity, rules = by_name["bj/identity/v1/identity.proto"], by_name["bj/common/v1/rules.proto"]
    assert "  string npi = 1 [(buf.validate.field).string.(bj.common.v1.npi) = true" in identity
    assert "    option idempotency_level = NO_SIDE_EFFECTS;\n" in identity
    assert "this.matches('^[0-9]{10}$')" in rules


def test_a_group_is_refused() -> None:
    """Nobody writes them any more; a file that does not compile would be worse."""
    file = FileDescriptorProto(name="g.proto", syntax="proto2")
    message = file.message_type.add(name="M")
    message.nested_type.add(name="G")
    message.field.add(
        name="g",
        number=1,
        type=FieldDescriptorProto.TYPE_GROUP,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type_name=".M.G",
    )

    with pytest.raises(ExchangeError) as refused:
        proto_source(file, FileDescriptorSet(file=[file]))

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_an_option_that_nobody_defines_is_refused() -> None:
    """It would be lost without a word."""
    file = FileDescriptorProto(name="o.proto", syntax="proto3")
    file.options.MergeFromString(b"\x82\xb5\x18\x01a")  # number 50000

    with pytest.raises(ExchangeError) as refused:
        proto_source(file, FileDescriptorSet(file=[file]))

    assert refused.value.reason is Reason.DOCUMENT_INVALID
