"""Verdicts of verifiers on files alone: always on standard output, and in the exit code (DESIGN section 9).

Exit 0: good. Exit 1: refused, with the reason. Exit 2: not asked properly, which click tells. What a refused file says
of itself is nobody's word: of a refusal nothing is shown but why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NoReturn

import click

from core.language import Language, Text
from core.reasons import ExchangeError
from rpc.commandline import FAULT, GOOD, Output, Row, sentence_of, show_one
from rpc.remote import printable

_GOOD: Final = Text("BON", "GOOD")
_REFUSED: Final = Text("REFUSÉ", "REFUSED")
_OF_VERDICT: Final = {
    "verdict": Text("Verdict", "Verdict"),
    "reason": Text("Motif", "Reason"),
    "detail": Text("Détail", "Detail"),
}


@contextmanager
def posed(lang: Language) -> Iterator[None]:
    """Read what a question rests on: where that is not what it should be, there is no verdict, and exit 2.

    An anchor, a revocation list, a key, a head to compare with: a fault in them is the asker's, and accuses nothing of
    what was to be judged.
    """
    try:
        yield
    except ExchangeError as error:
        told = f"{error.reason}: {sentence_of(error, lang)}"
        if error.remedy is not None:
            told += f"\n{Text('Remède :', 'Remedy:').in_(lang)} {error.remedy.in_(lang)}"
        raise click.UsageError(told) from None


def judge(
    check: Callable[[], Row],
    columns: Mapping[str, Text],
    output: Output,
    lang: Language,
    *,
    limits: Text | None = None,
) -> NoReturn:
    """Run ``check``, show the verdict, and end the command.

    Args:
        check: Returns what it established, with (some of) the keys of ``columns``, or raises ``ExchangeError``.
        columns: What is shown of a good file, beside verdict, reason and detail.
        output: How.
        lang: Language of the words; codes and keys are never translated.
        limits: What the last line of a good table adds, lest its verdict be taken for more than was judged.
    """
    try:
        found = check()
    except ExchangeError as error:
        show_refusal(error, columns, output, lang)
    _show({"verdict": _GOOD.en, **found}, columns, output, lang, limits)
    sys.exit(GOOD)


def show_refusal(
    error: ExchangeError, columns: Mapping[str, Text], output: Output, lang: Language
) -> NoReturn:
    """Show why, and end the command."""
    row = {"verdict": _REFUSED.en, "reason": str(error.reason), "detail": sentence_of(error, lang)}
    _show(row, columns, output, lang)
    sys.exit(FAULT)


def _show(
    row: Row, columns: Mapping[str, Text], output: Output, lang: Language, limits: Text | None = None
) -> None:
    if output == "table":
        _show_lines(row, columns, lang, limits)
    else:
        show_one(row, _OF_VERDICT | dict(columns), output, lang)


def _show_lines(row: Row, columns: Mapping[str, Text], lang: Language, limits: Text | None) -> None:
    shown = {key: heading for key, heading in columns.items() if row.get(key) not in (None, "")}
    width = max((len(heading.in_(lang)) for heading in shown.values()), default=0)
    for key, heading in shown.items():
        value = row[key]
        first, *others = value if isinstance(value, list) else [value]
        click.echo(f"{heading.in_(lang):<{width}}  {printable(str(first))}")
        for one in others:
            click.echo(f"{'':<{width}}  {printable(str(one))}")
    if "reason" in row:
        click.echo(f"{row['reason']}: {row['detail']}")
    click.echo(verdict_line(lang, is_good="reason" not in row) + (f", {limits.in_(lang)}" if limits else ""))


def verdict_line(lang: Language, *, is_good: bool) -> str:
    """The last line of every verifier."""
    words = _GOOD if is_good else _REFUSED
    return f"VERDICT : {words.fr} ({words.en})" if lang == "fr" else f"VERDICT: {words.en}"
