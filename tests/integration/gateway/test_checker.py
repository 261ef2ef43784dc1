"""The checker of the crash tests finds what it is there to find: violations planted in the journals of a good run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.log import segments
from tests.support.checker import Event, check
from tests.support.evidence import EvidenceCountry, Talk
from tests.support.federation import Federation, calling, metadata

Lines = list[Event]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Lines, Lines]:
    """Both logs of a few calls, and what a program and an adapter would have written down."""
    told: Lines = []
    with Federation(tmp_path_factory.mktemp("run")) as country, country.channel() as channel:
        for number in range(3):
            name, digest = f"p-{number}", str(number) * 64
            told.append({"event": "sent", "reference": name, "digest": digest})
            _, call = calling(channel).with_call(b"", metadata=metadata(x_road_id=name), timeout=10)
            request = str(dict(call.trailing_metadata())["x-road-request-hash"])
            told.append({"event": "acknowledged", "reference": name, "request": request, "digest": digest})
        delivered = [
            {"event": "delivered", "reference": name["x-road-id"], "request": name["x-road-request-hash"]}
            for _, _, name in country.adapter.calls
        ]
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


@pytest.mark.parametrize(
    ("plant", "violation"),
    [
        (_invent, "acknowledged_and_unlogged"),
        (_swap, "acknowledged_with_another_answer"),
        (_deliver_unlogged, "delivered_and_unlogged"),
        (_deliver_twice, "delivered_twice"),
        (_deny, "delivered_and_called_undelivered"),
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

    watched = ("segments_out_of_order", "taken_and_never_said", "handed_on_and_never_taken")
    assert [name for name in watched if getattr(verdict, name)] == ([violation] if violation else [])
