"""Decompression is bounded and strict; a cutter states what it cut, in order."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

import pytest

from core.masks import is_cut_of
from core.reasons import ExchangeError, Reason
from core.statements import Cut
from core.wire import Rule
from gateway.worker.masks import MAX_FIELDS, Cutter, FieldMask, inflate

MASK: Final = FieldMask("a" * 64, ({10: Rule()},), ({10: Rule()},))
KEPT: Final = b"\x0a\x01a"


def cutter(max_bytes: int = 1000) -> Cutter:
    return Cutter(MASK, bytes, max_bytes)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_what_grpc_compresses_is_decompressed(encoding: str, compress: object) -> None:
    """Up to the limit, and no byte more."""
    assert callable(compress)
    assert inflate(encoding, compress(b"a" * 1000), 1000) == b"a" * 1000
    with pytest.raises(ExchangeError) as refused:
        inflate(encoding, compress(b"a" * 1001), 1000)
    assert refused.value.reason is Reason.MESSAGE_TOO_LARGE


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        pytest.param("gzip", b"", id="nothing"),
        pytest.param("gzip", b"no gzip", id="no-gzip"),
        pytest.param("gzip", gzip.compress(b"abc")[:-1], id="cut-short"),
        pytest.param("gzip", gzip.compress(b"abc") + b"more", id="more"),
        pytest.param("gzip", gzip.compress(b"abc") + gzip.compress(b"def"), id="two"),
        pytest.param("gzip", zlib.compress(b"abc"), id="deflate-as-gzip"),
        pytest.param("deflate", gzip.compress(b"abc"), id="gzip-as-deflate"),
        pytest.param("zstd", b"abc", id="zstd"),
        pytest.param("identity", b"abc", id="identity"),
    ],
)
def test_what_is_compressed_otherwise_is_refused(encoding: str, data: bytes) -> None:
    """Cut short, followed by more, or by a way that is not known here."""
    with pytest.raises(ExchangeError) as refused:
        inflate(encoding, data, 1000)

    assert refused.value.reason is Reason.ADAPTER_PROTOCOL


def test_messages_are_stated_in_the_order_in_which_they_were_cut() -> None:
    """Segment by segment; each digest is of what the adapter sent."""
    one = cutter()
    sent = [KEPT, KEPT + b"\x10\x01", b"\x10\x01\x10\x02"]

    found = [one.cut(0, data) for data in sent]
    first, salts = one.state(2)
    second, _ = one.state(1)

    assert found == [KEPT, KEPT, b""]
    assert first is not None
    assert second is not None
    assert (first.mask, first.count, second.count) == (MASK.digest, 1, 2)
    assert is_cut_of(first, salts, [(0, data) for data in sent[:2]])
    assert one.state(0) == (None, b"")


def test_the_original_of_a_compressed_message_is_the_compressed_one() -> None:
    """With its flag."""
    one = cutter()
    one.encoding = "gzip"
    sent = gzip.compress(KEPT)

    assert one.cut(1, sent) == KEPT
    cut, salts = one.state(1)
    assert isinstance(cut, Cut)
    assert is_cut_of(cut, salts, [(1, sent)])


def test_a_message_of_too_many_fields_is_refused() -> None:
    """What is looked at costs the time of all other calls."""
    with pytest.raises(ExchangeError) as refused:
        cutter(10_000_000).cut(0, b"\x10\x00" * (MAX_FIELDS + 1))

    assert refused.value.reason is Reason.ADAPTER_PROTOCOL


def test_a_consumer_looks_for_more_than_was_granted() -> None:
    """Or for what it cannot read."""
    assert MASK.is_kept([(0, KEPT), (0, b"")], 1000)
    assert MASK.is_kept([], 1000)
    for message in ((0, b"\x10\x01"), (0, b"\xff"), (1, KEPT), (0, KEPT * 400)):
        assert not MASK.is_kept([(0, KEPT), message], 1000)


def test_of_a_provider_that_is_ahead_only_what_newer_descriptors_may_explain_is_kept() -> None:
    """A further field within a message that is granted whole; never one beside it."""
    mask = FieldMask("a" * 64, ({10: Rule(1)}, {10: Rule()}), ({10: Rule()},))
    known, newer, beside = b"\x0a\x03\x0a\x01a", b"\x0a\x02\x10\x01", b"\x10\x01"

    kept = [
        [mask.is_kept([(0, one)], 1000, is_ahead=is_ahead) for one in (known, newer, beside)]
        for is_ahead in (False, True)
    ]

    assert kept == [[True, False, False], [True, True, False]]
