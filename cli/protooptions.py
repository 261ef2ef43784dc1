"""Options of a descriptor as a ``.proto`` writes them; custom ones too, as the published set itself defines them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any, Final

from google.protobuf import descriptor_pb2, text_encoding, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from core.reasons import ExchangeError, Reason
from rpc.descriptors import link_descriptors

_STANDARD: Final = "google/protobuf/descriptor.proto"
_LINE: Final = 100


class Options:
    """Reads options with the extensions that the files of one set define.

    Args:
        files: The set: ``google/protobuf/descriptor.proto`` is in it if any file has custom options.

    Raises:
        MalformedError: It cannot be linked.
    """

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self._pool = link_descriptors(files)
        self._has_custom = any(file.name == _STANDARD for file in files.file)

    def assignments(self, options: Message, called: Callable[[str], str]) -> list[tuple[int, str, str]]:
        """What is set, in order of field number: the number, the name, the value; ``(a.b).c``, ``true``.

        Args:
            options: The options of one element.
            called: How an extension is called where they stand, by its full name.

        Raises:
            ExchangeError: ``DOCUMENT_INVALID``: an option that no file of the set defines.
        """
        kind = type(options).DESCRIPTOR.full_name
        read = options
        if self._has_custom:
            found = GetMessageClass(self._pool.FindMessageTypeByName(kind))
            read = found.FromString(options.SerializeToString(deterministic=True))
        if _has_unknown(read):
            raise ExchangeError(
                Reason.DOCUMENT_INVALID, f"the descriptors use an option of {kind} that they do not define"
            )
        return [
            (field.number, name, text)
            for field, value in read.ListFields()
            for name, text in _assignments(_name(field, called), field, value, called)
        ]


def _name(field: FieldDescriptor, called: Callable[[str], str]) -> str:
    return f"({called(field.full_name)})" if field.is_extension else field.name


def _assignments(
    name: str, field: FieldDescriptor, value: Any, called: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """One assignment for each value, its path down to where there is one value: ``(a.b).string.min_len``."""
    if field.is_repeated:
        # A map, too, is a list of its entries here.
        entries = _entries(field, value) if _is_map(field) else value
        yield from ((name, _text(field, one)) for one in entries)
    elif field.type == FieldDescriptor.TYPE_MESSAGE and value.ListFields():
        for inner, inside in value.ListFields():
            yield from _assignments(f"{name}.{_name(inner, called)}", inner, inside, called)
    else:
        yield name, _text(field, value)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _entries(field: FieldDescriptor, value: Any) -> Iterator[Message]:
    entry = GetMessageClass(field.message_type)  # type: ignore[arg-type]  # a map's entries are messages
    key, item = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]  # type: ignore[union-attr]
    for name in sorted(value):
        made = entry()
        setattr(made, key.name, name)
        if item.message_type is not None:
            getattr(made, item.name).CopyFrom(value[name])
        else:
            setattr(made, item.name, value[name])
        yield made


def _text(field: FieldDescriptor, value: Any) -> str:
    """A value in the form that options and text format share; a message in braces, over several lines if it is long."""
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        line = text_format.MessageToString(value, as_utf8=True, as_one_line=True).strip()
        if len(line) <= _LINE:
            return _plain(f"{{ {line} }}") if line else "{}"
        return _plain("{\n" + text_format.MessageToString(value, as_utf8=True, indent=2) + "}")
    out = StringIO()
    text_format.PrintFieldValue(field, value, out, as_utf8=True)
    return _plain(out.getvalue())


def quoted(text: str, *, is_escaped: bool = False) -> str:
    """A string literal; ``is_escaped``: what stands between the quotes is given."""
    escaped = text if is_escaped else text_encoding.CEscape(text, as_utf8=True)  # type: ignore[arg-type]  # str too
    return _plain(f'"{escaped}"')


def _plain(text: str) -> str:
    """Without the escapes of ``'``, which literals between ``"`` need not."""
    return re.sub(r"\\(.)", lambda found: "'" if found[1] == "'" else found[0], text)


def _has_unknown(message: Message) -> bool:
    if len(UnknownFieldSet(message)):
        return True
    return any(
        _has_unknown(inner)
        for field, value in message.ListFields()
        if field.type == FieldDescriptor.TYPE_MESSAGE
        for inner in (_entries(field, value) if _is_map(field) else value if field.is_repeated else [value])
    )
