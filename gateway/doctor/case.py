"""Everything the checks look at, gathered once: from files, from control if it answers, and by trying."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from core.clock import Clock
from core.configuration import CurrentConfiguration
from core.reasons import ExchangeError
from core.registrations import parse_address
from gateway.channel import WriteFailure
from gateway.control.chronicle import read_status
from gateway.doctor.probes import (
    ALL_S,
    AdapterProbe,
    PeerProbe,
    RegistryProbe,
    in_parallel,
    probe_adapter,
    probe_peer,
    probe_registry,
)
from gateway.layout import GatewayDirectory
from gateway.local import LocalAdmin
from gateway.remains import (
    LogOnDisk,
    forecast,
    free_bytes,
    living_workers,
    look_at_logs,
    read_current,
    write_failures,
)
from gateway.settings import GatewaySettings, HostPort
from gateway.worker.trust import HeldAgreement, RegisteredGateway, TrustView, build, hold, plans_by_agreement
from passerelle.gateway.v1 import status_pb2
from rpc.remote import RemoteError

# Peers that are tried; a country has some sixty.
MAX_PEERS: Final = 256
CONTROL_S: Final = 2.0

_Task = tuple[Callable[[], object], object]


@dataclass(frozen=True, slots=True)
class Case:
    """A gateway as doctor finds it.

    Attributes:
        settings: Its ``gateway.toml``.
        directory: Its directory.
        now_ms: The moment, by this machine's clock.
        is_live: Whether control answered.
        status: What control tells, or told last; ``None`` if it never wrote.
        living: Process ids of workers that live, by number.
        current: The configuration in force, as workers read it.
        view: The same, as workers ask it.
        logs: The logs, in order of workers.
        write_failures: What the disk refused to each worker, newest.
        free_bytes: Free on the disk of the log; ``None`` if the system does not tell.
        days_left: Until the reserve of that disk is reached; ``None`` if nothing is foreseen.
        registry: How far the registry was reached.
        peers: Road ports of gateways that agreements lead to or come from.
        adapters: The adapters.
    """

    settings: GatewaySettings
    directory: GatewayDirectory
    now_ms: int
    is_live: bool
    status: status_pb2.GetStatusResponse | None
    living: Mapping[int, int]
    current: CurrentConfiguration | None
    view: TrustView | None
    logs: tuple[LogOnDisk, ...]
    write_failures: Mapping[int, WriteFailure]
    free_bytes: int | None
    days_left: float | None
    registry: RegistryProbe
    peers: tuple[PeerProbe, ...]
    adapters: tuple[AdapterProbe, ...]

    @property
    def agreements(self) -> list[HeldAgreement]:
        """Agreements in force that this member is a party of."""
        return agreements_of(self.settings, self.current, self.now_ms)

    @property
    def own_gateway(self) -> RegisteredGateway | None:
        """This gateway as the configuration registers it."""
        return self.view.gateways.get(self.settings.gateway) if self.view is not None else None


def gather(
    settings: GatewaySettings, directory: GatewayDirectory, clock: Clock, *, outside: bool = True
) -> Case:
    """Look at everything; takes some ten seconds at most, with or without a network.

    Args:
        settings: The gateway's settings.
        directory: Its directory.
        clock: This machine's.
        outside: Whether registry, peers and adapters are tried.
    """
    current = read_current(directory)
    view = _view(settings, current)
    free = free_bytes(directory)
    now = clock.now_ms()
    registry, peers, adapters = (
        _try_all(settings, directory, clock, current, view) if outside else (RegistryProbe(""), (), ())
    )
    live = _ask_control(directory)
    return Case(
        settings=settings,
        directory=directory,
        now_ms=clock.now_ms(),
        is_live=live is not None,
        status=live or read_status(directory.status),
        living=living_workers(directory),
        current=current,
        view=view,
        logs=look_at_logs(settings, directory),
        write_failures=write_failures(settings, directory),
        free_bytes=free,
        days_left=forecast(settings, directory, free, now),
        registry=registry,
        peers=peers,
        adapters=adapters,
    )


def agreements_of(
    settings: GatewaySettings, current: CurrentConfiguration | None, now_ms: int
) -> list[HeldAgreement]:
    """Agreements in force that the gateway's member is a party of."""
    plans = plans_by_agreement(current) if current else {}
    held = [
        hold(entry, plans) for member in (current.members if current else ()) for entry in member.agreements
    ]
    own = f"{settings.member}/"
    return [
        one
        for one in held
        if one.state == "active"
        and one.not_before <= now_ms < one.not_after
        and any(party.subsystem.startswith(own) for party in (one.terms.consumer, one.terms.provider))
    ]


def _view(settings: GatewaySettings, current: CurrentConfiguration | None) -> TrustView | None:
    if current is None:
        return None
    with contextlib.suppress(ExchangeError, ValueError):
        return build(
            current,
            own_member=str(settings.member),
            own_key=settings.member_key,
            fresh_ms=settings.configuration.fresh_s * 1000,
        )
    return None


def _ask_control(directory: GatewayDirectory) -> status_pb2.GetStatusResponse | None:
    try:
        with LocalAdmin(directory, timeout_s=CONTROL_S) as admin:
            return admin.status()
    except (ExchangeError, RemoteError):
        return None


def _try_all(
    settings: GatewaySettings,
    directory: GatewayDirectory,
    clock: Clock,
    current: CurrentConfiguration | None,
    view: TrustView | None,
) -> tuple[RegistryProbe, tuple[PeerProbe, ...], tuple[AdapterProbe, ...]]:
    registry: _Task = (
        partial(probe_registry, settings, directory, clock),
        RegistryProbe("dns", detail="ETIMEDOUT"),
    )
    peers: list[_Task] = [
        (
            partial(probe_peer, settings, gateway.id, gateway.member, host, port),
            PeerProbe(gateway.id, gateway.member, str(HostPort(host, port)), "ETIMEDOUT"),
        )
        for gateway, host, port in _roads(settings, current, view, clock.now_ms())
    ]
    adapters: list[_Task] = [
        (
            partial(probe_adapter, directory, one),
            AdapterProbe(one.subsystem, one.address, "ETIMEDOUT"),
        )
        for one in settings.adapter
    ]
    found = in_parallel([registry, *peers, *adapters], ALL_S)
    first = next(one for one in found if isinstance(one, RegistryProbe))
    return (
        first,
        tuple(one for one in found if isinstance(one, PeerProbe)),
        tuple(one for one in found if isinstance(one, AdapterProbe)),
    )


def _roads(
    settings: GatewaySettings, current: CurrentConfiguration | None, view: TrustView | None, now_ms: int
) -> list[tuple[RegisteredGateway, str, int]]:
    """The road ports of the members at the other end of our agreements."""
    if view is None:
        return []
    others = {
        party.subsystem.rpartition("/")[0]
        for one in agreements_of(settings, current, now_ms)
        for party in (one.terms.consumer, one.terms.provider)
    } - {str(settings.member)}
    found = [
        (gateway, *parse_address(log.address))
        for gateway in view.gateways.values()
        if gateway.member in others and gateway.admitted
        for log in gateway.logs
    ]
    return found[:MAX_PEERS]
