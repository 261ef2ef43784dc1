"""Step 7 of a verification: the agreement is signed by both member keys that it names, and covers the call.

It covers a statement by its parties, methods, purposes, dossier and represented parties, at the oldest time that is known
of it, and an answer that says to be cut to its mask. What it does not cover may only have been refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from audit.case import Case, Leaf, Registered, StepError, verified_document
from core.agreements import Agreement, parse_agreement
from core.documents import digest
from core.evidence import CONSUMER_AGREEMENT, PROVIDER_AGREEMENT
from core.jws import DocumentKind
from core.language import Text
from core.masks import objection_to_cut
from core.times import parse_time_ms

_NO_AGREEMENT: Final = Text(
    "aucune convention ne nomme la clé du membre : elle est celle que publie le registre",
    "no agreement names the member's key: it is the one that the registry publishes",
)
_NOT_COVERED: Final = Text(
    "refusée : la convention ne couvre pas l'appel", "refused: the agreement does not cover the call"
)
_CUT_OTHERWISE: Final = Text(
    "réponse refusée : elle n'est pas réduite aux champs que la convention accorde",
    "answer refused: it is not cut to the fields that the agreement grants",
)

_Side = Literal["consumer", "provider"]
# Those of both sides, for each attempt at another worker or gateway; far more than any exchange names.
_MAX_LOGS: Final = 256


def check_agreement(case: Case) -> bool:
    """Step 7; false if no statement names an agreement. Raises ``StepError``, or what its parsers raise."""
    sides = _sides(case)
    acted = case.statements("request", "response", "refusal")
    marks = {one.statement.agreement for one in acted if one.statement and one.statement.agreement}
    if not marks:
        if CONSUMER_AGREEMENT in case.parts or PROVIDER_AGREEMENT in case.parts:
            raise StepError("there is an agreement that no statement names")
        case.remarks.append(_NO_AGREEMENT)
        return False
    if len(marks) > 1:
        raise StepError("the statements name different agreements")
    (mark,) = marks
    consumer_kid, payload = verified_document(case, DocumentKind.AGREEMENT, CONSUMER_AGREEMENT)
    provider_kid, same = verified_document(case, DocumentKind.AGREEMENT, PROVIDER_AGREEMENT)
    if payload != same:
        raise StepError("the two sides signed different agreements")
    terms = parse_agreement(payload)
    if (terms.id, terms.version, digest(payload)) != (mark.id, mark.version, mark.digest):
        raise StepError("it is not the agreement that the statements name")
    if (consumer_kid, provider_kid) != (terms.consumer.member_key, terms.provider.member_key):
        raise StepError("it is not signed by the keys that it names")
    for side, registered in sides:
        party = terms.consumer if side == "consumer" else terms.provider
        if registered.member != party.subsystem.rpartition("/")[0]:
            raise StepError(f"{registered.terms.gateway} is no gateway of {party.subsystem}")
        if not case.is_same_key(party.member_key, registered.member_key):
            raise StepError(
                f"{registered.terms.gateway} is registered under a key that the agreement does not name"
            )
    _require_covered(case, terms, acted)
    _require_cut(case, terms)
    case.terms = terms
    return True


def _require_covered(case: Case, terms: Agreement, acted: Sequence[Leaf]) -> None:
    """Require that the agreement covers what was answered; a call that it does not cover may only have been refused."""
    times = _times(case)
    gaps = [(one, why) for one in acted if (why := _not_covered(terms, one, times)) is not None]
    if not gaps:
        return
    if case.statements("response"):
        taken = {
            (one.heard.log, one.heard.index)
            for one in case.leaves
            if one.heard and one.heard.verdict == "taken"
        }
        for one, why in gaps:
            s = one.statement
            # Whoever ends a stream because the agreement does, or does not take what comes then, does what it must.
            is_turned_away = s is not None and s.kind == "request" and s.sequence > 0
            if s is not None and s.kind == "refusal":
                continue
            if not is_turned_away or (one.part.log, one.part.index) in taken:
                raise StepError(why)
    case.remarks.append(_NOT_COVERED)


def _require_cut(case: Case, terms: Agreement) -> None:
    """Require that answers say to be cut as the agreement wants it; one that does not may only have been refused.

    Whether a message holds more than was granted the descriptors would tell, and the consumer's gateway has looked.
    """
    refused = {
        (one.heard.log, one.heard.index)
        for one in case.leaves
        if one.heard and one.heard.verdict.startswith("refused:")
    }
    for one in case.statements("response"):
        why = objection_to_cut(one.statement, terms.field_mask) if one.statement is not None else ""
        if why and (one.part.log, one.part.index) not in refused:
            raise StepError(f"{one.part.path}: {why}")
        if why:
            case.remarks.append(_CUT_OTHERWISE)


def _sides(case: Case) -> list[tuple[_Side, Registered]]:
    """Whose log each leaf stands in; records, too, must be in the log of one of the two members that call and serve."""
    opening = case.statements("request") or [
        one for one in case.statements("refusal") if one.statement and one.statement.to is None
    ]
    logs: dict[str, tuple[_Side, str | None]] = {}
    for one in opening:
        if one.statement is not None:
            logs[one.statement.from_] = ("consumer", one.statement.client)
            if one.statement.to is not None:
                logs[one.statement.to] = ("provider", one.statement.service)
    if len(logs) > _MAX_LOGS:
        raise StepError(f"its requests name more than {_MAX_LOGS} logs")
    found: dict[str, tuple[_Side, Registered]] = {}
    for one in case.leaves:
        if one.part.log in found:
            continue
        registered = case.registered.get(one.part.log)
        if registered is None:
            raise StepError(f"{one.part.path}: its log is not registered", is_open=True)
        spoken_for = next((log for log in logs if case.is_same_line(log, one.part.log)), None)
        if spoken_for is None:
            raise StepError(f"{one.part.path} stands in the log of neither side")
        side, subsystem = logs[spoken_for]
        if subsystem is not None and registered.member != subsystem.rpartition("/")[0]:
            raise StepError(f"{one.part.path} stands in a log of {registered.member}")
        found[one.part.log] = (side, registered)
    return list(found.values())


def _times(case: Case) -> dict[tuple[str, int], int]:
    """By place, when each leaf was there: at the oldest head over it, over a record of it, or over what names it.

    Its own log may have signed much later than it was written; the other's head tells better (PROTOCOL M9).
    """
    times: dict[tuple[str, int], int] = {}
    named: dict[str, int] = {}

    def note(place: tuple[str, int], iat: int) -> None:
        times[place] = min(iat, times.get(place, iat))

    for one in case.leaves:
        head = case.heads.get(one.part.head)
        if head is None:
            continue
        note((one.part.log, one.part.index), head.iat)
        if one.heard is not None:
            note((one.heard.log, one.heard.index), head.iat)
        elif one.statement is not None and one.statement.request is not None:
            named[one.statement.request] = min(head.iat, named.get(one.statement.request, head.iat))
    for one in case.statements("request"):
        if (
            one.statement is not None
            and one.statement.request is None
            and (iat := named.get(one.hash)) is not None
        ):
            note((one.part.log, one.part.index), iat)
    return times


def _not_covered(terms: Agreement, one: Leaf, times: Mapping[tuple[str, int], int]) -> str | None:
    s = one.statement
    iat = times.get((one.part.log, one.part.index))
    if s is None or iat is None:
        return f"{one.part.path}: its head is not verified"
    service, _, method = (s.method or "").partition("/")
    if (s.client, s.service) != (terms.consumer.subsystem, terms.provider.subsystem):
        return f"{one.part.path}: other parties than the agreement's"
    if service != terms.service or method not in terms.methods:
        return f"{one.part.path}: {s.method} is not granted"
    if terms.purposes and s.purpose not in terms.purposes:
        return f"{one.part.path}: purpose {s.purpose} is not granted"
    if terms.issue_required and s.issue is None:
        return f"{one.part.path}: no dossier is named"
    if s.represented is not None and s.represented not in (terms.represented_parties or ()):
        return f"{one.part.path}: {s.represented} may not be represented"
    if not parse_time_ms(terms.not_before) <= iat * 1000 <= parse_time_ms(terms.not_after):
        return f"{one.part.path}: the agreement was not in force"
    return None
