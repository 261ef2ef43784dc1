"""Where the leaves of a log begin, kept by whoever reads it for as long as a gateway lives."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ledger.begins import KEPT, LeafBegins
from ledger.reader import LogReader
from tests.unit.ledger.conftest import filled


def of(leaf: int) -> tuple[int, int]:
    """Some place, another one for each leaf."""
    return leaf // 1_000, leaf * 977 + 2**33


def test_what_is_in_memory_does_not_grow_with_the_log() -> None:
    """Control kept 12 bytes for each leaf once: 16 to 60 KiB for 1,000 exchanges."""
    begins, most = LeafBegins(), 0
    for leaf in range(10 * KEPT):
        begins.append(*of(leaf))
        begins.settle()
        most = max(most, begins.held)

    assert most <= 2 * KEPT
    assert len(begins) == 10 * KEPT
    assert [begins[leaf] for leaf in range(10 * KEPT)] == list(map(of, range(10 * KEPT)))


def test_a_leaf_that_stands_again_begins_at_its_later_place() -> None:
    begins = LeafBegins()
    for leaf in range(4 * KEPT):
        begins.append(*of(leaf))
        begins.settle()

    begins[5] = (70, 71)
    begins[len(begins) - 1] = (80, 81)

    assert (begins[4], begins[5], begins[6]) == (of(4), (70, 71), of(6))
    assert begins[len(begins) - 1] == (80, 81)


def test_a_disk_that_takes_nothing_loses_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay in memory until it has room again; who waits does not copy all of them at each commit."""
    begins, tries = LeafBegins(), 0

    def refuse(fd: int, data: bytes, at: int) -> int:
        nonlocal tries
        tries += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refuse)
        for leaf in range(7 * KEPT):
            begins.append(*of(leaf))
            begins.settle()
        assert (begins.held, tries) == (7 * KEPT, 2)

    for leaf in range(7 * KEPT, 8 * KEPT):
        begins.append(*of(leaf))
        begins.settle()

    assert begins.held == KEPT
    assert [begins[leaf] for leaf in range(8 * KEPT)] == list(map(of, range(8 * KEPT)))


def test_a_reader_finds_every_leaf_of_a_log_that_is_longer_than_its_memory(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.begins.KEPT", 8)
    filled(directory, 60, segment_bytes=3_000)
    reader = LogReader(directory)
    reader.read_all()

    assert [one.index for one in reader] == list(range(reader.size))
    assert reader.size > 150
