"""Reading whom messages are about, within bounds, and noting them under the key of the year (M13)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import ManualClock
from core.pseudonyms import MAX_PSEUDONYMS, pseudonym, read_annex
from core.reasons import ExchangeError, Reason
from core.wire import LENGTH_DELIMITED, Mark, Plan, Rule
from gateway.worker.subjects import (
    MAX_FIELDS,
    MAX_INFLATED_BYTES,
    MAX_NUMBER_BYTES,
    Pseudonyms,
    Told,
    returned,
)
from gateway.worker.trust import MethodMarks
from gateway.worker.wire import Message

NEW_YEAR_MS = 1_798_758_000_000  # midnight of 1 January 2027 in Porto-Novo
PLAN: Plan = ({1 << 3 | LENGTH_DELIMITED: Rule(mark=Mark(1, is_subject=True)), 2 << 3: Rule()},)
PERSON = b"4999999901"


def message(number: bytes = PERSON) -> bytes:
    return b"\x0a" + bytes([len(number)]) + number


def told(*messages: Message, encoding: str = "identity") -> Told:
    return Told().read(PLAN, messages, encoding)


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
def test_compressed_messages_are_read(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    found = told((1, compress(message())), encoding=encoding)

    assert (found.numbers, found.complete) == ([PERSON], True)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("snappy", b"whatever"),
        ("identity", message()),
        ("gzip", message()),
        ("gzip", gzip.compress(message())[:-1]),
        ("gzip", gzip.compress(message()) + b"more"),
        ("gzip", gzip.compress(message() + bytes(MAX_INFLATED_BYTES))),
    ],
    ids=["unknown", "flag-without-encoding", "no-gzip", "cut", "more-behind", "bomb"],
)
def test_what_cannot_be_decompressed_is_not_read(encoding: str, data: bytes) -> None:
    """And is said to be incomplete, never to be about nobody."""
    found = told((1, data), encoding=encoding)

    assert (found.numbers, found.complete) == ([], False)


def test_the_bound_of_what_is_inflated_is_one_for_the_whole_leaf() -> None:
    """Sixty-four bombs are as bad as a large one."""
    half = gzip.compress(message() + b"\x7a\x80\x80\x28" + bytes(40 * 16_384))

    found = told((1, half), (1, half), encoding="gzip")

    assert (found.numbers, found.complete) == ([PERSON], False)


def test_the_bound_of_fields_is_one_for_the_whole_leaf() -> None:
    """So is the time that a message costs those of others."""
    fields = b"\x10\x01" * (MAX_FIELDS // 2)

    assert told((0, fields), (0, message())).complete
    over = told((0, fields), (0, fields), (0, fields), (0, message()))

    assert (over.numbers, over.complete) == ([], False)


def test_messages_that_are_none_tell_nothing_and_are_told() -> None:
    """Also where no plan could be made of them."""
    assert told((0, b"\xff")).complete is False
    assert Told().read((), [(0, message())], None).complete is False


@given(
    st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=60)), max_size=4),
    st.sampled_from(["gzip", "identity"]),
)
def test_any_messages_are_read_without_an_error(messages: list[Message], encoding: str) -> None:
    found = told(*messages, encoding=encoding)

    assert found.messages == len(messages)


def test_numbers_that_wait_for_an_answer_are_bounded() -> None:
    """Of a stream that asks for a country; who was asked for first stays."""
    waiting = told((0, message(b"first")))
    for number in range(5 * MAX_PSEUDONYMS):
        waiting.add(told((0, message(b"%d" % number))))
        waiting.forget_surplus()

    assert len(waiting.numbers) <= 2 * MAX_PSEUDONYMS
    assert (waiting.numbers[0], waiting.complete) == (b"first", False)


@pytest.mark.parametrize("ending", [b"", b"\xff"], ids=["readable", "malformed-behind"])
def test_a_value_that_is_too_long_for_a_number_is_not_kept(ending: bytes) -> None:
    """What waits for an answer is bounded in bytes, too; it is said to be incomplete, and the others stay."""
    longest = b"1" * MAX_NUMBER_BYTES

    assert (told((0, message(longest))).numbers, told((0, message(longest))).complete) == ([longest], True)
    over = told((0, message() + message(longest + b"1") + message(b"other") + ending))

    assert (over.numbers, over.complete) == ([PERSON, b"other"], False)


@pytest.mark.parametrize(
    ("messages", "is_list", "expected"),
    [
        ([(0, message())], False, (1, "S1")),
        ([(0, b"")], False, (1, "S0")),
        ([], False, (0, None)),
        ([(0, message()), (0, message())], False, (2, "S1")),
        ([(0, message())], True, (0, "S1")),
        ([(0, b"\xff")], False, (None, None)),
    ],
)
def test_an_answer_is_told_by_its_records_and_its_highest_class(
    messages: list[Message], is_list: bool, expected: tuple[int | None, str | None]
) -> None:
    found = returned(MethodMarks(None, None, PLAN, True, is_list), messages, None)

    assert (found.records, found.sensitivity) == expected


# --- keys ---


class Keys:
    """The keys of two years, of which one may be away."""

    def __init__(self) -> None:
        self.held = {2026: b"\x26" * 32, 2027: b"\x27" * 32}
        self.asked: list[int] = []

    def read(self, year: int) -> bytes:
        self.asked.append(year)
        if year not in self.held:
            raise ExchangeError(Reason.KEY_UNREADABLE, "missing")
        return self.held[year]


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NEW_YEAR_MS - 1000)


@pytest.fixture
def pseudonyms(keys: Keys, clock: ManualClock) -> Pseudonyms:
    return Pseudonyms(keys.read, clock, lambda count: bytes(count))


def named(pseudonyms: Pseudonyms, now_ms: int) -> tuple[int, list[str]]:
    found = pseudonyms.annex(now_ms, told((0, message())))
    assert found is not None
    annex = read_annex(found[1], found[0])
    return annex.year, annex.pseudonyms


def test_on_new_year_the_next_key_is_used_without_a_restart(pseudonyms: Pseudonyms, keys: Keys) -> None:
    """At midnight in Porto-Novo; the pseudonyms of the two years are not linked."""
    assert named(pseudonyms, NEW_YEAR_MS - 1) == (2026, [pseudonym(keys.held[2026], PERSON)])
    assert named(pseudonyms, NEW_YEAR_MS) == (2027, [pseudonym(keys.held[2027], PERSON)])
    assert keys.asked == [2026, 2027]


def test_without_the_new_year_s_key_nothing_begins_and_what_is_under_way_is_noted_with_the_old(
    pseudonyms: Pseudonyms, keys: Keys
) -> None:
    """The annex says whose key it was."""
    del keys.held[2027]

    assert pseudonyms.objection(NEW_YEAR_MS - 1) is None
    assert pseudonyms.objection(NEW_YEAR_MS) is Reason.KEY_UNREADABLE
    assert named(pseudonyms, NEW_YEAR_MS) == (2026, [pseudonym(keys.held[2026], PERSON)])


def test_a_key_that_is_put_back_is_found_within_a_second(
    pseudonyms: Pseudonyms, keys: Keys, clock: ManualClock
) -> None:
    """And a missing one is not looked for with every call."""
    key = keys.held.pop(2026)
    for _ in range(100):
        assert pseudonyms.objection(NEW_YEAR_MS - 1) is Reason.KEY_UNREADABLE
    keys.held[2026] = key

    assert pseudonyms.objection(NEW_YEAR_MS - 1) is Reason.KEY_UNREADABLE
    clock.advance(timedelta(seconds=1))
    assert pseudonyms.objection(NEW_YEAR_MS - 1) is None
    assert keys.asked == [2026, 2026]


def test_messages_about_nobody_have_no_annex(pseudonyms: Pseudonyms) -> None:
    assert pseudonyms.annex(NEW_YEAR_MS, told((0, b""))) is None
    assert pseudonyms.annex(NEW_YEAR_MS, told((0, b"\x0a\x00"))) is None  # set, and empty


def test_without_any_key_nothing_is_noted(pseudonyms: Pseudonyms, keys: Keys) -> None:
    """An answer that comes late, behind a start without keys: the record stands, and commits to no annex."""
    keys.held.clear()

    assert pseudonyms.annex(NEW_YEAR_MS, told((0, message()))) is None
