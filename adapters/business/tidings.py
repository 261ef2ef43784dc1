"""What the register tells of itself: events of firms, without a name. They are appended last in a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from adapters.business.forms import LegalForm
from adapters.business.records import Firm
from adapters.kit.desk import Desk
from adapters.kit.events import Event, Wanted
from adapters.reasons import InvalidFieldsError
from bj.business.v1 import events_pb2 as pb

_COMMUNE: Final = len("LI-COT")


def tell(
    desk: Desk, tx: sa.Connection, kind: pb.RegistryEventType.ValueType, firm: Firm, changed: Iterable[str]
) -> None:
    """Append an event of ``firm``; ``changed`` are fields of ``GetBusinessResponse``."""
    desk.events.append(tx, kind, firm.rccm, changed, links=event_links(firm), payload=event_payload(firm))


def event_links(firm: Firm) -> tuple[str, ...]:
    """Under which keys events of ``firm`` are found."""
    return (form_link(firm.legal_form), commune_link(firm.seat.commune_code))


def form_link(legal_form: LegalForm) -> str:
    """The key of a legal form."""
    return f"form:{legal_form}"


def commune_link(commune_code: str) -> str:
    """The key of a commune."""
    return f"commune:{commune_code}"


def event_payload(firm: Firm) -> bytes:
    """What an event tells of ``firm`` as it stood then."""
    told = pb.RegistryEvent(rccm=firm.rccm, legal_form=firm.legal_form, commune_code=firm.seat.commune_code)
    return told.SerializeToString()


def wanted(condition: pb.RegistryEventFilter) -> Wanted:
    """Which events a filter means.

    Raises:
        InvalidFieldsError: A type or form is not given, or a code is no commune's: it would never be met.
    """
    found: dict[str, str] = {}
    if pb.REGISTRY_EVENT_TYPE_UNSPECIFIED in condition.types:
        found["filter.types"] = "a type of event"
    if 0 in condition.forms:
        found["filter.forms"] = "a legal form"
    if any(len(code) != _COMMUNE for code in condition.commune_codes):
        found["filter.commune_codes"] = "codes of communes, such as LI-COT"
    if found:
        raise InvalidFieldsError(found)
    links = (
        frozenset(map(form_link, condition.forms)),
        frozenset(map(commune_link, condition.commune_codes)),
    )
    return Wanted(kinds=frozenset(condition.types), links=tuple(one for one in links if one))


def event_message(event: Event) -> pb.RegistryEvent:
    """An event as it is sent."""
    told = pb.RegistryEvent.FromString(event.payload)
    told.header.CopyFrom(event.header)
    told.type = pb.RegistryEventType.ValueType(event.kind)
    return told
