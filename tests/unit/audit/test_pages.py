"""Rows are printed as they come, in the three forms that ``--output`` knows."""

from __future__ import annotations

import csv
import io
import json

import pytest

from audit import pages
from core.language import Text

COLUMNS = {"name": Text("nom", "name"), "proof": Text("preuve", "proof")}
ROWS: list[dict[str, object]] = [
    {"name": f"n{number}", "proof": ["both_logs", "late"]} for number in range(5)
]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_json_is_one_array(capsys: pytest.CaptureFixture[str], count: int) -> None:
    """Whatever the number of rows."""
    pages.print_json(iter(ROWS[:count]), COLUMNS)

    assert json.loads(capsys.readouterr().out) == ROWS[:count]


def test_csv_has_keys_then_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Several values in one cell, control characters made visible, nothing for what does not apply."""
    coloured: dict[str, object] = {"name": "a\x1b[1m", "proof": None}

    pages.print_csv(iter([*ROWS[:1], coloured]), COLUMNS)

    found = list(csv.reader(io.StringIO(capsys.readouterr().out)))

    assert found == [["name", "proof"], ["n0", "both_logs, late"], ["a\\x1b[1m", ""]]


def test_a_long_list_is_continued_in_further_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row is shown, and each table has its headings."""
    monkeypatch.setattr(pages, "TABLE_ROWS", 2)

    pages.print_tables(iter(ROWS), COLUMNS, "fr")

    printed = capsys.readouterr().out
    assert printed.count("preuve") == 3
    assert [f"n{number}" in printed for number in range(5)] == [True] * 5


def test_an_empty_list_shows_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    """That nothing was found is told by a table, not by silence."""
    pages.print_tables(iter([]), COLUMNS, "en")

    assert "proof" in capsys.readouterr().out
