"""A ministry's adapter as a process: its servicers, its tasks and its database, put together by what it declared."""

from __future__ import annotations

import importlib
from typing import Final

from adapters.kit.beginning import BEGIN, begin
from adapters.kit.desk import open_desk
from adapters.kit.dossier_service import DOSSIER_SERVICE, DossierService
from adapters.kit.dossiers import EXPIRE, REPORT_DECISION
from adapters.kit.expiry import expire
from adapters.kit.housekeeping import HOUSEKEEPING, keep_house, plan
from adapters.kit.ministry import Ministry
from adapters.kit.reports import report_decision
from adapters.kit.tasks import TaskRunner
from adapters.server import make_server, start
from adapters.settings import AdapterSettings
from bj.common.v1 import dossier_service_pb2_grpc
from core.clock import Clock
from core.reasons import ExchangeError, Reason

_OURS: Final = "adapters.{}.adapter:MINISTRY"


def load_ministry(adapter: str) -> Ministry:
    """The ministry that ``adapter.toml`` names: ``land``, or ``package.module:NAME`` of one elsewhere.

    Raises:
        ExchangeError: There is no such module, or it has no ``Ministry`` of that name (CONFIG_FILE_INVALID).
    """
    place = adapter if ":" in adapter else _OURS.format(adapter)
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the ministry is there, and something that it needs is not
        raise ExchangeError(Reason.CONFIG_FILE_INVALID, f"no adapter {adapter}: no module {module}") from None
    except AttributeError:
        raise ExchangeError(
            Reason.CONFIG_FILE_INVALID, f"no adapter {adapter}: {module} has no {name}"
        ) from None
    if not isinstance(found, Ministry):
        raise ExchangeError(Reason.CONFIG_FILE_INVALID, f"no adapter {adapter}: {place} is no Ministry")
    return found


def services_of(ministry: Ministry) -> tuple[str, ...]:
    """Full names of all that a ministry serves: its own services, and the one by which dossiers are followed."""
    return (*ministry.services, DOSSIER_SERVICE) if ministry.has_dossiers else ministry.services


class Adapter:
    """One ministry's adapter. ``start`` it, and ``stop`` it.

    Raises:
        ExchangeError: The database's schema is not this version's, or one of its files cannot be used.
    """

    def __init__(self, ministry: Ministry, settings: AdapterSettings, clock: Clock) -> None:
        self._ministry = ministry
        self._settings = settings
        self.desk = open_desk(ministry, settings, clock)
        self.server = make_server(settings, clock)
        for add, servicer in ministry.build(self.desk):
            add(servicer, self.server.grpc)
        if ministry.has_dossiers:
            dossier_service_pb2_grpc.add_DossierServiceServicer_to_server(
                DossierService(self.desk), self.server.grpc
            )
        handlers = {
            BEGIN: begin,
            EXPIRE: expire,
            HOUSEKEEPING: keep_house,
            REPORT_DECISION: report_decision,
            **ministry.tasks,
        }
        self.tasks = TaskRunner(self.desk, handlers)

    def start(self) -> int:
        """Listen, serve and work on tasks; returns the port.

        Raises:
            ExchangeError: ``PORT_IN_USE``; the key of its documents cannot be used, and it gives some.
        """
        if any(one.documents for one in self.desk.catalogue):
            self.desk.documents.require_key()
        self.desk.store.write(lambda tx: plan(self.desk, tx))
        port = start(self.server, self._settings, services_of(self._ministry))
        self.tasks.start()
        return port

    def stop(self, grace_s: float = 5.0) -> None:
        """End streams, let calls end for ``grace_s`` seconds, and the task that runs; close the database."""
        self.desk.events.stop()
        self.server.stop(grace_s)
        self.tasks.stop()
        self.desk.close()
