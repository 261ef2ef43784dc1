"""A small ministry for tests of the kit: post boxes, which are granted by officers, and certificates given at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import grpc
import sqlalchemy as sa

from adapters.context import CallerContext, serving
from adapters.kit.beginning import begin
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.kit.dossier_service import DossierService
from adapters.kit.expiry import expire
from adapters.kit.ministry import Ministry
from adapters.kit.procedure import Procedure
from adapters.kit.store import naming, open_store
from adapters.kit.tables import kit_tables
from adapters.kit.tasks import TaskRunner
from adapters.reasons import ProviderError
from adapters.settings import AdapterSettings
from bj.common.v1 import dossier_pb2
from core.clock import ManualClock
from core.identifiers import GatewayId, SubsystemId
from tests.support.registers import make_register

BOX: Final = "PS90901"
CERTIFICATE: Final = "PS90902"
CONCESSION: Final = "PS90903"
BULK: Final = "PS90904"
BOX_FEE: Final = 5000
NPI: Final = "0000000001"
TOKEN: Final = "t0ken-of-an-application-01"
# Monday, 23 November 2026, 09:00 in Porto-Novo.
MONDAY_MS: Final = 1_795_420_800_000

METADATA: Final = naming()
TABLES: Final = kit_tables(METADATA)
BOXES: Final = sa.Table(
    "box",
    METADATA,
    sa.Column("number", sa.String(20), primary_key=True),
    sa.Column("holder", sa.String(10), nullable=False),
)
CALLER: Final = CallerContext(
    gateway=GatewayId.parse("BJ/GOV/LAPOSTE/gw1"),
    client=SubsystemId.parse("BJ/GOV/PNS/PORTAIL"),
    service=SubsystemId.parse("BJ/GOV/LAPOSTE/BOITES"),
    exchange_id="01920000-0000-7000-8000-000000000000",
    request_hash="0" * 64,
    agreement="CV-0042/1",
    issued_at_ms=MONDAY_MS,
    purpose="P01",
)


# The servicer never looks at it: who calls stands in the caller's context.
NO_CONTEXT: Final = cast(grpc.ServicerContext, None)


@dataclass
class Recorded(Procedure):
    """Notes at which turns it was called, and does what ``then`` says there."""

    officer_steps = frozenset({"visit"})
    turns: list[tuple[str, str]] = field(default_factory=list)
    then: dict[str, Callable[[Desk, sa.Connection, Dossier], object]] = field(default_factory=dict)

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        self._turn("filed", desk, tx, dossier)

    def corrected(
        self, desk: Desk, tx: sa.Connection, dossier: Dossier, answer: str, evidence: Sequence[str]
    ) -> None:
        self._turn("corrected", desk, tx, dossier)

    def asked(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        self._turn("asked", desk, tx, dossier)

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        self._turn("granted", desk, tx, dossier)

    def rejected(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        self._turn("rejected", desk, tx, dossier)

    def cancelled(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        self._turn("cancelled", desk, tx, dossier)

    def expired(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        self._turn("expired", desk, tx, dossier)

    def _turn(self, name: str, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        self.turns.append((name, dossier.reference))
        if name in self.then:
            self.then[name](desk, tx, dossier)


def make_ministry(procedures: dict[str, Procedure] | None = None) -> Ministry:
    """The ministry, with what happens at the turns of its dossiers."""
    return Ministry(
        name="postal",
        services=(),
        migrations=Path(__file__).parent / "migrations",
        tables=TABLES,
        catalogue=Path(__file__).parent / "catalogue.toml",
        build=lambda desk: (),
        procedures=procedures or {},
    )


# As ``adapter.toml`` names it; what its procedure notes, nobody reads.
MINISTRY: Final = make_ministry({CONCESSION: Recorded()})


@dataclass
class PostOffice:
    """One desk over one database, with a clock that obeys, and what a portal asks of it."""

    database: str
    directory: Path
    procedure: Recorded = field(default_factory=Recorded)
    clock: ManualClock = field(default_factory=lambda: ManualClock(MONDAY_MS))

    def __post_init__(self) -> None:
        ministry = make_ministry(dict.fromkeys((BOX, CERTIFICATE, CONCESSION, BULK), self.procedure))
        make_register(self.database, ministry.migrations)
        settings = AdapterSettings(
            adapter="tests.support.postal.ministry:MINISTRY",
            subsystem="BJ/GOV/LAPOSTE/BOITES",
            gateways=("BJ/GOV/LAPOSTE/gw1",),
            database=self.database,
            document_key=str(self.directory / "document.key"),
            document_certificate=str(self.directory / "document.crt"),
        )
        self.desk = Desk(ministry, settings, open_store(self.database, ministry.migrations), self.clock)
        self.service = DossierService(self.desk)

    def open(
        self,
        service_code: str = BOX,
        *,
        key: str = "key-of-a-filing-0001",
        application_id: str = "APP-1",
        token: str = TOKEN,
        caller: CallerContext = CALLER,
        **terms: Any,
    ) -> dossier_pb2.Dossier:
        """File an application as a ministry's method does."""
        application = dossier_pb2.Application(
            idempotency_key=key,
            application_id=application_id,
            response_token=token,
            service_code=service_code,
            applicant_npi=NPI,
        )

        def respond(tx: sa.Connection, caller: CallerContext) -> dossier_pb2.Dossier:
            dossier = self.desk.dossiers.open(tx, caller, application, **terms)
            return self.desk.dossiers.message(tx, dossier.reference)

        with serving(caller):
            return self.desk.once(key, application, respond)

    def filed(self, service_code: str = CONCESSION, **terms: Any) -> str:
        """The reference of a free dossier."""
        return self.open(service_code, key=f"key-{self._next():016d}", **terms).reference

    def awaiting(self) -> str:
        """The reference of a dossier that awaits its fee."""
        return self.open(BOX, key=f"key-{self._next():016d}").reference

    def reviewed(self) -> str:
        """The reference of a dossier that an officer has taken up."""
        reference = self.filed()
        self.desk.store.write(lambda tx: self.desk.dossiers.review(tx, reference, "agent-7"))
        return reference

    def read(self, reference: str) -> dossier_pb2.Dossier:
        """The dossier as it stands."""
        with self.desk.store.reading() as tx:
            return self.desk.dossiers.message(tx, reference)

    def state(self, reference: str) -> State:
        """How far the dossier is."""
        return State(self.read(reference).state)

    def tasks(self) -> list[tuple[str, str]]:
        """Kind and reference of all tasks, the first due first."""
        with self.desk.store.reading() as tx:
            rows = tx.execute(sa.select(TABLES.task).order_by(TABLES.task.c.due_at, TABLES.task.c.kind))
            return [(row.kind, row.reference) for row in rows]

    def run_due(self) -> int:
        """Run the tasks that are due, as the adapter's thread does."""
        handlers = {"begin": begin, "expire": expire, "report_decision": lambda desk, task: None}
        return TaskRunner(self.desk, handlers).run_due()

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

    def _next(self) -> int:
        self._count = getattr(self, "_count", 0) + 1
        return self._count
