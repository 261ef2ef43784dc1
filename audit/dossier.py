"""``passerelle audit dossier``: what the logs of all members tell of one dossier, woven into one list.

A request has one leaf hash, which both members' logs name; by it, and by nothing that either may choose, a consumer's
row and a provider's are one line. The list finds and compares; it proves nothing: that is ``export``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from audit.exchanges import Exchanges, Found, ReadLog, Wanted
from audit.listing import OUTCOMES, covered, in_words
from core.language import Language, Text
from core.reasons import ExchangeError, Reason
from ledger.places import GIVE_LOG, log_places
from ledger.rows import reason_of
from rpc.figures import counted, local_time

Standing = Literal[
    "both",  # both members' logs tell of it
    "at_home",  # it never left the consumer's gateway
    "not_arrived",  # the consumer's gateway sent it, or tried to; the provider's log has nothing of it
    "provider_not_read",  # the provider's log is not among those that were read
    "consumer_not_read",
    "copy_too_old",  # the other member's log ends before this was asked
    "missing_at_provider",  # the consumer holds an answer that the provider's log does not know
    "missing_at_consumer",  # the provider heard what the consumer's log does not hold
    "contradiction",  # both tell of an answer, and not of the same
]
CONTRADICTIONS: Final = frozenset({"missing_at_provider", "missing_at_consumer", "contradiction"})

# How it ended by the provider's own word, if the consumer holds that word.
_ANSWERED: Final = frozenset({"granted", "refused", "error"})
# A directory of members' directories holds gateways this deep: members/<member>/<gateway>.
_DEEPEST: Final = 3

COLUMNS: Final = {
    "time": Text("heure", "time"),
    "client": Text("consommateur", "consumer"),
    "service": Text("fournisseur", "provider"),
    "method": Text("méthode", "method"),
    "purpose": Text("finalité", "purpose"),
    "issue": Text("dossier", "dossier"),
    "agreement": Text("convention", "agreement"),
    "outcome": Text("issue", "outcome"),
    "reason": Text("motif", "reason"),
    "standing": Text("journaux", "logs"),
    "consumer_log": Text("journal du consommateur", "consumer's log"),
    "consumer_index": Text("feuille", "leaf"),
    "consumer_outcome": Text("selon le consommateur", "by the consumer"),
    "provider_log": Text("journal du fournisseur", "provider's log"),
    "provider_index": Text("feuille", "leaf"),
    "provider_outcome": Text("selon le fournisseur", "by the provider"),
    "exchange": Text("échange", "exchange"),
}
TABLE_COLUMNS: Final = {
    name: COLUMNS[name]
    for name in ("time", "client", "service", "method", "purpose", "issue", "outcome", "standing", "exchange")
}

_STANDING: Final[dict[str, Text]] = {
    "both": Text("les deux", "both"),
    "at_home": Text("resté sur place", "stayed at home"),
    "not_arrived": Text("jamais arrivé", "never arrived"),
    "provider_not_read": Text("consommateur seul ; fournisseur non lu", "consumer only; provider not read"),
    "consumer_not_read": Text("fournisseur seul ; consommateur non lu", "provider only; consumer not read"),
    "copy_too_old": Text("l'autre copie est plus ancienne", "the other copy is older"),
    "missing_at_provider": Text("ABSENT CHEZ LE FOURNISSEUR", "ABSENT AT THE PROVIDER"),
    "missing_at_consumer": Text("ABSENT CHEZ LE CONSOMMATEUR", "ABSENT AT THE CONSUMER"),
    "contradiction": Text("SE CONTREDISENT", "THEY CONTRADICT EACH OTHER"),
}
# Requests bear the consumer's reference; what a ministry calls the dossier stands in answers, which logs do not tell.
_NO_REQUEST: Final = Text(
    "aucune demande ne porte cette référence ; d'un numéro de ministère, `adapter dossier show` y dit celle du portail",
    "no request bears this reference; of a number that a ministry gave, `adapter dossier show` there tells the portal's",
)


@dataclass(frozen=True, slots=True)
class Strand:
    """One request as its two members tell it; at least one of them does."""

    consumer: Found | None
    provider: Found | None

    @property
    def told(self) -> Found:
        """By whom the line is told: who asked, if his log is here."""
        found = self.consumer or self.provider
        if found is None:
            raise ValueError("nobody tells of it")
        return found

    def standing(self, read_until: Mapping[str, int]) -> Standing:
        """How the logs agree; ``read_until`` tells of each log that was read whole the last time in it."""
        if self.consumer is not None and self.provider is not None:
            return self._agreement(self.consumer, self.provider, read_until)
        if self.told.stays_here:
            return "at_home"
        other_until = read_until.get(self.told.peer or "")
        if other_until is None:
            return "consumer_not_read" if self.consumer is None else "provider_not_read"
        if other_until < self.told.time_ms:
            return "copy_too_old"
        if self.consumer is None:
            return "missing_at_consumer"
        is_answered = self.consumer.is_answered and self.consumer.outcome in _ANSWERED
        return "missing_at_provider" if is_answered else "not_arrived"

    @staticmethod
    def _agreement(consumer: Found, provider: Found, read_until: Mapping[str, int]) -> Standing:
        """Of a request that both logs hold: whether they tell the same end of it."""
        if consumer.outcome not in _ANSWERED or consumer.outcome == provider.outcome:
            return "both"
        if provider.outcome in _ANSWERED:
            return "contradiction"
        # The consumer holds the provider's signed answer; the provider's log has the question, and no answer.
        until = read_until.get(consumer.peer or "")
        if provider.outcome != "open" or until is None:
            return "both"
        return "copy_too_old" if until <= (consumer.ended_ms or 0) else "missing_at_provider"


class Dossier:
    """What the logs of some gateways tell of some dossier references.

    Attributes:
        contradictions: Lines on which the logs cannot both be right, as far as ``rows`` has come.
        lines: Lines so far.
    """

    def __init__(self, gateways: Iterable[Path], references: Sequence[str]) -> None:
        """Read every log below ``gateways``."""
        self.wanted = Wanted(issues=tuple(references))
        self.contradictions = 0
        self.lines = 0
        self._exchanges = Exchanges()
        for gateway in gateways:
            for place in log_places(gateway):
                self._exchanges.read(place, self.wanted)

    def close(self) -> None:
        """Forget the rows."""
        self._exchanges.close()

    @property
    def logs(self) -> list[ReadLog]:
        """The logs that were read."""
        return self._exchanges.logs

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows with the keys of ``COLUMNS``, in the order in which the requests were made; all as codes."""
        # Of a log with a gap, nobody can say that something is missing in it.
        whole = {one.log: one.last_ms for one in self.logs if not one.gap}
        for found in self._exchanges.by_request(self.wanted):
            sides = {one.role: one for one in found}
            strand = Strand(sides.get("consumer"), sides.get("provider"))
            standing = strand.standing(whole)
            self.lines += 1
            self.contradictions += standing in CONTRADICTIONS
            yield self._row(strand, standing)

    def _row(self, strand: Strand, standing: Standing) -> dict[str, Any]:
        told = strand.told
        mark = told.agreement
        return {
            "time": local_time(told.time_ms),
            "client": told.client,
            "service": told.service,
            "method": told.method,
            "purpose": told.purpose,
            "issue": told.issue,
            "agreement": None if mark is None else f"{mark.id}/{mark.version}",
            "outcome": told.outcome,
            "reason": reason_of(told.reason, told.status),
            "standing": standing,
            **self._side("consumer", strand.consumer),
            **self._side("provider", strand.provider),
            "exchange": told.exchange,
        }

    def _side(self, role: str, found: Found | None) -> dict[str, Any]:
        return {
            f"{role}_log": self.logs[found.log].log if found else None,
            f"{role}_index": (found.said if role == "consumer" else found.heard) if found else None,
            f"{role}_outcome": found.outcome if found else None,
        }


def gateways_below(directory: Path) -> list[Path]:
    """``directory``, if it is a gateway's or a copy; else the gateways below it.

    Raises:
        ExchangeError: ``NOT_FOUND``: neither it nor a directory below it has a log.
    """
    if _has_log(directory):
        return [directory]
    below = [one for depth in range(1, _DEEPEST + 1) for one in directory.glob("/".join("*" * depth))]
    found = sorted(one for one in below if one.is_dir() and (one / "log").is_dir() and _has_log(one))
    if not found:
        raise ExchangeError(Reason.NOT_FOUND, f"no log below {directory}", remedy=GIVE_LOG)
    return found


def _has_log(directory: Path) -> bool:
    try:
        return bool(log_places(directory))
    except ExchangeError:
        return False


def shortened(row: dict[str, Any], language: Language) -> dict[str, Any]:
    """A row for ``TABLE_COLUMNS``: words for codes, the reason beside the outcome, long names by their telling end."""
    outcome = OUTCOMES.get(row["outcome"], Text(row["outcome"], row["outcome"])).in_(language)
    if row["reason"]:
        outcome = f"{outcome} ({row['reason']})"
    by_provider = row["provider_outcome"]
    if row["consumer_outcome"] and by_provider and by_provider != row["outcome"]:
        told = OUTCOMES.get(by_provider, Text(by_provider, by_provider))
        outcome += Text(f" · fournisseur : {told.fr}", f" · provider: {told.en}").in_(language)
    return row | {
        "client": _beside_class(row["client"]),
        "service": _beside_class(row["service"]),
        "method": (row["method"] or "").rpartition(".")[2],
        "outcome": outcome,
        "standing": _STANDING[row["standing"]].in_(language),
    }


def _beside_class(subsystem: str | None) -> str | None:
    """``PNS/PORTAIL`` of ``BJ/GOV/PNS/PORTAIL``."""
    return "/".join(subsystem.split("/")[-2:]) if subsystem else subsystem


def foot(dossier: Dossier, language: Language, made_at_ms: int, made_by: str) -> Iterator[str]:
    """The lines below a table: how many, whether the logs agree, which were read, who made it, and when."""
    total = counted(dossier.lines, Text("échange", "exchange"), Text("échanges", "exchanges"))
    against = counted(
        dossier.contradictions,
        Text("contradiction", "contradiction"),
        Text("contradictions", "contradictions"),
    )
    agree = Text("les journaux concordent", "the logs agree") if not dossier.contradictions else against
    if not dossier.lines:
        agree = _NO_REQUEST
    yield " · ".join(one.in_(language) for one in (total, in_words(dossier.wanted), agree))
    for one in dossier.logs:
        yield covered(one, language)
    made = local_time(made_at_ms)
    yield Text(f"établi le {made} par {made_by}", f"made at {made} by {made_by}").in_(language)
