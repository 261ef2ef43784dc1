"""grpc.health.v1 over waiting streams: the stock servicer writes to its watchers while it holds its lock."""

from __future__ import annotations

import threading
from typing import Final, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rpc.waiting import WaitingStream, Watchers, waiting

OVERALL: Final = ""
MAX_NAME_CHARACTERS: Final = 256
MAX_UNKNOWN_NAMES: Final = 64

_Status: TypeAlias = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """What this process says of its services; everything it does not know is unknown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._status: dict[str, int] = {OVERALL: _Status.NOT_SERVING}
        self._watchers: dict[str, Watchers[_Status]] = {}

    def set(self, service: str, *, serving: bool) -> None:
        """Tell whether ``service`` (``OVERALL`` for the process) can be called now."""
        status = _Status.SERVING if serving else _Status.NOT_SERVING
        with self._lock:
            self._status[service] = status
            watchers = self._watchers.get(service)
        if watchers is not None:
            watchers.publish(_Status(status=status))

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """The state now; NOT_FOUND for a service that this process does not have."""
        with self._lock:
            status = self._status.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _Status(status=status)

    @waiting
    def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        stream: WaitingStream[health_pb2.HealthCheckResponse],
        context: grpc.ServicerContext,
    ) -> None:
        """The state now and at each change; SERVICE_UNKNOWN until the service appears."""
        with self._lock:
            known = self._status.get(request.service)
            if known is None and not self._may_watch_unknown(request.service):
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many unknown services are watched")
            watchers = self._watchers.setdefault(request.service, Watchers())
            # Added under the lock: a change after this look reaches the stream.
            watchers.add(stream)
            stream.send(_Status(status=_Status.SERVICE_UNKNOWN if known is None else known))

    def _may_watch_unknown(self, service: str) -> bool:
        """Names are given by callers; what is kept of them is bounded."""
        if len(service) > MAX_NAME_CHARACTERS:
            return False
        for name in [n for n, w in self._watchers.items() if n not in self._status and len(w) == 0]:
            del self._watchers[name]
        unknown = sum(name not in self._status for name in self._watchers)
        return service in self._watchers or unknown < MAX_UNKNOWN_NAMES
