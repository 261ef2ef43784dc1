"""Responses swapped, reflected or altered: the program never takes one for its answer.

The intruder holds the provider's keys here, or sits between the provider's signature and the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.payloads import decode_payloads, encode_metadata, encode_payloads
from core.statements import Statement, encode_statement, parse_statement
from gateway.worker.frames import UnverifiedEntry, encode_frame
from tests.support.federation import Federation, calling, metadata
from tests.support.hostile import heard, outcome_of
from tests.support.intruder import Intruder
from tests.support.waiting import until

GOOD = ((0, encode_metadata(())), (0, b"the answer"), (0, encode_metadata(((b"mine", b"1"),))))


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("answers")) as found:
        found.stop(found.anip)
        yield found


@pytest.fixture
def provider(federation: Federation, tmp_path: Path) -> Iterator[Intruder]:
    """ANIP's only gateway that runs."""
    found = Intruder(federation, federation.anip).met(federation.pns, tmp_path)
    yield found
    found.leave()


@pytest.fixture
def verdicts(federation: Federation) -> Callable[[], list[str]]:
    """What the consumer's log says of responses since the test began."""
    before = len(heard(federation.pns))
    return lambda: [one.verdict for one in heard(federation.pns)[before:] if one.role == "response"]


@pytest.fixture
def ask(federation: Federation) -> Iterator[Callable[..., Any]]:
    """Begins a call of the portal."""
    with federation.channel() as channel:
        yield lambda **changes: calling(channel).future(b"?", metadata=metadata(**changes), timeout=10)


def one_request(provider: Intruder) -> tuple[Statement, str, UnverifiedEntry]:
    until(lambda: bool(provider.requests()))
    return provider.requests()[-1]


def send_altered(
    provider: Intruder,
    entry: tuple[int, UnverifiedEntry],
    alter: Callable[[UnverifiedEntry], UnverifiedEntry],
) -> None:
    """The frame as the provider signed it, with one entry altered on the way."""
    index, signed = entry
    frame = provider.log.frame(provider.verified, [(index, signed)], provider.head())
    runs = tuple(replace(run, entries=tuple(alter(one) for one in run.entries)) for run in frame.runs)
    provider.send(encode_frame(runs, frame.after, frame.head))


def test_an_honest_answer_of_the_intruder_is_taken(provider: Intruder, ask: Callable[..., Any]) -> None:
    """What follows is refused for its one fault."""
    call = ask()
    statement, leaf, _ = one_request(provider)

    provider.send(provider.frame(provider.answer(statement, leaf, GOOD)))

    assert call.result() == b"the answer"


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange": "0192f1a0-0000-7000-8000-00000000dead"},
        {"reference": "other"},
        {"client": "BJ/GOV/PNS/STATS"},
        {"service": "BJ/GOV/ANIP/OTHER"},
        {"method": "bj.identity.v1.IdentityService/VerifyPerson"},
        {"purpose": "P02"},
        {"issue": "ACT-OTHER"},
        {"caller": "mtls:" + "B" * 43},
        {"to": "a" * 64},
        {"sequence": 1},
        {"final": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_response_swap_is_refused_when_any_field_is_not_the_requests(
    provider: Intruder, ask: Callable[..., Any], verdicts: Callable[[], list[str]], changes: dict[str, Any]
) -> None:
    """It names the request and says otherwise what was asked: DATA_LOSS for the program, ``refused`` in the log."""
    call = ask()
    statement, leaf, _ = one_request(provider)

    provider.send(provider.frame(provider.answer(statement, leaf, GOOD, **changes)))

    assert outcome_of(call.result) in ("RESPONSE_INVALID", "PEER_LOST")
    assert "taken" not in verdicts()


def test_response_swap_between_two_calls_is_refused(provider: Intruder, ask: Callable[..., Any]) -> None:
    """Each response names the other's request: neither program is told the other's answer."""
    first, second = ask(x_road_issue="ACT-1"), ask(x_road_issue="ACT-2")
    until(lambda: len(provider.requests()) == 2)
    (one, one_leaf, _), (two, two_leaf, _) = provider.requests()

    answers = [
        provider.answer(one, two_leaf, ((0, b""), (0, b"first"))),
        provider.answer(two, one_leaf, ((0, b""), (0, b"second"))),
    ]
    provider.send(provider.frame(*answers))

    assert [outcome_of(first.result), outcome_of(second.result)] == ["RESPONSE_INVALID"] * 2


def test_response_to_another_gateways_request_answers_nobody(
    provider: Intruder, ask: Callable[..., Any]
) -> None:
    """A request that was never asked has no answer; the real one still comes through."""
    call = ask()
    statement, leaf, _ = one_request(provider)

    provider.send(provider.frame(provider.answer(statement, "d" * 64, ((0, b""), (0, b"not this")))))
    provider.send(provider.frame(provider.answer(statement, leaf, GOOD)))

    assert call.result() == b"the answer"


def test_reflection_of_a_request_is_no_answer(
    provider: Intruder, ask: Callable[..., Any], verdicts: Callable[[], list[str]]
) -> None:
    """The consumer's own words come back under the provider's head: not one of them is heard."""
    call = ask()
    _, _, request = one_request(provider)

    provider.send(provider.frame(provider.log.put(request)))

    assert provider.ended() == "STATEMENT_INVALID"
    assert outcome_of(call.result) == "PEER_LOST"
    assert verdicts() == []


def test_reflection_as_a_request_of_the_provider_is_refused(
    federation: Federation, provider: Intruder, ask: Callable[..., Any]
) -> None:
    """The same question asked back in the provider's name has no right at the consumer."""
    call = ask()
    statement, _, _ = one_request(provider)

    index = provider.ask(federation.pns, client=statement.client, service=statement.service)

    assert provider.answer_to(index).reason == "PEER_NOT_REGISTERED"
    call.cancel()


def body(change: Callable[[Statement], Statement]) -> Callable[[UnverifiedEntry], UnverifiedEntry]:
    return lambda entry: replace(entry, body=encode_statement(change(parse_statement(entry.body))))


def payload(
    at: int, change: Callable[[bytes, int, bytes], tuple[bytes, int, bytes]]
) -> Callable[[UnverifiedEntry], UnverifiedEntry]:
    def alter(entry: UnverifiedEntry) -> UnverifiedEntry:
        parts = list(decode_payloads(entry.payloads))
        parts[at] = change(*parts[at])
        return replace(entry, payloads=encode_payloads(parts))

    return alter


set_ = msgspec.structs.replace
ALTERED: dict[str, Callable[[UnverifiedEntry], UnverifiedEntry]] = {
    "status": body(lambda one: set_(one, status=5)),
    "request": body(lambda one: set_(one, request="0" * 64)),
    "purpose": body(lambda one: set_(one, purpose="P02")),
    "nonce": body(lambda one: set_(one, nonce="0" * 32)),
    "encoding": body(lambda one: set_(one, encoding="gzip")),
    "message": payload(1, lambda salt, flag, data: (salt, flag, b"another answer")),
    "compressed flag": payload(1, lambda salt, flag, data: (salt, 1, data)),
    "salt": payload(1, lambda salt, flag, data: (b"s" * 16, flag, data)),
    "initial metadata": payload(0, lambda salt, flag, data: (salt, flag, encode_metadata(((b"a", b"b"),)))),
    "details": payload(
        2,
        lambda salt, flag, data: (salt, flag, encode_metadata(((b"grpc-status-details-bin", b"\x08\x05"),))),
    ),
    "trailing metadata left out": lambda entry: replace(
        entry, payloads=encode_payloads(decode_payloads(entry.payloads)[:2])
    ),
    "one byte more": lambda entry: replace(entry, payloads=entry.payloads + b"\0"),
    "nothing": lambda entry: replace(entry, payloads=b""),
}


@pytest.mark.parametrize("name", ALTERED)
def test_response_altered_after_its_signature_is_refused(
    provider: Intruder, ask: Callable[..., Any], verdicts: Callable[[], list[str]], name: str
) -> None:
    """Status, details, trailing metadata, a flag, a salt: what is signed is what is delivered, or nothing is."""
    call = ask()
    statement, leaf, _ = one_request(provider)

    send_altered(provider, provider.answer(statement, leaf, GOOD), ALTERED[name])

    assert outcome_of(call.result) in ("RESPONSE_INVALID", "PEER_LOST")
    assert "taken" not in verdicts()


def test_response_of_a_gateway_that_was_not_asked_answers_nobody(
    federation: Federation,
    provider: Intruder,
    ask: Callable[..., Any],
    verdicts: Callable[[], list[str]],
    tmp_path: Path,
) -> None:
    """Another gateway of the country answers first, naming the request: late words of a stranger to it."""
    other = Intruder(federation, federation.pns).met(federation.pns, tmp_path)
    call = ask()
    statement, leaf, _ = one_request(provider)

    other.send(other.frame(other.answer(statement, leaf, ((0, b""), (0, b"not this")))))
    until(lambda: "late" in verdicts())
    provider.send(provider.frame(provider.answer(statement, leaf, GOOD)))

    assert call.result() == b"the answer"
    other.leave()
