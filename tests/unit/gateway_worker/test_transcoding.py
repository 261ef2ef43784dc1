"""JSON becomes the one message that it can mean, or is refused with the place, and never with a value."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from core.reasons import Reason
from gateway.worker.transcoding import (
    MAX_DEPTH,
    JsonRefusedError,
    _object,
    read_json,
    types_of,
    write_json,
)
from rpc.descriptors import load_descriptors
from tests.support.json_kinds import descriptors, kinds

pytestmark = pytest.mark.unit

CANARY = "0123456789"


def read(body: bytes | str | dict[str, Any]) -> dict[str, Any]:
    """What a body means, as a dictionary of its fields."""
    if isinstance(body, dict):
        body = json.dumps(body)
    data = read_json(body.encode("utf-8") if isinstance(body, str) else body, kinds())
    message = kinds().request.FromString(data)
    found: dict[str, Any] = json_format.MessageToDict(message, descriptor_pool=kinds().pool)
    return found


def refusal(body: bytes | str | dict[str, Any]) -> JsonRefusedError:
    with pytest.raises(JsonRefusedError) as refused:
        read(body)
    assert refused.value.reason is Reason.JSON_INVALID
    assert CANARY not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ("{}", {}),
        ('{"text":"é\\u00e9"}', {"text": "éé"}),
        ('{"small":7,"large":"9007199254740993"}', {"small": 7, "large": "9007199254740993"}),
        ('{"small":1.0}', {"small": 1}),
        ('{"unsigned":18446744073709551615}', {"unsigned": "18446744073709551615"}),
        ('{"fraction":"NaN","less":1e3}', {"fraction": "NaN", "less": 1000.0}),
        ('{"colour":"COLOUR_RED","manyColours":[1,0]}', {"colour": "COLOUR_RED"}),
        ('{"colour":"1","manyColours":["COLOUR_RED"]}', {"colour": "COLOUR_RED"}),
        ('{"perhapsSmall":"7","perhapsRaw":"AAE="}', {"perhapsSmall": 7, "perhapsRaw": "AAE="}),
        ('{"perhapsSmall":null}', {}),
        ('{"raw":"AAE="}', {"raw": "AAE="}),
        ('{"raw":"_-8"}', {"raw": "/+8="}),
        ('{"many_texts":["a"],"inner":{"yes":true}}', {"manyTexts": ["a"], "inner": {"yes": True}}),
        ('{"byText":{"a":1},"byNumber":{"-3":{}},"byTruth":{"true":"x"}}', {"byText": {"a": 1}}),
        ('{"text":null,"inner":null,"manyTexts":null}', {}),
        ('{"at":"2026-11-28T10:00:00Z","perhaps":"x"}', {"at": "2026-11-28T10:00:00Z", "perhaps": "x"}),
        ('{"anything":{"a":[1,{"b":null}]}}', {"anything": {"a": [1.0, {"b": None}]}}),
        ('{"autre":"x"}', {"autre": "x"}),
        ('{"renamed":"x"}', {"autre": "x"}),
        ('  {"mayBe":""}\r\n', {"mayBe": ""}),
    ],
)
def test_what_the_json_form_allows_is_taken(body: str, meant: dict[str, Any]) -> None:
    """https://protobuf.dev/programming-guides/json/."""
    found = read(body)

    assert {key: found[key] for key in meant} == meant


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b'\xef\xbb\xbf{"text":"a"}',
        b"{} {}",
        b"{}x",
        b'{"text":"\xff"}',
        b'{"text":"a\x00"}',
        b"{'text':'a'}",
        b'{"text":"a",}',
        b'{"fraction":NaN}',
        b'{"fraction":Infinity}',
        b'{"fraction":-Infinity}',
        b'{"small":01}',
        b'{"small":+1}',
        b'{"small":0x1}',
        b'{"anything":' + b"[" * 100_000,
        b'{"text":"\\ud800"}',
        b'{"small":1} // comment',
        "{}".encode("utf-16"),
    ],
)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    """Byte order marks, text behind, other encodings, what some parsers take for JSON."""
    refusal(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (f'{{"txet":"{CANARY}"}}', "txet"),
        (f'{{"{CANARY}":1}}', "?"),
        (f'{{"text":"{CANARY}","text":"b"}}', "text"),
        ('{"inner":{"small":1,"small":1}}', "small"),
        ('{"many_texts":[],"manyTexts":[]}', "manyTexts"),
        ('{"renamed":"a","autre":"b"}', "autre"),
        (f'{{"text":{CANARY[1:]}}}', "text"),
        (f'{{"small":"x{CANARY}"}}', "small"),
        ('{"small":1.5}', "small"),
        ('{"small":true}', "small"),
        ('{"small":"1_000"}', "small"),
        ('{"small":" 1"}', "small"),
        ('{"small":"١"}', "small"),
        ('{"small":2147483648}', "small"),
        ('{"unsigned":-1}', "unsigned"),
        ('{"fraction":1e400}', "fraction"),
        ('{"fraction":true}', "fraction"),
        ('{"fraction":"1_0"}', "fraction"),
        ('{"yes":"true"}', "yes"),
        ('{"yes":1}', "yes"),
        ('{"colour":true}', "colour"),
        ('{"colour":1.0}', "colour"),
        ('{"colour":"COLOUR_BLUE"}', "colour"),
        ('{"colour":"0_1"}', "colour"),
        ('{"colour":" 1"}', "colour"),
        ('{"colour":"+1"}', "colour"),
        ('{"colour":"١"}', "colour"),
        ('{"manyColours":["0_1"]}', "manyColours[0]"),
        ('{"perhaps":1}', "perhaps"),
        ('{"perhapsSmall":"1_000"}', "perhapsSmall"),
        ('{"perhapsSmall":true}', "perhapsSmall"),
        ('{"perhapsRaw":"AA E="}', "perhapsRaw"),
        ('{"raw":"AA E="}', "raw"),
        ('{"raw":"A"}', "raw"),
        ('{"raw":"AA="}', "raw"),
        ('{"raw":"!!!!"}', "raw"),
        ('{"raw":"+_AA"}', "raw"),
        ('{"inner":[]}', "inner"),
        ('{"inner":{"inner":{"text":1}}}', "inner.inner.text"),
        ('{"manyTexts":"a"}', "manyTexts"),
        ('{"manyTexts":[null]}', "manyTexts[0]"),
        ('{"manyInner":[{},{"small":"x"}]}', "manyInner[1].small"),
        ('{"byText":[]}', "byText"),
        ('{"byText":{"a":"x"}}', "byText[]"),
        ('{"byNumber":{"x":{}}}', "byNumber"),
        ('{"byNumber":{"0":{},"-0":{}}}', "byNumber"),
        ('{"byTruth":{"1":"x"}}', "byTruth"),
        ('{"left":"a","right":1}', ""),
        ('{"at":"yesterday"}', "at"),
        ('{"small":' + "9" * 5000 + "}", ""),
        ('{"fraction":1' + "0" * 5000 + ".5}", ""),
    ],
)
def test_what_is_no_such_message_is_refused_with_its_place(body: str, field: str) -> None:
    """Unknown, twice, or in a form that its type has not; no value is repeated."""
    assert refusal(body).field == field


class CountedKey(str):
    """A key that counts with how many others it is compared."""

    compared = 0
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedKey.compared += 1
        return str.__eq__(self, other)


def test_a_key_that_stands_twice_is_found_in_one_pass() -> None:
    """Its body is a program's: compared each with each, its keys would stop the worker for seconds."""
    keys = [CountedKey(f"k{number}") for number in range(20_000)]
    CountedKey.compared = 0

    with pytest.raises(JsonRefusedError) as refused:
        _object([(key, 1) for key in [*keys, CountedKey("k19999")]])

    assert (refused.value.field, refused.value.text) == ("k19999", "a key stands twice")
    assert CountedKey.compared <= len(keys)


def test_messages_in_messages_are_bounded() -> None:
    """A body of a kilobyte must not cost a stack."""
    deep = '{"inner":' * (MAX_DEPTH + 1) + "{}" + "}" * (MAX_DEPTH + 1)
    deeper = '{"inner":' * 20_000 + "{}" + "}" * 20_000

    assert read('{"inner":' * (MAX_DEPTH - 2) + "{}" + "}" * (MAX_DEPTH - 2))
    refusal(deep)
    refusal(deeper)


def test_an_answer_with_what_has_no_json_form_is_told() -> None:
    """Bytes of another message, a time that no calendar has."""
    wrong = kinds().response()
    wrong.at.seconds = 10**15  # type: ignore[attr-defined]

    for data in (b"\xff", wrong.SerializeToString()):
        with pytest.raises(ValueError, match="no JSON form"):
            write_json(data, kinds())


def test_fields_that_the_descriptors_do_not_know_are_left_out() -> None:
    """A provider may be newer than what it published."""
    known = kinds().response(text="a").SerializeToString()

    assert json.loads(write_json(known + b"\xf8\x3f\x01", kinds())) == {"text": "a"}


def test_a_method_that_the_descriptors_do_not_have_is_told() -> None:
    """They were verified; a disk may still err."""
    with pytest.raises(KeyError):
        types_of("t.json.v1.Kind/Other", load_descriptors(descriptors()))


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_leaves = st.fixed_dictionaries(
    {},
    optional={
        "text": _texts,
        "raw": st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
        "yes": st.booleans(),
        "small": st.integers(-(2**31), 2**31 - 1),
        "large": st.integers(-(2**63), 2**63 - 1).map(str),
        "fraction": st.floats(allow_nan=False, allow_infinity=False),
        "colour": st.sampled_from(["COLOUR_RED", 0, 1]),
        "manyTexts": st.lists(_texts, max_size=3),
        "byText": st.dictionaries(_texts, st.integers(0, 9), max_size=3),
        "mayBe": _texts,
    },
)
_messages = st.recursive(
    _leaves,
    lambda inner: st.fixed_dictionaries(
        {}, optional={"inner": inner, "manyInner": st.lists(inner, max_size=3)}
    ),
    max_leaves=6,
)


# --- google.protobuf.Any ---

OF_KINDS = {"@type": "type.googleapis.com/t.json.v1.Kinds"}


@pytest.mark.parametrize(
    "whatever",
    [
        {},
        OF_KINDS,
        OF_KINDS | {"small": 1, "inner": {"whatever": OF_KINDS}},
        {"@type": "type.googleapis.com/google.protobuf.Timestamp", "value": "2026-11-28T10:00:00Z"},
        {"@type": "type.googleapis.com/google.protobuf.Int32Value", "value": 7},
        {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": [None]}},
        {"@type": "type.googleapis.com/google.protobuf.Any", "value": OF_KINDS},
        {"@type": "example.bj/types/google.protobuf.Empty"},
    ],
)
def test_a_message_of_any_published_type_is_read_and_written(whatever: dict[str, Any]) -> None:
    """As https://protobuf.dev/programming-guides/json/ has it, in a list too."""
    document = {"whatever": whatever, "manyWhatever": [whatever]}

    data = read_json(json.dumps(document).encode(), kinds())

    assert json.loads(write_json(data, kinds())) == document


@pytest.mark.parametrize(
    ("whatever", "field"),
    [
        ([], "whatever"),
        ({"small": 1}, "whatever.@type"),
        ({"@type": 7}, "whatever.@type"),
        ({"@type": "t.json.v1.Kinds"}, "whatever.@type"),
        ({"@type": f"type.googleapis.com/t.{CANARY}"}, "whatever.@type"),
        ({"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}, "whatever.@type"),
        (OF_KINDS | {"txet": CANARY}, "whatever.txet"),
        (OF_KINDS | {"small": True}, "whatever.small"),
        (OF_KINDS | {"colour": True}, "whatever.colour"),
        (OF_KINDS | {"value": {}}, "whatever.value"),
        (OF_KINDS | {"many_texts": [], "manyTexts": []}, "whatever.manyTexts"),
        ({"@type": "type.googleapis.com/google.protobuf.Int32Value", "value": "1_0"}, "whatever.value"),
        ({"@type": "type.googleapis.com/google.protobuf.Timestamp"}, "whatever"),
        ({"@type": "type.googleapis.com/google.protobuf.Value", "value": 1, "more": 2}, "whatever"),
        (
            {"@type": "type.googleapis.com/google.protobuf.Any", "value": OF_KINDS | {"yes": 1}},
            "whatever.value.yes",
        ),
    ],
)
def test_what_any_holds_is_read_as_strictly_as_the_rest(whatever: object, field: str) -> None:
    """Of a type that the published descriptors have, with the place, and no value."""
    assert refusal({"whatever": whatever}).field == field


def test_an_answer_with_a_type_that_nobody_published_has_no_json_form() -> None:
    """Nor one whose bytes are no such message: the layer invents nothing."""
    for url, value in (
        ("type.googleapis.com/a.Unknown", b""),
        ("type.googleapis.com/t.json.v1.Kinds", b"\xff"),
    ):
        answer = kinds().response()
        answer.whatever.type_url, answer.whatever.value = url, value  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="no JSON form"):
            write_json(answer.SerializeToString(), kinds())


def test_a_message_of_googles_own_package_without_a_form_of_its_own_is_read_as_strictly() -> None:
    assert refusal({"nothing": {"a": 1}}).field == "nothing.a"


@given(_messages)
def test_what_is_read_is_written_as_it_was_meant(document: dict[str, Any]) -> None:
    """And the other reader, protobuf's own, takes our text for the same message."""
    data = read_json(json.dumps(document).encode("utf-8"), kinds())

    back = write_json(data, kinds())

    assert read_json(back, kinds()) == data
    own = json_format.Parse(back, kinds().request(), descriptor_pool=kinds().pool)
    assert own.SerializeToString(deterministic=True) == data


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=10,
)
_names = st.sampled_from([field.name for field in kinds().request.DESCRIPTOR.fields])


@given(st.dictionaries(_names | _texts, _anything, max_size=4))
def test_any_json_is_a_message_or_refused(document: dict[str, Any]) -> None:
    """By one error of ours, whatever protobuf's reader makes of it."""
    try:
        data = read_json(json.dumps(document).encode("utf-8", "surrogatepass"), kinds())
    except JsonRefusedError:
        return
    kinds().request.FromString(data)
