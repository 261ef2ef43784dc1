"""``passerelle audit list``: the exchanges of a log as an auditor must see them (USERS section 4).

Read from the segments alone, with every process dead. The list finds; it proves nothing: that is ``export``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from core.heads import parse_head
from core.language import Language, Text
from core.reasons import Code, MalformedError
from ledger.evidence import log_directories
from ledger.headfile import read_head_file
from ledger.index import rows_of
from ledger.published import PublishedConfigurations
from ledger.reader import LogReader

COLUMNS: Final = {
    "time": Text("heure", "time"),
    "exchange": Text("échange", "exchange"),
    "role": Text("côté", "side"),
    "client": Text("consommateur", "consumer"),
    "service": Text("fournisseur", "provider"),
    "method": Text("méthode", "method"),
    "purpose": Text("finalité", "purpose"),
    "agreement": Text("convention", "agreement"),
    "issue": Text("dossier", "dossier"),
    "user": Text("utilisateur", "user"),
    "outcome": Text("issue", "outcome"),
    "reason": Text("motif", "reason"),
    "log": Text("journal", "log"),
    "index": Text("feuille", "leaf"),
    "duration_ms": Text("durée (ms)", "duration (ms)"),
}
_CODES: Final = {int(code): code.name for code in Code if code is not Code.OK}
ROLES: Final = {
    "consumer": Text("consommateur", "consumer"),
    "provider": Text("fournisseur", "provider"),
}
OUTCOMES: Final = {
    "granted": Text("accordé", "granted"),
    "refused": Text("refusé", "refused"),
    "error": Text("erreur", "error"),
    "open": Text("sans réponse", "no answer"),
    "in_doubt": Text("en doute", "in doubt"),
    "cancelled": Text("annulé", "cancelled"),
    "invalid": Text("réponse non valable", "invalid answer"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which exchanges to list; absent values match all. Times are UTC milliseconds, ``until`` excluded."""

    exchange: str | None = None
    issue: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def matches(self, row: dict[str, Any]) -> bool:
        """Whether a row of the log is asked for."""
        begun = row.get("begun_ms") or row.get("ended_ms") or 0
        return (
            (self.exchange is None or row["exchange"] == self.exchange)
            and (self.issue is None or row.get("issue") == self.issue)
            and (self.since_ms is None or begun >= self.since_ms)
            and (self.until_ms is None or begun < self.until_ms)
        )

    def in_words(self) -> Text:
        """The filter, for the foot of the list."""
        fr, en = [], []
        if self.exchange is not None:
            fr.append(f"échange {self.exchange}")
            en.append(f"exchange {self.exchange}")
        if self.issue is not None:
            fr.append(f"dossier {self.issue}")
            en.append(f"dossier {self.issue}")
        if self.since_ms is not None:
            fr.append(f"depuis le {_local(self.since_ms)}")
            en.append(f"since {_local(self.since_ms)}")
        if self.until_ms is not None:
            fr.append(f"avant le {_local(self.until_ms)}")
            en.append(f"before {_local(self.until_ms)}")
        return Text(", ".join(fr) or "tous les échanges", ", ".join(en) or "all exchanges")


@dataclass(frozen=True, slots=True)
class CoveredLog:
    """A log that was read for a list.

    Attributes:
        log: Its id.
        size: Leaves that were read.
        head_size: Size of the newest signed head; 0 without one.
        head: Its digest root.
    """

    log: str
    size: int
    head_size: int
    head: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows, oldest first, and the logs that they come from."""

    rows: list[dict[str, Any]]
    logs: list[CoveredLog]


def list_exchanges(gateway: Path, wanted: Wanted, language: Language) -> Listing:
    """Read every log below ``gateway``; raises ``ExchangeError``."""
    labels = _purposes(gateway, language)
    rows: list[dict[str, Any]] = []
    logs = []
    for worker, directory in log_directories(gateway):
        reader = LogReader(directory)
        found = rows_of(reader.follow())
        rows += [_row(one, reader.log_id, labels) for one in found.values() if wanted.matches(one)]
        logs.append(
            _covered(reader, gateway / "state" / ("head.json" if worker == 0 else f"head-{worker}.json"))
        )
    rows.sort(key=lambda row: (str(row["begun_ms"]), row["exchange"]))
    return Listing(rows, logs)


def _row(found: dict[str, Any], log: str, labels: dict[str, str]) -> dict[str, Any]:
    begun, ended, purpose = found.get("begun_ms"), found.get("ended_ms"), found.get("purpose")
    agreement = found.get("agreement")
    return {
        "time": _local(begun or ended or 0),
        "begun_ms": begun or ended or 0,
        "exchange": found["exchange"],
        "role": found.get("role"),
        "client": found.get("client"),
        "service": found.get("service"),
        "method": found.get("method"),
        "purpose": f"{purpose} {labels.get(purpose, '')}".strip() if purpose else None,
        "agreement": f"{agreement}/{found.get('agreement_version')}" if agreement else None,
        "issue": found.get("issue"),
        "user": found.get("user"),
        "outcome": found.get("outcome"),
        # What the provider answered has its canonical code; only a refusal of the layer has one of our reasons.
        "reason": found.get("reason") or _CODES.get(found.get("status") or 0),
        "log": log,
        "index": found.get("said") if found.get("role") == "consumer" else found.get("heard"),
        "duration_ms": ended - begun if begun and ended else None,
    }


def shortened(row: dict[str, Any], language: Language) -> dict[str, Any]:
    """A row for a table: words for codes, and long names by their telling end."""
    method = str(row["method"] or "")
    return row | {
        "role": ROLES[row["role"]].in_(language) if row["role"] in ROLES else row["role"],
        "method": method.rpartition(".")[2],
        "outcome": OUTCOMES[row["outcome"]].in_(language),
        "log": f"{row['log'][:12]}…",
    }


def _covered(reader: LogReader, head_file: Path) -> CoveredLog:
    for jws in (read_head_file(head_file), reader.last_head):
        try:
            head = parse_head(jws).unverified if jws else None
        except MalformedError:
            continue
        if head is not None and head.log == reader.log_id:
            return CoveredLog(reader.log_id, reader.size, head.size, head.root)
    return CoveredLog(reader.log_id, reader.size, 0, "")


def _purposes(gateway: Path, language: Language) -> dict[str, str]:
    for version in PublishedConfigurations(gateway / "configuration").newest_first():
        if version.common is not None:
            return {
                one.code: Text(one.label.fr, one.label.en).in_(language) for one in version.common.purposes
            }
    return {}


def _local(at_ms: int) -> str:
    """Local time with its offset: an auditor reads it beside other files of the case."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def foot(listing: Listing, wanted: Wanted, language: Language, made_at_ms: int) -> Iterator[str]:
    """The lines below a table: what was asked, how many rows, which logs, when."""
    count = len(listing.rows)
    granted = sum(row["outcome"] == "granted" for row in listing.rows)
    refused = sum(row["outcome"] == "refused" for row in listing.rows)
    words = wanted.in_words().in_(language)
    if language == "fr":
        yield f"{count} échange(s) ({granted} accordé(s), {refused} refusé(s)) · {words}"
    else:
        yield f"{count} exchange(s) ({granted} granted, {refused} refused) · {words}"
    for one in listing.logs:
        covered = f"{one.log[:16]}… · {one.size}"
        if language == "fr":
            yield f"journal {covered} feuilles, aucune lacune · tête signée : {one.head_size} {one.head[:16]}"
        else:
            yield f"log {covered} leaves, no gap · signed head: {one.head_size} {one.head[:16]}"
    yield f"{'établi le' if language == 'fr' else 'made at'} {_local(made_at_ms)}"
