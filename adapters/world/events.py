"""What happened in the year before the world's day, told by the records themselves, the oldest first.

Events of a year fit in memory in any country: the one of a million persons has some ten thousand of them per register.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, TypeVar

from adapters.world.draws import Draws
from adapters.world.firms import Entry
from adapters.world.parcels import Estate
from adapters.world.people import TODAY
from adapters.world.records.business import RegistryEvent, RegistryEventKind, RelationRole
from adapters.world.records.labour import Contract, ContractState, ContractType, VisaEvent, VisaEventKind
from adapters.world.records.land import Parcel, ParcelEvent, ParcelEventKind
from adapters.world.records.person import Person, PersonEvent, PersonEventKind, RecordState
from adapters.world.roles import iso
from adapters.world.work import Hiring

_CORRECTIONS: Final = (
    (PersonEventKind.NAME_CORRECTED, ("first_names",)),
    (PersonEventKind.PHONE_CHANGED, ("phone",)),
    (PersonEventKind.ADDRESS_CHANGED, ("residence",)),
)
_VISA_STEPS: Final = {
    ContractState.GRANTED: VisaEventKind.VISED,
    ContractState.REJECTED: VisaEventKind.REJECTED,
    ContractState.CORRECTION_REQUESTED: VisaEventKind.CORRECTION_REQUESTED,
    ContractState.INTERVIEW_REQUIRED: VisaEventKind.INTERVIEW_REQUIRED,
}
PERMIT_NOTICE: Final = timedelta(days=60)


class Year:
    """The year before a day, that day included."""

    def __init__(self, day: date) -> None:
        self.last = day.isoformat()
        self.first = (day - timedelta(days=364)).isoformat()

    def __contains__(self, day: str) -> bool:
        return self.first <= day <= self.last


_year: Final = lru_cache(8)(Year)


def person_events(seed: int, person: Person, day: date) -> Iterator[PersonEvent]:
    """Death, merger or correction; a record of a higher version was corrected on some day of three years."""
    year, npi = _year(day), person.npi
    if person.death_date in year:
        yield PersonEvent(PersonEventKind.DEATH_RECORDED, npi, person.death_date, ("life_status",), "")
    if person.state == RecordState.MERGED:
        merged_on = iso(TODAY + int(npi) % 300)
        if merged_on in year:
            yield PersonEvent(PersonEventKind.NPI_MERGED, npi, merged_on, ("npi",), person.merged_into)
    elif person.record_version > 1:
        draws = Draws(seed, b"corrected", int(npi))
        kind, fields = draws.pick(_CORRECTIONS)
        corrected_on = iso(day.toordinal() - draws.below(3 * 365))
        if corrected_on in year:
            yield PersonEvent(kind, npi, corrected_on, fields, "")


def in_order_of_persons(events: Iterable[PersonEvent]) -> list[PersonEvent]:
    """The oldest first, those of a day by number: the same in whichever order people were asked."""
    return sorted(events, key=lambda event: (event.occurred_on, event.npi))


def parcel_events(estates: Iterable[Estate], given_up: Iterable[Parcel], day: date) -> Iterator[ParcelEvent]:
    """Of parcels that have a NUP."""
    events = [event for estate in estates if estate.parcel.nup for event in _of_estate(estate)]
    for parcel in given_up:
        kind = ParcelEventKind.SPLIT if len(parcel.successor_nups) > 1 else ParcelEventKind.MERGED
        events.append(
            _parcel_event(kind, parcel, parcel.valid_to, ("successor_nups",), parcel.successor_nups)
        )
    year = Year(day)
    return _in_order(event for event in events if event.occurred_on in year)


def registry_events(entries: Iterable[Entry], day: date) -> Iterator[RegistryEvent]:
    """Of firms."""
    year = Year(day)
    return _in_order(event for entry in entries for event in _of_entry(entry) if event.occurred_on in year)


def visa_events(hirings: Iterable[Hiring], day: date) -> Iterator[VisaEvent]:
    """Of visas, and of the permits behind them."""
    year = Year(day)
    return _in_order(
        event for hiring in hirings for event in _of_hiring(hiring, day) if event.occurred_on in year
    )


def _of_estate(estate: Estate) -> Iterator[ParcelEvent]:
    parcel, charges = estate.parcel, estate.charges
    if estate.title:
        issued = estate.title.issued_on
        yield _parcel_event(ParcelEventKind.TITLE_ISSUED, parcel, issued, ("right_type", "title_no"))
        if estate.holdings and estate.holdings[0].since > issued:
            yield _parcel_event(ParcelEventKind.TRANSFERRED, parcel, estate.holdings[0].since, ("holders",))
    for mortgage in charges.mortgages:
        yield _parcel_event(ParcelEventKind.MORTGAGED, parcel, mortgage.registered_on, ("mortgages",))
        if mortgage.released_on:
            yield _parcel_event(ParcelEventKind.RELEASED, parcel, mortgage.released_on, ("mortgages",))
    for dispute in charges.disputes:
        yield _parcel_event(ParcelEventKind.DISPUTE_FLAGGED, parcel, dispute.noted_on, ("disputes",))
    if charges.notice:
        yield _parcel_event(ParcelEventKind.NOTICE_OPENED, parcel, charges.notice.opened_on, ())
    for opposition in charges.oppositions:
        yield _parcel_event(ParcelEventKind.OPPOSITION, parcel, opposition.lodged_on, ())


def _parcel_event(
    kind: ParcelEventKind, parcel: Parcel, day: str, fields: tuple[str, ...], related: tuple[str, ...] = ()
) -> ParcelEvent:
    return ParcelEvent(kind, parcel.nup, parcel.place.commune_code, parcel.title_no, day, fields, related)


def _of_entry(entry: Entry) -> Iterator[RegistryEvent]:
    firm = entry.firm

    def event(kind: RegistryEventKind, day: str, *fields: str) -> RegistryEvent:
        return RegistryEvent(kind, firm.rccm, firm.legal_form, firm.seat.commune_code, day, fields)

    yield event(RegistryEventKind.REGISTERED, firm.registered_on)
    for relation in entry.relations:
        if relation.role is RelationRole.MANAGER and relation.to_date and not firm.struck_off_on:
            yield event(RegistryEventKind.MANAGER_CHANGED, relation.to_date, "relations")
    if firm.struck_off_on:
        yield event(RegistryEventKind.STRUCK_OFF, firm.struck_off_on, "status")


def _of_hiring(hiring: Hiring, day: date) -> Iterator[VisaEvent]:
    contract = hiring.contract
    yield _visa_event(VisaEventKind.FILED, contract, contract.filed_on)
    step = _VISA_STEPS.get(contract.state)
    if step:
        visa_no = contract.visa_no if step is VisaEventKind.VISED else ""
        yield _visa_event(step, contract, contract.decided_on or contract.filed_on, visa_no, "state")
    if contract.type is ContractType.FOREIGN and contract.visa_no:
        warned = date.fromisoformat(max(permit.valid_until for permit in hiring.permits)) - PERMIT_NOTICE
        if warned <= day and not contract.left_on:
            kind = VisaEventKind.PERMIT_EXPIRING
            yield _visa_event(kind, contract, warned.isoformat(), contract.visa_no, "work_permit_no")


def _visa_event(
    kind: VisaEventKind, contract: Contract, day: str, visa_no: str = "", *fields: str
) -> VisaEvent:
    return VisaEvent(
        kind, contract.reference, contract.employer_ifu, contract.inspectorate_code, visa_no, day, fields,
        contract.worker_npi,
    )  # fmt: skip


_E = TypeVar("_E", PersonEvent, ParcelEvent, RegistryEvent, VisaEvent)


def _in_order(events: Iterable[_E]) -> Iterator[_E]:
    return iter(sorted(events, key=lambda event: event.occurred_on))
