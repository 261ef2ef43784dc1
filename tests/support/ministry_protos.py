"""The ministries' protos as descriptors, to be walked by tests that hold for every one of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor

from bj.common.v1 import options_pb2, rules_pb2
from buf.validate import validate_pb2

_PROTOS: Final = Path(__file__).parents[2] / "protos"

RULES: Final = {name: getattr(rules_pb2, name) for name in sorted(rules_pb2.DESCRIPTOR.extensions_by_name)}
"""The shared rules, by name."""
UNSAID: Final = options_pb2.SENSITIVITY_UNSPECIFIED


def files() -> list[FileDescriptor]:
    """Every file of a package ``bj.…``, in order of its name."""
    names = sorted(path.relative_to(_PROTOS).with_suffix("") for path in (_PROTOS / "bj").rglob("*_pb2.py"))
    return [importlib.import_module(str(name).replace("/", ".")).DESCRIPTOR for name in names]


def messages() -> Iterator[Descriptor]:
    """Every message of those files."""
    for file in files():
        pending = list(file.message_types_by_name.values())
        while pending:
            message = pending.pop()
            pending += message.nested_types
            yield message


def fields() -> Iterator[FieldDescriptor]:
    """Every field of those messages."""
    for message in messages():
        yield from message.fields


def methods() -> Iterator[MethodDescriptor]:
    """Every method of those files' services."""
    for file in files():
        for service in file.services_by_name.values():
            yield from service.methods


def is_leaf(field: FieldDescriptor) -> bool:
    """Whether ``field`` holds a value itself; a point in time is a value, too."""
    return field.message_type is None or field.message_type.full_name == "google.protobuf.Timestamp"


def is_data_subject(field: FieldDescriptor) -> bool:
    """Whether the proto says that ``field`` holds the number of somebody concerned."""
    return bool(field.GetOptions().Extensions[options_pb2.data_subject])


def sensitivity(field: FieldDescriptor) -> int:
    """The class of a leaf: its own, else its message's."""
    own = field.GetOptions().Extensions[options_pb2.sensitivity]
    message = field.containing_type
    assert message is not None
    return int(own or message.GetOptions().Extensions[options_pb2.fields_sensitivity])


def rule(field: FieldDescriptor) -> str | None:
    """Name of the shared rule that ``field``, or each of its items, keeps."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    strings = rules.repeated.items.string if field.is_repeated else rules.string
    found = [name for name, option in RULES.items() if strings.Extensions[option]]
    assert len(found) <= 1, field.full_name
    return found[0] if found else None
