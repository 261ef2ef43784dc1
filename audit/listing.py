"""``passerelle audit list``: the exchanges of a gateway's logs as an auditor must see them (USERS section 4).

Read from the gateway's directory or a copy of it alone. The list finds; it proves nothing: that is ``export``'s. Every
cell is what the log, or the configuration that a statement names, says; what neither says is ``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from audit.configurations import Configurations, Version
from audit.exchanges import Exchanges, Found, MissingKey, ReadLog, Wanted
from audit.subjects import Subject
from core.agreements import Agreement
from core.jws import DocumentKind, parse_document
from core.language import Language, Text
from core.leaves import Succession
from core.reasons import MalformedError
from core.registrations import Registration, parse_registration
from core.succession import Gap
from ledger.places import log_places
from ledger.rows import COUNTS, HANDED, reason_of
from rpc.figures import counted, local_time, plural

COLUMNS: Final = {
    "time": Text("heure", "time"),
    "exchange": Text("échange", "exchange"),
    "role": Text("côté", "side"),
    "client": Text("consommateur", "consumer"),
    "client_name": Text("nom du consommateur", "consumer's name"),
    "represented": Text("pour le compte de", "on behalf of"),
    "service": Text("fournisseur", "provider"),
    "service_name": Text("nom du fournisseur", "provider's name"),
    "method": Text("méthode", "method"),
    "purpose": Text("finalité", "purpose"),
    "purpose_label": Text("libellé", "label"),
    "agreement": Text("convention", "agreement"),
    "apdp": Text("décision APDP", "APDP decision"),
    "agreement_state": Text("état alors", "state then"),
    "issue": Text("dossier", "dossier"),
    "user": Text("utilisateur", "user"),
    "user_basis": Text("identité", "identity"),
    "door": Text("porte", "door"),
    "subjects": Text("personnes", "persons"),
    "subject_count": Text("nombre de personnes", "number of persons"),
    "subjects_complete": Text("toutes nommées", "all named"),
    "subject_match": Text("personne cherchée", "person looked for"),
    "outcome": Text("issue", "outcome"),
    "reason": Text("motif", "reason"),
    "asked_messages": Text("messages demandés", "messages asked"),
    "asked_bytes": Text("octets demandés", "bytes asked"),
    "asked_segments": Text("segments demandés", "segments asked"),
    "asked_handed": Text("segments remis à l'adaptateur", "segments handed to the adapter"),
    "asked_uncertain": Text("remise incertaine à l'adaptateur", "handing to the adapter uncertain"),
    "answered_messages": Text("messages répondus", "messages answered"),
    "answered_bytes": Text("octets répondus", "bytes answered"),
    "answered_segments": Text("segments répondus", "segments answered"),
    "answered_handed": Text("segments remis au programme", "segments handed to the program"),
    "answered_uncertain": Text("remise incertaine au programme", "handing to the program uncertain"),
    "records": Text("enregistrements", "records"),
    "sensitivity": Text("classe", "class"),
    "fields_granted": Text("champs accordés", "fields granted"),
    "fields_cut": Text("champs retirés", "fields cut"),
    "body": Text("contenu", "body"),
    "destroyed_on": Text("détruit le", "destroyed on"),
    "proof": Text("preuve", "proof"),
    "log": Text("journal", "log"),
    "index": Text("feuille", "leaf"),
    "duration_ms": Text("durée (ms)", "duration (ms)"),
}
# What tables show in the cell of what it is about.
_BESIDE: Final = {
    "client": "client_name",
    "service": "service_name",
    "purpose": "purpose_label",
    "user": "user_basis",
    "fields_cut": "fields_granted",
    "body": "destroyed_on",
}
# What tables gather in one cell: of a call, how many messages; of a stream, also how far it came.
_GATHERED: Final = (
    *(
        f"{way}_{what}"
        for way in ("asked", "answered")
        for what in ("bytes", "segments", "handed", "uncertain")
    ),
    "subject_count",
    "subjects_complete",
    "subject_match",
)
TABLE_COLUMNS: Final = {
    name: words for name, words in COLUMNS.items() if name not in (*_BESIDE.values(), *_GATHERED)
}
_SHOWN_SUBJECTS: Final = 2
UNKNOWN: Final = "unknown"
NONE: Final = "none"
ALL: Final = "all"

_UNKNOWN: Final = {UNKNOWN: Text("inconnu", "unknown")}
# How it ended, in words.
OUTCOMES: Final = {
    "granted": Text("accordé", "granted"),
    "refused": Text("refusé", "refused"),
    "error": Text("erreur", "error"),
    "open": Text("sans réponse", "no answer"),
    "in_doubt": Text("en doute", "in doubt"),
    "cancelled": Text("annulé", "cancelled"),
    "invalid": Text("réponse non valable", "invalid answer"),
    "not_taken": Text("jamais prise", "never taken"),
    "taken": Text("prise, réponse perdue", "taken, answer lost"),
    "lost": Text("sans trace chez le pair", "no trace at the peer"),
}
# How tables say the codes of each column; JSON and CSV keep the codes.
_WORDS: Final = {
    "client_name": _UNKNOWN,
    "service_name": _UNKNOWN,
    "purpose_label": _UNKNOWN,
    "apdp": {UNKNOWN: Text("inconnue", "unknown"), NONE: Text("aucune", "none")},
    "fields_granted": _UNKNOWN | {ALL: Text("tous accordés", "all granted")},
    "records": _UNKNOWN,
    "sensitivity": {UNKNOWN: Text("inconnue", "unknown")},
    "duration_ms": {UNKNOWN: Text("inconnue", "unknown")},
    "role": {
        "consumer": Text("consommateur", "consumer"),
        "provider": Text("fournisseur", "provider"),
    },
    "agreement_state": _UNKNOWN
    | {
        "active": Text("en vigueur", "in force"),
        "suspended": Text("suspendue", "suspended"),
        "revoked": Text("révoquée", "revoked"),
        "superseded": Text("remplacée", "superseded"),
        "not_listed": Text("absente", "not listed"),
    },
    "user_basis": {
        "claimed": Text("déclaré", "claimed"),
        "verified": Text("vérifié", "verified"),
    },
    "outcome": OUTCOMES,
    "body": _UNKNOWN
    | {
        NONE: Text("aucun", "none"),
        "kept": Text("conservé", "kept"),
        "destroyed": Text("détruit", "destroyed"),
        "partly_destroyed": Text("détruit en partie", "destroyed in part"),
    },
    "destroyed_on": {UNKNOWN: Text("date inconnue", "date unknown")},
    "proof": {
        "both_logs": Text("deux journaux", "both logs"),
        "question_in_both_logs": Text("demande dans deux journaux", "question in both logs"),
        "own_log": Text("ce journal seul", "this log alone"),
        "receipt_awaited": Text("accusé attendu", "receipt awaited"),
        "receipt_missing": Text("accusé manquant", "receipt missing"),
        "late": Text("réponse tardive", "late answer"),
        "unsigned": Text("pas encore signé", "not signed yet"),
        "gap": Text("début absent", "begin missing"),
    },
}
_COUNTED: Final = {
    "granted": (Text("accordé", "granted"), Text("accordés", "granted")),
    "refused": (Text("refusé", "refused"), Text("refusés", "refused")),
    "error": (Text("erreur", "error"), Text("erreurs", "errors")),
    "open": (Text("sans réponse", "without answer"),) * 2,
    "in_doubt": (Text("en doute", "in doubt"),) * 2,
    "cancelled": (Text("annulé", "cancelled"), Text("annulés", "cancelled")),
    "invalid": (
        Text("réponse non valable", "invalid answer"),
        Text("réponses non valables", "invalid answers"),
    ),
    "not_taken": (Text("jamais prise", "never taken"), Text("jamais prises", "never taken")),
    "taken": (
        Text("prise, réponse perdue", "taken, answer lost"),
        Text("prises, réponse perdue", "taken, answer lost"),
    ),
    "lost": (Text("sans trace chez le pair", "without a trace at the peer"),) * 2,
}


class Listing:
    """What was read: rows as they are asked for, and what they cover."""

    def __init__(self, gateway: Path, wanted: Wanted) -> None:
        """Read every log below ``gateway``; raises ``ExchangeError`` if there is none."""
        self.wanted = wanted
        self.exchanges = Exchanges()
        self._configurations = Configurations(gateway / "configuration")
        for place in log_places(gateway):
            self.exchanges.read(place, wanted)

    def close(self) -> None:
        """Forget the rows."""
        self.exchanges.close()

    @property
    def logs(self) -> list[ReadLog]:
        """The logs that were read."""
        return self.exchanges.logs

    def rows(self, language: Language) -> Iterator[dict[str, Any]]:
        """Rows with the keys of ``COLUMNS``, oldest first; names and labels in ``language``, all else as codes."""
        for found in self.exchanges.rows(self.wanted):
            yield _row(found, self.logs[found.log], self._configurations, language)

    def missing_keys(self) -> list[MissingKey]:
        """Keys under which the person that is wanted could not be looked for; none if nobody is."""
        return self.exchanges.missing_keys(self.wanted)

    def logs_not_read(self) -> list[str]:
        """Logs that the same gateway registered, by the newest configuration here, and that are not among these."""
        read = {one.log for one in self.logs}
        registered: set[str] = set()
        for member in self._configurations.newest_members():
            for entry in member.registrations:
                registration = _registration(entry.jws)
                logs = registration.all_logs if registration else set()
                if logs & read:
                    registered |= logs
        return sorted(registered - read)


def shortened(row: dict[str, Any], language: Language) -> dict[str, Any]:
    """A row for ``TABLE_COLUMNS``: words for codes, names beside what they name, long names by their telling end."""

    def told(column: str, value: object) -> object:
        if isinstance(value, list):
            return [told(column, one) for one in value]
        text = _WORDS.get(column, {}).get(str(value))
        return text.in_(language) if text else value

    words = {column: told(column, value) for column, value in row.items()}
    words |= {f"{way}_messages": _told_way(row, way).in_(language) for way in ("asked", "answered")}
    words["subjects"] = _told_subjects(row).in_(language)
    method = str(row["method"] or "").rpartition(".")[2]
    beside = {
        column: f"{words[column]} ({words[other]})"
        for column, other in _BESIDE.items()
        if row[column] and row[other] is not None
    }
    return words | beside | {"method": method, "log": f"{row['log'][:12]}…"}


def _told_subjects(row: dict[str, Any]) -> Text:
    """How many persons it is about, how some pseudonyms begin, whether the one looked for is only possibly among them."""
    if row["subjects"] is None:
        return Text("", "")
    count, names = row["subject_count"], [f"{one[:12]}…" for one in row["subjects"][:_SHOWN_SUBJECTS]]
    known = ", ".join(names + (["…"] if len(row["subjects"]) > len(names) else []))
    known = f" ({known})" if known else ""
    least = ("au moins ", "at least ") if not row["subjects_complete"] else ("", "")
    perhaps = (" ; possible", "; possible") if row["subject_match"] == "possible" else ("", "")
    return Text(f"{least[0]}{count}{known}{perhaps[0]}", f"{least[1]}{count}{known}{perhaps[1]}")


def _told_way(row: dict[str, Any], way: str) -> Text:
    """How many messages went one way; of a stream, how many segments of how many were handed on."""
    messages, segments, handed = (row[f"{way}_{what}"] for what in ("messages", "segments", "handed"))
    if max(row["asked_segments"], row["answered_segments"]) <= 1:
        return Text(f"{messages}", f"{messages}")
    if row[f"{way}_uncertain"]:
        least = Text(f"au moins {handed}", f"at least {handed}")
        known = least if handed else Text("nul ne sait combien", "nobody knows how many")
    else:
        known = Text("?", "?") if handed is None else Text(f"{handed}", f"{handed}")
    return Text(
        f"{messages} (remis : {known.fr} sur {plural(segments, 'segment').fr})",
        f"{messages} (handed on: {known.en} of {plural(segments, 'segment').en})",
    )


def foot(listing: Listing, language: Language, made_at_ms: int, made_by: str, anchor: str) -> Iterator[str]:
    """The lines below a table: what was asked, how many rows, which logs, what is missing, who made it, and when."""
    outcomes = listing.exchanges.outcomes(listing.wanted)
    ended = [
        counted(outcomes[one], *words).in_(language) for one, words in _COUNTED.items() if one in outcomes
    ]
    period = listing.exchanges.period_ms(listing.wanted)
    total = counted(sum(outcomes.values()), Text("échange", "exchange"), Text("échanges", "exchanges")).in_(
        language
    )
    summary = total + (f" ({', '.join(ended)})" if ended else "")
    asked = [
        summary,
        in_words(listing.wanted).in_(language),
        *([_period(*period, language)] if period else []),
    ]
    yield " · ".join(asked)
    read = {one.log for one in listing.logs}
    for one in listing.logs:
        yield covered(one, language)
        if one.succeeds is not None:
            yield _succession(one.succeeds, one.declared, is_here=one.succeeds.log in read).in_(language)
    for log in listing.logs_not_read():
        yield Text(f"journal non lu : {log[:16]}…", f"log not read: {log[:16]}…").in_(language)
    for key in listing.missing_keys():
        yield Text(
            f"{key.told.fr} : les échanges notés sous elle n'ont pas pu être cherchés",
            f"{key.told.en}: exchanges noted under it could not be looked for",
        ).in_(language)
    made = local_time(made_at_ms)
    yield Text(f"établi le {made} par {made_by}", f"made at {made} by {made_by}").in_(language)
    yield Text(f"ancre de ce répertoire : {anchor}", f"anchor of this directory: {anchor}").in_(language)


def in_words(wanted: Wanted) -> Text:
    """The filter, for the foot of the list."""
    parts = []
    if wanted.exchange is not None:
        parts.append(Text(f"échange {wanted.exchange}", f"exchange {wanted.exchange}"))
    if wanted.issues:
        named = ", ".join(wanted.issues)
        parts.append(Text(f"dossier {named}", f"dossier {named}"))
    if wanted.reference is not None:
        parts.append(Text(f"référence {wanted.reference}", f"reference {wanted.reference}"))
    if wanted.subject is not None:
        parts.append(_person(wanted.subject))
    if wanted.since_ms is not None:
        since = local_time(wanted.since_ms)
        parts.append(Text(f"depuis le {since}", f"since {since}"))
    if wanted.until_ms is not None:
        until = local_time(wanted.until_ms)
        parts.append(Text(f"avant le {until}", f"before {until}"))
    parts = parts or [Text("tous les échanges", "all exchanges")]
    return Text(", ".join(one.fr for one in parts), ", ".join(one.en for one in parts))


def _person(subject: Subject) -> Text:
    """Neither a number nor a pseudonym: the list may be printed and filed."""
    first, last = subject.keys[0][0], subject.keys[-1][0]
    years = f"{first}" if first == last else f"{first}–{last}"
    numbers = counted(subject.numbers, Text("numéro", "number"), Text("numéros", "numbers"))
    return Text(
        f"une personne ({numbers.fr}, clés {years}) et ceux qui peuvent la concerner",
        f"one person ({numbers.en}, keys {years}) and those that may concern her",
    )


# --- one row ---


def _row(found: Found, log: ReadLog, configurations: Configurations, language: Language) -> dict[str, Any]:
    version = configurations.named(found.configuration) if found.configuration else None
    answer = found.response
    return {
        "time": local_time(found.time_ms),
        "exchange": found.exchange,
        "role": found.role,
        "client": found.client,
        "client_name": _member_name(version, found.client, language),
        "represented": found.represented,
        "service": found.service,
        "service_name": _member_name(version, found.service, language),
        "method": found.method,
        "purpose": found.purpose,
        "purpose_label": _purpose_label(version, found.purpose, language),
        **_agreement(found, version, configurations),
        "issue": found.issue,
        "user": found.user,
        "user_basis": found.user_basis,
        "door": found.door,
        "subjects": found.subjects if found.is_noted else None,
        "subject_count": found.subject_count if found.is_noted else None,
        "subjects_complete": found.subjects_complete if found.is_noted else None,
        "subject_match": found.match,
        "outcome": found.outcome,
        "reason": reason_of(found.reason, found.status),
        **{name: getattr(found, name) for name in (*COUNTS, *HANDED)},
        **{f"{way}_uncertain": _is_uncertain(found, way) for way in ("asked", "answered")},
        "records": None if answer is None else UNKNOWN if answer.records is None else answer.records,
        "sensitivity": None if answer is None else answer.sensitivity or UNKNOWN,
        "fields_cut": None if answer is None else answer.fields_cut,
        "body": _body(found),
        "destroyed_on": _destroyed_on(found),
        "proof": found.proofs(log),
        "log": log.log,
        "index": found.said if found.role == "consumer" else found.heard,
        "duration_ms": _duration_ms(found),
    }


def _is_uncertain(found: Found, way: str) -> bool:
    """Whether nobody knows how much of what is here was handed on: what was handed on whole leaves nothing open."""
    handed, segments = getattr(found, f"{way}_handed"), getattr(found, f"{way}_segments")
    return bool(getattr(found, f"{way}_uncertain")) and (handed or 0) < segments


def _agreement(
    found: Found, version: Version | None, configurations: Configurations
) -> dict[str, str | None]:
    mark, provider = found.agreement, _member_of(found.service)
    if mark is None:
        return {"agreement": None, "apdp": None, "agreement_state": None, "fields_granted": None}
    terms = configurations.terms(mark, provider)
    state = version.agreement_state(mark, provider) if version else None
    return {
        "agreement": f"{mark.id}/{mark.version}",
        "apdp": UNKNOWN if terms is None else terms.apdp_decision or NONE,
        "agreement_state": state or UNKNOWN,
        "fields_granted": UNKNOWN if terms is None else _granted(terms, found.method),
    }


def _granted(terms: Agreement, method: str | None) -> str:
    """The fields of a method's answers that an agreement grants."""
    return ", ".join((terms.field_mask or {}).get((method or "").partition("/")[2], ())) or ALL


def _member_name(version: Version | None, subsystem: str | None, language: Language) -> str | None:
    if subsystem is None:
        return None
    name = version.member_name(_member_of(subsystem)) if version else None
    return name.in_(language) if name else UNKNOWN


def _purpose_label(version: Version | None, purpose: str | None, language: Language) -> str | None:
    if purpose is None:
        return None
    label = version.purposes.get(purpose) if version else None
    return label.in_(language) if label else UNKNOWN


def _body(found: Found) -> str:
    states: set[str] = {*found.bodies}
    if len(states) <= 1:
        return states.pop() if states else NONE
    if UNKNOWN in states:
        return UNKNOWN
    return "partly_destroyed" if "destroyed" in states else "kept"


def _destroyed_on(found: Found) -> str | None:
    if "destroyed" not in found.bodies:
        return None
    return UNKNOWN if found.destroyed_ms is None else local_time(found.destroyed_ms)


def _duration_ms(found: Found) -> int | str | None:
    """From the question to its end, as both statements declare their times; clocks that disagree tell nothing."""
    if found.stays_here and found.ended_ms == found.begun_ms:
        return None
    if found.begun_ms is None or found.ended_ms is None:
        return None
    return found.ended_ms - found.begun_ms if found.ended_ms >= found.begun_ms else UNKNOWN


def _member_of(subsystem: str | None) -> str:
    return (subsystem or "").rpartition("/")[0]


# --- the foot ---


def covered(read: ReadLog, language: Language) -> str:
    """How far one log was read, and whether anything of it is missing."""
    gap = Text(f"lacune : {read.gap}", f"gap: {read.gap}") if read.gap else Text("aucune lacune", "no gap")
    head = f"{read.head.size} {read.head.root[:16]}…" if read.head else None
    signed = (
        Text(f"tête signée : {head}", f"signed head: {head}")
        if head
        else Text("aucune tête signée", "no signed head")
    )
    period = _period(read.first_ms, read.last_ms, language)
    leaves = counted(read.size, Text("feuille", "leaf"), Text("feuilles", "leaves"))
    begin = Text(f"journal {read.log[:16]}… · {leaves.fr}", f"log {read.log[:16]}… · {leaves.en}")
    return f"{begin.in_(language)}, {period}, {gap.in_(language)} · {signed.in_(language)}"


def _succession(before: Succession, gap: Gap | None, *, is_here: bool) -> Text:
    """From which log it goes on, and what its gateway declares to be missing between the two."""
    here = Text("", "") if is_here else Text(", qui n'est pas ici", ", which is not here")
    if gap is not None and gap.is_empty:
        missing = Text("sans lacune", "without a gap")
    elif gap is not None and gap.end > gap.begin:
        count, last = gap.end - gap.begin, gap.end - 1
        missing = Text(
            f"lacune déclarée : feuilles {gap.begin} à {last} ({count}), que des pairs peuvent montrer",
            f"gap declared: leaves {gap.begin} to {last} ({count}), which peers may show",
        )
    else:
        missing = Text("lacune déclarée, d'étendue inconnue", "gap declared, its extent unknown")
    return Text(
        f"succède au journal {before.log[:16]}…{here.fr} ({before.reason}) · {missing.fr}",
        f"succeeds log {before.log[:16]}…{here.en} ({before.reason}) · {missing.en}",
    )


def _period(first_ms: int, last_ms: int, language: Language) -> str:
    first, last = local_time(first_ms), local_time(last_ms)
    return Text(f"du {first} au {last}", f"from {first} to {last}").in_(language)


def _registration(jws: str) -> Registration | None:
    try:
        return parse_registration(parse_document(DocumentKind.REGISTRATION, jws).unverified_payload)
    except MalformedError:
        return None
