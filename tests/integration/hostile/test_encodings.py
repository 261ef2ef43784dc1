"""Many encodings of one protobuf: each is signed, logged and delivered as its own bytes, none is ever serialised anew.

RELIABILITY, section 3e: reordered fields, padded varints and duplicate fields parse equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from bj.identity.v1.identity_pb2 import SEX_MALE, VerifyPersonRequest
from core.payloads import decode_payloads
from core.reasons import MalformedError, Reason
from gateway.worker.frames import decode_message
from tests.support.federation import Federation, calling, metadata
from tests.support.intruder import Intruder
from tests.support.waiting import until

CANONICAL = VerifyPersonRequest(npi="0000000001", last_name="ADJOVI", sex=SEX_MALE).SerializeToString()
NPI, NAME, SEX = CANONICAL[:12], CANONICAL[12:20], CANONICAL[20:]
ENCODINGS = {
    "canonical": CANONICAL,
    "reordered": SEX + NAME + NPI,
    "padded varint": NPI + NAME + b"\x28\x81\x80\x80\x80\x00",
    "duplicate field": b"\x0a\x0a9999999999" + CANONICAL,
    "default written out": CANONICAL + b"\x3a\x00",
    "padded length": b"\x0a\x8a\x00" + NPI[2:] + NAME + SEX,
}


def test_the_encodings_mean_the_same() -> None:
    """To protobuf; and it would write five of the six otherwise than they came."""
    parsed = [VerifyPersonRequest.FromString(one) for one in ENCODINGS.values()]

    assert all(one == parsed[0] for one in parsed)
    assert len(set(ENCODINGS.values())) == 6
    assert {one.SerializeToString() for one in parsed} == {CANONICAL}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("encodings")) as found:
        yield found


@pytest.fixture(scope="module")
def channel(federation: Federation) -> Iterator[grpc.Channel]:
    with federation.channel() as found:
        yield found


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_of_one_protobuf_are_delivered_byte_for_byte(
    federation: Federation, channel: grpc.Channel, name: str
) -> None:
    """Both ways: the adapter echoes what it was given."""
    federation.adapter.calls.clear()

    answer = calling(channel)(ENCODINGS[name], metadata=metadata(), timeout=10)

    assert [request for _, request, _ in federation.adapter.calls] == [ENCODINGS[name]]
    assert answer == ENCODINGS[name]


def mutants() -> st.SearchStrategy[bytes]:
    """The message with bytes changed, inserted and taken out, and unknown fields behind it."""
    cut = st.tuples(
        st.integers(0, len(CANONICAL)), st.integers(0, len(CANONICAL)), st.binary(max_size=40)
    ).map(lambda one: CANONICAL[: min(one[:2])] + one[2] + CANONICAL[max(one[:2]) :])
    return st.one_of(cut, st.binary(max_size=200), cut.map(lambda one: one + b"\xfa\x7f\x01x"))


@seed(20261127)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=mutants())
def test_mutants_of_one_protobuf_are_delivered_byte_for_byte(
    federation: Federation, channel: grpc.Channel, message: bytes
) -> None:
    """Whether they parse or not: that is between the two programs."""
    federation.adapter.calls.clear()

    answer = calling(channel)(message, metadata=metadata(), timeout=10)

    assert [request for _, request, _ in federation.adapter.calls] == [message]
    assert answer == message


def test_encodings_of_one_protobuf_have_digests_of_their_own(tmp_path: Path) -> None:
    """What is signed is the SHA-256 of salt, flag and the very bytes (PROTOCOL M11)."""
    with Federation(tmp_path / "country") as federation:
        federation.stop(federation.anip)
        provider = Intruder(federation, federation.anip).met(federation.pns, tmp_path)
        with federation.channel() as channel:
            calls = [
                calling(channel).future(one, metadata=metadata(), timeout=10) for one in ENCODINGS.values()
            ]
            until(lambda: len(provider.requests()) == len(calls))
            for call in calls:
                call.cancel()

        digests = set()
        for statement, _, entry in provider.requests():
            salt, flag, message = decode_payloads(entry.payloads)[1]
            assert message in ENCODINGS.values()
            assert statement.payloads[1] == hashlib.sha256(salt + bytes([flag]) + message).hexdigest()
            digests.add(statement.payloads[1])
        assert len(digests) == len(ENCODINGS)


@pytest.mark.parametrize("depth", [101, 10_000, 400_000])
@pytest.mark.parametrize("group", [b"\x7b", b"\xfa\x01\x02"], ids=["groups", "messages"])
def test_nesting_bomb_is_opaque_as_a_message_and_refused_on_the_road(
    channel: grpc.Channel, depth: int, group: bytes
) -> None:
    """The gateway parses no ministry's protobuf; of its own, nothing so deep is read."""
    bomb = group * depth
    assert calling(channel)(bomb, metadata=metadata(), timeout=20) == bomb

    with pytest.raises(MalformedError) as refused:
        decode_message(b"\x7b" * depth)
    assert refused.value.reason is Reason.FRAME_INVALID
