"""The newest head as a small file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.headfile import read_head_file, write_head_file


def test_head_reads_back_and_the_newer_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "state" / "head.json"
    write_head_file(path, b"a.b.c")
    write_head_file(path, b"d.e.f")

    assert read_head_file(path) == b"d.e.f"
    assert [one.name for one in path.parent.iterdir()] == ["head.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"head":7}', b"\xff"])
def test_file_that_is_no_head_is_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.json"
    path.write_bytes(content)

    assert read_head_file(path) is None
    assert read_head_file(tmp_path / "missing.json") is None
