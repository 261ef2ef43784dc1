"""What the administrator's commands ask over ``admin.sock``."""

import socket
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from core.reasons import ExchangeError, Reason
from gateway.layout import GatewayDirectory
from gateway.local import LocalAdmin
from passerelle.gateway.v1 import log_pb2


def search(request: log_pb2.SearchRequest, context: grpc.ServicerContext) -> log_pb2.SearchResponse:
    """Three exchanges in doubt, one to a page."""
    assert request.outcome == log_pb2.EXCHANGE_OUTCOME_IN_DOUBT
    number = int(request.page_token or "0")
    return log_pb2.SearchResponse(
        exchanges=[log_pb2.Exchange(exchange_id=str(number))],
        next_page_token=str(number + 1) if number < 2 else "",
        indexed=[log_pb2.IndexedLog(log="ab" * 32, size=7)],
    )


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[LocalAdmin]:
    """A connection to them."""
    directory = GatewayDirectory(tmp_path)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    method = grpc.unary_unary_rpc_method_handler(
        search,
        request_deserializer=log_pb2.SearchRequest.FromString,
        response_serializer=log_pb2.SearchResponse.SerializeToString,
    )
    service = log_pb2.DESCRIPTOR.services_by_name["LogService"].full_name
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Search": method})])
    credentials = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
    server.add_secure_port(f"unix:{directory.admin_socket}", credentials)
    server.start()
    with LocalAdmin(directory) as opened:
        yield opened
    server.stop(None).wait()


def test_all_pages_of_exchanges_in_doubt_are_read(admin: LocalAdmin) -> None:
    """What waits for a decision must not be cut off in silence."""
    found = admin.in_doubt()

    assert [one.exchange_id for one in found.exchanges] == ["0", "1", "2"]
    assert len(found.indexed) == 1


def test_more_than_can_be_shown_is_refused(admin: LocalAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not cut."""
    monkeypatch.setattr("gateway.local.MAX_PAGES", 2)

    with pytest.raises(ExchangeError) as error:
        admin.in_doubt()

    assert error.value.reason is Reason.DOCUMENT_INVALID


@pytest.mark.parametrize("left_over", [False, True])
def test_a_gateway_that_does_not_run_is_told(left_over: bool, tmp_path: Path) -> None:
    """Whether it stopped or was killed, the remedy is to start it, not to check a name."""
    directory = GatewayDirectory(tmp_path)
    if left_over:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(directory.admin_socket))

    with pytest.raises(ExchangeError, match="does not run") as error, LocalAdmin(directory) as admin:
        admin.status()

    assert error.value.remedy is not None
    assert "passerelle gateway serve" in error.value.remedy.fr
