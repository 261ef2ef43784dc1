"""What a gateway knows of itself at one moment: for health, metrics, ``/etat`` and the admin API."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from core.reasons import Reason
from gateway.channel import PeerState
from gateway.control.forecast import DISK_LOW
from gateway.control.supervisor import WorkerState


class Freshness(StrEnum):
    """How old the configuration is (DESIGN section 6)."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


class Condition(StrEnum):
    """A gateway in one word."""

    WAITING = "waiting"
    READY = "ready"
    DEGRADED = "degraded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A document of the configuration that did not verify.

    Attributes:
        target: Target that holds it, ``members/BJ.GOV.ANIP.json``.
        part: What in it: ``document``, ``registration``, ``agreement``, ``successor``, ``descriptors`` or ``field mask``.
        why: One sentence in English.
    """

    target: str
    part: str
    why: str


@dataclass(frozen=True, slots=True)
class ConfigurationState:
    """The configuration in force; times are UTC milliseconds."""

    version: int
    digest: str
    fresh_at: int
    expires_at: int
    members: int
    left_out: tuple[LeftOut, ...] = ()

    def freshness(self, now_ms: int, fresh_s: int) -> Freshness:
        """How old it is; a clock that was stepped back makes nothing fresher than fresh."""
        if now_ms >= self.expires_at:
            return Freshness.EXPIRED
        return Freshness.FRESH if now_ms - self.fresh_at <= fresh_s * 1000 else Freshness.STALE


@dataclass(frozen=True, slots=True)
class RegistryState:
    """The registry as seen from here.

    Attributes:
        address: Where it is reached.
        problem: What the last attempt said; empty when it answered with something that holds.
        reason: The reason code of ``problem``.
    """

    address: str
    problem: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AdapterState:
    """An adapter as the workers see it.

    Attributes:
        subsystem: The subsystem that it serves.
        address: Where it is reached.
        state: ``up``, ``silent`` (connected, but calls get no answer), ``down`` or ``unknown``.
        unanswered: Calls given up without an answer since its last one.
    """

    subsystem: str
    address: str
    state: str
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class RouteState:
    """A fixed route, as the settings open it (PROTOCOL M14).

    Attributes:
        name: ``door`` of its statements.
        address: Where it listens.
        is_unauthenticated: Nobody is asked who calls.
    """

    name: str
    address: str
    is_unauthenticated: bool


@dataclass(frozen=True, slots=True)
class Since:
    """How long a part has been in its state.

    Attributes:
        state: The state.
        at: When it began, UTC milliseconds.
        refused: Calls that had been refused for want of an adapter when it began.
    """

    state: str
    at: int
    refused: int = 0


REGISTRY_PART: Final = "registry"


def worker_part(number: int) -> str:
    """Name of a worker in ``GatewayState.since``."""
    return f"worker/{number}"


def peer_part(worker: int, log: str) -> str:
    """Name of a worker's road to a peer's log."""
    return f"peer/{worker}/{log}"


def adapter_part(subsystem: str) -> str:
    """Name of an adapter."""
    return f"adapter/{subsystem}"


@dataclass(frozen=True, slots=True)
class GatewayState:
    """Everything at one moment.

    Attributes:
        gateway: ``BJ/GOV/ANIP/gw1``.
        now_ms: The moment, UTC milliseconds.
        started_at: When control started, UTC milliseconds.
        configuration: The configuration in force, or ``None`` before the first.
        freshness: How old that is; ``EXPIRED`` before the first.
        registry: The registry.
        workers: In order of number.
        adapters: In the order of the settings.
        indexed: Entries that the index has read, by log id.
        days_left: Days until the disk of the log reaches its reserve; ``None`` if nothing is foreseen.
        low_days: Fewer than these need attention.
        since: Since when each part is as it is, by ``worker_part``, ``peer_part`` …
        refused: Calls refused for want of an adapter, as ``since`` counts them.
        routes: Fixed routes, in the order of the settings.
        log_damage: Why the index cannot read a log on, by number of its worker.
    """

    gateway: str
    now_ms: int
    started_at: int
    configuration: ConfigurationState | None
    freshness: Freshness
    registry: RegistryState
    workers: tuple[WorkerState, ...]
    adapters: tuple[AdapterState, ...]
    indexed: Mapping[str, int]
    days_left: float | None = None
    low_days: int = 0
    since: Mapping[str, Since] = field(default_factory=dict)
    refused: int = 0
    routes: tuple[RouteState, ...] = ()
    log_damage: Mapping[int, str] = field(default_factory=dict)

    @property
    def faults(self) -> tuple[str, ...]:
        """Codes of what needs attention, each once, most severe first."""
        return tuple(dict.fromkeys(self._faults()))

    @property
    def condition(self) -> Condition:
        """The gateway in one word."""
        if self.configuration is None:
            return Condition.WAITING
        if self.freshness is Freshness.EXPIRED:
            return Condition.CLOSED
        workers = {_worker_condition(worker) for worker in self.workers}
        if Condition.READY in workers:
            return Condition.DEGRADED if self.faults else Condition.READY
        return Condition.CLOSED if Condition.CLOSED in workers else Condition.WAITING

    @property
    def expires_in_s(self) -> int | None:
        """Seconds until every exchange is refused for the age of the configuration; ``None`` before the first."""
        configuration = self.configuration
        return None if configuration is None else max(0, configuration.expires_at - self.now_ms) // 1000

    @property
    def is_serving(self) -> bool:
        """Whether exchanges are carried at all."""
        return self.condition in (Condition.READY, Condition.DEGRADED)

    @property
    def unauthenticated_routes(self) -> tuple[str, ...]:
        """Names of the routes that ask nobody who calls: decided, no fault, and to be seen by whoever looks."""
        return tuple(route.name for route in self.routes if route.is_unauthenticated)

    def faults_of(self, worker: WorkerState) -> tuple[str, ...]:
        """Codes of what needs attention at one worker, each once, most severe first."""
        # The worker may go on: it has no need of what a checkpoint covers.
        damage = (Reason.LOG_DAMAGED,) if worker.number in self.log_damage else ()
        return tuple(dict.fromkeys(map(str, (*_faults_of(worker), *damage))))

    def _faults(self) -> Iterator[str]:
        if self.configuration is None:
            yield Reason.CONFIG_MISSING
        elif self.freshness is Freshness.EXPIRED:
            yield Reason.CONFIG_EXPIRED
        for worker in self.workers:
            yield from self.faults_of(worker)
        for adapter in self.adapters:
            if adapter.state in ("down", "silent"):
                yield Reason.ADAPTER_DOWN
        if self.days_left is not None and self.days_left < self.low_days:
            yield DISK_LOW
        if self.freshness is Freshness.STALE:
            yield Reason.CONFIG_STALE
        if self.registry.reason:
            yield self.registry.reason
        if self.configuration is not None and self.configuration.left_out:
            yield Reason.DOCUMENT_INVALID


def shown_state(state: str, faults: Iterable[str]) -> str:
    """What people read of a worker: one that runs and may serve nobody yet waits, whatever it is ready for."""
    return "waiting" if state == "ready" and Reason.LOG_NOT_REGISTERED in faults else state


def _worker_condition(worker: WorkerState) -> Condition:
    """Whether exchanges pass through this worker: ``READY``, ``WAITING`` or ``CLOSED``."""
    if worker.state in ("starting", "stopped"):
        return Condition.WAITING
    faults = worker.report.faults if worker.report is not None else ()
    if worker.state != "ready" or Reason.LOG_CLOSED in faults:
        return Condition.CLOSED
    return Condition.WAITING if Reason.LOG_NOT_REGISTERED in faults else Condition.READY


def unreached_members(peers: Iterable[PeerState]) -> set[str]:
    """Members that were dialled in vain and to whom no other road is open: what is meant for them is refused."""
    members: dict[str, set[str]] = {}
    for peer in peers:
        members.setdefault(peer.gateway.rpartition("/")[0], set()).add(peer.state)
    return {
        member
        for member, states in members.items()
        if Reason.PEER_UNREACHABLE in states and "open" not in states
    }


def _faults_of(worker: WorkerState) -> Iterator[str]:
    is_ready = worker.state == "ready"
    if worker.write_failure is not None and not is_ready:
        yield Reason.LOG_WRITE_FAILED
    if worker.failed_start is not None:
        yield worker.failed_start.reason
    if worker.is_failing or not worker.pid:
        yield "WORKER_DOWN"
    if not worker.pid:
        return
    if worker.is_silent:
        yield "WORKER_SILENT"
    if worker.report is not None:
        # A log that had to stop reports its reason as its state: FORKED, LOG_BEHIND_PEERS.
        if worker.report.state.isupper():
            yield worker.report.state
        yield from worker.report.faults
        for peer in worker.report.peers:
            # Nothing passes until somebody sets a clock right, or the registry's word: here, or there.
            if peer.state in (Reason.CLOCK_SKEW, Reason.CONFIG_SPLIT):
                yield peer.state
        if unreached_members(worker.report.peers):
            yield Reason.PEER_UNREACHABLE
