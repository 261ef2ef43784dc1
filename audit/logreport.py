"""What was found in whole logs, and how it is told: to programs and to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from core.heads import TreeHead
from core.language import Language, Text
from core.leaves import Succession
from core.reasons import ExchangeError
from core.succession import Gap
from core.times import format_time_ms
from rpc.commandline import sentence_of
from rpc.figures import counted, plural

Signatures = Literal["anchored", "verified", "unchecked", "unjudged"]
_SIGNATURES: Final = {
    "anchored": Text("signatures bonnes, jusqu'à l'ancre", "signatures good, up to the anchor"),
    "verified": Text(
        "signatures bonnes ; certificat non jugé, donnez --anchor",
        "signatures good; certificate not judged, give --anchor",
    ),
    "unchecked": Text(
        "signatures non vérifiées, donnez --anchor ou --certificate",
        "signatures not checked, give --anchor or --certificate",
    ),
    "unjudged": Text("signatures non jugées, voir la faute", "signatures not judged, see the fault"),
}
# What the last line of a good log adds, lest its verdict be taken for more than was judged.
_NOT_JUDGED: Final = {
    "anchored": None,
    "verified": Text("CERTIFICAT NON JUGÉ", "CERTIFICATE NOT JUDGED"),
    "unchecked": Text("SIGNATURES NON VÉRIFIÉES", "SIGNATURES NOT CHECKED"),
}


@dataclass(slots=True)
class LogReport:
    """What was found in one log.

    Attributes:
        worker: Which worker's it is.
        log: Its id; empty if not even that could be read.
        gateway: Whose log it says it is.
        size: Leaves that were read and are good.
        root: Merkle root over them, hex.
        segments: Files that were read.
        heads: HEAD records that were compared with the tree.
        newest: The newest signed head that these leaves have, from the log or from beside it.
        newest_jws: The same as it was signed: to be kept elsewhere, and shown next time.
        signatures: Whether heads were verified: up to the anchor, against a certificate only, or not at all; ``unjudged``
            if they were to be, and a fault came first.
        torn: Where segments end in torn commits, and the next segment goes on without a gap.
        torn_end: Where the last segment ends in a torn commit: by a crash, or cut later; empty if it does not.
        succeeds: The log that it says it succeeds: a declared gap.
        declared: What it says is missing of that log.
        unrecorded: Frames of peers whose edge had moved further than the log records.
        fault: The first fault.
    """

    worker: int
    log: str = ""
    gateway: str = ""
    size: int = 0
    root: str = ""
    segments: int = 0
    heads: int = 0
    newest: TreeHead | None = None
    newest_jws: bytes = b""
    signatures: Signatures = "unchecked"
    torn: list[str] = field(default_factory=list)
    torn_end: str = ""
    succeeds: Succession | None = None
    declared: Gap | None = None
    unrecorded: int = 0
    fault: ExchangeError | None = None


def is_good(report: LogReport) -> bool:
    """Whether nothing is wrong with a log."""
    return report.fault is None


def signatures_of(reports: Sequence[LogReport]) -> Signatures:
    """What was judged of every log's signatures: the least of them. A log without a head has none to check."""
    found = {one.signatures if one.newest else "unchecked" for one in reports}
    least: tuple[Signatures, ...] = ("unjudged", "unchecked", "verified")
    return next((one for one in least if one in found), "anchored")


def not_judged(reports: Sequence[LogReport]) -> Text | None:
    """What a verdict that is good does not say; ``None`` if all was judged, up to the anchor."""
    return _NOT_JUDGED.get(signatures_of(reports))


def report_json(reports: Sequence[LogReport]) -> dict[str, Any]:
    """The verdict and each log, with codes and keys that are never translated."""
    return {
        "verdict": "GOOD" if all(map(is_good, reports)) else "REFUSED",
        "signatures": signatures_of(reports),
        "logs": [
            {
                "worker": one.worker,
                "log": one.log,
                "gateway": one.gateway,
                "size": one.size,
                "root": one.root,
                "segments": one.segments,
                "heads": one.heads,
                "head": {
                    "size": one.newest.size,
                    "root": one.newest.root,
                    "iat": one.newest.iat,
                    "jws": one.newest_jws.decode("ascii"),
                }
                if one.newest
                else None,
                "signatures": one.signatures if one.newest else None,
                "torn": one.torn,
                "torn_end": one.torn_end or None,
                "succeeds": {
                    "log": one.succeeds.log,
                    "size": one.succeeds.size,
                    "root": one.succeeds.root,
                    "reason": one.succeeds.reason,
                }
                if one.succeeds
                else None,
                "gap": {
                    "begin": one.declared.begin,
                    "end": one.declared.end,
                    "certain": one.declared.is_certain,
                }
                if one.declared
                else None,
                "unrecorded": one.unrecorded,
                "reason": str(one.fault.reason) if one.fault else None,
                "detail": str(one.fault) if one.fault else None,
            }
            for one in reports
        ],
    }


def report_lines(reports: Sequence[LogReport], lang: Language) -> Iterator[str]:
    """The same for people."""
    for one in reports:
        yield Text(
            f"journal {one.log[:16]}… de {one.gateway or '?'}, worker {one.worker}",
            f"log {one.log[:16]}… of {one.gateway or '?'}, worker {one.worker}",
        ).in_(lang)
        for text in _findings(one):
            yield f"  {text.in_(lang)}"


def _torn_findings(one: LogReport) -> Iterator[Text]:
    for torn in one.torn:
        yield Text(
            f"commit illisible au bout d'un segment, sans perte : {torn} ; le segment suivant continue sans lacune, "
            "les feuilles qu'aucune tête ne couvrait y étant écrites de nouveau",
            f"unreadable commit at the end of a segment, nothing lost: {torn}; the next segment goes on without a gap, "
            "as leaves that no head covered are written there again",
        )
    if one.torn_end:
        yield Text(
            f"fin déchirée : {one.torn_end} ; les {one.size} feuilles qui précèdent sont bonnes, "
            "ce qui suivait ne se lit plus",
            f"torn tail: {one.torn_end}; the {one.size} leaves before it are good, what followed cannot be read",
        )
        yield Text(
            "une panne laisse une telle fin, dont rien n'était acquitté ; un journal coupé ou abîmé après coup aussi : "
            "seule une tête plus récente, du pair ou du registre, les distingue (--head)",
            "a crash leaves such a tail, of which nothing was acknowledged; so does a log cut or damaged later: only a "
            "newer head, of the peer or the registry, tells them apart (--head)",
        )


def _findings(one: LogReport) -> Iterator[Text]:
    segments = plural(one.segments, "segment")
    yield Text(
        f"{one.size} feuilles dans {segments.fr}, racine {one.root}",
        f"{one.size} leaves in {segments.en}, root {one.root}",
    )
    if one.newest is not None:
        at = format_time_ms(one.newest.iat * 1000)
        yield Text(
            f"tête signée la plus récente : {one.newest.size} feuilles, {at}",
            f"newest signed head: {one.newest.size} leaves, {at}",
        )
        yield _SIGNATURES[one.signatures]
        if one.newest.size < one.size:
            left = counted(one.size - one.newest.size, Text("feuille", "leaf"), Text("feuilles", "leaves"))
            yield Text(f"{left.fr} qu'aucune tête signée ne couvre", f"{left.en} that no signed head covers")
    else:
        yield Text(
            "aucune tête signée ici : aucune signature à vérifier",
            "no signed head here: no signature to check",
        )
    if one.succeeds is not None:
        yield Text(
            f"lacune déclarée : succède au journal {one.succeeds.log[:16]}… après {one.succeeds.size} feuilles "
            f"({one.succeeds.reason})",
            f"gap declared: succeeds log {one.succeeds.log[:16]}… after {one.succeeds.size} leaves "
            f"({one.succeeds.reason})",
        )
    if one.declared is not None and not one.declared.is_empty:
        gap, count = one.declared, one.declared.end - one.declared.begin
        missing = f"{gap.begin} à {gap.end - 1} ({count})" if count else "aucune connue (0)"
        known = f"{gap.begin} to {gap.end - 1} ({count})" if count else "none known (0)"
        yield Text(
            f"en manquent, selon lui, les feuilles {missing}{'' if gap.is_certain else ', ou davantage : incertain'}",
            f"of it are missing, by its own word, leaves {known}{'' if gap.is_certain else ', or more: not certain'}",
        )
    yield from _torn_findings(one)
    if one.unrecorded:
        yield Text(
            f"{one.unrecorded} fois, le journal d'un pair a été suivi plus loin que noté ici",
            f"{one.unrecorded} times a peer's log was followed further than is recorded here",
        )
    if one.fault is not None:
        yield Text(
            f"FAUTE {one.fault.reason} : {sentence_of(one.fault, 'fr')}",
            f"FAULT {one.fault.reason}: {sentence_of(one.fault, 'en')}",
        )
