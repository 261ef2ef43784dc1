"""A provider that cuts less than the agreement says, or says otherwise what it cut, is found out by the consumer.

One that cuts more than it says is found out by whoever has the original: ``tests/unit/core/test_masks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bj.identity.v1.identity_pb2 import GetPersonResponse
from core.masks import mask_digest
from core.payloads import encode_metadata
from core.statements import Cut, Statement
from tests.support.federation import SERVICE, Federation, calling, metadata
from tests.support.hostile import heard, outcome_of
from tests.support.intruder import Intruder
from tests.support.waiting import until

PATHS: Final = ["last_name"]
CUT: Final = Cut(mask_digest(PATHS), 3, "5e" * 32)
GRANTED: Final = GetPersonResponse(last_name="Adjovi").SerializeToString()
EVERYTHING: Final = GetPersonResponse(last_name="Adjovi", npi="0000000001").SerializeToString()


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("masks")) as found:
        found.agreements = [found.agreement(field_mask={"GetPerson": PATHS})]
        found.publish()
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
        yield lambda method="GetPerson": calling(channel, f"/{SERVICE}/{method}").future(
            b"?", metadata=metadata(), timeout=10
        )


def answer(provider: Intruder, message: tuple[int, bytes], **says: Any) -> None:
    """Answer the request that came last with ``message``, as the statement ``says``."""
    until(lambda: bool(provider.requests()))
    asked: Statement
    asked, leaf, _ = provider.requests()[-1]
    payloads = ((0, encode_metadata(())), message, (0, encode_metadata(())))
    provider.send(provider.frame(provider.answer(asked, leaf, payloads, **says)))


def test_what_was_cut_as_the_agreement_says_is_taken(provider: Intruder, ask: Callable[..., Any]) -> None:
    """What follows is refused for its one fault."""
    call = ask()

    answer(provider, (0, GRANTED), encoding="identity", cut=CUT)

    assert call.result() == GRANTED


@pytest.mark.parametrize(
    "message",
    [(0, EVERYTHING), (0, GRANTED + b"\xba\x3e\x03new"), (0, b"\xff"), (1, GRANTED)],
    ids=["more-fields", "unknown-field", "no-message", "compressed"],
)
def test_a_provider_that_cuts_less_than_it_says_is_not_believed(
    provider: Intruder,
    ask: Callable[..., Any],
    verdicts: Callable[[], list[str]],
    message: tuple[int, bytes],
) -> None:
    """The program does not see what it was not granted; the provider's own signed words are kept."""
    call = ask()

    answer(provider, message, encoding="identity", cut=CUT)

    assert outcome_of(call.result) == "RESPONSE_INVALID"
    assert verdicts() == ["refused:RESPONSE_INVALID"]


@pytest.mark.parametrize(
    "cut", [None, Cut(mask_digest(["npi"]), 3, "5e" * 32)], ids=["nothing", "another-mask"]
)
def test_a_provider_that_names_another_mask_or_none_is_not_believed(
    provider: Intruder, ask: Callable[..., Any], verdicts: Callable[[], list[str]], cut: Cut | None
) -> None:
    """The agreement that both signed says which mask it is."""
    call = ask()

    answer(provider, (0, GRANTED), encoding="identity", cut=cut)

    assert outcome_of(call.result) == "RESPONSE_INVALID"
    assert verdicts() == ["refused:RESPONSE_INVALID"]


def test_a_provider_that_cuts_what_was_granted_is_not_believed(
    provider: Intruder, ask: Callable[..., Any], verdicts: Callable[[], list[str]]
) -> None:
    """A method without a mask grants all fields."""
    call = ask("VerifyPerson")

    answer(provider, (0, GRANTED), encoding="identity", cut=CUT)

    assert outcome_of(call.result) == "RESPONSE_INVALID"
    assert verdicts() == ["refused:RESPONSE_INVALID"]
