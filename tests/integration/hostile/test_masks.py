"""A provider that cuts less than the agreement says, or says otherwise what it cut, is found out by the consumer.

One that cuts more than it says is found out by whoever has the original: ``tests/unit/core/test_masks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from bj.identity.v1.identity_pb2 import GetPersonResponse, Residence
from core.heads import ConfigurationMark
from core.masks import mask_digest
from core.payloads import encode_metadata
from core.statements import Cut, Statement
from gateway.worker.masks import FieldMask
from gateway.worker.wire import Message
from tests.support.federation import SERVICE, Federation, calling, metadata
from tests.support.hostile import heard, outcome_of
from tests.support.intruder import Intruder
from tests.support.streams import watch
from tests.support.waiting import until

PATHS: Final = ["last_name", "residence"]
CUT: Final = Cut(mask_digest(PATHS), 3, "5e" * 32)
GRANTED: Final = GetPersonResponse(last_name="Adjovi", residence=Residence(town="Allada")).SerializeToString()
EVERYTHING: Final = GetPersonResponse(last_name="Adjovi", npi="0000000001").SerializeToString()
WITH_QUARTER: Final = b"\x4a\x06\xba\x3e\x03Zou"  # field 999 of the residence, of a later version


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("masks")) as found:
        found.agreements = [found.agreement(field_mask={"GetPerson": PATHS, "WatchPersons": PATHS})]
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
    [
        (0, EVERYTHING),
        (0, GRANTED + b"\xba\x3e\x03new"),
        (0, WITH_QUARTER),
        (0, b"\xff"),
        (1, GRANTED),
    ],
    ids=["more-fields", "unknown-field", "unknown-within", "no-message", "compressed"],
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


LONG: Final = GetPersonResponse(last_name="A" * 32_000).SerializeToString()


@pytest.mark.parametrize(
    ("segments", "looked_at", "reason"),
    [([[b""] * 65], 0, "RESPONSE_INVALID"), ([[LONG] * 8] * 4, 1, "LIMIT_EXCEEDED")],
    ids=["more-than-a-segment-holds", "past-its-credit"],
)
def test_what_a_provider_may_not_send_at_once_costs_no_look(
    provider: Intruder,
    federation: Federation,
    monkeypatch: pytest.MonkeyPatch,
    segments: list[list[bytes]],
    looked_at: int,
    reason: str,
) -> None:
    """Each field costs the time of all other calls: what is looked at was counted before."""
    looks = []
    is_kept = FieldMask.is_kept

    def look(mask: FieldMask, messages: Sequence[Message], max_bytes: int, *, is_ahead: bool) -> bool:
        looks.append(len(messages))
        return is_kept(mask, messages, max_bytes, is_ahead=is_ahead)

    monkeypatch.setattr(FieldMask, "is_kept", look)
    with federation.channel() as channel:
        call: Any = watch(channel)(b"?", metadata=metadata(), timeout=10)
        until(lambda: bool(provider.requests()))
        asked, leaf, _ = provider.requests()[-1]
        said = {"encoding": "identity", "cut": CUT, "final": False, "status": None}
        entries = []
        for sequence, messages in enumerate(segments):
            parts = [(0, encode_metadata(()))] * (sequence == 0) + [(0, one) for one in messages]
            entries.append(provider.answer(asked, leaf, parts, sequence=sequence, **said))
        provider.send(provider.frame(*entries))

        assert outcome_of(lambda: list(call)) == reason

    assert len(looks) == looked_at


# --- configurations that change ---


@pytest.fixture
def publish_quarter(federation: Federation) -> Iterator[Callable[[], None]]:
    """Registers descriptors with a further field of the residence."""
    before = federation.descriptors
    files = FileDescriptorSet.FromString(before)
    [residence] = [one for file in files.file for one in file.message_type if one.name == "Residence"]
    residence.field.add(name="quarter", number=999, type=FieldDescriptorProto.TYPE_STRING)

    def publish() -> None:
        federation.descriptors = files.SerializeToString()
        federation.publish()

    yield publish
    federation.descriptors = before
    federation.publish()


def test_an_answer_is_judged_by_the_descriptors_that_count_when_it_comes(
    provider: Intruder, ask: Callable[..., Any], publish_quarter: Callable[[], None]
) -> None:
    """Both sides went on to them while the call was open; its mask was made before."""
    call = ask()
    until(lambda: bool(provider.requests()))

    publish_quarter()
    answer(provider, (0, WITH_QUARTER), encoding="identity", cut=CUT)

    assert call.result() == WITH_QUARTER


def test_a_provider_that_is_ahead_may_know_more_of_what_was_granted(
    provider: Intruder, ask: Callable[..., Any]
) -> None:
    """Its descriptors come here within seconds."""
    call = ask()

    answer(provider, (0, WITH_QUARTER), encoding="identity", cut=CUT, configuration=ahead_of(provider))

    assert call.result() == WITH_QUARTER


def test_a_provider_that_says_to_be_ahead_hides_nothing_behind_it(
    provider: Intruder, ask: Callable[..., Any], verdicts: Callable[[], list[str]]
) -> None:
    """No descriptors to come can grant what the agreement does not name."""
    call = ask()

    answer(provider, (0, EVERYTHING), encoding="identity", cut=CUT, configuration=ahead_of(provider))

    assert outcome_of(call.result) == "RESPONSE_INVALID"
    assert verdicts() == ["refused:RESPONSE_INVALID"]


def ahead_of(provider: Intruder) -> ConfigurationMark:
    """A version that nobody has seen yet."""
    return ConfigurationMark(provider.mark.version + 1, "0" * 64)
