"""Rows printed as they come, so that a list of any length is printed in bounded memory."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from itertools import islice

import click

from core.language import Language, Text
from rpc.commandline import Row, show_rows
from rpc.remote import printable

# A table needs all its rows to set its widths: a longer one is continued in a further table.
TABLE_ROWS = 500


def print_tables(rows: Iterable[Row], columns: Mapping[str, Text], lang: Language) -> None:
    """Tables of at most ``TABLE_ROWS`` rows."""
    more = iter(rows)
    page = list(islice(more, TABLE_ROWS))
    show_rows(page, columns, "table", lang)
    while page := list(islice(more, TABLE_ROWS)):
        show_rows(page, columns, "table", lang)


def print_json(rows: Iterable[Row], columns: Mapping[str, Text]) -> None:
    """One array; keys are never translated."""
    before = "["
    for row in rows:
        click.echo(before + json.dumps({key: row.get(key) for key in columns}, ensure_ascii=False), nl=False)
        before = ", "
    click.echo("[]" if before == "[" else "]")


def print_csv(rows: Iterable[Row], columns: Mapping[str, Text]) -> None:
    """Keys, then a line for each row; several values of one cell are separated by commas."""
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(key)) for key in columns] for row in rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))
