"""Whom the messages of a call are about: read by the plans that control compiled, noted as pseudonyms (PROTOCOL M13).

A method whose descriptors mark nobody never comes here. Where one is marked and this year's key cannot be read, calls are
refused rather than recorded as if they were about nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from core.clock import Clock
from core.marks import Notes
from core.payloads import SALT_BYTES
from core.pseudonyms import MAX_PSEUDONYMS, PseudonymKey, annex_of, begin_of, keep_annex, year_of
from core.reasons import ExchangeError, Reason
from core.wire import MalformedMessageError, Plan
from gateway.worker.masks import inflate
from gateway.worker.trust import MethodMarks
from gateway.worker.wire import Message

# What is read costs the time of all other calls, 0.3 us for each field: so much of one leaf, and no more.
MAX_FIELDS: Final = 16_384
MAX_INFLATED_BYTES: Final = 1024 * 1024
# Numbers wait as long as an exchange is open, 512 of a stream: a marked field may hold megabytes, a number is short.
MAX_NUMBER_BYTES: Final = 64

_RETRY_US: Final = 1_000_000

Annexed = tuple[str, bytes]


class Told:
    """What the messages of one leaf tell.

    Attributes:
        notes: Whom they name, of which class they are, how many records.
        complete: Whether they were read to their end, and every value that is marked was kept.
        messages: How many there were.
    """

    __slots__ = ("_inflated", "complete", "messages", "notes")

    def __init__(self) -> None:
        self.notes = Notes(MAX_FIELDS)
        self.complete = True
        self.messages = 0
        self._inflated = MAX_INFLATED_BYTES

    @property
    def numbers(self) -> list[bytes]:
        """The personal numbers in them, in order."""
        return self.notes.subjects

    def read(self, plan: Plan, messages: Sequence[Message], encoding: str | None) -> Told:
        """Read further messages, as far as the bounds of a leaf go; bytes that are no message tell nothing more."""
        for flag, data in messages:
            self.messages += 1
            content = self._content(data, encoding) if flag else data
            if not plan or content is None or self.notes.fields_left <= 0:
                self.complete = False
                continue
            begin = len(self.numbers)
            try:
                self.notes.take(plan, content)
            except MalformedMessageError:
                # It may be at the bound: whoever sends such messages does not take our time again for this leaf.
                self.complete, self.notes.fields_left = False, 0
            self._drop_long(begin)
        return self

    def add(self, other: Told) -> None:
        """Take over whom another leaf was about."""
        self.numbers.extend(other.numbers)
        self.complete = self.complete and other.complete

    def forget_surplus(self) -> None:
        """Hold no more numbers than one annex may be asked to count: what waits here must not grow with a stream."""
        if len(self.numbers) > 2 * MAX_PSEUDONYMS:
            distinct = list(dict.fromkeys(self.numbers))
            self.complete = self.complete and len(distinct) <= 2 * MAX_PSEUDONYMS
            self.numbers[:] = distinct[: 2 * MAX_PSEUDONYMS]

    def _drop_long(self, begin: int) -> None:
        """Keep nothing that is too long for a number, of those from ``begin`` on."""
        found = self.numbers[begin:]
        kept = [one for one in found if len(one) <= MAX_NUMBER_BYTES]
        if len(kept) < len(found):
            self.complete, self.numbers[begin:] = False, kept

    def _content(self, data: bytes, encoding: str | None) -> bytes | None:
        """A message, decompressed within the bounds of the leaf; ``None`` if it is not to be had."""
        if self._inflated <= 0:
            return None
        try:
            found = inflate(encoding or "", data, self._inflated)
        except ExchangeError:
            self._inflated = 0  # as with fields: whoever sends such messages takes our time once
            return None
        self._inflated -= len(found)
        return found


def of_request(marks: MethodMarks, messages: Sequence[Message], encoding: str | None) -> Told | None:
    """Whom a segment of a request is about; ``None`` if none of its method's is about anybody."""
    return None if marks.asked is None else Told().read(marks.asked, messages, encoding)


def of_answer(marks: MethodMarks, messages: Sequence[Message], encoding: str | None) -> Told:
    """Whom a segment of an answer is about."""
    return Told() if marks.named is None else Told().read(marks.named, messages, encoding)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a response statement says of its messages: records and highest class, ``None`` where that is not known."""

    records: int | None = None
    sensitivity: str | None = None


NOTHING_SAID: Final = Returned()


def returned(marks: MethodMarks | None, messages: Sequence[Message], encoding: str | None) -> Returned:
    """What is said of the messages of an answer; nothing where the method's descriptors say nothing of them."""
    if marks is None or marks.returned is None:
        return NOTHING_SAID
    told = Told().read(marks.returned, messages, encoding)
    if not told.complete:
        return NOTHING_SAID
    records = told.notes.records if marks.is_list else told.messages
    return Returned(records, f"S{told.notes.sensitivity or 0}" if told.messages else None)


class Pseudonyms:
    """Makes annexes with the key of the year.

    Args:
        read_key: Reads the key of a year; raises ``ExchangeError``.
        clock: Tells when to try again what could not be read.
        random: Gives salts.
    """

    def __init__(
        self, read_key: Callable[[int], bytes], clock: Clock, random: Callable[[int], bytes]
    ) -> None:
        self._read_key = read_key
        self._clock = clock
        self._random = random
        self._held: PseudonymKey | None = None
        self._in_use_ms = range(0)  # times of which the key that is held is the year's
        self._retry_us = 0

    def objection(self, now_ms: int) -> Reason | None:
        """Why no call about persons may begin or go on: the key of this year cannot be read."""
        return None if self._has_key(now_ms) else Reason.KEY_UNREADABLE

    def annex(self, now_ms: int, told: Told) -> Annexed | None:
        """What a record commits to, and what lies beside it; ``None`` if its messages are about nobody.

        What is heard when the year has just changed, and its key cannot be read, is noted with the key before: it says
        whose it is. Without any key nothing can be noted; then nothing was begun either.
        """
        numbers = [one for one in told.numbers if one]
        if not numbers and told.complete:
            return None
        self._has_key(now_ms)
        if self._held is None:
            return None
        return keep_annex(self._random(SALT_BYTES), annex_of(self._held, numbers, complete=told.complete))

    def _has_key(self, now_ms: int) -> bool:
        if now_ms in self._in_use_ms:
            return True
        year, now_us = year_of(now_ms), self._clock.monotonic_us()
        if now_us < self._retry_us:
            return False
        try:
            self._held = PseudonymKey(year, self._read_key(year))
        except ExchangeError:
            # Tried again with later calls, a second apart; told by the reason of what is refused, by health and doctor.
            self._retry_us = now_us + _RETRY_US
            return False
        self._in_use_ms = range(begin_of(year), begin_of(year + 1))
        return True
