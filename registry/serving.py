"""The registry's process: opens what founding made, serves, keeps the configuration fresh, stops when told."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine

from core.clock import Clock, SystemClock
from core.reasons import ExchangeError
from pki.anchor import Anchor
from pki.heads import HeadSigner
from pki.keys import certificate_pem, load_chain, read_key
from registry.authorities import read_authorities
from registry.checks import Judge
from registry.journal import Journal
from registry.office import Office
from registry.publisher import ONLINE_ROLES, Publisher, signer_of
from registry.server import SERVICES, add_services
from registry.settings import RegistryDirectory, RegistrySettings
from registry.store import open_engine, sessions, upgrade
from rpc.credentials import server_credentials
from rpc.files import read_private
from rpc.lifeline import stop_event
from rpc.server import RpcServer
from rpc.settings import load_settings

TICK_S = 1.0

_log = structlog.get_logger()


@dataclass(slots=True)
class Registry:
    """A registry that is open in this process.

    Attributes:
        office: What it does.
        server: Its API.
        port: Where the API listens, once started.
    """

    directory: RegistryDirectory
    settings: RegistrySettings
    office: Office
    server: RpcServer
    clock: Clock
    engine: Engine
    port: int = 0
    _renewed_ms: int = 0
    _closed: bool = False
    _complaint: str = ""

    @classmethod
    def open(cls, settings_file: Path, clock: Clock | None = None) -> Registry:
        """Open the registry of a ``registry.toml``, log what its database holds, and publish it.

        Raises:
            ExchangeError: A key or certificate cannot be read, or log and database do not belong together.
        """
        clock = clock or SystemClock()
        directory = RegistryDirectory.of(settings_file)
        settings = load_settings(settings_file, RegistrySettings)
        anchor = Anchor.read(directory.anchor)
        engine = open_engine(directory.url(settings))
        upgrade(engine)
        seal = directory.keys / "seal.crt"
        signer = HeadSigner(read_key(directory.keys / "seal.key"), load_chain(seal.read_bytes())[0])
        office = Office(
            settings,
            sessions(engine),
            Judge(anchor.certificate, settings.networks),
            Journal(directory.log, settings.registry, signer, clock),
            Publisher(
                directory.published,
                {role: signer_of(directory.keys / f"tuf-{role}.key") for role in ONLINE_ROLES},
                lifetime=timedelta(hours=settings.expires_h),
                clock=clock,
            ),
            [seal.read_text(encoding="ascii")],
            clock,
        )
        credentials = server_credentials(
            read_private(directory.keys / "auth.key"),
            (directory.keys / "auth.crt").read_bytes(),
            certificate_pem(anchor.certificate),
        )
        server = RpcServer(credentials, limits=settings.limits, language=settings.lang)
        add_services(server, office, clock)
        registry = cls(directory, settings, office, server, clock, engine)
        try:
            registry.tick(renew=True)
        except BaseException:
            registry.close()
            raise
        return registry

    def start(self, listen: str | None = None) -> int:
        """Serve; returns the port."""
        self.port = self.server.listen(listen or self.settings.listen)
        self.server.start(SERVICES)
        return self.port

    def tick(self, *, renew: bool = False) -> None:
        """What has to be done now and then: take over new revocation lists, sign the timestamp anew."""
        now = self.clock.now_ms()
        due = now - self._renewed_ms >= self.settings.refresh_s * 1000
        self._take_authorities()
        if self.office.is_behind or renew or due:
            self.office.bring_out()
            self._renewed_ms = now

    def close(self) -> None:
        """Stop serving and let go of log and database; again does nothing."""
        if not self._closed:
            self._closed = True
            self.server.stop()
            self.office.journal.close()
            self.engine.dispose()

    def _take_authorities(self) -> None:
        """Take over the CAs' files; what cannot be trusted is told once, and what is published stays."""
        directory = self.directory.authorities(self.settings)
        try:
            found = read_authorities(directory, self.office.judge.root)
            self.office.set_authorities(found)
            self._complaint = ""
        except ExchangeError as error:
            if not self.office.has_authorities():
                raise
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error("authorities_refused", reason=str(error.reason), error=str(error))


def serve(settings_file: Path, lifeline: int | None = None) -> None:
    """Run the registry until SIGTERM, SIGINT or the end of the parent that holds ``lifeline``."""
    stopped = stop_event(lifeline)
    registry = Registry.open(settings_file)
    try:
        registry.start()
        _log.info("registry_ready", listen=registry.settings.listen, port=registry.port)
        _keep_fresh(registry, stopped)
    finally:
        registry.close()


def _keep_fresh(registry: Registry, stopped: threading.Event) -> None:
    while not stopped.wait(TICK_S):
        # A log that failed is never written through the same handle again: the process ends, and recovers.
        registry.office.journal.require_alive()
        try:
            registry.tick()
        except Exception:
            # The disk may be full or a list half written: what is published stays, and the next tick tries again.
            _log.exception("tick_failed")
