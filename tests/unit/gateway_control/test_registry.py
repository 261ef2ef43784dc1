"""The registry over a real gRPC channel."""

import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

from gateway.control.registry import GrpcRegistry
from gateway.control.repository import FileMissingError, RegistryAwayError
from passerelle.registry.v1 import configuration_pb2, configuration_pb2_grpc


class Servicer(configuration_pb2_grpc.ConfigurationServiceServicer):
    """One file, two versions, then silence."""

    def __init__(self) -> None:
        self.watched: list[int] = []
        self.hold = threading.Event()

    def Fetch(
        self, request: configuration_pb2.FetchRequest, context: grpc.ServicerContext
    ) -> Iterator[configuration_pb2.FetchResponse]:
        if request.path == "metadata/timestamp.json":
            yield configuration_pb2.FetchResponse(data=b"one")
            yield configuration_pb2.FetchResponse(data=b"two")
        elif request.path == "metadata/broken.json":
            yield configuration_pb2.FetchResponse(data=b"one")
            context.abort(grpc.StatusCode.INTERNAL, "disk")
        else:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such file")

    def Watch(
        self, request: configuration_pb2.WatchRequest, context: grpc.ServicerContext
    ) -> Iterator[configuration_pb2.WatchResponse]:
        self.watched.append(request.version)
        yield configuration_pb2.WatchResponse(version=7)
        yield configuration_pb2.WatchResponse(version=8)
        context.add_callback(self.hold.set)
        if request.version != 99:
            self.hold.wait(20)

    def GetStatus(
        self, request: configuration_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> configuration_pb2.GetStatusResponse:
        raise NotImplementedError


@pytest.fixture
def servicer() -> Iterator[Servicer]:
    servicer = Servicer()
    yield servicer
    servicer.hold.set()


@pytest.fixture
def registry(servicer: Servicer) -> Iterator[GrpcRegistry]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    configuration_pb2_grpc.add_ConfigurationServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GrpcRegistry(channel)
    server.stop(None).wait()


def test_a_file_comes_in_pieces(registry: GrpcRegistry) -> None:
    """As the registry reads it from its disk."""
    assert b"".join(registry.fetch("metadata/timestamp.json")) == b"onetwo"


def test_a_file_that_is_not_there_is_told_apart_from_a_registry_that_fails(registry: GrpcRegistry) -> None:
    """TUF asks for the next root, which mostly does not exist yet."""
    with pytest.raises(FileMissingError):
        list(registry.fetch("metadata/2.root.json"))
    with pytest.raises(RegistryAwayError, match="INTERNAL: disk"):
        list(registry.fetch("metadata/broken.json"))


def test_a_registry_that_is_not_there_is_away() -> None:
    """Both calls say so."""
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        registry = GrpcRegistry(channel)

        with pytest.raises(RegistryAwayError, match="UNAVAILABLE"):
            list(registry.fetch("metadata/timestamp.json"))
        with pytest.raises(RegistryAwayError, match="UNAVAILABLE"):
            list(registry.watch(0))


def test_versions_are_told_until_the_watch_is_cancelled(registry: GrpcRegistry, servicer: Servicer) -> None:
    """A stopping control process does not wait for the next version."""
    told = registry.watch(6)

    assert [next(told), next(told)] == [7, 8]
    registry.cancel()
    with pytest.raises(RegistryAwayError, match="CANCELLED"):
        next(told)
    with pytest.raises(RegistryAwayError, match="CANCELLED"):
        list(registry.watch(6))
    assert servicer.watched[0] == 6


def test_a_watch_that_the_registry_ends_is_an_absence(registry: GrpcRegistry) -> None:
    """It has to be opened again."""
    with pytest.raises(RegistryAwayError, match="ended"):
        list(registry.watch(99))
