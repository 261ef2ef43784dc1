"""``passerelle doctor``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import click

from core.clock import SystemClock
from core.language import Language, Text
from core.reasons import Reason
from gateway.doctor.bundle import finding_json, write_bundle
from gateway.doctor.examination import examine
from gateway.doctor.findings import CODES, Finding, Level
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from rpc.commandline import FAULT, GOOD, Output, lang_option, output_option, show_one, show_rows
from rpc.figures import counted
from rpc.remote import printable
from rpc.settings import SettingsError, load_settings


@click.command()
@click.argument("codes", nargs=-1, metavar="[CODE]…")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="fichier pour l'ASIN, sans donnée personnelle ni clé / file for ASIN, no personal data, no key",
)
@click.option("--explain", metavar="CODE", default=None, help="ce que veut dire un code / what a code means")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("gateway.toml"),
    show_default=True,
    help="gateway.toml de la passerelle / of the gateway",
)
@output_option
@lang_option
def doctor(
    codes: tuple[str, ...],
    report: Path | None,
    explain: str | None,
    config: Path,
    output: Output,
    lang: Language,
) -> None:
    """Fautes et remèdes de cette passerelle / faults and remedies of this gateway."""
    if explain is not None:
        if codes or report is not None:
            raise click.UsageError("--explain CODE")
        _explain(_known(explain, lang), output, lang)
        return
    sys.exit(_examine([_known(code, lang) for code in codes], report, config, output, lang))


def _known(code: str, lang: Language) -> str:
    """A code as it is written; one of this page's, or any reason that a gateway may report."""
    known = {**CODES, **Reason.__members__}
    wanted = code.upper().replace("-", "_")
    if wanted in known:
        return wanted
    near = ", ".join(get_close_matches(wanted, known, 3))
    told = Text(
        f"code inconnu : {printable(code)[:60]}"
        + (f" ; voulez-vous dire {near} ?" if near else "")
        + " Tous les codes : docs/operations/doctor.md et docs/erreurs.md",
        f"unknown code: {printable(code)[:60]}"
        + (f"; did you mean {near}?" if near else "")
        + " All codes: docs/operations/doctor.md and docs/erreurs.md",
    )
    raise click.UsageError(told.in_(lang))


def _examine(codes: Sequence[str], report: Path | None, config: Path, output: Output, lang: Language) -> int:
    """Examine, print, write the file; returns the exit code."""
    try:
        settings = load_settings(config, GatewaySettings)
    except SettingsError as error:
        _show([_invalid_settings(error, config)], output, lang)
        return FAULT
    case, findings = examine(settings, GatewayDirectory.of(config), SystemClock(), codes)
    _show(findings, output, lang)
    if report is not None:
        write_bundle(report, case, findings)
        written = Text(
            f"{report} : à envoyer à l'ASIN ; ni donnée personnelle, ni clé",
            f"{report}: to be sent to ASIN; no personal data, no key",
        )
        click.echo(written.in_(lang), err=output != "table")
    return FAULT if any(one.level is Level.FAULT for one in findings) else GOOD


def _invalid_settings(error: SettingsError, config: Path) -> Finding:
    return Finding(
        "CONFIG_FILE_INVALID",
        Level.FAULT,
        Text(error.in_("fr"), error.in_("en")),
        Text(
            "corriger la ligne ou la clé nommée (docs/operations/gateway.md) ; autre répertoire : "
            "`passerelle doctor --config DIR/gateway.toml`",
            "correct the line or key that is named (docs/operations/gateway.md); another directory: "
            "`passerelle doctor --config DIR/gateway.toml`",
        ),
        {"file": str(config), "place": error.place},
    )


def _show(findings: Sequence[Finding], output: Output, lang: Language) -> None:
    if output == "json":
        click.echo(json.dumps([finding_json(one, lang) for one in findings], ensure_ascii=False))
        return
    if output == "csv":
        columns = {name: Text(name, name) for name in ("code", "level", "text", "remedy")}
        show_rows([finding_json(one, lang) for one in findings], columns, output, lang)
        return
    labels = {level: f"[{level.label.in_(lang)}]" for level in Level}
    width = max(map(len, labels.values()))
    codes = max((len(one.code) for one in findings), default=0)
    remedy = {"fr": "Remède : ", "en": "Remedy: "}[lang]
    for one in findings:
        label = click.style(f"{labels[one.level]:<{width}}", fg=_COLOURS[one.level])
        click.echo(f"{label} {one.code:<{codes}}  {printable(one.text.in_(lang))}")
        if one.remedy is not None:
            click.echo(f"{'':<{width}} {'':<{codes}}  {remedy}{printable(one.remedy.in_(lang))}")
    click.echo(_summary(findings).in_(lang))


_COLOURS: Final = {Level.GOOD: "green", Level.WARNING: "yellow", Level.FAULT: "red"}


_LEVELS: Final = {
    Level.GOOD: (Text("bon", "good"), Text("bons", "good")),
    Level.WARNING: (Text("avertissement", "warning"), Text("avertissements", "warnings")),
    Level.FAULT: (Text("faute", "fault"), Text("fautes", "faults")),
}


def _summary(findings: Sequence[Finding]) -> Text:
    found = {level: [one.code for one in findings if one.level is level] for level in Level}

    def some(level: Level) -> Text:
        codes = found[level]
        named = f" ({', '.join(dict.fromkeys(codes))})" if codes and level is not Level.GOOD else ""
        told = counted(len(codes), *_LEVELS[level])
        return Text(told.fr + named, told.en + named)

    parts = [some(level) for level in _LEVELS]
    checks = counted(len(findings), Text("contrôle", "check"), Text("contrôles", "checks"))
    return Text(
        f"{checks.fr} : {', '.join(part.fr for part in parts)}",
        f"{checks.en}: {', '.join(part.en for part in parts)}",
    )


def _explain(code: str, output: Output, lang: Language) -> None:
    """A code of doctor, or any reason of the layer; both where it is both."""
    meaning = CODES.get(code)
    reason = Reason(code) if code in Reason.__members__ else None
    row: dict[str, object] = {"code": code}
    if meaning is not None:
        row["meaning"] = meaning.in_(lang)
    if reason is not None:
        row |= {
            "refusal": reason.entry.text.in_(lang),
            "status": reason.entry.code.name,
            "remedy": reason.entry.remedy.in_(lang),
            "more": f"docs/erreurs.md#{code.lower()}",
        }
    else:
        row["more"] = f"docs/operations/doctor.md · passerelle doctor {code}"
    show_one(row, {name: words for name, words in _EXPLAINED.items() if name in row}, output, lang)


_EXPLAINED: Final = {
    "code": Text("Code", "Code"),
    "meaning": Text("Sens", "Meaning"),
    "refusal": Text("Refus", "Refusal"),
    "status": Text("Code gRPC", "gRPC code"),
    "remedy": Text("Remède", "Remedy"),
    "more": Text("Voir", "See"),
}
