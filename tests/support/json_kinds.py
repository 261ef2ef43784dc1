"""A method whose messages have a field of every kind (``tests/vectors/protos/json_kinds.proto``)."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

from gateway.worker.transcoding import MessageTypes, types_of
from rpc.descriptors import load_descriptors

VECTORS = Path(__file__).parents[1] / "vectors" / "protos"
METHOD = "t.json.v1.Kind/Tell"


@cache
def descriptors() -> bytes:
    """Its FileDescriptorSet."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "kinds.binpb"
        included = Path(protoc.__file__).parent / "_proto"
        command = [
            "protoc",
            f"-I{VECTORS}",
            f"-I{included}",
            "--include_imports",
            f"--descriptor_set_out={out}",
        ]
        assert protoc.main([*command, "json_kinds.proto"]) == 0
        return out.read_bytes()


@cache
def kinds() -> MessageTypes:
    """Its messages."""
    return types_of(METHOD, load_descriptors(descriptors()))
