"""Compiles descriptors into plans for ``core.wire``: what a field mask lets through of a message (PROTOCOL M11).

Promises:

- A plan lets through what its paths name and the descriptors know, nothing else: not a field that a newer version of the
  message has, not an extension, not a known number in another wire type.
- A path that the descriptors do not know is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from core.reasons import ExchangeError, Reason
from core.wire import FIXED32, FIXED64, LEAF, LENGTH_DELIMITED, VARINT, Mark, Plan, Rule, require_plan

Marks = Callable[[FieldDescriptor], Mark | None]

_MAX_TABLES: Final = 2_000
_WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_SFIXED64: FIXED64,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_FIXED32: FIXED32,
    FieldDescriptor.TYPE_SFIXED32: FIXED32,
    FieldDescriptor.TYPE_STRING: LENGTH_DELIMITED,
    FieldDescriptor.TYPE_BYTES: LENGTH_DELIMITED,
    FieldDescriptor.TYPE_MESSAGE: LENGTH_DELIMITED,
}


class PlanError(ExchangeError):
    """A path or a message of which no plan can be made."""

    reason = Reason.TERM_NOT_SUPPORTED

    def __init__(self, text: str) -> None:
        super().__init__(self.reason, text)

    def __reduce__(self) -> tuple[type[PlanError], tuple[str]]:  # type: ignore[override]
        return (type(self), (str(self),))


# What is granted of a message: by field name all of it (``None``), or parts of what it holds.
_Granted = dict[str, "_Granted | None"]

# A field, behind those that it lies within.
_Place = tuple["_Place | None", str]


def find_messages(pool: DescriptorPool, service: str, method: str) -> tuple[Descriptor, Descriptor]:
    """What a method takes and what it returns; raises ``PlanError``."""
    try:
        found = pool.FindServiceByName(service).methods_by_name[method]
        return found.input_type, found.output_type
    except (KeyError, TypeError) as error:
        raise PlanError(f"the descriptors have no method {service}/{method}: {str(error)[:100]!a}") from None


def mask_plan(message: Descriptor, paths: Iterable[str]) -> Plan:
    """A plan that lets through what ``paths`` grant of ``message``.

    A path ends at a field, and grants all that the descriptors know of it. On its way it may lead through messages, also
    repeated ones, of which each is cut alike. A map is granted as a whole.

    Args:
        message: The message.
        paths: ``last_name``, ``birth.date``.

    Raises:
        PlanError: A path names no field, or leads through one that holds none; or the message has groups.
    """
    return _Compiler().plan(message, _granted(message, paths))


def outline_plan(message: Descriptor, paths: Iterable[str]) -> Plan:
    """A plan that lets through what ``paths`` may ever grant of ``message``: a field that ends a path, whatever it holds.

    Of descriptors that only add fields every version lies within it. Raises ``PlanError`` as ``mask_plan`` does.
    """
    return _Compiler(is_outline=True).plan(message, _granted(message, paths))


def whole_plan(message: Descriptor, marks: Marks = lambda field: None) -> Plan:
    """A plan that lets through all that the descriptors know of ``message``; ``marks`` says what is noted of a field."""
    return _Compiler(marks).plan(message, None)


def lost_field(message: Descriptor, newer: Descriptor, paths: Iterable[str]) -> str | None:
    """A field, as a path, that ``paths`` grant of ``message`` and that ``newer`` has no more, or as another.

    Another is one of another type, or repeated where it was not. ``None``: if a plan of ``newer`` can be made at all, it
    lets through whatever one of ``message`` does.

    Raises:
        PlanError: A path is none of ``message``, or there are more messages within one another than a plan holds.
    """
    # No recursion: messages lie within one another deeper than Python calls. Each pair granted whole is compared once.
    left: list[tuple[_Place | None, Descriptor, Descriptor, _Granted | None]]
    left = [(None, message, newer, _granted(message, paths))]
    seen: set[tuple[str, str]] = set()
    while left:
        place, old, new, granted = left.pop()
        for field in old.fields:
            if granted is not None and field.name not in granted:
                continue
            here = (place, field.name)
            found = new.fields_by_number.get(field.number)
            # Paths lead by name, readers by number and type.
            if (
                found is None
                or (field.type, field.is_repeated) != (found.type, found.is_repeated)
                or (granted is not None and field.name != found.name)
            ):
                return _path_of(here)
            if field.message_type is None or found.message_type is None:
                continue
            inside = None if granted is None else granted[field.name]
            pair = (field.message_type.full_name, found.message_type.full_name)
            if inside is None and pair in seen:
                continue
            if inside is None:
                seen.add(pair)
                if len(seen) > _MAX_TABLES:
                    raise _too_many()
            left.append((here, field.message_type, found.message_type, inside))
    return None


_MAX_PATH_CHARACTERS: Final = 200


def _path_of(place: _Place | None) -> str:
    """A field and those that it lies within; of a path that nobody would read, its end."""
    names: list[str] = []
    while place is not None:
        place, name = place
        names.append(name)
    path = ".".join(reversed(names))
    return path if len(path) <= _MAX_PATH_CHARACTERS else f"…{path[-_MAX_PATH_CHARACTERS:]}"


def _too_many() -> PlanError:
    return PlanError(f"there are more than {_MAX_TABLES} messages within one another")


def _granted(message: Descriptor, paths: Iterable[str]) -> _Granted:
    granted: _Granted = {}
    for path in paths:
        _grant(message, granted, path)
    return granted


def _grant(message: Descriptor, granted: _Granted, path: str) -> None:
    """Add one path; what is granted as a whole stays so."""
    *through, last = path.split(".")
    inside = granted
    for name in through:
        field = _field(message, name, path)
        if field.message_type is None or _is_map(field):
            raise PlanError(f"{path}: {name} of {message.full_name} is no message to choose from")
        message = field.message_type
        found = inside.setdefault(name, {})
        # Granted as a whole before: the rest of the path is looked at, and adds nothing.
        inside = {} if found is None else found
    _field(message, last, path)
    inside[last] = None


def _field(message: Descriptor, name: str, path: str) -> FieldDescriptor:
    field: FieldDescriptor | None = message.fields_by_name.get(name)
    if field is None:
        raise PlanError(f"{path}: {message.full_name} has no field {name}")
    return field


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


class _Compiler:
    """Tables under construction; messages that are granted as a whole share one table each."""

    def __init__(self, marks: Marks = lambda field: None, *, is_outline: bool = False) -> None:
        self._marks = marks
        self._is_outline = is_outline
        self._tables: list[dict[int, Rule]] = []
        self._whole: dict[str, int] = {}
        self._empty: list[tuple[dict[int, Rule], Descriptor, _Granted | None]] = []

    def plan(self, message: Descriptor, granted: _Granted | None) -> Plan:
        """The plan whose first table is that of ``message``."""
        self._table(message, granted)
        while self._empty:
            self._fill(*self._empty.pop())
        plan = tuple(self._tables)
        require_plan(plan)
        return plan

    def _table(self, message: Descriptor, granted: _Granted | None) -> int:
        """The number of the table of ``message``, which may be filled later: it may hold its own kind."""
        if granted is None and message.full_name in self._whole:
            return self._whole[message.full_name]
        number = len(self._tables)
        if number == _MAX_TABLES:
            raise _too_many()
        if granted is None:
            self._whole[message.full_name] = number
        self._tables.append({})
        self._empty.append((self._tables[number], message, granted))
        return number

    def _fill(self, table: dict[int, Rule], message: Descriptor, granted: _Granted | None) -> None:
        for field in message.fields:
            if granted is not None and field.name not in granted:
                continue
            inside = None if granted is None else granted[field.name]
            within = None if self._is_outline and inside is None else field.message_type
            into = LEAF if within is None else self._table(within, inside)
            rule = Rule(into, self._marks(field))
            for tag in _tags(field):
                table[tag] = rule


def _tags(field: FieldDescriptor) -> list[int]:
    """Under which tags readers know a field; repeated numbers come packed and not, whatever their declaration says."""
    if field.type == FieldDescriptor.TYPE_GROUP:
        raise PlanError(f"{field.full_name} is a group")
    kind = _WIRE_TYPES.get(field.type, VARINT)
    tags = [field.number << 3 | kind]
    if field.is_repeated and kind != LENGTH_DELIMITED:
        tags.append(field.number << 3 | LENGTH_DELIMITED)
    return tags
