"""Noting what a plan marks: of the messages that are cut elsewhere, and of no others (M13)."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from bj.identity.v1 import identity_pb2
from bj.land.v1 import parcel_pb2
from core.marks import MAX_DEPTH, Notes
from core.wire import LENGTH_DELIMITED, Limits, MalformedMessageError, Mark, Plan, Rule, encode_varint, walk
from rpc.plans import whole_plan
from tests.support.noted import noted
from tests.support.wire_messages import messages

PERSON, TITLE = identity_pb2.GetPersonResponse.DESCRIPTOR, parcel_pb2.GetTitleResponse.DESCRIPTOR
LEAF = Mark(1, is_subject=True)


def marked(message: object) -> Plan:
    """Everything is marked by its number: strings as subjects, odd ones as records."""

    def mark(field: object) -> Mark:
        number, is_text = field.number, field.type == 9  # type: ignore[attr-defined]
        return Mark(number % 4, is_subject=is_text, is_record=number % 2 == 1)

    return whole_plan(message, mark)  # type: ignore[arg-type]


PLANS = {"person": marked(PERSON), "title": marked(TITLE)}


def compare(plan: Plan, data: bytes, max_fields: int) -> None:
    """Both walks refuse it, or all that is marked is noted."""
    notes = Notes(max_fields)
    try:
        walk(plan, data, Limits(max_fields=max_fields))
    except MalformedMessageError:
        with pytest.raises(MalformedMessageError):
            notes.take(plan, data)
        return
    notes.take(plan, data)

    assert (notes.subjects, notes.sensitivity, notes.records) == noted(plan, data)


@given(messages(PERSON), st.integers(0, 30))
def test_all_that_is_marked_in_a_message_is_noted(message: Message, max_fields: int) -> None:
    """At any bound."""
    compare(PLANS["person"], message.SerializeToString(), max_fields)
    compare(PLANS["title"], message.SerializeToString(), max_fields)


@given(messages(TITLE))
def test_also_of_messages_within_messages(message: Message) -> None:
    compare(PLANS["title"], message.SerializeToString(), 1000)


@given(st.binary(max_size=80), st.sampled_from(sorted(PLANS)))
def test_any_bytes_are_refused_and_noted_alike(data: bytes, name: str) -> None:
    """Nothing but the one error comes of them."""
    compare(PLANS[name], data, 1000)


@given(messages(TITLE), st.data())
def test_spoilt_messages_are_refused_and_noted_alike(message: Message, draw: st.DataObject) -> None:
    """A byte changed, or the end cut off."""
    data = bytearray(message.SerializeToString())
    if data:
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))

    compare(PLANS["title"], bytes(data[: draw.draw(st.integers(0, len(data)))]), 1000)


def test_what_was_noted_before_the_fault_stays() -> None:
    """Whoever was named is named."""
    notes = Notes(10)

    with pytest.raises(MalformedMessageError):
        notes.take(({10: Rule(mark=LEAF)},), b"\x0a\x01A\x0b")

    assert notes.subjects == [b"A"]


def test_the_bound_of_fields_is_one_for_all_messages() -> None:
    """And what is left of it is known."""
    notes = Notes(3)
    plan: Plan = ({10: Rule(mark=LEAF)},)

    notes.take(plan, b"\x0a\x01A\x10\x01")

    assert notes.fields_left == 1
    with pytest.raises(MalformedMessageError):
        notes.take(plan, b"\x0a\x01B\x0a\x01C")


def test_messages_within_themselves_end_at_a_depth() -> None:
    """As with readers of protobuf."""
    plan: Plan = ({1 << 3 | LENGTH_DELIMITED: Rule(into=0)},)
    data = b""
    for _ in range(MAX_DEPTH):
        data = b"\x0a" + encode_varint(len(data)) + data

    Notes(1000).take(plan, data[2:] if len(data) < 130 else data[1 + len(encode_varint(len(data))) :])
    with pytest.raises(MalformedMessageError):
        Notes(1000).take(plan, data)
