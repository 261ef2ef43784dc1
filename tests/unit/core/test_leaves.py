"""Leaves: a label, a log id, a body; the bytes of one kind can never be shown as another (M1)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import leaves
from core.leaves import (
    MAX_LEAF_BYTES,
    Genesis,
    Heard,
    Leaf,
    MalformedLeafError,
    Note,
    RegistryChange,
    Succession,
)
from core.reasons import Reason

LOG = "a" * 64
HEARD = Heard(1, "request", "b" * 64, 7, "c" * 64, "d" * 64, "taken", None)
GENESIS = Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_790_000_000_000, "0" * 32, None)


def heard_body(**fields: Any) -> bytes:
    body = leaves.heard_leaf(LOG, HEARD).split(b"\n", 2)[2]
    return json.dumps(json.loads(body) | fields, separators=(",", ":")).encode()


def test_a_said_leaf_holds_the_statement_byte_for_byte() -> None:
    """Behind its label and the log that says it."""
    leaf = leaves.said_leaf(LOG, b'{"any":"bytes"}')

    assert leaf == b"passerelle/1/said\n" + LOG.encode() + b'\n{"any":"bytes"}'
    assert leaves.parse_leaf(leaf) == Leaf(leaves.SAID, LOG, b'{"any":"bytes"}')


def test_a_body_may_hold_line_feeds() -> None:
    """Only the first two count."""
    assert leaves.parse_leaf(leaves.said_leaf(LOG, b"a\nb\n")).body == b"a\nb\n"


def test_the_log_id_is_the_leaf_hash_of_genesis() -> None:
    """So nobody can choose it."""
    leaf = leaves.genesis_leaf(GENESIS)

    assert leaf.startswith(b"passerelle/1/genesis\n\n{")
    assert leaves.log_id_of(leaf) == hashlib.sha256(b"\x00" + leaf).hexdigest()
    assert leaves.parse_genesis(leaves.parse_leaf(leaf).body) == GENESIS


def test_a_successor_names_what_it_succeeds() -> None:
    """Log, size, root and reason (M5)."""
    genesis = msgspec.structs.replace(GENESIS, succeeds=Succession(LOG, 9, "e" * 64, "disk lost"))

    assert leaves.parse_genesis(leaves.parse_leaf(leaves.genesis_leaf(genesis)).body) == genesis


def test_records_notes_and_changes_are_read_back() -> None:
    """Each by its own parser."""
    note = Note(1, "0" * 32, 1, "receipts-kept", "", 64)
    change = RegistryChange(1, "0" * 32, 1, "agreement-concluded", ["a", "b"], "CV-0042/1", "f" * 64)

    assert leaves.parse_heard(leaves.parse_leaf(leaves.heard_leaf(LOG, HEARD)).body) == HEARD
    assert leaves.parse_note(leaves.parse_leaf(leaves.note_leaf(LOG, note)).body) == note
    assert leaves.parse_registry_change(leaves.parse_leaf(leaves.registry_leaf(LOG, change)).body) == change


@pytest.mark.parametrize("verdict", ["taken", "late", "refused:NO_AGREEMENT", "refused:CLOCK_SKEW"])
def test_every_verdict_is_read_back(verdict: str) -> None:
    """A refusal names a reason of the table."""
    assert leaves.parse_heard(heard_body(verdict=verdict)).verdict == verdict


def test_the_same_body_is_another_leaf_in_another_log_and_under_another_label() -> None:
    """A record can never be shown as a statement, nor in the log of another (M1)."""
    body = leaves.heard_leaf(LOG, HEARD).split(b"\n", 2)[2]

    found = {
        leaves.said_leaf(LOG, body),
        leaves.heard_leaf(LOG, HEARD),
        leaves.said_leaf("b" * 64, body),
        leaves.heard_leaf("b" * 64, HEARD),
    }

    assert len(found) == 4


def test_the_written_forms_of_a_record() -> None:
    """With an annex and without: never to change, for old logs hold both."""
    plain = (
        b"passerelle/1/heard\n"
        + b"a" * 64
        + b'\n{"v":1,"role":"request","log":"'
        + b"b" * 64
        + b'","index":7,'
        b'"leaf":"' + b"c" * 64 + b'","head":"' + b"d" * 64 + b'","verdict":"taken","annex":null}'
    )
    annexed = plain.replace(b"null", b'"' + b"e" * 64 + b'"')

    for leaf, annex in ((plain, None), (annexed, "e" * 64)):
        heard = msgspec.structs.replace(HEARD, annex=annex)
        assert leaves.heard_leaf(LOG, heard) == leaf
        assert leaves.parse_heard(leaves.parse_leaf(leaf).body) == heard


FORMS: dict[str, bytes] = {
    "empty": b"",
    "no-lines": b"passerelle/1/said",
    "one-line": b"passerelle/1/said\n" + LOG.encode(),
    "unknown-label": b"passerelle/2/said\n" + LOG.encode() + b"\n{}",
    "label-blank": b" passerelle/1/said\n" + LOG.encode() + b"\n{}",
    "carriage-return": b"passerelle/1/said\r\n" + LOG.encode() + b"\n{}",
    "empty-log": b"passerelle/1/said\n\n{}",
    "short-log": b"passerelle/1/said\n" + b"a" * 63 + b"\n{}",
    "upper-case-log": b"passerelle/1/said\n" + b"A" * 64 + b"\n{}",
    "not-ascii-log": b"passerelle/1/said\n" + b"\xe9" * 64 + b"\n{}",
    "genesis-with-log": b"passerelle/1/genesis\n" + LOG.encode() + b"\n{}",
    "over-long": leaves.said_leaf(LOG, b"x" * MAX_LEAF_BYTES),
}


@pytest.mark.parametrize("name", FORMS)
def test_malformed_leaves_are_refused(name: str) -> None:
    """Each by the one error."""
    with pytest.raises(MalformedLeafError) as refused:
        leaves.parse_leaf(FORMS[name])

    assert refused.value.reason is Reason.STATEMENT_INVALID


BODIES: dict[str, bytes] = {
    "version": heard_body(v=2),
    "role": heard_body(role="witness"),
    "log": heard_body(log="x"),
    "index-negative": heard_body(index=-1),
    "index-huge": heard_body(index=2**63),
    "leaf": heard_body(leaf="C" * 64),
    "head": heard_body(head=""),
    "verdict": heard_body(verdict="perhaps"),
    "verdict-unknown-reason": heard_body(verdict="refused:BECAUSE"),
    "verdict-without-reason": heard_body(verdict="refused:"),
    "verdict-with-tail": heard_body(verdict="taken:NO_AGREEMENT"),
    "annex-malformed": heard_body(annex="x"),
    "annex-empty": heard_body(annex=""),
    "unknown-key": heard_body(extra=1),
    "blank": heard_body().replace(b",", b", ", 1),
    "escaped": heard_body().replace(b"taken", b"\\u0074aken"),
    "duplicate-key": heard_body().replace(b'"v":1', b'"v":1,"v":1'),
    "not-utf-8": heard_body().replace(b"taken", b"\xfftaken"),
    "not-json": b"taken",
    "nested": b"[" * 5000,
}


@pytest.mark.parametrize("name", BODIES)
def test_malformed_records_are_refused(name: str) -> None:
    """What a receipt may say, and how it is written."""
    with pytest.raises(MalformedLeafError):
        leaves.parse_heard(BODIES[name])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    """Nothing but the one error, from each parser."""
    for parse in (leaves.parse_leaf, leaves.parse_heard, leaves.parse_note, leaves.parse_genesis):
        with pytest.raises(MalformedLeafError):
            parse(data)
