"""The registry over gRPC: raw files of the configuration, and word of new versions.

Nothing that arrives here is believed: files are verified by ``gateway.control.repository``, and a version
that is told only wakes a fetch.
"""

import threading
from collections.abc import Iterator, Sequence

import grpc

from gateway.control.repository import FileMissingError, RegistryAwayError
from passerelle.registry.v1 import (
    configuration_pb2,
    configuration_pb2_grpc,
    heads_pb2,
    heads_pb2_grpc,
)

_FETCH_TIMEOUT_S = 15.0


class GrpcRegistry:
    """The registry behind one channel; see ``RegistrySource`` of the configuration, ``HeadsSource`` of the heads."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = configuration_pb2_grpc.ConfigurationServiceStub(channel)
        self._heads = heads_pb2_grpc.HeadsServiceStub(channel)
        self._lock = threading.Lock()
        self._watching: grpc.Call | None = None
        self._cancelled = False

    def fetch(self, path: str) -> Iterator[bytes]:
        """One raw file, in pieces.

        Raises:
            FileMissingError: The registry has no such file.
            RegistryAwayError: It could not be asked.
        """
        try:
            for piece in self._stub.Fetch(
                configuration_pb2.FetchRequest(path=path), timeout=_FETCH_TIMEOUT_S
            ):
                yield piece.data
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise FileMissingError(path) from error
            raise RegistryAwayError(_explain(error)) from error

    def watch(self, version: int) -> Iterator[int]:
        """Versions that can be fetched, the newest at once.

        Raises:
            RegistryAwayError: The stream ended.
        """
        # Without a deadline on purpose: keepalive of the channel notices a registry that is gone.
        stream = self._stub.Watch(configuration_pb2.WatchRequest(version=version))
        with self._lock:
            self._watching = stream
            if self._cancelled:
                stream.cancel()
        try:
            for told in stream:
                yield told.version
        except grpc.RpcError as error:
            raise RegistryAwayError(_explain(error)) from error
        raise RegistryAwayError("the registry ended the stream")

    def report_heads(self, heads: Sequence[bytes], timeout_s: float) -> list[tuple[bytes, str]]:
        """Report newest heads of our logs; of each what the registry holds now, or why it refused it.

        Raises:
            RegistryAwayError: It could not be asked, or takes nothing of this gateway.
        """
        try:
            request = heads_pb2.ReportNewestRequest(heads=heads)
            answer = self._heads.ReportNewest(request, timeout=timeout_s)
            return [(one.held, one.refused) for one in answer.heads]
        except grpc.RpcError as error:
            raise RegistryAwayError(_explain(error)) from error

    def newest_heads(self, timeout_s: float) -> list[bytes]:
        """The newest heads that the registry holds of our logs; their signatures are not checked here.

        Raises:
            RegistryAwayError: It could not be asked.
        """
        try:
            return list(self._heads.GetNewest(heads_pb2.GetNewestRequest(), timeout=timeout_s).heads)
        except grpc.RpcError as error:
            raise RegistryAwayError(_explain(error)) from error

    def cancel(self) -> None:
        """End a ``watch`` that waits, and every later one."""
        with self._lock:
            self._cancelled = True
            if self._watching is not None:
                self._watching.cancel()


def _explain(error: grpc.RpcError) -> str:
    return f"{error.code().name}: {error.details()}"
