"""Commands of an auditor: ``passerelle audit …``.

All of them work offline: on a gateway's directory or a copy of it, on files, and on the anchor.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import pwd
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from core.language import Language, Text
from core.reasons import ExchangeError, MalformedError, Reason
from rpc.commandline import FAULT, GOOD, Output, lang_option, output_option
from rpc.files import read_bounded
from rpc.remote import printable
from rpc.verdicts import judge, posed, verdict_line

if TYPE_CHECKING:
    from audit.report import Report
    from audit.streams import Progress
    from audit.subjects import Subject
    from ledger.evidence import BodyOpener, Evidence
    from ledger.places import LogPlace
    from ledger.trail import OpenBody

# A head is signed at most a second after the leaves that it covers (PROTOCOL M6), and its file follows each second.
_HEAD_WAIT_S: Final = 5.0
# Beyond what any list of revocation here is long.
_MAX_FILE_BYTES: Final = 8 * 1024 * 1024
_MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

_INCLUSION_COLUMNS: Final = {
    "index": Text("Feuille", "Leaf"),
    "size": Text("Taille du journal", "Size of the log"),
    "root": Text("Racine", "Root"),
}
_CONSISTENCY_COLUMNS: Final = {
    "size1": Text("Taille avant", "Size before"),
    "size2": Text("Taille après", "Size after"),
    "root2": Text("Racine après", "Root after"),
}

_CUT_COLUMNS: Final = {
    "messages": Text("Messages", "Messages"),
    "mask": Text("Masque, selon le fournisseur", "Mask, as the provider says"),
    "fields_cut": Text("Champs retirés, selon le fournisseur", "Fields cut, as the provider says"),
    "leaves": Text("Feuilles : journal, rang, empreinte", "Leaves: log, index, hash"),
    "signatures": Text("Signatures", "Signatures"),
}
# What the verdict on a cut adds, lest it be taken for one on the log.
_LOG_NOT_JUDGED: Final = Text(
    "JOURNAL NON JUGÉ : COMPARER LES FEUILLES", "LOG NOT JUDGED: COMPARE THE LEAVES"
)

_FACTS: Final = {
    "client": Text("consommateur", "consumer"),
    "consumer_key": Text("clé du consommateur", "consumer's key"),
    "provider_key": Text("clé du fournisseur", "provider's key"),
    "service": Text("fournisseur", "provider"),
    "method": Text("méthode", "method"),
    "purpose": Text("finalité", "purpose"),
    "issue": Text("dossier", "dossier"),
    "agreement": Text("convention", "agreement"),
    "fields_granted": Text("champs accordés", "fields granted"),
    "fields_cut": Text("champs retirés", "fields cut"),
    "outcome": Text("issue", "outcome"),
    "time": Text("heure", "time"),
}

_NO_ROOM: Final = Text(
    "pas de place pour les lignes dans le répertoire temporaire : demandez un dossier, ou donnez TMPDIR",
    "no room for the rows in the temporary directory: ask for one dossier, or set TMPDIR",
)

# Gateways that a remedy names.
_SHOWN: Final = 4

_log_option = click.option(
    "--log",
    "directory",
    default=Path(),
    show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="répertoire de la passerelle, ou sa copie / the gateway's directory, or a copy",
)


@click.group(help="Preuves, sans réseau / evidence, offline.")
def audit() -> None:
    """Evidence of exchanges, offline."""


@audit.command("list", help="Échanges d'un journal / exchanges of a log.")
@_log_option
@click.option("--exchange", default=None, help="UUID de l'échange / of the exchange")
@click.option("--dossier", default=None, help="référence du dossier / dossier reference")
@click.option("--reference", default=None, help="x-road-id du programme / the program's x-road-id")
@click.option(
    "--subject",
    "by_subject",
    is_flag=True,
    help="ceux d'une personne : son NPI sur l'entrée standard, puis ses numéros fusionnés, un par ligne / those of a "
    "person: her NPI on standard input, then her merged numbers, one a line",
)
@click.option(
    "--pseudonym-keys",
    "key_directories",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="clés de pseudonymes remises par le membre / keys of pseudonyms handed out by the member",
)
@click.option("--from", "since", type=click.DateTime(), default=None, help="depuis (UTC) / since (UTC)")
@click.option("--until", type=click.DateTime(), default=None, help="avant (UTC) / before (UTC)")
@output_option
@lang_option
def list_(
    directory: Path,
    exchange: str | None,
    dossier: str | None,
    reference: str | None,
    by_subject: bool,
    key_directories: tuple[Path, ...],
    since: datetime | None,
    until: datetime | None,
    output: Output,
    lang: Language,
) -> None:
    """List exchanges from the segments.

    Exits 1 behind the rows if a log has a gap, or a key to look for a person is missing; for a malformed id before them.
    """
    from audit.exchanges import Wanted, require_keys, require_whole
    from audit.listing import COLUMNS, TABLE_COLUMNS, Listing, foot, shortened
    from audit.pages import print_csv, print_json, print_tables
    from core.identifiers import require_exchange_id

    if exchange is not None:
        require_exchange_id(exchange)
    issues = () if dossier is None else (dossier,)
    _require_gateway(directory)
    subject = _subject(directory, key_directories, lang) if by_subject else None
    wanted = Wanted(exchange, issues, _utc_ms(since), _utc_ms(until), reference, subject)
    try:
        with closing(Listing(directory, wanted)) as listing:
            rows = listing.rows(lang)
            if output == "json":
                print_json(rows, COLUMNS)
            elif output == "csv":
                print_csv(rows, COLUMNS)
            else:
                print_tables((shortened(row, lang) for row in rows), TABLE_COLUMNS, lang)
                anchor = _anchor_of(directory).in_(lang)
                for line in foot(listing, lang, time.time_ns() // 1_000_000, _made_by(), anchor):
                    click.echo(line)
            require_whole(listing.logs)
            require_keys(listing.missing_keys())
    except sqlite3.OperationalError as error:
        raise click.ClickException(f"{_NO_ROOM.in_(lang)} ({error})") from None


@audit.command("dossier", help="Échanges d'un dossier, tous membres / of a dossier, over all members.")
@click.argument("references", nargs=-1, required=True, metavar="RÉFÉRENCE...")
@click.option(
    "--log",
    "directories",
    multiple=True,
    default=(Path(),),
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="passerelle, copie, ou dossier qui en contient (répétable) / gateway, copy, or a directory of them (repeatable)",
)
@output_option
@lang_option
def dossier_(
    references: tuple[str, ...], directories: tuple[Path, ...], output: Output, lang: Language
) -> None:
    """Weave what all members' logs tell of a dossier; exits 1 behind the rows if logs disagree or one has a gap."""
    from audit.dossier import COLUMNS, TABLE_COLUMNS, Dossier, foot, gateways_below, shortened
    from audit.exchanges import require_whole
    from audit.pages import print_csv, print_json, print_tables

    gateways = [one for below in directories for one in gateways_below(below)]
    try:
        with closing(Dossier(gateways, references)) as dossier:
            rows = dossier.rows()
            if output == "json":
                print_json(rows, COLUMNS)
            elif output == "csv":
                print_csv(rows, COLUMNS)
            else:
                print_tables((shortened(row, lang) for row in rows), TABLE_COLUMNS, lang)
                for line in foot(dossier, lang, time.time_ns() // 1_000_000, _made_by()):
                    click.echo(printable(line))
            require_whole(dossier.logs)
    except sqlite3.OperationalError as error:
        raise click.ClickException(f"{_NO_ROOM.in_(lang)} ({error})") from None
    sys.exit(FAULT if dossier.contradictions else GOOD)


def _require_gateway(directory: Path) -> None:
    """Return if ``directory`` has a log itself; of one that holds gateways the refusal names what to name.

    Raises:
        ExchangeError: ``NOT_FOUND``.
    """
    from audit.dossier import gateways_below

    found = gateways_below(directory)
    if found != [directory]:
        shown = ", ".join(map(str, found[:_SHOWN])) + (", …" if len(found) > _SHOWN else "")
        remedy = Text(
            f"nommer une passerelle : --log {shown} ; d'un dossier, toutes à la fois : audit dossier",
            f"name one gateway: --log {shown}; of a dossier, all at once: audit dossier",
        )
        raise ExchangeError(Reason.NOT_FOUND, f"{directory} holds gateways and is none itself", remedy=remedy)


def _subject(directory: Path, key_directories: tuple[Path, ...], lang: Language) -> Subject:
    """The person to look for: keys first, so that nobody types a number in vain."""
    from audit.subjects import read_all_keys, read_numbers, subject_of

    keys = read_all_keys(directory, key_directories)
    return subject_of(read_numbers(_typed(lang) if sys.stdin.isatty() else sys.stdin), keys)


def _typed(lang: Language) -> Iterator[str]:
    """Lines of somebody at a terminal, not shown on it, up to an empty one."""
    asked = Text("NPI (non affiché)", "NPI (not shown)")
    while line := click.prompt(asked.in_(lang), hide_input=True, default="", show_default=False, err=True):
        yield line
        asked = Text("numéro fusionné, ou rien", "merged number, or nothing")


def _made_by() -> str:
    """Who runs this, as the machine says; not the environment, which anybody sets."""
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name}@{platform.node()}"
    except KeyError:
        return f"uid {os.getuid()}@{platform.node()}"


def _anchor_of(directory: Path) -> Text:
    from pki.anchor import Anchor, spoken

    try:
        fingerprint = spoken(Anchor.read(directory / "anchor.pem").fingerprint)
    except (MalformedError, OSError):
        return Text("inconnue", "unknown")
    return Text(fingerprint, fingerprint)


@audit.command("export", help="Preuve d'un échange / evidence of one exchange.")
@click.argument("exchange")
@_log_option
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="fichier / file")
@click.option("--with-bodies", is_flag=True, help="avec les contenus / with the bodies")
@click.option("--purpose", default="", help="finalité de la lecture (P05) / purpose of reading (P05)")
@click.option("--mandate", default="", help="référence du mandat / reference of the mandate")
@lang_option
def export(
    exchange: str, directory: Path, out: Path, with_bodies: bool, purpose: str, mandate: str, lang: Language
) -> None:
    """Write the evidence of one exchange."""
    from audit.container import write_container
    from core.identifiers import require_exchange_id
    from ledger.evidence import require_bodies_allowed

    require_exchange_id(exchange)
    open_bodies = None
    if with_bodies:
        require_bodies_allowed(purpose, mandate)
        open_bodies = _body_opener(directory)
    evidence = _find(directory, exchange)
    write_container(out, evidence.parts(open_bodies))
    said = Text(
        f"{out} : échange {exchange}, {evidence.leaves} feuilles prouvées",
        f"{out}: exchange {exchange}, {evidence.leaves} proven leaves",
    )
    click.echo(said.in_(lang))
    for missing in evidence.missing:
        click.echo(f"  {'manque :' if lang == 'fr' else 'missing:'} {missing}")


@audit.command("verify", help="Vérifier une preuve / verify evidence.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--anchor", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--crl",
    "crls",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="autre liste de révocation (PEM) / further revocation list (PEM)",
)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@lang_option
def verify(file: Path, anchor: Path, crls: tuple[Path, ...], output: str, lang: Language) -> None:
    """Verify evidence against the anchor; exits 0 only if it is VALID."""
    from audit.container import read_container
    from audit.report import Verdict
    from audit.verify import unreadable, verify_evidence
    from pki.anchor import Anchor
    from pki.keys import load_crl

    with posed(lang):
        root = Anchor.read(anchor).certificate
        lists = [load_crl(read_bounded(one, _MAX_FILE_BYTES)) for one in crls]
    try:
        report = verify_evidence(read_container(file), root, lists)
    except MalformedError as error:
        report = unreadable(str(error))
    if output == "json":
        click.echo(json.dumps(_report_json(report), ensure_ascii=False))
    else:
        _show_report(report, lang)
    sys.exit(GOOD if report.verdict is Verdict.VALID else FAULT)


@audit.command("verify-inclusion", help="Vérifier une preuve d'inclusion / an inclusion proof (RFC 9162).")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
@lang_option
def verify_inclusion(file: Path, output: Output, lang: Language) -> None:
    """Check ``{"leaf_hash" | "leaf_base64", "index", "size", "proof", "root"}``."""
    from audit.proofs import ConsistencyFile, read_proof, verify_inclusion_file

    with posed(lang):
        proof = read_proof(file, other=ConsistencyFile)
    judge(lambda: verify_inclusion_file(proof), _INCLUSION_COLUMNS, output, lang)


@audit.command(
    "verify-consistency", help="Vérifier qu'un journal n'a fait que croître / that a log only grew."
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
@lang_option
def verify_consistency(file: Path, output: Output, lang: Language) -> None:
    """Check ``{"size1", "root1", "size2", "root2", "proof"}``."""
    from audit.proofs import InclusionFile, read_proof, verify_consistency_file

    with posed(lang):
        proof = read_proof(file, other=InclusionFile)
    judge(lambda: verify_consistency_file(proof), _CONSISTENCY_COLUMNS, output, lang)


@audit.command("verify-cut", help="Vérifier de quoi des champs ont été retirés / what fields were cut from.")
@click.argument("exchange")
@click.argument("originals", nargs=-1, required=True, type=_FILE, metavar="FICHIER...")
@_log_option
@click.option(
    "--request",
    metavar="EMPREINTE",
    help="feuille de la demande, si l'échange en a plusieurs / leaf hash of the request, if there are several",
)
@click.option(
    "--compressed",
    metavar="NUMÉROS",
    default="",
    help="messages tels que l'adaptateur les a compressés, « 2,5-9 » / messages as the adapter compressed them, '2,5-9'",
)
@click.option(
    "--evidence",
    type=_FILE,
    help="preuve de l'échange : juger aussi les feuilles du journal / evidence: judge the leaves of the log, too",
)
@click.option("--anchor", type=_FILE, help="ancre, pour la preuve / anchor, for the evidence")
@output_option
@lang_option
def verify_cut(
    exchange: str,
    originals: tuple[Path, ...],
    directory: Path,
    request: str | None,
    compressed: str,
    evidence: Path | None,
    anchor: Path | None,
    output: Output,
    lang: Language,
) -> None:
    """Check that the ministry's messages are those that its gateway cut, by the salts in its log."""
    from audit.cuts import compressed_among, find_cuts, proven_cuts, verify_cuts
    from core.identifiers import require_exchange_id

    if (evidence is None) != (anchor is None):
        raise click.UsageError("--evidence + --anchor")
    try:
        flagged = compressed_among(compressed, len(originals))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--compressed") from None
    with posed(lang):
        require_exchange_id(exchange)
        proven = proven_cuts(evidence, anchor) if evidence is not None and anchor is not None else None
        cuts = find_cuts(directory, exchange, request)
        messages = [
            (int(number in flagged), read_bounded(one, _MAX_MESSAGE_BYTES))
            for number, one in enumerate(originals, 1)
        ]
    limits = _LOG_NOT_JUDGED if proven is None else None
    judge(lambda: verify_cuts(cuts, messages, proven), _CUT_COLUMNS, output, lang, limits=limits)


@audit.command("verify-log", help="Vérifier un journal entier / verify a whole log.")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--anchor",
    type=_FILE,
    default=None,
    help="juger les signatures des têtes, jusqu'à l'ancre / judge the signatures of heads, up to the anchor",
)
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    type=_FILE,
    help="certificat de scellement, avec sa chaîne (PEM) / seal certificate, with its chain (PEM)",
)
@click.option(
    "--crl", "crls", multiple=True, type=_FILE, help="liste de révocation (PEM) / revocation list (PEM)"
)
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=_FILE,
    help="tête signée, gardée ailleurs : le journal doit la prolonger / signed head kept elsewhere: to be extended",
)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@lang_option
def verify_log(
    directory: Path,
    anchor: Path | None,
    certificates: tuple[Path, ...],
    crls: tuple[Path, ...],
    heads: tuple[Path, ...],
    output: Output,
    lang: Language,
) -> None:
    """Verify every log of a gateway's directory, or of a copy, with every process dead; nothing is written."""
    from audit.logreport import is_good, not_judged, report_json, report_lines
    from audit.wholelog import verify_logs

    with posed(lang):
        reports = verify_logs(directory, anchor=anchor, certificates=certificates, crls=crls, heads=heads)
    good = all(map(is_good, reports))
    if output == "json":
        click.echo(json.dumps(report_json(reports), ensure_ascii=False))
    else:
        for line in report_lines(reports, lang):
            click.echo(printable(line))
        limits = not_judged(reports) if good else None
        click.echo(verdict_line(lang, is_good=good) + (f", {limits.in_(lang)}" if limits else ""))
    sys.exit(GOOD if good else FAULT)


# --- export ---


def _find(directory: Path, exchange: str) -> Evidence:
    """Find it; if it is so young that no head covers it, wait for the next one.

    A stream that goes on has always leaves that none covers: of it, what is covered.
    """
    from ledger.evidence import Evidence

    until = time.monotonic() + _HEAD_WAIT_S
    while True:
        is_late = time.monotonic() > until
        try:
            return Evidence(directory, exchange, partial=is_late)
        except ExchangeError as error:
            if error.reason is not Reason.PROOF_INVALID or is_late:
                raise
            time.sleep(0.2)


def _body_opener(directory: Path) -> BodyOpener:
    from core.clock import SystemClock
    from ledger.vault import BodyVault, read_wrapping_key
    from rpc.settings import parse_toml

    section = parse_toml(directory / "gateway.toml").get("log", {})
    name = section.get("wrapping_key_file", "keys/wrapping.key") if isinstance(section, dict) else ""
    if not isinstance(name, str):
        raise MalformedError(Reason.CONFIG_FILE_INVALID, "gateway.toml: log.wrapping_key_file is no path")
    key = read_wrapping_key(directory / name, directory / "log")

    def open_log(place: LogPlace, log: str) -> OpenBody:
        return BodyVault(place.bodies, log, key, SystemClock()).open

    return open_log


# --- verify ---


def _show_report(report: Report, lang: Language) -> None:
    from audit.report import Verdict

    width = max(len(step.title.in_(lang)) for step in report.steps)
    for step in report.steps:
        click.echo(f"{step.number:>3}  {step.title.in_(lang):<{width}}  {step.verdict.text.in_(lang)}")
        for finding in step.findings:
            click.echo(f"     {finding}")
    # What an invalid container says is nobody's word: it is not repeated.
    for name, value in report.facts.items() if report.verdict is not Verdict.INVALID else ():
        words = _FACTS[name].in_(lang) if name in _FACTS else name
        click.echo(f"     {words}{' :' if lang == 'fr' else ':'} {value}")
    for stream in report.streams if report.verdict is not Verdict.INVALID else ():
        for line in stream.lines():
            click.echo(f"     {line.in_(lang)}")
    for remark in report.remarks:
        click.echo(f"     {'remarque :' if lang == 'fr' else 'remark:'} {remark.in_(lang)}")
    words = report.verdict.text.in_(lang)
    click.echo(f"VERDICT : {words} ({report.verdict})" if lang == "fr" else f"VERDICT: {report.verdict}")


def _report_json(report: Report) -> dict[str, Any]:
    return {
        "verdict": str(report.verdict),
        "exchange": report.exchange,
        "steps": [
            {
                "number": step.number,
                "title": step.title.en,
                "verdict": str(step.verdict),
                "findings": list(step.findings),
            }
            for step in report.steps
        ],
        "facts": report.facts,
        "streams": [_stream_json(one) for one in report.streams],
        "remarks": [remark.en for remark in report.remarks],
    }


def _stream_json(one: Progress) -> dict[str, Any]:
    return {
        "request": one.request,
        "asked": dataclasses.asdict(one.asked),
        "answered": dataclasses.asdict(one.answered),
        "ends": [{"kind": kind, "why": why} for kind, why in one.ends],
    }


def _utc_ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * 1000)
