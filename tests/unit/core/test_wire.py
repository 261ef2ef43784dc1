"""Messages are cut to their plan, and read afterwards as google.protobuf would; what is no message is refused."""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
import pytest
from google.protobuf import descriptor_pb2, message_factory, struct_pb2
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from bj.identity.v1.identity_pb2 import GetPersonResponse, PersonCandidate, Residence, SearchPersonResponse
from core.wire import (
    FIXED64,
    LEAF,
    LENGTH_DELIMITED,
    VARINT,
    Limits,
    MalformedMessageError,
    Mark,
    Plan,
    Rule,
    encode_varint,
    require_plan,
    walk,
)
from rpc.plans import mask_plan, whole_plan
from tests.support import wire_messages

_PERSON: Final = GetPersonResponse(
    npi="0000000001",
    last_name="Adjovi",
    residence=Residence(town="Cotonou", address="C/1204"),
    record_version=7,
)

# Holds its own kind, numbers, texts; no maps, over whose malformed entries readers differ.
_NESTED: Final = descriptor_pb2.DescriptorProto


def _tag(number: int, kind: int) -> bytes:
    return encode_varint(number << 3 | kind)


def _string(number: int, value: bytes) -> bytes:
    return _tag(number, LENGTH_DELIMITED) + encode_varint(len(value)) + value


def _plan(*paths: str) -> Plan:
    return mask_plan(GetPersonResponse.DESCRIPTOR, paths)


# --- what google.protobuf says of it ---


@given(st.data())
def test_a_message_is_cut_as_google_protobuf_would(data: st.DataObject) -> None:
    """Any message of the ministries, any mask: the same fields are left, and as many are counted."""
    kind = data.draw(st.sampled_from([one for one in wire_messages.MESSAGES if one.fields]))
    original = data.draw(wire_messages.messages(kind))
    granted = data.draw(st.lists(wire_messages.paths(kind), min_size=1, max_size=5))
    sent = original.SerializePartialToString()

    walked = walk(mask_plan(kind, granted), sent)

    cut = wire_messages.prune(original, granted)
    assert message_factory.GetMessageClass(kind).FromString(walked.data) == original
    assert walked.cut == cut
    assert (walked.data is sent) is (cut == 0)


@given(st.data())
def test_a_message_that_is_granted_whole_stays_byte_for_byte(data: st.DataObject) -> None:
    """Whatever it holds, as deep as it holds it."""
    kind = data.draw(st.sampled_from(wire_messages.MESSAGES))
    sent = data.draw(wire_messages.messages(kind)).SerializePartialToString()

    walked = walk(whole_plan(kind), sent)

    assert (walked.data, walked.cut) == (sent, 0)


@given(st.data())
def test_what_the_descriptors_do_not_know_is_cut(data: st.DataObject) -> None:
    """The fields of another message, at the end or within: a reader finds none of them left."""
    kind, other = (data.draw(st.sampled_from(wire_messages.WITHOUT_MAPS)) for _ in range(2))
    sent = data.draw(wire_messages.messages(kind)).SerializePartialToString()
    sent += data.draw(wire_messages.messages(other)).SerializePartialToString()
    cls = message_factory.GetMessageClass(kind)
    try:
        expected = cls.FromString(sent)
    except DecodeError:
        return  # a field that both have, and that is no UTF-8 or no message here

    walked = walk(whole_plan(kind), sent)

    assert cls.FromString(walked.data) == _known(expected)
    assert walk(whole_plan(kind), walked.data).cut == 0


def _known(message: Message) -> Message:
    message.DiscardUnknownFields()
    return message


def _mutated() -> st.SearchStrategy[bytes]:
    edits = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.binary(max_size=4)), max_size=3)

    def edit(message: Message, edits: list[tuple[int, int, bytes]]) -> bytes:
        data = message.SerializePartialToString()
        for at, taken, put in edits:
            at %= len(data) + 1
            data = data[:at] + put + data[at + taken :]
        return data

    return st.builds(edit, wire_messages.messages(_NESTED.DESCRIPTOR), edits) | st.binary(max_size=64)


@given(_mutated())
def test_a_reader_never_finds_what_the_walk_did_not(sent: bytes) -> None:
    """Any bytes: if both take them, what is left reads as the original does, without what is unknown."""
    plan = whole_plan(_NESTED.DESCRIPTOR)
    try:
        walked = walk(plan, sent)
    except MalformedMessageError:
        return
    try:
        expected = _NESTED.FromString(sent)
    except DecodeError:
        return  # no UTF-8: what a string holds is nobody's business here

    # A value that a closed enum of proto2 does not have is unknown to readers, and stays: it is in a field that is known.
    assert _known(_NESTED.FromString(walked.data)) == _known(expected)


@given(_mutated())
def test_what_google_protobuf_reads_is_walked(sent: bytes) -> None:
    """Nothing is refused but groups, which the layer does not know."""
    why = ""
    try:
        _NESTED.FromString(sent)
        walk(whole_plan(_NESTED.DESCRIPTOR), sent)
    except DecodeError:
        pass
    except MalformedMessageError as error:
        why = str(error)

    assert not why or "group" in why


# --- one by one ---


def test_fields_are_granted_by_path() -> None:
    """Of a message within, only the part that was granted; the rest is counted, whatever it holds, once each."""
    walked = walk(_plan("last_name", "residence.town"), _PERSON.SerializeToString())

    assert GetPersonResponse.FromString(walked.data) == GetPersonResponse(
        last_name="Adjovi", residence=Residence(town="Cotonou")
    )
    assert walked.cut == 3  # npi, residence.address, record_version


def test_a_message_within_stays_present_when_all_of_it_is_cut() -> None:
    """Whether it is there was granted with a part of it."""
    walked = walk(_plan("residence.village"), _PERSON.SerializeToString())

    assert GetPersonResponse.FromString(walked.data) == GetPersonResponse(residence=Residence())


def test_each_of_several_messages_is_cut_alike() -> None:
    """A path leads through what is repeated."""
    found = SearchPersonResponse(candidates=[PersonCandidate(masked_last_name="A***", birth_year="1987")] * 2)

    walked = walk(
        mask_plan(SearchPersonResponse.DESCRIPTOR, ["candidates.birth_year"]), found.SerializeToString()
    )

    assert SearchPersonResponse.FromString(walked.data) == SearchPersonResponse(
        candidates=[PersonCandidate(birth_year="1987")] * 2
    )
    assert walked.cut == 2


def test_a_number_in_another_wire_type_is_another_field() -> None:
    """Readers keep it as unknown, so it could carry anything past a mask."""
    hidden = _tag(2, VARINT) + b"\x05" + _tag(2, FIXED64) + b"secret!!"

    walked = walk(_plan("last_name"), hidden + _string(2, b"Adjovi"))

    assert (walked.data, walked.cut) == (_string(2, b"Adjovi"), 2)


def test_an_unknown_field_within_what_is_granted_is_cut() -> None:
    """A newer adapter knows fields that nobody agreed on."""
    inner = _string(3, b"Cotonou") + _string(99, b"new")

    walked = walk(_plan("residence"), _string(9, inner))

    assert (walked.data, walked.cut) == (_string(9, _string(3, b"Cotonou")), 1)


def test_lengths_are_written_anew_as_they_shrink() -> None:
    """From two bytes to one, through two levels."""
    long = _string(3, b"a") + _string(99, b"x" * 200)

    assert walk(_plan("residence"), _string(9, long)).data == _string(9, _string(3, b"a"))


def test_a_plan_is_plain_data() -> None:
    """Control writes it, a worker reads it."""
    plan = whole_plan(struct_pb2.Struct.DESCRIPTOR)

    read = msgspec.json.decode(msgspec.json.encode(plan), type=tuple[dict[int, Rule], ...])

    assert read == plan


# --- refused ---

_MALFORMED: Final = {
    "a tag and no value": b"\x0a",
    "a string past the end": b"\x0a\x05abc",
    "a string past the end of its message, and not of the data": _string(9, b"\x0a\x05a") + b"abcdef",
    "a varint without end": _tag(16, VARINT) + b"\xff" * 3,
    "a varint of eleven bytes": _tag(16, VARINT) + b"\x80" * 10 + b"\x01",
    "a varint past the end of its message": _string(9, b"\x08\x80") + b"\x01",
    "a fixed number that is cut short": _tag(77, FIXED64) + b"1234567",
    "a group": b"\x0b\x0c",
    "the end of a group": b"\x0c",
    "wire type 6": b"\x0e",
    "wire type 7": b"\x0f",
    "field number 0": b"\x02\x00",
    "a tag of 33 bits": b"\x8a\x80\x80\x80\x10\x00",
    "a tag of six bytes": b"\x8a\x80\x80\x80\x80\x00\x00",
    "a length of 32 bits": b"\x0a\x80\x80\x80\x80\x08",
    "a length without end": b"\x0a" + b"\xff" * 11,
}


@pytest.mark.parametrize("sent", _MALFORMED.values(), ids=list(_MALFORMED))
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    """By its own error, never another."""
    with pytest.raises(MalformedMessageError):
        walk(_plan("residence"), sent)


def test_limits_hold() -> None:
    """Bytes, fields, nesting: each as many as allowed, and not one more."""
    struct = whole_plan(struct_pb2.Value.DESCRIPTOR)
    nested = b""
    for _, number in zip(range(9), itertools.cycle((6, 1)), strict=False):  # a list in a value in a list
        nested = _string(number, nested)
    flat = _string(3, b"") * 10

    for limits in (Limits(max_depth=10), Limits(max_fields=9), Limits(max_bytes=len(nested))):
        assert walk(struct, nested, limits).data is not None
    for sent, limits in (
        (nested, Limits(max_depth=9)),
        (nested, Limits(max_fields=8)),
        (flat, Limits(max_fields=9)),
        (flat, Limits(max_bytes=19)),
    ):
        with pytest.raises(MalformedMessageError):
            walk(struct, sent, limits)


@pytest.mark.parametrize(
    "plan",
    [
        (),
        ({7: Rule()},),
        ({2**32: Rule()},),
        ({11: Rule()},),
        ({10: Rule(1)},),
        ({10: Rule(-2)},),
        ({8: Rule(0)},),
        ({10: Rule(LEAF, Mark(4))},),
        ({10: Rule(0, Mark(0, is_subject=True))},),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(plan: Plan) -> None:
    """Before any message meets it."""
    with pytest.raises(MalformedMessageError):
        require_plan(plan)
