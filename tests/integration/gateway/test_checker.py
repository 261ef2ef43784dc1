"""The checker of the crash tests finds what it is there to find: violations planted in the journals of a good run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.log import segments
from tests.support.checker import Checker, Event, Held, Segments, Statement, Verdict, check, require_order
from tests.support.evidence import EvidenceCountry, Talk
from tests.support.federation import Federation, calling, metadata
from tests.support.streams import converse
from tests.support.waiting import until

Lines = list[Event]
MESSAGES = 100


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Lines, Lines]:
    """Both logs of some calls and of a stream, and what a program and an adapter would have written down."""
    told: Lines = []
    with Federation(tmp_path_factory.mktemp("run")) as country, country.channel() as channel:
        for number in range(3):
            name, digest = f"p-{number}", str(number) * 64
            told.append({"event": "sent", "reference": name, "digest": digest})
            _, call = calling(channel).with_call(b"", metadata=metadata(x_road_id=name), timeout=10)
            request = str(dict(call.trailing_metadata())["x-road-request-hash"])
            told.append({"event": "acknowledged", "reference": name, "request": request, "digest": digest})
        messages = [b"m%d" % number for number in range(MESSAGES)]
        stream = converse(channel)(iter(messages), metadata=metadata(x_road_id="s-0"), timeout=10)
        assert list(stream) == messages
        request = str(dict(stream.trailing_metadata())["x-road-request-hash"])
        told.append({"event": "acknowledged", "reference": "s-0", "request": request})
        told.append({"event": "received", "reference": "s-0", "messages": MESSAGES})
        delivered: Lines = [
            {"event": "delivered", "reference": name["x-road-id"], "request": name["x-road-request-hash"]}
            for _, _, name in country.adapter.calls
        ]
        delivered.append({"event": "took", "request": request, "messages": MESSAGES})
        return country.pns.directory.log(0), country.anip.directory.log(0), told, delivered


def test_a_good_run_is_clean(run: tuple[Path, Path, Lines, Lines]) -> None:
    assert check(*run).is_clean


def _invent(told: Lines, delivered: Lines) -> None:
    told += [
        {"event": "sent", "reference": "x", "digest": ""},
        {"event": "acknowledged", "reference": "x", "request": "e" * 64, "digest": ""},
    ]


def _swap(told: Lines, delivered: Lines) -> None:
    told[1]["digest"] = told[3]["digest"]


def _deliver_unlogged(told: Lines, delivered: Lines) -> None:
    delivered.append({"event": "delivered", "reference": "y", "request": "e" * 64})


def _deliver_twice(told: Lines, delivered: Lines) -> None:
    delivered.append(delivered[0])


def _deny(told: Lines, delivered: Lines) -> None:
    told.append({"event": "ended", "reference": "p-1", "reason": "PEER_UNREACHABLE", "delivery": "not_sent"})


def _receive_more(told: Lines, delivered: Lines) -> None:
    told[-1]["messages"] += 1


def _take_more(told: Lines, delivered: Lines) -> None:
    delivered[-1]["messages"] += 1


def _deny_a_stream(told: Lines, delivered: Lines) -> None:
    told.append({"event": "ended", "reference": "s-0", "reason": "PEER_UNREACHABLE", "delivery": "not_sent"})


@pytest.mark.parametrize(
    ("plant", "violation"),
    [
        (_invent, "acknowledged_and_unlogged"),
        (_swap, "acknowledged_with_another_answer"),
        (_deliver_unlogged, "delivered_and_unlogged"),
        (_deliver_twice, "delivered_twice"),
        (_deny, "delivered_and_called_undelivered"),
        (_receive_more, "acknowledged_and_unlogged"),
        (_take_more, "delivered_and_unlogged"),
        (_deny_a_stream, "delivered_and_called_undelivered"),
    ],
)
def test_a_planted_violation_is_found(
    run: tuple[Path, Path, Lines, Lines],
    plant: Callable[[Lines, Lines], None],
    violation: str,
) -> None:
    consumer, provider, told, delivered = run
    told, delivered = [dict(one) for one in told], [dict(one) for one in delivered]
    plant(told, delivered)

    verdict = check(consumer, provider, told, delivered)

    assert getattr(verdict, violation), verdict


def test_a_log_put_back_to_before_its_signed_heads_is_found(
    run: tuple[Path, Path, Lines, Lines], tmp_path: Path
) -> None:
    """The provider keeps the heads of the consumer's log: cut back, it no longer extends them (invariant 4)."""
    consumer, provider, _, _ = run
    copied = shutil.copytree(consumer, tmp_path / "log")
    for newer in segments(copied)[1:]:
        newer.unlink()

    verdict = check(copied, provider, [], [])

    assert verdict.heads_that_do_not_extend


def _segment(sequence: int, messages: int = 1) -> Statement:
    """What the checker reads of one segment of a request."""
    payloads = ["5a" * 32] * (messages + (sequence == 0))
    return Statement("request", sequence, False, payloads, None, None, None, None, None)


@pytest.mark.parametrize(
    ("sequences", "violation"),
    [((0, 1, 1), "delivered_twice"), ((0, 0), "delivered_twice"), ((0, 2), "segments_out_of_order")],
)
def test_a_segment_taken_twice_or_without_the_one_before_it_is_found(
    sequences: tuple[int, ...], violation: str
) -> None:
    """No good log holds one, so they are given to what counts segments."""
    theirs, verdict = Held(), Verdict()
    segments = theirs.accepted["e" * 64] = Segments()
    for sequence in sequences:
        segments.take(_segment(sequence))

    require_order(verdict, Held(), theirs)

    assert getattr(verdict, violation), verdict


def test_a_checker_that_is_asked_again_reads_on(tmp_path: Path) -> None:
    """A soak asks until nothing is open, and does not read millions of leaves each time."""
    with Federation(tmp_path) as country, country.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
        checker = Checker([country.pns.directory.log(0)], [country.anip.directory.log(0)])
        until(lambda: checker.open_ends() == 0)
        before = len(checker.follow()[0].said)

        calling(channel)(b"", metadata=metadata(), timeout=10)

        until(lambda: checker.open_ends() == 0)
        assert (before, len(checker.follow()[0].said)) == (1, 2)


@pytest.mark.parametrize(
    ("lie", "violation"),
    [
        (lambda talk: None, None),
        (lambda talk: (talk.ask(1), talk.answer(2), talk.answer(1, final=True)), None),
        (lambda talk: talk.ask(1, heard=None), None),
        (lambda talk: (talk.ask(1), talk.ask(1, sequence=3)), "segments_out_of_order"),
        (lambda talk: (talk.answer(1), talk.answer(1, sequence=0)), "segments_out_of_order"),
        (lambda talk: (talk.ask(1, heard=None), talk.answer(1, handed=1)), "handed_on_and_never_taken"),
        (lambda talk: talk.end("cancel", handed=1), "handed_on_and_never_taken"),
        (
            lambda talk: (talk.ask(1), talk.answer(1, handed=1), talk.refuse(handed=0)),
            "handed_on_and_taken_back",
        ),
    ],
)
def test_segments_that_do_not_follow_are_found(
    tmp_path: Path, lie: Callable[[Talk], object], violation: str | None
) -> None:
    """Each said once and taken once, in order, and handed on only then."""
    country = EvidenceCountry(tmp_path)
    talk = country.stream()
    lie(talk)
    talk.settle()
    country.close()

    verdict = check(country.pns.directory / "log/0", country.anip.directory / "log/0", [], [])

    watched = (
        "segments_out_of_order",
        "taken_and_never_said",
        "handed_on_and_never_taken",
        "handed_on_and_taken_back",
    )
    assert [name for name in watched if getattr(verdict, name)] == ([violation] if violation else [])
