"""Descriptors that somebody handed in are read and linked whole, or refused by one error."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from adapters.descriptors import descriptor_set
from core.reasons import MalformedError, Reason
from rpc.descriptors import load_descriptors

SERVICE = "bj.identity.v1.IdentityService"


def file(name: str, *messages: str, imports: tuple[str, ...] = (), holds: str = "") -> FileDescriptorProto:
    found = FileDescriptorProto(name=name, package="a", syntax="proto3", dependency=imports)
    for message in messages:
        found.message_type.add(name=message)
    if holds:
        found.message_type[0].field.add(name="x", number=1, type_name=holds)
    return found


def test_what_stands_by_itself_is_linked() -> None:
    """With all that it imports."""
    assert load_descriptors(descriptor_set(SERVICE)).FindServiceByName(SERVICE).full_name == SERVICE


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        descriptor_set(SERVICE)[:-40],
        FileDescriptorSet(file=[file("a.proto", imports=("missing.proto",))]).SerializeToString(),
        FileDescriptorSet(file=[file("a.proto", imports=("b.proto",)), file("b.proto")]).SerializeToString(),
        FileDescriptorSet(file=[file("a.proto", "X", holds=".a.Missing")]).SerializeToString(),
        FileDescriptorSet(file=[file("a.proto", "X"), file("b.proto", "X")]).SerializeToString(),
        FileDescriptorSet(file=[file("a.proto", "X"), file("a.proto", "Y")]).SerializeToString(),
    ],
    ids=[
        "no-set",
        "cut-short",
        "import-missing",
        "import-behind",
        "type-unknown",
        "name-twice",
        "file-twice",
    ],
)
def test_what_does_not_is_refused(data: bytes) -> None:
    """Whatever the library makes of it."""
    with pytest.raises(MalformedError) as refused:
        load_descriptors(data)

    assert refused.value.reason is Reason.DOCUMENT_INVALID
