"""A gateway's control process: reads its settings once, joins the parts, runs until it is told to stop.

Nothing here is on the path of an exchange. When this process dies the workers go on; when it comes back it
starts them anew and brings back the configuration from the mirror, with or without registry.
"""

import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

import grpc
import structlog

from core.clock import Clock, SystemClock
from core.identifiers import RegistryId, urn
from gateway.channel import ToWorker, WorkerReport
from gateway.control.admin import Served, local_door, start_door, tls_door
from gateway.control.checkpoints import CheckpointMakers, checkpoint_command
from gateway.control.chronicle import Chronicle
from gateway.control.configuration import ConfigurationKeeper
from gateway.control.evidence import EvidenceOfGateway
from gateway.control.forecast import GrowthKeeper
from gateway.control.heads import HeadReporter
from gateway.control.http import StatusPages
from gateway.control.index import Indexer
from gateway.control.logbook import LogBook
from gateway.control.registry import GrpcRegistry
from gateway.control.services import status_of
from gateway.control.state import AdapterState, Freshness, GatewayState, RouteState
from gateway.control.supervisor import Supervisor, WorkerState, worker_command
from gateway.control.verification import Judge
from gateway.layout import GatewayDirectory
from gateway.remains import living_workers
from gateway.settings import GatewaySettings, HostPort
from gateway.shared_port import SharedPorts
from ledger.index import ExchangeIndex
from pki.anchor import Anchor
from pki.keys import certificate_pem
from rpc.credentials import channel
from rpc.health import OVERALL
from rpc.identity import Identity
from rpc.lifeline import stop_event
from rpc.logs import configure_logs
from rpc.ports import require_free
from rpc.server import RpcServer
from rpc.settings import load_settings

_HEALTH_S: Final = 1.0
_STOP_S: Final = 5.0
# What a worker may take after its time to drain: to say the end of what is left, and to close.
_LAST_WORDS_S: Final = 5.0

_log = structlog.get_logger("gateway.control")


class Control:
    """The control process of one gateway, wired.

    Args:
        settings_file: Its ``gateway.toml``.
        lifeline: Reading end of the supervisor's pipe, handed on to the workers.
        command: Command line of a worker, by number and channel; replaced in tests.
        clock: The clock.
    """

    def __init__(
        self,
        settings_file: Path,
        *,
        lifeline: int | None = None,
        command: Callable[[int, int], list[str]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = load_settings(settings_file, GatewaySettings)
        self.directory = GatewayDirectory.of(settings_file)
        self._clock = clock or SystemClock()
        self._started_at = self._clock.now_ms()
        anchor = Anchor.read(self.directory.anchor)
        self._channel = _registry_channel(self.settings, self.directory, anchor)
        registry = GrpcRegistry(self._channel)
        self._keeper = ConfigurationKeeper(
            self.settings,
            self.directory,
            anchor.tuf_root,
            _judge(self.settings, anchor).judge,
            registry,
            self._clock,
            self._tell,
        )
        self._heads = HeadReporter(registry, self._tell_one, self.settings.registry.heads_s)
        book = LogBook(self.directory, self.settings.workers)
        index = ExchangeIndex(self.directory.index)
        self._indexer = Indexer(book, index)
        self._growth = GrowthKeeper(self.directory)
        self._chronicle = Chronicle(self.directory.status)
        self._ports = self._shared_ports()
        handed = self._ports.descriptors if self._ports is not None else ()
        told = self._ports.arguments if self._ports is not None else ()
        self._supervisor = Supervisor(
            command or partial(worker_command, settings_file.resolve(), lifeline, told),
            self.settings.workers,
            self.directory.worker_pid,
            drain_s=self.settings.limits.drain_ms / 1000 + _LAST_WORDS_S,
            greeting=self._keeper.greeting,
            on_report=self._on_report,
            on_fetch=self._keeper.ask_again,
            on_start=self._heads.on_start,
            on_end=self._on_end,
            # With the last worker that drains nobody holds the port, and programs go elsewhere.
            on_stop=self._ports.close if self._ports is not None else lambda: None,
            prepare=self._take_ports,
            inherited=(*handed, *(() if lifeline is None else (lifeline,))),
        )
        self._checkpoints = CheckpointMakers(
            [self.directory.log(worker) for worker in range(self.settings.workers)],
            partial(checkpoint_command, settings_file.resolve()),
        )
        gather = EvidenceOfGateway(self.directory, self.settings, self._clock)
        served = Served(self._keeper, self.state, book, index, self._indexer, gather, self._clock)
        self._pages = StatusPages(HostPort.parse(self.settings.listen.http), self.state, self.settings.lang)
        self._admin, self.admin_port = tls_door(served, self.settings, self.directory, anchor.certificate)
        self._local = local_door(served, self.directory, self.settings.lang)

    def _shared_ports(self) -> SharedPorts | None:
        """The ports of programs, those of routes too, if several workers accept from them; one alone binds its own.

        Raises:
            ExchangeError: ``PORT_IN_USE``: a port of the workers is another program's. Those that live on from a control
                process before this one still have theirs.
        """
        settings = self.settings
        programs = [settings.listen.programs, *(route.listen for route in settings.routes)]
        if not living_workers(self.directory):
            for address in (*programs, *settings.listen.road):
                require_free(address)
        if settings.workers == 1:
            return None
        return SharedPorts([HostPort.parse(one) for one in programs], settings.workers)

    def _take_ports(self) -> None:
        if self._ports is not None:
            self._ports.bind()

    def _on_end(self, worker: int, others_live: bool) -> None:
        if self._ports is None:
            return
        self._ports.loads.withdraw(worker)
        if not others_live:
            self._ports.hang_up()

    @property
    def http_port(self) -> int:
        """The port of health and metrics."""
        return self._pages.port

    @property
    def _doors(self) -> tuple[RpcServer, RpcServer]:
        return self._admin, self._local

    def start(self) -> None:
        """Start everything; returns at once."""
        # Readers first: nothing that a worker reports is lost. The configuration comes before the workers, so
        # that they find it when they start.
        self._indexer.start()
        self._keeper.start()
        self._heads.start()
        self._supervisor.start()
        for door in self._doors:
            start_door(door)
        self._pages.start()
        _log.info(
            "gateway_started",
            gateway=self.settings.gateway,
            workers=self.settings.workers,
            admin=self.admin_port,
            http=self.http_port,
        )

    def run(self, stopped: threading.Event) -> None:
        """Keep health, forecast and what remains in files true until ``stopped``."""
        while not stopped.wait(_HEALTH_S):
            self.tend()

    def tend(self) -> None:
        """What is done once a second."""
        self._growth.look(self._clock.now_ms())
        self._checkpoints.look()
        self._chronicle.look(self.state())
        state = self.state()
        self._chronicle.keep(state, status_of(state))
        for door in self._doors:
            door.health.set(OVERALL, serving=state.is_serving)

    def stop(self) -> None:
        """Drain the workers and stop everything."""
        for door in self._doors:
            door.stop(_STOP_S)
        self._keeper.stop()
        self._checkpoints.stop()
        self._supervisor.stop()
        self._heads.stop()
        self._indexer.stop()
        self._pages.stop()
        self._channel.close()
        self.directory.admin_socket.unlink(missing_ok=True)
        _log.info("gateway_stopped", gateway=self.settings.gateway)

    def state(self) -> GatewayState:
        """Everything at this moment."""
        now = self._clock.now_ms()
        configuration = self._keeper.state
        workers = tuple(self._supervisor.states())
        return GatewayState(
            gateway=self.settings.gateway,
            now_ms=now,
            started_at=self._started_at,
            configuration=configuration,
            freshness=(
                configuration.freshness(now, self.settings.configuration.fresh_s)
                if configuration is not None
                else Freshness.EXPIRED
            ),
            registry=self._keeper.registry,
            workers=workers,
            adapters=tuple(
                adapter_state(one.subsystem, one.address, workers) for one in self.settings.adapter
            ),
            indexed=self._indexer.indexed,
            log_damage=self._indexer.damage,
            days_left=self._growth.days_left(
                now,
                [one.report.free_bytes for one in workers if one.report is not None],
                self.settings.log.reserve_bytes,
            ),
            low_days=self.settings.log.low_days,
            since=self._chronicle.since,
            refused=self._chronicle.refused,
            routes=tuple(
                RouteState(one.name, one.listen, one.allow_unauthenticated_loopback)
                for one in self.settings.routes
            ),
        )

    def _tell(self, message: ToWorker) -> None:
        self._supervisor.broadcast(message)

    def _tell_one(self, worker: int, message: ToWorker) -> None:
        self._supervisor.tell(worker, message)

    def _on_report(self, worker: int, report: WorkerReport) -> None:
        self._indexer.on_report(worker, report)
        self._heads.on_report(worker, report)


def serve(settings_file: Path, lifeline: int | None) -> None:
    """Run a gateway until a signal or the lifeline ends it.

    Raises:
        ExchangeError: It cannot start: settings, keys, anchor, a busy port.
    """
    configure_logs("gateway-control")
    stopped = stop_event(lifeline)
    control = Control(settings_file, lifeline=lifeline)
    control.start()
    try:
        control.run(stopped)
    finally:
        control.stop()


def _judge(settings: GatewaySettings, anchor: Anchor) -> Judge:
    return Judge(
        anchor.certificate, RegistryId.parse(settings.registry.id), settings.member, settings.member_key
    )


def _registry_channel(settings: GatewaySettings, directory: GatewayDirectory, anchor: Anchor) -> grpc.Channel:
    files = directory.auth
    own = Identity.from_files(files.key, files.certificate, directory.anchor)
    return channel(
        settings.registry.address,
        own,
        server_roots_pem=certificate_pem(anchor.certificate),
        expect=urn("registry", settings.registry.id),
        # After an absence the registry is found again within seconds, not minutes.
        options=(("grpc.max_reconnect_backoff_ms", 5_000),),
    )


def adapter_state(subsystem: str, address: str, workers: Iterable[WorkerState]) -> AdapterState:
    """An adapter is down, or silent, if it is so for one worker, and up if it is for one."""
    reports = [worker.report for worker in workers if worker.report is not None]
    seen = {report.adapters.get(subsystem) for report in reports}
    state = next((state for state in ("down", "silent", "up") if state in seen), "unknown")
    unanswered = sum(report.unanswered.get(subsystem, 0) for report in reports)
    return AdapterState(subsystem, address, state, unanswered)
