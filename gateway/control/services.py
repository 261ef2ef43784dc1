"""The admin API of a gateway: Directory and Status as servicers; Log is in ``gateway.control.log_service``.

Each servicer is told how to learn who calls. On the admin port that is the caller's certificate, checked on
every call; on the local socket it is whoever may open the file.
"""

from collections.abc import Callable

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from core.clock import Clock
from core.configuration import descriptors_target, encode_current
from core.identifiers import SubsystemId
from gateway.control.configuration import ConfigurationKeeper
from gateway.control.directory import Directory, VisibleService
from gateway.control.state import (
    REGISTRY_PART,
    Condition,
    ConfigurationState,
    Freshness,
    GatewayState,
    LeftOut,
    adapter_part,
    peer_part,
    worker_part,
)
from gateway.control.supervisor import WorkerState
from passerelle.gateway.v1 import directory_pb2, directory_pb2_grpc, status_pb2, status_pb2_grpc

# Who calls the Directory: a subsystem, or None for the administrator on the machine. Raises ExchangeError.
ProgramCheck = Callable[[grpc.ServicerContext], SubsystemId | None]
# Raises ExchangeError unless the caller has the role that the service asks for.
RoleCheck = Callable[[grpc.ServicerContext], None]

_CONDITIONS = {
    Condition.WAITING: status_pb2.STATE_WAITING,
    Condition.READY: status_pb2.STATE_READY,
    Condition.DEGRADED: status_pb2.STATE_DEGRADED,
    Condition.CLOSED: status_pb2.STATE_CLOSED,
}
_FRESHNESS = {
    Freshness.FRESH: status_pb2.FRESHNESS_FRESH,
    Freshness.STALE: status_pb2.FRESHNESS_STALE,
    Freshness.EXPIRED: status_pb2.FRESHNESS_EXPIRED,
}


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """What a program may find out."""

    def __init__(self, keeper: ConfigurationKeeper, clock: Clock, caller: ProgramCheck) -> None:
        self._keeper = keeper
        self._clock = clock
        self._caller = caller

    def ListServices(
        self, request: directory_pb2.ListServicesRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListServicesResponse:
        """Every service that the caller may know of."""
        found = self._directory(context).services(name=request.service)
        return directory_pb2.ListServicesResponse(services=map(_directory_entry, found))

    def GetDescriptors(
        self, request: directory_pb2.GetDescriptorsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.GetDescriptorsResponse:
        """The descriptors of one of them."""
        visible = self._directory(context).require(request.service, request.provider)
        data = self._keeper.read_target(descriptors_target(visible.entry.descriptors))
        return directory_pb2.GetDescriptorsResponse(
            provider=visible.entry.subsystem, file_descriptor_set=data, digest=visible.entry.descriptors
        )

    def _directory(self, context: grpc.ServicerContext) -> Directory:
        caller = self._caller(context)
        return Directory(self._keeper.require().current.members, self._clock.now_ms(), caller)


class StatusServicer(status_pb2_grpc.StatusServiceServicer):
    """What the gateway knows of itself."""

    def __init__(
        self, keeper: ConfigurationKeeper, state: Callable[[], GatewayState], check: RoleCheck
    ) -> None:
        self._keeper = keeper
        self._state = state
        self._check = check

    def GetStatus(
        self, request: status_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> status_pb2.GetStatusResponse:
        """Everything at this moment."""
        self._check(context)
        return status_of(self._state())

    def GetConfiguration(
        self, request: status_pb2.GetConfigurationRequest, context: grpc.ServicerContext
    ) -> status_pb2.GetConfigurationResponse:
        """The configuration in force."""
        self._check(context)
        in_force = self._keeper.require()
        return status_pb2.GetConfigurationResponse(
            document=encode_current(in_force.current), left_out=map(_left_out, in_force.judged.left_out)
        )


def timestamp(ms: int) -> Timestamp:
    """UTC milliseconds as the APIs write them."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def _directory_entry(visible: VisibleService) -> directory_pb2.DirectoryEntry:
    return directory_pb2.DirectoryEntry(
        provider=visible.entry.subsystem,
        service=visible.entry.service,
        descriptors=visible.entry.descriptors,
        methods=[
            directory_pb2.DirectoryMethod(
                name=method.name,
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
                idempotent=method.idempotent,
                granted=method.name in visible.granted,
            )
            for method in visible.entry.methods
        ],
    )


def status_of(state: GatewayState) -> status_pb2.GetStatusResponse:
    """The state as the API tells it."""
    return status_pb2.GetStatusResponse(
        gateway=state.gateway,
        state=_CONDITIONS[state.condition],
        faults=state.faults,
        configuration=_configuration(state.configuration, state.freshness) if state.configuration else None,
        workers=[_worker(worker, state) for worker in state.workers],
        peers=[
            status_pb2.PeerStatus(
                gateway=peer.gateway,
                log=peer.log,
                worker=worker.number,
                state=peer.state,
                size=peer.size,
                since=_since(state, peer_part(worker.number, peer.log)),
                clock_ahead_s=peer.ahead_s,
            )
            for worker in state.workers
            for peer in sorted(worker.report.peers if worker.report else (), key=lambda one: one.gateway)
        ],
        adapters=[
            status_pb2.AdapterStatus(
                subsystem=one.subsystem,
                address=one.address,
                state=one.state,
                since=_since(state, adapter_part(one.subsystem)),
                refused=_refused(state, one.subsystem) if one.state == "down" else 0,
                unanswered=one.unanswered,
            )
            for one in state.adapters
        ],
        routes=[
            status_pb2.RouteStatus(name=one.name, address=one.address, unauthenticated=one.is_unauthenticated)
            for one in state.routes
        ],
        registry=status_pb2.RegistryStatus(
            address=state.registry.address,
            reachable=not state.registry.problem,
            problem=state.registry.problem,
            reason=state.registry.reason,
            since=_since(state, REGISTRY_PART),
        ),
        started_at=timestamp(state.started_at),
        days_left=state.days_left,
        as_of=timestamp(state.now_ms),
    )


def _since(state: GatewayState, part: str) -> Timestamp | None:
    found = state.since.get(part)
    return timestamp(found.at) if found is not None else None


def _refused(state: GatewayState, subsystem: str) -> int:
    found = state.since.get(adapter_part(subsystem))
    return max(0, state.refused - found.refused) if found is not None else 0


def _configuration(configuration: ConfigurationState, freshness: Freshness) -> status_pb2.ConfigurationStatus:
    return status_pb2.ConfigurationStatus(
        version=configuration.version,
        digest=configuration.digest,
        fetched_at=timestamp(configuration.fresh_at),
        expires_at=timestamp(configuration.expires_at),
        freshness=_FRESHNESS[freshness],
        members=configuration.members,
        left_out=map(_left_out, configuration.left_out),
    )


def _worker(worker: WorkerState, state: GatewayState) -> status_pb2.WorkerStatus:
    status = status_pb2.WorkerStatus(
        worker=worker.number,
        pid=worker.pid,
        restarts=worker.restarts,
        state=worker.state,
        since=_since(state, worker_part(worker.number)),
        faults=state.faults_of(worker),
    )
    failure = worker.write_failure
    if failure is not None:
        status.write_failure.at.CopyFrom(timestamp(failure.at))
        status.write_failure.error, status.write_failure.segment = failure.error, failure.segment
    failed = worker.failed_start
    if failed is not None:
        status.failed_start.CopyFrom(status_pb2.FailedStart(reason=failed.reason, why=failed.why))
    status.log_damage = state.log_damage.get(worker.number, "")
    report = worker.report
    if report is not None:
        status.log = report.log
        status.size = report.size
        status.signed_size = report.signed_size
        status.in_flight = report.in_flight
        status.free_bytes = report.free_bytes
        status.indexed_size = state.indexed.get(report.log, 0)
        status.in_doubt = report.in_doubt
        status.counters.update(report.counters)
        status.configuration_version = report.configuration_version
        status.in_step = worker.in_step
        if report.stopped is not None:
            stopped = report.stopped
            status.stopped.CopyFrom(
                status_pb2.StoppedLog(here=stopped.here, there=stopped.there, witness=stopped.witness)
            )
    return status


def _left_out(one: LeftOut) -> status_pb2.LeftOut:
    return status_pb2.LeftOut(target=one.target, part=one.part, why=one.why)
