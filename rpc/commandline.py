"""What every command shares: language, output, exit codes, how errors are told (DESIGN section 9; USERS section 2).

Nothing here imports grpcio, and rich only when a table is drawn: ``passerelle --help`` stays fast.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, cast

import click

from core.language import DEFAULT_LANGUAGE, Language, Text
from core.reasons import Code, ExchangeError, Reason
from rpc.remote import OWN_DOMAIN, RemoteError, printable
from rpc.words import Coded

Output = Literal["table", "json", "csv"]
Row = Mapping[str, object]

GOOD: Final = 0
FAULT: Final = 1
USAGE: Final = 2

_MAX_LINE: Final = 100_000
_YES: Final = ("o", "oui", "y", "yes")

_UNANSWERED: Final = {
    Code.UNAVAILABLE: Text(
        "personne ne répond à cette adresse, ou la connexion est refusée",
        "nobody answers at this address, or the connection is refused",
    ),
    Code.DEADLINE_EXCEEDED: Text("aucune réponse dans le délai", "no answer in time"),
}

_NOBODY_ANSWERS: Final = Text(
    "voir sur la machine de ce serveur s'il tourne (une passerelle : `passerelle doctor`) ; sinon adresse et pare-feu",
    "on that server's machine, see whether it runs (a gateway: `passerelle doctor`); otherwise address and firewall",
)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def language_from_environment(configured: Language | None = None) -> Language:
    """``PASSERELLE_LANG``, then the configuration, then LC_ALL or LANG if they name French or English, else French."""
    for text in (
        os.environ.get("PASSERELLE_LANG"),
        configured,
        os.environ.get("LC_ALL"),
        os.environ.get("LANG"),
    ):
        start = (text or "")[:2].lower()
        if start in ("fr", "en"):
            return cast("Language", start)
    return DEFAULT_LANGUAGE


def lang_option(command: _Command) -> _Command:
    """``--lang fr|en``; the command gets ``lang``."""

    def choose(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Language:
        return cast("Language", value) if value else language_from_environment()

    option = click.option(
        "--lang", type=click.Choice(["fr", "en"]), default=None, callback=choose, help="langue / language"
    )
    return option(command)


def output_option(command: _Command) -> _Command:
    """``--output table|json|csv``; the command gets ``output``."""
    option = click.option(
        "--output", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
    )
    return option(command)


def dry_run_option(command: _Command) -> _Command:
    """``--dry-run``; the command gets ``dry_run``."""
    option = click.option("--dry-run", is_flag=True, help="ne rien changer / change nothing")
    return option(command)


def yes_option(command: _Command) -> _Command:
    """``--yes`` for what cannot be undone; the command gets ``yes``."""
    option = click.option("--yes", is_flag=True, help="sans demander / do not ask")
    return option(command)


def confirm(question: Text, lang: Language, *, yes: bool) -> None:
    """Ask before what cannot be undone; aborts on no."""
    if yes:
        return
    prompt = Text(f"{question.fr} [o/N]", f"{question.en} [y/N]").in_(lang)
    if click.prompt(prompt, default="", show_default=False).strip().lower() not in _YES:
        raise click.Abort


def show_rows(rows: Sequence[Row], columns: Mapping[str, Text], output: Output, lang: Language) -> None:
    """Print rows. Keys and codes of JSON and CSV are never translated, headings of tables are, codes have their word.

    Args:
        rows: The rows, each with (some of) the keys of ``columns``.
        columns: Keys in order, with their headings.
        output: How.
        lang: Language of the headings.
    """
    rows = [_resolved(row, output, lang) for row in rows]
    if output == "json":
        click.echo(json.dumps([{key: row.get(key) for key in columns} for row in rows], ensure_ascii=False))
    elif output == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([_cell(row.get(key)) for key in columns] for row in rows)
        click.echo(text.getvalue(), nl=False)
    else:
        _show_table(rows, columns, lang)


def show_one(row: Row, columns: Mapping[str, Text], output: Output, lang: Language) -> None:
    """Print one thing, a line for each of its values."""
    row = _resolved(row, output, lang)
    if output == "json":
        click.echo(json.dumps({key: row.get(key) for key in columns}, ensure_ascii=False))
        return
    if output == "csv":
        show_rows([row], columns, output, lang)
        return
    width = max(len(heading.in_(lang)) for heading in columns.values())
    for key, heading in columns.items():
        click.echo(f"{heading.in_(lang):<{width}}  {_cell(row.get(key))}")


def _show_table(rows: Sequence[Row], columns: Mapping[str, Text], lang: Language) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in columns.values():
        table.add_column(heading.in_(lang), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key in columns))
    # A pipe gets whole lines, whatever the width of a terminal would be.
    wanted = Console(width=_MAX_LINE).measure(table).maximum
    console = Console(width=None if _is_terminal() else wanted, highlight=False, markup=False)
    if wanted <= console.width:
        console.print(table)
    else:
        _show_blocks(rows, columns, lang)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _show_blocks(rows: Sequence[Row], columns: Mapping[str, Text], lang: Language) -> None:
    """What is too wide for the terminal: a block for each row, a line for each value that it has."""
    width = max(len(heading.in_(lang)) for heading in columns.values())
    for row in rows:
        click.echo()
        for key, heading in columns.items():
            value = _cell(row.get(key))
            if value:
                click.echo(f" {heading.in_(lang):<{width}}  {value}")
    click.echo()


def _resolved(row: Row, output: Output, lang: Language) -> Row:
    """The row with plain values: of what is coded, the code for machines, the words for people."""

    def plain(value: object) -> object:
        if isinstance(value, Coded):
            return value.shown.in_(lang) if output == "table" else value.code
        return [plain(one) for one in value] if isinstance(value, list) else value

    return {key: plain(value) for key, value in row.items()}


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return printable(", ".join(map(str, value)))
    return printable(str(value))


def fail(error: ExchangeError | RemoteError, lang: Language) -> int:
    """Tell an error on standard error: reason, sentence, detail, remedy; returns the exit code."""
    if isinstance(error, RemoteError):
        reason, sentence = error.reason or error.code.name, _remote_sentence(error, lang)
        # A provider's reasons are its own: ours of the same name would tell another remedy.
        remedy = _remedy(reason, lang) if error.domain in ("", OWN_DOMAIN) else ""
        if not error.reason and error.code is Code.UNAVAILABLE:
            remedy = _NOBODY_ANSWERS.in_(lang)
    else:
        reason, sentence = str(error.reason), sentence_of(error, lang)
        remedy = error.remedy.in_(lang) if error.remedy else _remedy(reason, lang)
    # A gateway's text tells the remedy already; it gets a line of its own.
    told = sentence.removesuffix(remedy).rstrip("; ") if remedy else sentence
    click.echo(click.style(f"{reason}: {told}", fg="red"), err=True)
    if remedy:
        label = "Remède" if lang == "fr" else "Remedy"
        click.echo(f"{label} : {remedy}" if lang == "fr" else f"{label}: {remedy}", err=True)
    return FAULT


def _remote_sentence(error: RemoteError, lang: Language) -> str:
    told = error.text.in_(lang)
    # Without a reason it is grpcio that speaks, of a connection: in English, and of sockets.
    heading = _UNANSWERED.get(error.code) if not error.reason else None
    return f"{heading.in_(lang)} ({told})" if heading else told


def sentence_of(error: ExchangeError, lang: Language) -> str:
    """What happened, in the reader's language, with the detail."""
    text, detail = error.reason.entry.text, str(error)
    return text.in_(lang) if detail in text else f"{text.in_(lang)} ({detail})"


def _remedy(reason: str, lang: Language) -> str:
    return Reason(reason).entry.remedy.in_(lang) if reason in Reason.__members__ else ""
