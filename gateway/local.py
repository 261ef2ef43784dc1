"""The administrator on the machine: asks the control process over ``admin.sock``, without certificates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc

from core.configuration import ProgramEntry, decode_current
from core.language import Text
from core.reasons import Code, ExchangeError, Reason
from gateway.control.programs import PinnedPrograms
from gateway.layout import GatewayDirectory
from gateway.remains import living_workers
from gateway.worker.trust import build
from passerelle.gateway.v1 import (
    log_pb2,
    log_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)
from rpc.remote import RemoteError
from rpc.status import error_from_rpc

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

TIMEOUT_S: Final = 10.0
_MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
# A list is read whole or not at all: one of more than MAX_PAGES pages is refused, never cut.
PAGE: Final = 1000
# Control looks at ``programs.json`` twice a second, a worker reads what it is handed at once.
ADMISSION_S: Final = 5.0
_POLL_S: Final = 0.05
MAX_PAGES: Final = 100


class LocalAdmin:
    """One connection to a gateway's admin socket; every method raises ``RemoteError`` when it is refused.

    Raises:
        NotRunningError: The gateway does not run.
    """

    def __init__(self, directory: GatewayDirectory, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._directory = directory
        if not directory.admin_socket.exists():
            raise NotRunningError(directory, "there is no admin.sock")
        self._channel = grpc.secure_channel(
            f"unix:{directory.admin_socket}",
            grpc.local_channel_credentials(grpc.LocalConnectionType.UDS),
            options=[("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def status(self) -> status_pb2.GetStatusResponse:
        """Everything at this moment."""
        return self._answer(
            status_pb2_grpc.StatusServiceStub(self._channel).GetStatus, status_pb2.GetStatusRequest()
        )

    def configuration(self) -> status_pb2.GetConfigurationResponse:
        """The configuration in force."""
        return self._answer(
            status_pb2_grpc.StatusServiceStub(self._channel).GetConfiguration,
            status_pb2.GetConfigurationRequest(),
        )

    def goes_by(self, programs: Sequence[ProgramEntry]) -> bool:
        """Whether control and every worker that runs admit these pinned programs, and no others."""
        current = decode_current(self.configuration().document)
        if current.programs != list(programs):
            return False
        running = [worker for worker in self.status().workers if worker.pid]
        return bool(running) and all(worker.in_step for worker in running)

    def gateways_by_log(self) -> dict[str, str]:
        """Whose each log of the configuration in force is."""
        current = decode_current(self.configuration().document)
        view = build(current, own_member="", own_key="", fresh_ms=0)
        return {log: gateway.id for log, gateway in view.by_log.items()}

    def exchange(self, exchange_id: str) -> log_pb2.GetExchangeResponse:
        """One exchange, entry by entry."""
        return self._answer(
            log_pb2_grpc.LogServiceStub(self._channel).GetExchange,
            log_pb2.GetExchangeRequest(exchange_id=exchange_id),
        )

    def heads(self) -> log_pb2.GetHeadResponse:
        """Newest signed heads of all logs."""
        return self._answer(log_pb2_grpc.LogServiceStub(self._channel).GetHead, log_pb2.GetHeadRequest())

    def in_doubt(self) -> log_pb2.SearchResponse:
        """Exchanges whose end is not known to both sides, all of them."""
        return self._search(log_pb2.SearchRequest(outcome=log_pb2.EXCHANGE_OUTCOME_IN_DOUBT))

    def dossier(self, issue: str) -> log_pb2.SearchResponse:
        """Exchanges of one dossier, all of them."""
        return self._search(log_pb2.SearchRequest(issue=issue))

    def _search(self, wanted: log_pb2.SearchRequest) -> log_pb2.SearchResponse:
        """A list, whole; raises ``ExchangeError`` if it is too long to be read whole."""
        wanted.page_size = PAGE
        found = log_pb2.SearchResponse()
        for _ in range(MAX_PAGES):
            page = self._answer(log_pb2_grpc.LogServiceStub(self._channel).Search, wanted)
            found.exchanges.extend(page.exchanges)
            if not page.next_page_token:
                found.indexed.extend(page.indexed)
                return found
            wanted.page_token = page.next_page_token
        raise ExchangeError(
            Reason.DOCUMENT_INVALID, f"the list has more than {MAX_PAGES} pages of {PAGE} exchanges"
        )

    def _answer(
        self, method: grpc.UnaryUnaryMultiCallable[_Request, _Response], request: _Request
    ) -> _Response:
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            refused = error_from_rpc(error)
            if refused.code is Code.UNAVAILABLE and not refused.reason:
                # A process that was killed leaves its socket behind.
                raise NotRunningError(self._directory, "nobody answers at its admin.sock") from error
            raise refused from error


def is_admission_in_use(directory: GatewayDirectory, *, within_s: float = ADMISSION_S) -> bool:
    """Wait until the gateway goes by ``programs.json`` as it is; false if it does not run, or not in time."""
    pinned = PinnedPrograms(directory.pinned_programs)
    deadline = time.monotonic() + within_s
    try:
        with LocalAdmin(directory) as admin:
            while not admin.goes_by(pinned.entries()):
                if time.monotonic() > deadline:
                    return False
                time.sleep(_POLL_S)
    except (ExchangeError, RemoteError):
        return False
    return True


class NotRunningError(ExchangeError):
    """Nobody answers at a gateway's ``admin.sock``; its workers may live on."""

    def __init__(self, directory: GatewayDirectory, why: str) -> None:
        start = f"`passerelle gateway serve --config {directory.settings}`"
        if living := living_workers(directory):
            alive = (
                "1 worker lives on and carries"
                if len(living) == 1
                else f"{len(living)} workers live on and carry"
            )
            text = f"the control process does not run: {why}; {alive} exchanges, which only control can show"
            remedy = Text(
                f"relancer le contrôle ({start}) ; sans lui, chaque échange se lit avec `passerelle audit list`",
                f"start control again ({start}); without it, `passerelle audit list` reads each exchange",
            )
        else:
            text = f"the gateway in {directory.root} does not run: {why}"
            remedy = Text(
                f"lancer la passerelle ({start}), ou nommer un autre gateway.toml avec --config",
                f"start the gateway ({start}), or name another gateway.toml with --config",
            )
        super().__init__(Reason.NOT_FOUND, text, remedy=remedy)

    def __reduce__(self) -> tuple[type[ExchangeError], tuple[Reason, str]]:
        return (ExchangeError, (self.reason, str(self)))
