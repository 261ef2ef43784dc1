"""The anchor: two roots that belong together, in one written form (PROTOCOL M18)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from core.reasons import MalformedError, Reason
from pki.anchor import SPKI_MEMBER, Anchor, MalformedAnchorError, spki_digest, spoken
from tests.support.certificates import Country

ROOT = Country().root.build()


def tuf_root(**changes: Any) -> bytes:
    signed: dict[str, Any] = {"_type": "root", "version": 1, SPKI_MEMBER: spki_digest(ROOT), **changes}
    return json.dumps({"signatures": [], "signed": signed}).encode()


ANCHOR = Anchor(ROOT, tuf_root())
GOOD = ANCHOR.encode()


def test_an_anchor_is_written_and_read_back(tmp_path: Path) -> None:
    """Both roots, byte for byte."""
    path = tmp_path / "anchor.pem"

    ANCHOR.write(path)

    assert Anchor.read(path) == ANCHOR
    assert path.read_bytes() == GOOD


def test_the_fingerprint_can_be_read_out() -> None:
    """64 digits in 16 groups of four, the same that sha256sum gives."""
    spoken_form = spoken(ANCHOR.fingerprint)

    assert len(spoken_form.split(" ")) == 16
    assert spoken_form.replace(" ", "").lower() == ANCHOR.fingerprint


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new)


def with_root(data: bytes) -> Callable[[bytes], bytes]:
    block = b"-----BEGIN PASSERELLE TUF ROOT-----\n%b-----END PASSERELLE TUF ROOT-----\n"
    text = base64.encodebytes(data)
    certificate = GOOD[: GOOD.index(b"-----BEGIN PASSERELLE")]
    return lambda _: certificate + block % text


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "CRLF": swap(b"\n", b"\r\n"),
    "text before": lambda data: b"Ancre du Benin\n" + data,
    "text after": lambda data: data + b"\n",
    "no last line end": lambda data: data[:-1],
    "certificate only": lambda data: data[: data.index(b"-----BEGIN PASSERELLE")],
    "root only": lambda data: data[data.index(b"-----BEGIN PASSERELLE") :],
    "two certificates": lambda data: data[: data.index(b"-----BEGIN PASSERELLE")] + data,
    "order": lambda data: (
        data[data.index(b"-----BEGIN PASSERELLE") :] + data[: data.index(b"-----BEGIN PASSERELLE")]
    ),
    "other line length": with_root(tuf_root()),
    "certificate cut": lambda data: data.replace(data.splitlines()[2] + b"\n", b""),
    "base64 with stray padding": lambda data: data.replace(
        b"\n-----END PASSERELLE", b"=\n-----END PASSERELLE"
    ),
    "too long": lambda data: data + b"x" * 300_000,
    "no JSON": with_root(b"{"),
    "no object": with_root(b"[]"),
    "not UTF-8": with_root(b'{"signed":"\xff"}'),
    "nested": with_root(b"[" * 100_000),
    "version 2": with_root(tuf_root(version=2)),
    "another role": with_root(tuf_root(_type="targets")),
    "another key": with_root(tuf_root(**{SPKI_MEMBER: "0" * 64})),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_other_file_is_refused(fault: str) -> None:
    """A file that could be written in two ways would have two fingerprints."""
    with pytest.raises(MalformedAnchorError) as caught:
        Anchor.parse(FAULTS[fault](GOOD))

    assert caught.value.reason is Reason.ANCHOR_MISMATCH


def test_a_root_with_another_kind_of_key_is_refused() -> None:
    """P-256 at the top as well."""
    key = ec.generate_private_key(ec.SECP384R1())
    root = Country().root.but(key=key, signer=key).build()

    with pytest.raises(MalformedError):
        Anchor(root, tuf_root())


def test_a_tuf_root_of_another_country_does_not_fit() -> None:
    """The two roots name each other: neither can be exchanged alone."""
    with pytest.raises(MalformedAnchorError, match="does not name the key"):
        Anchor(Country().root.build(), tuf_root())


@given(st.binary(max_size=500))
def test_arbitrary_bytes_are_no_anchor(data: bytes) -> None:
    """One refusal, nothing else."""
    with pytest.raises(MalformedAnchorError):
        Anchor.parse(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed_or_changes_the_fingerprint(position: int, mask: int) -> None:
    """What is still an anchor after a change has another fingerprint."""
    changed = bytearray(GOOD)
    changed[position] ^= mask

    try:
        anchor = Anchor.parse(bytes(changed))
    except MalformedError:
        return
    assert anchor.fingerprint != ANCHOR.fingerprint
