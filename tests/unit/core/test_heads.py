"""Heads: one header, one payload form, nothing to negotiate (M6)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.heads import (
    MAX_HEAD_BYTES,
    ConfigurationMark,
    MalformedHeadError,
    TreeHead,
    b64url,
    encode_head,
    head_digest,
    head_header,
    parse_head,
    unb64url,
)
from core.reasons import Reason

LOG = "a" * 64
THUMBPRINT = "T" * 42 + "_"
HEAD = TreeHead(
    v=1,
    log=LOG,
    gateway="BJ/GOV/ANIP/gw1",
    size=7,
    root="b" * 64,
    iat=1_790_000_000,
    cfg=ConfigurationMark(3, "c" * 64),
)


def compact(header: bytes, payload: bytes, signature: bytes = bytes(64)) -> bytes:
    return b".".join(map(b64url, (header, payload, signature)))


JWS = compact(head_header(THUMBPRINT), encode_head(HEAD))


def payload(**fields: Any) -> bytes:
    return json.dumps(json.loads(encode_head(HEAD)) | fields, separators=(",", ":")).encode()


def test_a_head_is_taken_apart() -> None:
    """Nobody has checked its signature yet, and the type says so."""
    found = parse_head(JWS)

    assert found.unverified == HEAD
    assert found.thumbprint == THUMBPRINT
    assert found.signature == bytes(64)
    assert found.signing_input + b"." + b64url(bytes(64)) == JWS


def test_the_first_head_may_have_no_configuration() -> None:
    """Before the registry was ever reached."""
    head = msgspec.structs.replace(HEAD, cfg=None)

    assert parse_head(compact(head_header(THUMBPRINT), encode_head(head))).unverified == head


def test_the_header_is_the_one_that_is_written_down() -> None:
    """Byte for byte."""
    assert head_header("X") == b'{"alg":"ES256","typ":"tree-head+jwt","x5t#S256":"X"}'


def test_a_digest_covers_the_bytes_that_travelled() -> None:
    """Another signature over the same head is another digest."""
    assert head_digest(JWS) != head_digest(compact(head_header(THUMBPRINT), encode_head(HEAD), b"\x01" * 64))


GOOD_HEADER = head_header(THUMBPRINT)
HEADERS: dict[str, bytes] = {
    "none-algorithm": GOOD_HEADER.replace(b"ES256", b"none"),
    "hmac": GOOD_HEADER.replace(b"ES256", b"HS256"),
    "other-type": GOOD_HEADER.replace(b"tree-head+jwt", b"agreement+jwt"),
    "blank": GOOD_HEADER.replace(b":", b": ", 1),
    "other-order": b'{"typ":"tree-head+jwt","alg":"ES256","x5t#S256":"%s"}' % THUMBPRINT.encode(),
    "extra-key": GOOD_HEADER[:-1] + b',"crit":[]}',
    "key-in-header": GOOD_HEADER[:-1] + b',"jwk":{}}',
    "short-thumbprint": head_header("T" * 42),
    "padded-thumbprint": head_header("T" * 43 + "="),
    "duplicate-key": GOOD_HEADER.replace(b'"alg"', b'"alg":"none","alg"'),
    "line-feed": GOOD_HEADER + b"\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_other_headers_are_refused(name: str) -> None:
    """Whatever a library might make of them."""
    with pytest.raises(MalformedHeadError) as refused:
        parse_head(compact(HEADERS[name], encode_head(HEAD)))

    assert refused.value.reason is Reason.HEAD_INVALID


PAYLOADS: dict[str, bytes] = {
    "empty": b"",
    "list": b"[]",
    "version-2": payload(v=2),
    "size-zero": payload(size=0),
    "size-negative": payload(size=-1),
    "size-huge": payload(size=2**63),
    "size-float": payload(size=7.0),
    "size-boolean": payload(size=True),
    "time-negative": payload(iat=-1),
    "time-beyond-calendar": payload(iat=10**12),
    "log-short": payload(log="a" * 63),
    "root-upper-case": payload(root="B" * 64),
    "gateway-malformed": payload(gateway="BJ/GOV/ANIP"),
    "digest-malformed": payload(cfg={"version": 1, "digest": "x"}),
    "unknown-key": payload(sigs=[]),
    "blank": encode_head(HEAD).replace(b",", b", ", 1),
    "escaped": encode_head(HEAD).replace(b"BJ/", b"BJ\\/"),
    "duplicate-key": encode_head(HEAD).replace(b'"v":1', b'"v":1,"v":1'),
    "cut-short": encode_head(HEAD)[:-1],
    "line-feed": encode_head(HEAD) + b"\n",
    "nested": b"[" * 400,
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_malformed_payloads_are_refused(name: str) -> None:
    """A well-signed head that is not canonical is no head."""
    with pytest.raises(MalformedHeadError):
        parse_head(compact(GOOD_HEADER, PAYLOADS[name]))


FORMS: dict[str, bytes] = {
    "empty": b"",
    "two-parts": JWS.rpartition(b".")[0],
    "four-parts": JWS + b".",
    "padded": JWS + b"==",
    "standard-alphabet": compact(GOOD_HEADER, encode_head(HEAD), b"\xff" * 64).replace(b"_", b"/"),
    "blank-inside": JWS.replace(b".", b". ", 1),
    "short-signature": compact(GOOD_HEADER, encode_head(HEAD), bytes(63)),
    "der-signature": compact(GOOD_HEADER, encode_head(HEAD), bytes(70)),
    "stray-bits": JWS[:-1] + b"B",
    "not-ascii": JWS[:-1] + b"\xe9",
    "over-long": JWS + b"A" * MAX_HEAD_BYTES,
}


@pytest.mark.parametrize("name", FORMS)
def test_other_forms_of_a_jws_are_refused(name: str) -> None:
    """One way to write the same bits."""
    with pytest.raises(MalformedHeadError):
        parse_head(FORMS[name])


@given(st.binary(max_size=100))
def test_base64url_is_read_one_way_only(data: bytes) -> None:
    """What is written is read back; with padding or other letters it is not."""
    text = b64url(data)

    assert unb64url(text) == data
    for other in (text + b"=", b" " + text, text + b"\n"):
        with pytest.raises(MalformedHeadError):
            unb64url(other)


@given(st.integers(0, len(JWS) - 1), st.binary(max_size=2), st.integers(0, 2))
def test_mutated_heads_are_refused_or_identical_in_form(at: int, inserted: bytes, cut: int) -> None:
    """What is still read has its payload in the one written form."""
    mutated = JWS[:at] + inserted + JWS[at + cut :]

    try:
        found = parse_head(mutated)
    except MalformedHeadError:
        return

    assert compact(head_header(found.thumbprint), encode_head(found.unverified), found.signature) == mutated
