"""Random messages of any descriptor, and what google.protobuf itself makes of a mask: the oracle of ``core.wire``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from google.protobuf import descriptor_pb2, message_factory, struct_pb2, unknown_fields
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tests.support import ministry_protos

# The ministries' own, and what they do not have: maps, messages that hold their own kind, bytes, signed numbers.
MESSAGES: Final = sorted(
    (
        *ministry_protos.messages(),
        struct_pb2.Struct.DESCRIPTOR,
        descriptor_pb2.FileDescriptorProto.DESCRIPTOR,
        descriptor_pb2.UninterpretedOption.DESCRIPTOR,
        descriptor_pb2.SourceCodeInfo.DESCRIPTOR,
    ),
    key=lambda message: message.full_name,
)
# A field that is unknown within an entry of a map: some readers drop the entry, some the field.
WITHOUT_MAPS: Final = [one for one in MESSAGES if one.file.name != struct_pb2.DESCRIPTOR.name]

_MAX_NESTING: Final = 4
_F = FieldDescriptor
_SCALARS: Final[dict[int, st.SearchStrategy[Any]]] = {
    _F.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    _F.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    _F.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    _F.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    _F.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    _F.CPPTYPE_FLOAT: st.floats(allow_nan=False, width=32),
    _F.CPPTYPE_BOOL: st.booleans(),
    _F.CPPTYPE_STRING: st.text(max_size=200),
}


def is_map(field: FieldDescriptor) -> bool:
    """Whether ``field`` is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


@st.composite
def messages(draw: st.DrawFn, of: Descriptor, nesting: int = _MAX_NESTING) -> Message:
    """A message of this type with some of its fields, be it without those that are required."""
    found: Message = message_factory.GetMessageClass(of)()
    fields = [one for one in of.fields if nesting or one.message_type is None]
    for field in draw(st.lists(st.sampled_from(fields), max_size=6, unique=True)) if fields else ():
        count = draw(st.integers(0, 3)) if field.is_repeated else 1
        for _ in range(count):
            _set(draw, found, field, nesting)
    return found


def _set(draw: st.DrawFn, found: Message, field: FieldDescriptor, nesting: int) -> None:
    held = getattr(found, field.name)
    if field.message_type is not None and is_map(field):
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        name = draw(_SCALARS[key.cpp_type])
        if value.message_type is None:
            held[name] = draw(_scalar(value))
        else:
            held[name].MergeFrom(draw(messages(value.message_type, nesting - 1)))
    elif field.message_type is not None:
        inner = held.add() if field.is_repeated else held
        inner.MergeFrom(draw(messages(field.message_type, nesting - 1)))
        if not field.is_repeated:
            inner.SetInParent()
    elif field.is_repeated:
        held.append(draw(_scalar(field)))
    else:
        setattr(found, field.name, draw(_scalar(field)))


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return st.binary(max_size=200) if field.type == _F.TYPE_BYTES else _SCALARS[field.cpp_type]


@st.composite
def paths(draw: st.DrawFn, of: Descriptor, nesting: int = _MAX_NESTING) -> str:
    """A path that a mask may have."""
    field = draw(st.sampled_from(list(of.fields)))
    inner = field.message_type
    if inner is not None and not is_map(field) and inner.fields and nesting and draw(st.booleans()):
        return f"{field.name}.{draw(paths(inner, nesting - 1))}"
    return field.name


def prune(message: Message, granted: Collection[str]) -> int:
    """Take from ``message`` what no path grants, and what is unknown; returns how many occurrences were taken."""
    cut = len(unknown_fields.UnknownFieldSet(message))
    message.DiscardUnknownFields()
    for field, value in message.ListFields():
        inside = [path.partition(".")[2] for path in granted if path.partition(".")[0] == field.name]
        if not inside:
            cut += len(value) if field.is_repeated and not field.is_packed else 1
            message.ClearField(field.name)
        elif "" not in inside:
            for inner in value if field.is_repeated else [value]:
                cut += prune(inner, inside)
    return cut
