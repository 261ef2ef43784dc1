"""What a statement carries: salted digests, metadata blobs, and bodies as they are kept (M11)."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.payloads import (
    MAX_PAYLOADS,
    SALT_BYTES,
    decode_metadata,
    decode_payloads,
    encode_metadata,
    encode_payloads,
    payload_digest,
    read_payloads,
    salted_payloads,
)
from core.reasons import MalformedError

SALT = bytes(range(SALT_BYTES))
entries = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=6)
payloads = st.lists(
    st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 1), st.binary(max_size=50)), max_size=5
)


def test_a_digest_covers_salt_flag_and_bytes() -> None:
    """SHA-256(salt || flag || message), as other implementations compute it."""
    assert payload_digest(SALT, 0, b"abc") == hashlib.sha256(SALT + b"\x00abc").hexdigest()
    assert payload_digest(SALT, 1, b"abc") == hashlib.sha256(SALT + b"\x01abc").hexdigest()


def test_metadata_is_one_blob() -> None:
    """u32 BE length + name, u32 BE length + value."""
    assert encode_metadata([(b"a", b"bc")]) == b"\0\0\0\x01a\0\0\0\x02bc"
    assert encode_metadata([]) == b""


@given(entries)
def test_metadata_is_read_back_in_order(found: list[tuple[bytes, bytes]]) -> None:
    """Repeated names included."""
    assert decode_metadata(encode_metadata(found)) == tuple(found)


@given(payloads)
def test_kept_bodies_are_read_back(found: list[tuple[bytes, int, bytes]]) -> None:
    """Salt, flag and bytes of each payload."""
    assert decode_payloads(encode_payloads(found)) == tuple(found)


@given(payloads)
def test_a_body_is_made_and_read_in_one_pass(found: list[tuple[bytes, int, bytes]]) -> None:
    """With the digests that a statement names, each under the salt it was given."""
    salts = b"".join([salt for salt, _, _ in found])
    parts = [(flag, data) for _, flag, data in found]

    body, digests = salted_payloads(parts, lambda count: salts[:count])

    assert body == encode_payloads(found)
    assert digests == [payload_digest(*one) for one in found]
    assert read_payloads(body) == (digests, parts)


@pytest.mark.parametrize("size", [64 * 1024 - 1, 64 * 1024, 1024 * 1024])
def test_a_long_payload_is_written_and_digested_as_a_short_one(size: int) -> None:
    """It is not copied to be hashed; body and digest are the same."""
    parts = [(0, b"short"), (1, bytes(size)), (0, b"")]
    salts = bytes(range(SALT_BYTES * len(parts)))

    body, digests = salted_payloads(parts, lambda count: salts[:count])

    found = [
        (salts[at * SALT_BYTES : (at + 1) * SALT_BYTES], flag, data) for at, (flag, data) in enumerate(parts)
    ]
    assert body == encode_payloads(found)
    assert digests == [payload_digest(*one) for one in found]


BLOBS: dict[str, bytes] = {
    "length-cut": b"\0\0\0",
    "name-cut": b"\0\0\0\x02a",
    "no-value": b"\0\0\0\x01a",
    "value-cut": b"\0\0\0\x01a\0\0\0\x02b",
    "huge-length": struct.pack(">I", 0xFFFFFFFF) + b"a",
    "trailing": encode_metadata([(b"a", b"b")]) + b"\0",
}


@pytest.mark.parametrize("name", BLOBS)
def test_malformed_metadata_is_refused(name: str) -> None:
    """A length never leads past the end."""
    with pytest.raises(MalformedError):
        decode_metadata(BLOBS[name])


BODIES: dict[str, bytes] = {
    "flag-2": b"\0\0\0\0" + SALT + b"\x02",
    "salt-cut": b"\0\0\0\0" + SALT[:-1],
    "length-cut": b"\0\0\0",
    "flag-cut": b"\0\0\0\0" + SALT,
    "bytes-cut": b"\0\0\0\x02" + SALT + b"\0a",
    "huge-length": b"\xff\xff\xff\xff" + SALT + b"\0",
    "one-too-many": encode_payloads([(SALT, 0, b"")] * (MAX_PAYLOADS + 1)),
    "trailing": encode_payloads([(SALT, 0, b"a")]) + b"\x00",
}


@pytest.mark.parametrize("name", BODIES)
def test_malformed_bodies_are_refused(name: str) -> None:
    """Kept bodies come from containers, too."""
    with pytest.raises(MalformedError):
        decode_payloads(BODIES[name])
    with pytest.raises(MalformedError):
        read_payloads(BODIES[name])


@given(st.binary(max_size=80))
def test_any_bytes_are_read_one_way_or_refused(data: bytes) -> None:
    """What is read re-encodes to the same bytes."""
    with suppress(MalformedError):
        assert encode_metadata(decode_metadata(data)) == data
    with suppress(MalformedError):
        assert encode_payloads(decode_payloads(data)) == data
