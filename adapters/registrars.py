"""``passerelle adapter register …``: what an officer writes of his own accord, while the adapter serves.

Which inscriptions there are, and what each takes, the ministry declares (``Ministry.inscriptions``); the commands are the
same for all. Whoever follows the register hears of it as of any other change. Who may run them is who may read
``adapter.toml``.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from adapters.officers import config_option, desk_of, officer_option, told
from core.language import Language, Text
from rpc.commandline import (
    Output,
    confirm,
    dry_run_option,
    lang_option,
    output_option,
    show_rows,
    yes_option,
)
from rpc.figures import local_time
from rpc.words import Coded

if TYPE_CHECKING:
    import sqlalchemy as sa

    from adapters.kit.desk import Desk
    from adapters.kit.inscriptions import Field, Inscription, Inscriptions, Login, Written
    from adapters.reasons import ProviderError

_KINDS: Final = {
    "name": Text("inscription", "inscription"),
    "label": Text("ce qui est inscrit", "what is written"),
    "fields": Text("champs", "fields"),
    "officers": Text("agents", "officers"),
    "personal": Text("lus sur l'entrée standard, dans cet ordre", "read from standard input, in this order"),
}
_LINES: Final = {
    "number": Text("n°", "no."),
    "written_at": Text("le", "on"),
    "name": Text("inscription", "inscription"),
    "state": Text("état", "state"),
    "first": Text("après le n°", "after no."),
    "officer": Text("agent", "officer"),
    "login": Text("compte", "account"),
    "evidence": Text("pièce", "paper"),
    "values": Text("champs", "fields"),
}
_WRITTEN: Final = {
    True: Text("inscrit sous le n° {}", "written as no. {}"),
    False: Text(
        "n° {}, rien n'est changé : un autre agent doit inscrire la même chose, sur la même pièce, sous {} jours",
        "no. {}, nothing is changed: another officer must write the same, on the same paper, within {} days",
    ),
}
_DONE: Final = Coded("done", Text("fait", "done"))
_WAITING: Final = Coded("waiting", Text("attend un second agent", "waits for a second officer"))
_LAPSED: Final = Coded("lapsed", Text("caduc, sans second agent", "lapsed, no second officer came"))
_SHARED: Final = Text(
    "la machine ne dit pas qui s'est connecté : si des agents partagent le compte {}, rien ne montre qu'ils sont deux",
    "the machine does not say who logged in: if officers share the account {}, nothing shows that they are two",
)
_MAX_LINE: Final = 100
# By which account whoever runs this logged in, through ``sudo`` and ``su``, where PAM (pam_loginuid) told the kernel.
_LOGINUID: Final = Path("/proc/self/loginuid")
_NOT_TOLD: Final = 2**32 - 1
# How far back in the trail to look for what waits for a second officer.
_RECENT: Final = 1000


class _UndoneError(Exception):
    """A rehearsal that went well."""


@click.group()
def register() -> None:
    """Inscrire au registre : décès, hypothèque, consentement… / write into the register."""


@register.command("list")
@config_option
@output_option
@lang_option
def list_(config: Path, output: Output, lang: Language) -> None:
    """Ce qui s'inscrit dans ce registre / what is written into this register."""
    with closing(desk_of(config)) as desk:
        rows = [
            {
                "name": one.name,
                "label": one.label.in_(lang),
                "officers": 2 if one.needs_two else 1,
                "fields": [_named(part, lang) for part in one.fields if not part.is_personal],
                "personal": [part.label.in_(lang) for part in one.fields if part.is_personal],
            }
            for one in _inscriptions(desk, lang)
        ]
    show_rows(rows, _KINDS, output, lang)


@register.command()
@click.argument("inscription")
@click.argument("fields", nargs=-1, metavar="[CHAMP=VALEUR]…")
@config_option
@officer_option
@click.option("--evidence", required=True, help="référence de la pièce / the paper's reference")
@dry_run_option
@yes_option
@lang_option
def write(
    inscription: str,
    fields: tuple[str, ...],
    config: Path,
    officer: str,
    evidence: str,
    dry_run: bool,
    yes: bool,
    lang: Language,
) -> None:
    """Inscrire / write one.

    `list` dit ce que chacune demande. Les NPI sont demandés, ou lus sur l'entrée standard, un par ligne : jamais en
    argument / numbers of persons are asked for, or read from standard input, one a line.
    """
    from adapters.kit.inscriptions import WAITING_DAYS

    with closing(desk_of(config)) as desk:
        book = _inscriptions(desk, lang)
        kind = book.find(inscription)
        if kind is None:
            names = ", ".join(one.name for one in book)
            raise click.BadParameter(names, param_hint="INSCRIPTION")
        given = {**_given(kind, fields, lang), **_asked(kind, lang)}
        if kind.is_final and not dry_run:
            irreversible = Text(
                f"inscrire {kind.label.fr} : rien ne le défait. Continuer ?",
                f"write {kind.label.en}: nothing undoes it. Go on?",
            )
            confirm(irreversible, lang, yes=yes)

        login = _login()

        def work(tx: sa.Connection) -> Written:
            line = book.write(desk, tx, kind, given, officer_ref=officer, login=login, evidence_ref=evidence)
            if dry_run:
                raise _UndoneError
            return line

        try:
            line: Written = told(
                lambda: desk.store.write(work),
                lang,
                lambda error: _advice(desk, book, error, (inscription, officer.strip(), evidence.strip())),
            )
        except _UndoneError:
            click.echo(Text("possible ; rien n'est inscrit", "possible; nothing is written").in_(lang))
            return
    click.echo(_WRITTEN[line.is_done].in_(lang).format(line.number, WAITING_DAYS))
    if kind.needs_two and not login.is_own:
        click.echo(_SHARED.in_(lang).format(login.name), err=True)


def _advice(
    desk: Desk, book: Inscriptions, error: ProviderError, written: tuple[str, str, str]
) -> Text | None:
    """Where the register refuses for its state: who is waited for, or where to look."""
    from adapters.reasons import ProviderReason

    if error.reason is not ProviderReason.STATE_CONFLICT:
        return None
    with desk.store.reading() as tx:
        mine = [
            one
            for one in book.trail(tx, _RECENT)
            if (one.name, one.officer_ref, one.evidence_ref) == written
            and not one.is_done
            and not one.has_lapsed(desk.clock.now_ms())
        ]
    if mine:
        return Text(
            f"inscrit par vous sous le n° {mine[0].number} : un autre agent doit l'inscrire à son tour",
            f"written by you as no. {mine[0].number}: another officer must write it in his turn",
        )
    return Text(
        "la fiche est déjà ainsi, ou autre chose s'y oppose : `adapter register journal`",
        "the record is so already, or something else is in the way: `adapter register journal`",
    )


@register.command()
@config_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@output_option
@lang_option
def journal(config: Path, limit: int, output: Output, lang: Language) -> None:
    """Qui a inscrit quoi, quand, sur quelle pièce ; sans NPI / who wrote what, when, on which paper."""
    with closing(desk_of(config)) as desk:
        book = _inscriptions(desk, lang)
        with desk.store.reading() as tx:
            lines = book.trail(tx, limit)
        now_ms = desk.clock.now_ms()
    rows = [
        {
            "number": one.number,
            "written_at": local_time(one.written_at),
            "name": one.name,
            "state": _DONE if one.is_done else _LAPSED if one.has_lapsed(now_ms) else _WAITING,
            "first": one.first or None,
            "officer": one.officer_ref,
            "login": one.login,
            "evidence": one.evidence_ref,
            "values": [f"{name}={value}" for name, value in one.values.items()],
        }
        for one in lines
    ]
    show_rows(rows, _LINES, output, lang)


def _inscriptions(desk: Desk, lang: Language) -> Inscriptions:
    book = desk.ministry.inscriptions
    if book is None:
        nothing = Text("rien ne s'inscrit ainsi dans ce registre", "nothing is written into this register")
        raise click.ClickException(nothing.in_(lang))
    return book


def _given(kind: Inscription, fields: tuple[str, ...], lang: Language) -> dict[str, str]:
    """What the arguments say; whatever is wrong with them is not repeated, as it may be a number."""
    public = [one.name for one in kind.fields if not one.is_personal]
    split = [one.partition("=") for one in fields]
    names = [name for name, _, _ in split]
    if sorted(names) != sorted(public):
        each = Text("chacun de ces champs une fois, rien d'autre : ", "each of these once, nothing else: ")
        raise click.UsageError(each.in_(lang) + " ".join(f"{name}=…" for name in public))
    return {name: value for name, _, value in split}


def _asked(kind: Inscription, lang: Language) -> Mapping[str, str]:
    """The numbers of persons: typed unseen and twice at a terminal, else a line each."""
    personal = [one for one in kind.fields if one.is_personal]
    if _is_terminal():
        return {
            one.name: click.prompt(one.label.in_(lang), hide_input=True, confirmation_prompt=True, err=True)
            for one in personal
        }
    return {one.name: sys.stdin.readline(_MAX_LINE) for one in personal}


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _named(part: Field, lang: Language) -> str:
    return f"{part.name}={part.label.in_(lang)}"


def _login() -> Login:
    """As whom the machine knows who runs this; not the environment, which anybody sets."""
    from adapters.kit.inscriptions import Login

    try:
        uid = int(_LOGINUID.read_text())
    except (OSError, ValueError):
        uid = _NOT_TOLD
    is_own = uid != _NOT_TOLD
    return Login(_account(uid if is_own else os.getuid()), is_own)


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
