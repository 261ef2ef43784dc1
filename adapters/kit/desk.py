"""What a ministry's servicers, procedures and tasks are given: all of the kit, put together once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message

from adapters.context import CallerContext, current_caller
from adapters.kit.answered import answer_once, answered_before
from adapters.kit.calendar import Calendar
from adapters.kit.catalogue import Catalogue
from adapters.kit.documents import Documents
from adapters.kit.dossiers import REPORT_DECISION, Dossiers
from adapters.kit.events import Events
from adapters.kit.ministry import Ministry
from adapters.kit.payments import Payments
from adapters.kit.procedure import Procedure
from adapters.kit.road import Road
from adapters.kit.store import Store, open_store
from adapters.kit.tasks import Tasks
from adapters.settings import AdapterSettings
from core.clock import Clock

_Response = TypeVar("_Response", bound=Message)


class Desk:
    """One ministry's desk.

    Attributes:
        ministry: What the ministry declared.
        settings: Its ``adapter.toml``.
        store: Its database; ``store.reading`` for reads.
        clock: What time it is.
        catalogue: Its services.
        calendar: When it works.
        tasks: Work that goes on after a transaction.
        dossiers: Its dossiers.
        payments: Their payments.
        documents: What it signs.
        events: What it tells.
        road: Calls to others.
    """

    def __init__(self, ministry: Ministry, settings: AdapterSettings, store: Store, clock: Clock) -> None:
        self.ministry = ministry
        self.settings = settings
        self.store = store
        self.clock = clock
        catalogue = Path(settings.catalogue) if settings.catalogue else ministry.catalogue
        self.catalogue = Catalogue.load(catalogue) if catalogue else Catalogue({})
        self.calendar = Calendar.load(Path(settings.calendar)) if settings.calendar else Calendar.load()
        self.tasks = Tasks(ministry.tables, clock, REPORT_DECISION)
        self.dossiers = Dossiers(self)
        self.payments = Payments(self)
        self.documents = Documents(self)
        self.events = Events(ministry.tables, clock, store, settings.events)
        self.road = Road(settings.program, settings.provider)

    def once(
        self,
        key: str,
        request: Message,
        respond: Callable[[sa.Connection, CallerContext], _Response],
    ) -> _Response:
        """Answer a write: the first time ``respond(tx, caller)`` does it, afterwards its answer is given again.

        All in one transaction. The same key with an equal request, from the same client subsystem, for the same method,
        gives the answer of the first time, byte for byte. ``respond`` may be run again if the database asks for it
        (``Store.write``), and must not call the road.

        Args:
            key: The request's ``idempotency_key``.
            request: The request.
            respond: Does the work, and returns the response.

        Raises:
            ProviderError: The key has served another request (DUPLICATE_REQUEST); whatever ``respond`` raises.
        """
        return answer_once(
            self.store, self.ministry.tables, self.clock, current_caller(), key, request, respond
        )

    def answered_before(self, key: str, request: Message, kind: type[_Response]) -> _Response | None:
        """What ``once`` answered to this request, if it did: for methods that ask the road before they write.

        A repeat is then answered even while those who were asked the first time are away, or say something else by now.

        Raises:
            ProviderError: The key has served another request (DUPLICATE_REQUEST).
        """
        known = answered_before(self.store, self.ministry.tables, current_caller(), key, request)
        if known is not None and not isinstance(known, kind):
            raise TypeError(f"{request.DESCRIPTOR.name} is not answered by {kind.__name__}")
        return known

    def procedure(self, service_code: str) -> Procedure:
        """The procedure of a prestation; one that does nothing if the ministry has none for it."""
        return self.ministry.procedures.get(service_code, _NOTHING)

    def close(self) -> None:
        """Give back connections of the database and the road."""
        self.road.close()
        self.store.close()


_NOTHING = Procedure()


def open_desk(ministry: Ministry, settings: AdapterSettings, clock: Clock) -> Desk:
    """The desk of ``adapter.toml``.

    Raises:
        ExchangeError: The database's schema is not this version's (STATE_CONFLICT), or catalogue, calendar or the road's
            identity cannot be used.
    """
    return Desk(ministry, settings, open_store(settings.database, ministry.migrations), clock)
