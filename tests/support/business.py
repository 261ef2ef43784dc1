"""APIEx's desk over a fresh database, with a few firms, people and a clock that obeys."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import grpc
import sqlalchemy as sa

from adapters.business.adapter import MINISTRY
from adapters.business.namebook import trace_rows
from adapters.business.names import name_rules
from adapters.business.records import Firm, Relation, Seat
from adapters.business.register import enter_firm
from adapters.business.tables import NAME_TRACE
from adapters.context import CallerContext
from adapters.kit.desk import Desk
from adapters.kit.store import migrate, open_store
from adapters.reasons import ProviderError
from adapters.settings import AdapterSettings
from bj.business.v1 import business_pb2 as pb
from core.clock import ManualClock
from core.identifiers import GatewayId, SubsystemId

# Saturday, 28 November 2026, 09:00 in Porto-Novo.
NOW_MS: Final = 1_795_852_800_000
KOFFI, AFI, ROSINE = "0000000001", "0000000021", "0000000007"
NO_CONTEXT: Final = cast(grpc.ServicerContext, None)
CALLER: Final = CallerContext(
    gateway=GatewayId.parse("BJ/GOV/APIEX/gw1"),
    client=SubsystemId.parse("BJ/GOV/PNS/PORTAIL"),
    service=SubsystemId.parse("BJ/GOV/APIEX/RCCM"),
    exchange_id="01920000-0000-7000-8000-000000000000",
    request_hash="0" * 64,
    agreement="CV-0042/1",
    issued_at_ms=NOW_MS,
    purpose="P02",
)
COTONOU: Final = Seat("LI-COT-05-012", "Littoral", "Cotonou", "5ème arrondissement", "Zongo")
SARL: Final = Firm(
    rccm="RB/COT/25 B 900001",
    name="Sènan Services SARL",
    legal_form=pb.LEGAL_FORM_SARL,
    registered_on="2025-03-04",
    court="COT",
    capital_xof=1_000_000,
    activity="Commerce général",
    seat=COTONOU,
    ifu="3202590000117",
    cnss_employer_no="9000001",
)
TRADE: Final = Firm(
    rccm="RB/COT/19 A 900002",
    name="ADJOVI Koffi",
    trade_name="Chez Koffi Couture",
    legal_form=pb.LEGAL_FORM_EI,
    registered_on="2013-05-06",
    court="COT",
    activity="Couture",
    seat=Seat("AQ-CAL-02", "Atlantique", "Abomey-Calavi", "Godomey"),
    ifu="1201390000200",
    on_paper=True,
    owner_birth_date="1987-04-12",
    owner_birth_place="COTONOU",
)


def relation(firm: Firm, role: pb.RelationRole.ValueType, npi: str, **more: Any) -> Relation:
    """A role of a person."""
    known = {"last_name": "ADJOVI", "first_names": "Koffi", "from_date": firm.registered_on}
    return Relation(rccm=firm.rccm, role=role, npi=npi, **{**known, **more})


FIRMS: Final = (
    (
        SARL,
        (
            relation(SARL, pb.RELATION_ROLE_MANAGER, KOFFI),
            relation(SARL, pb.RELATION_ROLE_PARTNER, KOFFI, share_xof=600_000),
            relation(SARL, pb.RELATION_ROLE_PARTNER, AFI, share_xof=400_000, first_names="Afi"),
            relation(SARL, pb.RELATION_ROLE_MANAGER, ROSINE, from_date="2025-03-04", to_date="2025-09-01"),
        ),
    ),
    (TRADE, (relation(TRADE, pb.RELATION_ROLE_OWNER, KOFFI),)),
)


def business_settings(database: str, directory: Path) -> AdapterSettings:
    """``adapter.toml`` of APIEx."""
    return AdapterSettings(
        adapter="business",
        subsystem="BJ/GOV/APIEX/RCCM",
        gateways=("BJ/GOV/APIEX/gw1",),
        database=database,
        document_key=str(directory / "document.key"),
        document_certificate=str(directory / "document.crt"),
    )


@dataclass
class Apiex:
    """One desk over one database."""

    database: str
    directory: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))

    def __post_init__(self) -> None:
        migrate(self.database, MINISTRY.migrations)
        settings = business_settings(self.database, self.directory)
        self.desk = Desk(MINISTRY, settings, open_store(self.database, MINISTRY.migrations), self.clock)

    def enter(self, firms: Sequence[tuple[Firm, Sequence[Relation]]] = FIRMS) -> None:
        """Write firms, as a seed does."""
        with self.desk.store.writing() as tx:
            for firm, relations in firms:
                enter_firm(tx, firm, relations)
                tx.execute(NAME_TRACE.insert(), trace_rows(name_rules(), firm))

    def row(self, table: sa.Table, **where: object) -> Any:
        """The one row of ``table`` with these values."""
        with self.desk.store.reading() as tx:
            return tx.execute(sa.select(table).filter_by(**where)).one()

    def race(self, *acts: Callable[[], Any]) -> list[Any]:
        """Do all at once, each in a thread; what each returned, or the reason for which it was refused."""
        ready = threading.Barrier(len(acts))

        def run(act: Callable[[], Any]) -> Any:
            ready.wait()
            try:
                return act()
            except ProviderError as refused:
                return refused.reason

        with futures.ThreadPoolExecutor(len(acts)) as pool:
            return list(pool.map(run, acts))


def caller(purpose: str | None = "P02", client: str = "BJ/GOV/PNS/PORTAIL") -> CallerContext:
    """Who calls, for what."""
    return replace(CALLER, purpose=purpose, client=SubsystemId.parse(client))
