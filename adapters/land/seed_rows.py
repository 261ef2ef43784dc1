"""From the records of the fictitious country to rows of the register.

Dossiers of notices that are open are written as they stand in the middle of their life; who opened them is the portal.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Set
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from adapters.kit.dossier import State
from adapters.land.claims import TITLE_REQUEST as TITLE_REQUEST_CLAIM
from adapters.land.events import commune_link
from adapters.land.identity_step import STEP as IDENTITY
from adapters.land.parcels import fold
from adapters.land.services import TITLE_REQUEST
from adapters.land.tables import (
    CERTIFICATES,
    CLAIMS,
    DISPUTES,
    HOLDINGS,
    KIT,
    METADATA,
    MORTGAGES,
    OPPOSITIONS,
    PARCELS,
    RESTRICTIONS,
    SUCCESSIONS,
    TITLE_REQUESTS,
    TITLES,
)
from adapters.land.title_requests import CLOSE_NOTICE, NOTICE, SURVEY
from adapters.world.charges import Charges
from adapters.world.parcels import Estate
from adapters.world.records.land import Holding, Notice, Parcel, ParcelEvent
from bj.common.v1 import dossier_pb2
from bj.land.v1 import events_pb2

PORTAL: Final = "BJ/GOV/PNS/PORTAIL"

_DAY_MS: Final = 24 * 3600 * 1000
_STEPS: Final = (
    (IDENTITY, dossier_pb2.STEP_STATE_DONE),
    (SURVEY, dossier_pb2.STEP_STATE_DONE),
    (NOTICE, dossier_pb2.STEP_STATE_RUNNING),
)
# Nobody's papers.
_NO_HASH: Final = "0" * 64
_LEGACY: Final = ("lotissement", "ilot", "parcelle", "lot")


class Rows:
    """Rows that wait to be written, by their table."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._successions: set[tuple[str, str]] = set()

    def add(self, table: sa.Table, **values: Any) -> None:
        """One row."""
        self._waiting[table.name].append(values)

    def add_succession(self, from_nup: str, to_nup: str) -> None:
        """One step of a split or a merger, once, whichever of its parcels tells it."""
        if (from_nup, to_nup) not in self._successions:
            self._successions.add((from_nup, to_nup))
            self.add(SUCCESSIONS, from_nup=from_nup, to_nup=to_nup)

    def write(self, tx: sa.Connection) -> None:
        """Write all of them, what is referred to first."""
        for table in METADATA.sorted_tables:
            if rows := self._waiting.pop(table.name, None):
                tx.execute(table.insert(), rows)


def day_ms(day: str) -> int:
    """The first instant of a day, UTC milliseconds."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000


def estate_rows(rows: Rows, estate: Estate, deceased: Set[str]) -> None:
    """A parcel and all that is written of it; ``deceased`` are the NPIs of those who died."""
    parcel, title = estate.parcel, estate.title
    _add_parcel(rows, parcel)
    if title:
        rows.add(
            TITLES,
            title_no=title.title_no,
            parcel_id=title.parcel,
            book=title.book,
            origin=title.origin,
            issued_on=title.issued_on,
        )
    for holding in estate.holdings:
        _add_holding(rows, holding, is_deceased=holding.npi in deceased)
    _add_charges(rows, estate.charges)
    if notice := estate.charges.notice:
        is_opposed = bool(estate.charges.oppositions)
        _add_notice(rows, estate, notice, State.ARBITRATION if is_opposed else State.OPPOSITION_PERIOD)
        for one in estate.charges.oppositions:
            rows.add(
                OPPOSITIONS,
                opposition_ref=one.reference,
                reference=notice.reference,
                party_kind="npi",
                party_number=one.opponent_npi,
                ground=one.ground,
                evidence="[]",
                lodged_ms=day_ms(one.lodged_on),
            )


def event_rows(rows: Rows, place: int, event: ParcelEvent) -> None:
    """One event of the past, in its place, with the key by which it is found."""
    kind = events_pb2.ParcelEventType.Value(f"PARCEL_EVENT_TYPE_{event.kind}")
    told = events_pb2.ParcelEvent(
        type=kind,
        nup=event.nup,
        commune_code=event.commune_code,
        title_no=event.title_no,
        related_nups=event.related_nups,
    )
    rows.add(
        KIT.event,
        place=place,
        kind=kind,
        subject=event.nup,
        changed_fields=" ".join(event.changed_fields),
        occurred_at=day_ms(event.occurred_on),
        payload=told.SerializeToString(),
    )
    rows.add(KIT.event_link, link=commune_link(event.commune_code), place=place)


def _add_parcel(rows: Rows, parcel: Parcel) -> None:
    legacy = parcel.legacy
    said = [getattr(legacy, name) if legacy else "" for name in _LEGACY]
    rows.add(
        PARCELS,
        parcel_id=parcel.ordinal,
        nup=parcel.nup or None,
        commune_code=legacy.commune_code if legacy else parcel.place.commune_code,
        legacy=json.dumps(said, ensure_ascii=False) if legacy else "",
        **{name: fold(value) for name, value in zip(_LEGACY, said, strict=True)},
        calculated_area_m2=parcel.calculated_area_m2,
        surveyed_area_m2=parcel.surveyed_area_m2,
        nature=parcel.nature,
        register_type=parcel.register_type,
        ba_unit_type=parcel.ba_unit_type,
        right_type=parcel.right_type,
        unit_code=parcel.place.code,
        department=parcel.place.department,
        commune=parcel.place.commune,
        arrondissement=parcel.place.arrondissement,
        quarter=parcel.place.quarter,
        x=parcel.centroid.x,
        y=parcel.centroid.y,
        polygon=json.dumps(parcel.polygon),
        shortcomings=json.dumps(parcel.shortcomings, ensure_ascii=False),
        valid_from_ms=day_ms(parcel.valid_from),
        valid_to_ms=day_ms(parcel.valid_to) if parcel.valid_to else None,
    )
    for before in parcel.predecessor_nups:
        rows.add_succession(before, parcel.nup)
    for after in parcel.successor_nups:
        rows.add_succession(parcel.nup, after)


def _add_holding(rows: Rows, holding: Holding, *, is_deceased: bool) -> None:
    rows.add(
        HOLDINGS,
        parcel_id=holding.parcel,
        party_kind="npi" if holding.npi else "ifu",
        party_number=holding.npi or holding.ifu,
        party_name=holding.name,
        numerator=holding.numerator,
        denominator=holding.denominator,
        capacity=holding.capacity,
        is_deceased=is_deceased,
        from_ms=day_ms(holding.since),
        to_ms=None,
        by_reference="",
        ended_by="",
    )


def _add_charges(rows: Rows, charges: Charges) -> None:
    for table, records in (
        (MORTGAGES, charges.mortgages),
        (RESTRICTIONS, charges.restrictions),
        (DISPUTES, charges.disputes),
    ):
        for record in records:
            values = record._asdict()
            rows.add(table, parcel_id=values.pop("parcel"), **values)
    if certificate := charges.certificate:
        rows.add(
            CERTIFICATES,
            number=certificate.number,
            parcel_id=certificate.parcel,
            party_kind="npi",
            party_number=certificate.npi,
            issued_on=certificate.issued_on,
            valid_until=certificate.valid_until,
            used_by="",
        )


def _add_notice(rows: Rows, estate: Estate, notice: Notice, state: State) -> None:
    """A title request whose notice is open: its dossier with steps, its claim on the parcel, the task that ends it."""
    opened_ms, closes_ms = day_ms(notice.opened_on), day_ms(notice.closes_on)
    _add_dossier(rows, notice, estate.parcel.nup, state)
    names = {holding.npi: holding.name for holding in estate.holdings}
    for rank, (name, step_state) in enumerate(_STEPS):
        rows.add(
            KIT.step,
            reference=notice.reference,
            name=name,
            rank=rank,
            state=step_state,
            changed_at=opened_ms,
            detail="",
        )
    rows.add(CLAIMS, parcel_id=notice.parcel, reference=notice.reference, kind=TITLE_REQUEST_CLAIM)
    rows.add(
        TITLE_REQUESTS,
        reference=notice.reference,
        parcel_id=notice.parcel,
        holder_kind="npi",
        holder_number=notice.applicant_npi,
        holder_name=names.get(notice.applicant_npi, ""),
        deed=notice.deed,
        deed_sha256=_NO_HASH,
        survey_plan_sha256=_NO_HASH,
        surveyor_ref="GEO-0001",
        notice_opened_ms=opened_ms,
        notice_until_ms=closes_ms,
    )
    rows.add(
        KIT.task,
        id=secrets.token_hex(16),
        kind=CLOSE_NOTICE,
        reference=notice.reference,
        due_at=closes_ms,
        attempts=0,
        payload=b"",
        last_error="",
    )


def _add_dossier(rows: Rows, notice: Notice, nup: str, state: State) -> None:
    filed_ms, opened_ms = day_ms(notice.filed_on), day_ms(notice.opened_on)
    rows.add(
        KIT.dossier,
        reference=notice.reference,
        client=PORTAL,
        purposes="P02",
        issue="",
        service_code=TITLE_REQUEST,
        application_id=f"SEED-{notice.reference}",
        response_token="",
        applicant_npi=notice.applicant_npi,
        channel=dossier_pb2.DOSSIER_CHANNEL_COUNTER,
        phone="",
        email="",
        subject=f"nup:{nup}",
        details=b"",
        state=state,
        version=4,
        reported_version=0,
        reason="",
        officer_ref="AGENT-0001",
        fee_xof=0,
        payment_ref="",
        opened_at=filed_ms,
        changed_at=opened_ms,
        filed_at=filed_ms,
        due_at=filed_ms + 120 * _DAY_MS,
        paused_at=opened_ms if state is State.ARBITRATION else 0,
        expires_at=0,
        notice_ends_at=day_ms(notice.closes_on),
    )
