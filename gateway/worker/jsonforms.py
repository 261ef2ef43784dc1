"""Which form a value of each field may have in JSON: one for each meaning.

Protobuf's own reader takes ``true`` or ``1.5`` for a value of an enum, ``"1_000"`` for a number, and base64 with
anything between its letters. Here every value has the form that its type has by the specification, or is refused with its
place; what a value means is left to that reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

# ``FieldDescriptor.TYPE_…``, which are those of descriptor.proto; the module is not loaded for them.
_DOUBLE, _FLOAT, _BOOL, _STRING, _GROUP, _MESSAGE, _BYTES, _ENUM = 1, 2, 8, 9, 10, 11, 12, 14

_INTEGER_TEXT = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)
# One text for each key: -0 would be 0 a second time.
_INTEGER_KEY = re.compile(r"0|-?[1-9][0-9]{0,19}", re.ASCII)
_NUMBER_TEXT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|NaN|-?Infinity", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}|[A-Za-z0-9_\-]*={0,2}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_ENUM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TYPE_URL = re.compile(r"[A-Za-z0-9._\-/]{1,200}/([A-Za-z_][A-Za-z0-9_.]{0,199})", re.ASCII)
# Types with a JSON form of their own, which protobuf's reader knows: a text, or anything at all.
_OWN_FORM: Final = frozenset(
    f"google.protobuf.{kind}"
    for kind in ("Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value")
)
# Those that wrap a value have its form.
_WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
# A message of any type, which it names: its fields beside the name, or under ``value`` what has a form of its own.
_ANY: Final = "google.protobuf.Any"
_ANY_TYPE: Final = "@type"
_UNDER_VALUE: Final = _OWN_FORM | _WRAPPERS | {_ANY}

Find = Callable[[str], "Descriptor"]
Refuse = Callable[[str, str], Exception]


class JsonForms:
    """The forms of messages of one pool.

    Args:
        refuse: Makes the error from what is wrong and where.
        find: The message of a full name; raises ``KeyError``.
    """

    def __init__(self, refuse: Refuse, find: Find) -> None:
        self._refuse = refuse
        self._find = find
        self._fields: dict[str, dict[str, FieldDescriptor]] = {}

    def require(self, value: object, message: Descriptor, place: str = "") -> None:
        """Check that ``value`` has the form of ``message``; raises what ``refuse`` makes."""
        if message.full_name in _WRAPPERS:
            self._require_one(value, message.fields_by_name["value"], place)
            return
        if message.full_name in _OWN_FORM:
            return
        if not isinstance(value, dict):
            raise self._refuse("an object is expected", place)
        if message.full_name == _ANY:
            self._require_any(value, place)
            return
        known = self._fields_of(message)
        seen: set[int] = set()
        for key, one in value.items():
            field = known.get(key)
            where = _within(place, key)
            if field is None:
                raise self._refuse("the message has no such field", where)
            if field.number in seen:
                raise self._refuse("a field stands twice, under both of its names", where)
            seen.add(field.number)
            if one is not None:
                self._require_field(one, field, where)

    def _require_any(self, value: dict[str, Any], place: str) -> None:
        if not value:
            return  # nothing, of no type
        named, where = value.get(_ANY_TYPE), f"{place}.{_ANY_TYPE}".lstrip(".")
        found = _TYPE_URL.fullmatch(named) if isinstance(named, str) else None
        if found is None:
            raise self._refuse("a type is expected, type.googleapis.com/NAME", where)
        try:
            message = self._find(found[1])
        except KeyError:
            raise self._refuse("the published descriptors have no such type", where) from None
        held = {key: one for key, one in value.items() if key != _ANY_TYPE}
        if message.full_name not in _UNDER_VALUE:
            self.require(held, message, place)
        elif held.keys() == {"value"}:
            self.require(held["value"], message, f"{place}.value")
        else:
            raise self._refuse("a value of this type stands under value, and nothing beside it", place)

    def _fields_of(self, message: Descriptor) -> dict[str, FieldDescriptor]:
        found = self._fields.get(message.full_name)
        if found is None:
            # The name of the proto is taken as well as that of its JSON form.
            found = {field.name: field for field in message.fields}
            found |= {field.json_name: field for field in message.fields}
            self._fields[message.full_name] = found
        return found

    def _require_field(self, value: object, field: FieldDescriptor, place: str) -> None:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            if not isinstance(value, dict):
                raise self._refuse("an object is expected", place)
            of_key, of_value = kind.fields_by_name["key"], kind.fields_by_name["value"]
            for key, one in value.items():
                if not _is_key(key, of_key):
                    raise self._refuse("a key does not fit its map", place)
                self._require_one(one, of_value, f"{place}[]")
        elif field.is_repeated:
            if not isinstance(value, list):
                raise self._refuse("a list is expected", place)
            for number, one in enumerate(value):
                self._require_one(one, field, f"{place}[{number}]")
        else:
            self._require_one(value, field, place)

    def _require_one(self, value: Any, field: FieldDescriptor, place: str) -> None:
        if field.type in (_MESSAGE, _GROUP) and field.message_type is not None:
            self.require(value, field.message_type, place)
        elif not _FITS.get(field.type, _is_integer)(value):
            raise self._refuse("a value does not fit its field", place)


def _within(place: str, key: str) -> str:
    # What is no name may be anything, a personal number too: it is not repeated.
    name = key if _NAME.fullmatch(key) else "?"
    return f"{place}.{name}" if place else name


def _is_key(key: str, field: FieldDescriptor) -> bool:
    if field.type == _STRING:
        return True
    return key in ("true", "false") if field.type == _BOOL else _INTEGER_KEY.fullmatch(key) is not None


def _is_integer(value: object) -> bool:
    if isinstance(value, str):
        return _INTEGER_TEXT.fullmatch(value) is not None
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER_TEXT.fullmatch(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_base64(value: object) -> bool:
    if not isinstance(value, str) or _BASE64.fullmatch(value) is None:
        return False
    bare = value.rstrip("=")
    # With its padding or without; one letter alone means nothing.
    return len(bare) % 4 != 1 and (len(value) == len(bare) or len(value) % 4 == 0)


def _is_enum(value: object) -> bool:
    if isinstance(value, str):
        return (_ENUM_NAME.fullmatch(value) or _INTEGER_TEXT.fullmatch(value)) is not None
    return isinstance(value, int) and not isinstance(value, bool)


_FITS: Final[dict[int, Callable[[object], bool]]] = {
    _DOUBLE: _is_number,
    _FLOAT: _is_number,
    _BOOL: lambda value: isinstance(value, bool),
    _STRING: lambda value: isinstance(value, str),
    _BYTES: _is_base64,
    _ENUM: _is_enum,
}
