"""Cuts protobuf messages by their bytes, without knowing their types.

A *plan* says of each tag of a message what is done with it. It is compiled from descriptors elsewhere (``rpc.plans``) and
is plain data. Here a message is cut to its plan (PROTOCOL M11); ``core.marks`` notes what a plan marks.

Promises:

- What no rule lets through is not in the result: unknown fields, known numbers in another wire type, at any depth that
  the plan descends to. What is let through stands there byte for byte, in the order received; only lengths of messages
  within which something was cut are written anew.
- A reader of protobuf finds in the result what it finds in the original, without the fields that were cut.
- Bytes that are not a message, groups, and more than the limits allow are refused. No input takes more than linear time.

Where one holds two members of one ``oneof``, which no writer writes, and the last is cut, readers find the first.
An unknown field within an entry of a map is cut; readers differ over such entries, some lose them whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from core.reasons import MalformedError, Reason

VARINT: Final = 0
FIXED64: Final = 1
LENGTH_DELIMITED: Final = 2
FIXED32: Final = 5

LEAF: Final = -1
MAX_TAG: Final = 2**32 - 1
MAX_SENSITIVITY: Final = 3

_MAX_LENGTH: Final = 2**31 - 1
_VARINT_BYTES: Final = 10
_TAG_BYTES: Final = 5
_WIRE_TYPES: Final = frozenset((VARINT, FIXED64, LENGTH_DELIMITED, FIXED32))


class MalformedMessageError(MalformedError):
    """Bytes that are no protobuf message, or one past the limits; also a plan that is none."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.ADAPTER_PROTOCOL, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


class Mark(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is noted where a field stands in a message.

    Attributes:
        sensitivity: Class of its value, 0 to 3 for ``S0`` to ``S3``.
        is_subject: Its value, a string, names whom the message is about.
        is_record: Each occurrence is one record returned.
    """

    sensitivity: int = 0
    is_subject: bool = False
    is_record: bool = False


class Rule(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is done with one tag that is let through.

    Attributes:
        into: Number of the table for the message it holds; ``LEAF``: it is let through as it is.
        mark: What is noted; ``None``: nothing.
    """

    into: int = LEAF
    mark: Mark | None = None


Table = Mapping[int, Rule]
"""Rules by tag, ``field number << 3 | wire type``. A repeated number has two tags: packed and not."""

Plan = Sequence[Table]
"""Tables by number, the message's own first. Messages that hold their own kind refer back, so a plan is finite."""


PackedPlan = list[list[tuple[int, Rule]]]
"""A plan as documents hold it: per table its tags, each with its rule."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may be at most.

    Attributes:
        max_bytes: Length.
        max_fields: Occurrences of fields that are looked at, at all depths.
        max_depth: Messages in messages, the outermost being 1; protobuf's own readers stop at 100.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_fields: int = 262_144
    max_depth: int = 100


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found.

    Attributes:
        data: The message, cut to its plan; the very object that was given if nothing was cut.
        cut: Occurrences of fields that were cut; one that held a message counts once.
    """

    data: bytes
    cut: int


def walk(plan: Plan, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Walked:
    """Cut ``data`` to ``plan``.

    Args:
        plan: Passed ``require_plan``.
        data: A serialised message, not compressed.
        limits: What it may be at most.

    Raises:
        MalformedMessageError: It is no message, has groups, or is past the limits.
    """
    if len(data) > limits.max_bytes:
        raise MalformedMessageError(f"message has more than {limits.max_bytes} bytes")
    walker = _Walk(plan, data, limits)
    try:
        changed = walker.message(plan[0], 0, len(data), 1)
    except IndexError:
        raise MalformedMessageError("message is cut short") from None
    return Walked(data if changed is None else changed, walker.cut)


def require_plan(plan: Plan) -> None:
    """Check that every rule can be followed; raises ``MalformedMessageError``."""
    if not plan:
        raise MalformedMessageError("plan has no table")
    for table in plan:
        for tag, rule in table.items():
            kind = tag & 7
            if not 8 <= tag <= MAX_TAG or kind not in _WIRE_TYPES:
                raise MalformedMessageError(f"plan has tag {tag}")
            if rule.into != LEAF and (kind != LENGTH_DELIMITED or not 0 <= rule.into < len(plan)):
                raise MalformedMessageError(f"plan leads from tag {tag} to no table")
            mark = rule.mark
            if mark is not None and not 0 <= mark.sensitivity <= MAX_SENSITIVITY:
                raise MalformedMessageError(f"plan has sensitivity {mark.sensitivity}")
            if mark is not None and mark.is_subject and (kind != LENGTH_DELIMITED or rule.into != LEAF):
                raise MalformedMessageError(f"plan takes a subject from tag {tag}, which is no string")


def pack_plan(plan: Plan) -> PackedPlan:
    """A plan as documents hold it."""
    return [list(table.items()) for table in plan]


def unpack_plan(packed: PackedPlan) -> Plan:
    """The plan that a document holds; raises ``MalformedMessageError``."""
    plan = tuple(dict(table) for table in packed)
    require_plan(plan)
    return plan


class _Walk:
    """One message under way; ``cut`` as in ``Walked``."""

    __slots__ = ("_data", "_fields_left", "_limits", "_plan", "cut")

    def __init__(self, plan: Plan, data: bytes, limits: Limits) -> None:
        self._plan = plan
        self._data = data
        self._limits = limits
        self._fields_left = limits.max_fields
        self.cut = 0

    def message(self, table: Table, at: int, end: int, depth: int) -> bytes | None:
        """The message between ``at`` and ``end``, cut; ``None`` if it stays as it is.

        An ``IndexError`` means that it ends inside a field. What leads past ``end`` but stays within the data is refused
        before anything of it is used.
        """
        if depth > self._limits.max_depth:
            raise MalformedMessageError(f"messages are nested deeper than {self._limits.max_depth}")
        data = self._data
        kept: list[bytes] = []
        uncopied = start = at  # where that begins which is kept and not in ``kept`` yet
        while at < end:
            begin = at
            tag, after_tag, value, at = read_field(data, begin)
            self._fields_left -= 1
            if at > end or self._fields_left < 0:
                raise MalformedMessageError(
                    f"message is malformed, or has over {self._limits.max_fields} fields"
                )
            rule = table.get(tag)
            if rule is None:
                self.cut += 1
                if uncopied < begin:
                    kept.append(data[uncopied:begin])
                uncopied = at
                continue
            if rule.into >= 0:
                inner = self.message(self._plan[rule.into], value, at, depth + 1)
                if inner is not None:
                    kept += (data[uncopied:after_tag], encode_varint(len(inner)), inner)
                    uncopied = at
        if uncopied == start:
            return None
        kept.append(data[uncopied:end])
        return b"".join(kept)


def read_field(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Tag of the field at ``at``, where the tag ends, where the value begins and where it ends."""
    begin, tag = at, data[at]
    at += 1
    if tag > 0x7F:
        tag, at = _read_varint(data, begin, _TAG_BYTES, MAX_TAG)
    kind, value = tag & 7, at
    if tag < 8:
        raise MalformedMessageError("message has field number 0")
    if kind == LENGTH_DELIMITED:
        size = data[at]
        value += 1
        if size > 0x7F:
            size, value = _read_varint(data, at, _VARINT_BYTES, _MAX_LENGTH)
        return tag, at, value, value + size
    if kind == VARINT:
        end = at
        while data[end] > 0x7F:
            end += 1
        if end - at >= _VARINT_BYTES:
            raise MalformedMessageError(f"message has a number of more than {_VARINT_BYTES} bytes")
        return tag, at, at, end + 1
    if kind not in _WIRE_TYPES:
        raise MalformedMessageError("message has a group, or a wire type that is none")
    return tag, at, at, at + (8 if kind == FIXED64 else 4)


def _read_varint(data: bytes, begin: int, max_bytes: int, greatest: int) -> tuple[int, int]:
    """A varint and where it ends; one that a reader of fewer bits takes for another number is refused."""
    found = 0
    for at in range(begin, begin + max_bytes):
        byte = data[at]
        found |= (byte & 0x7F) << 7 * (at - begin)
        if byte < 0x80 and found <= greatest:
            return found, at + 1
    raise MalformedMessageError("message has a tag or a length that is none")


def encode_varint(number: int) -> bytes:
    """A number from 0 on as a varint."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
