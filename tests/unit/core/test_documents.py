"""Documents: UTF-8 JSON that two readers cannot take differently."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import MAX_DEPTH, MalformedDocumentError, decode_strict, digest, encode
from core.reasons import Reason


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: int
    inner: dict[str, Any] | None = None


GOOD = b'{"name":"Koffi","count":1}'


def test_a_document_is_read_back() -> None:
    """Whatever its blanks and order: what is signed are the bytes."""
    assert decode_strict(b' {"count": 1, "name": "Koffi"} ', Pair) == Pair("Koffi", 1)
    assert decode_strict(encode(Pair("é", 2)), Pair) == Pair("é", 2)


def test_escaped_characters_are_characters() -> None:
    """A pair of surrogates is one character."""
    assert decode_strict(b'{"name":"\\ud83d\\ude00","count":1}', Pair).name == "\U0001f600"


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "not-json": b"name=Koffi",
    "list": b"[]",
    "null": b"null",
    "unknown-key": b'{"name":"a","count":1,"extra":0}',
    "missing-key": b'{"name":"a"}',
    "duplicate-key": b'{"name":"a","name":"b","count":1}',
    "duplicate-by-escape": b'{"name":"a","n\\u0061me":"b","count":1}',
    "duplicate-inside": b'{"name":"a","count":1,"inner":{"x":1,"x":2}}',
    "wrong-type": b'{"name":1,"count":1}',
    "number-as-text": b'{"name":"a","count":"1"}',
    "boolean-as-number": b'{"name":"a","count":true}',
    "fraction": b'{"name":"a","count":1.5}',
    "nan": b'{"name":"a","count":NaN}',
    "infinity": b'{"name":"a","count":Infinity}',
    "minus-infinity": b'{"name":"a","count":1,"inner":{"x":-Infinity}}',
    "lone-surrogate": b'{"name":"\\ud800","count":1}',
    "lone-surrogate-upper": b'{"name":"\\uDFFF","count":1}',
    "utf-16": '{"name":"a","count":1}'.encode("utf-16"),
    "latin-1": b'{"name":"\xe9","count":1}',
    "byte-order-mark": b"\xef\xbb\xbf" + GOOD,
    "comment": GOOD + b"// x",
    "trailing-comma": b'{"name":"a","count":1,}',
    "two-documents": GOOD + GOOD,
    "cut-short": GOOD[:-1],
    "control-character": b'{"name":"\x01","count":1}',
    "huge-number": b'{"name":"a","count":' + b"9" * 5000 + b"}",
    "nested": b'{"name":"a","count":1,"inner":' + b'{"x":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH + b"}",
    "nested-lists": b"[" * 100_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_documents_are_refused(name: str) -> None:
    """Each by the one error."""
    with pytest.raises(MalformedDocumentError) as refused:
        decode_strict(MALFORMED[name], Pair)

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_a_document_longer_than_allowed_is_not_parsed() -> None:
    """The bound is the caller's."""
    assert decode_strict(GOOD, Pair, max_bytes=len(GOOD)) == Pair("Koffi", 1)
    with pytest.raises(MalformedDocumentError):
        decode_strict(GOOD, Pair, max_bytes=len(GOOD) - 1)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    """Nothing but the one error."""
    with pytest.raises(MalformedDocumentError):
        decode_strict(data, Pair)


@given(st.text(max_size=30), st.integers(-(2**63), 2**63 - 1))
def test_what_is_encoded_is_read_back(name: str, count: int) -> None:
    """Any text that is text."""
    try:
        data = encode(Pair(name, count))
    except UnicodeEncodeError:
        return

    assert decode_strict(data, Pair) == Pair(name, count)


def test_a_digest_is_of_the_bytes() -> None:
    """SHA-256, hex."""
    assert digest(b"abc") == hashlib.sha256(b"abc").hexdigest()
