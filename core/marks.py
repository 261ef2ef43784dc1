"""Notes what a plan of ``core.wire`` marks in a message: whose data it is, of which class, how many records (M13).

A walk of its own, as every call about a person takes it, so that its cost counts. It refuses what ``core.wire.walk``
refuses; a test compares the two on whatever bytes come.
"""

from __future__ import annotations

from typing import Final

from core.wire import LENGTH_DELIMITED, VARINT, MalformedMessageError, Plan, Table, read_field

MAX_DEPTH: Final = 100


class Notes:
    """What was noted of some messages; ``fields_left`` bounds what may still be looked at, of all of them."""

    __slots__ = ("_data", "_plan", "fields_left", "records", "sensitivity", "subjects")

    def __init__(self, max_fields: int) -> None:
        self.subjects: list[bytes] = []
        self.sensitivity: int | None = None
        self.records = 0
        self.fields_left = max_fields
        self._plan: Plan = ()
        self._data = b""

    def take(self, plan: Plan, data: bytes) -> None:
        """Note what ``plan`` marks in a message.

        Raises:
            MalformedMessageError: It is no message, has groups, or is past the bounds; what was noted before stays noted.
        """
        self._plan, self._data = plan, data
        try:
            self._message(plan[0], 0, len(data), 1)
        except IndexError:
            raise MalformedMessageError("message is cut short") from None

    def _message(self, table: Table, at: int, end: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MalformedMessageError(f"messages are nested deeper than {MAX_DEPTH}")
        data = self._data
        left = self.fields_left
        while at < end:
            left -= 1
            tag = data[at]
            kind = tag & 7
            # One byte of tag, one of length: nearly all fields of nearly all messages.
            if kind == LENGTH_DELIMITED and 8 <= tag < 0x80 and data[at + 1] < 0x80:
                value = at + 2
                at = value + data[at + 1]
            elif kind == VARINT and 8 <= tag < 0x80 and data[at + 1] < 0x80:
                value = at + 1
                at += 2
            else:
                tag, _, value, at = read_field(data, at)
            if at > end or left < 0:
                raise MalformedMessageError("message is malformed, or has too many fields")
            rule = table.get(tag)
            if rule is None:
                continue
            mark = rule.mark
            if mark is not None:
                if self.sensitivity is None or mark.sensitivity > self.sensitivity:
                    self.sensitivity = mark.sensitivity
                if mark.is_subject:
                    self.subjects.append(data[value:at])
                if mark.is_record:
                    self.records += 1
            if rule.into >= 0:
                self.fields_left = left
                self._message(self._plan[rule.into], value, at, depth + 1)
                left = self.fields_left
        self.fields_left = left
