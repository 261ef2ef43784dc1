"""Health, readiness, metrics and ``/etat`` over HTTP, on loopback only.

Whoever is on the machine may read; nobody may change anything. Requests that name another host are refused,
so that a web page elsewhere cannot read the state through a browser on this machine (DNS rebinding).
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import structlog

from core.language import Language
from gateway.control.metrics import render_metrics
from gateway.control.page import STYLE, render_page
from gateway.control.state import GatewayState
from gateway.settings import HostPort, is_loopback
from rpc.ports import require_free

_log = structlog.get_logger("gateway.control.http")

_MAX_CONNECTIONS = 16
_TIMEOUT_S = 5
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class StatusPages:
    """The HTTP server of a control process.

    Args:
        address: Loopback address to bind; port 0 takes a free one.
        state: Gives the state at this moment.
        language: Language of ``/etat`` when the request names none.

    Raises:
        ExchangeError: ``PORT_IN_USE``, naming the process that holds it: the first port that a gateway started
            beside itself would take.
    """

    def __init__(self, address: HostPort, state: Callable[[], GatewayState], language: Language) -> None:
        require_free(str(address))
        self._server = _Server((address.host, address.port), state, language)
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer requests on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], state: Callable[[], GatewayState], language: Language
    ) -> None:
        self.state = state
        self.language = language
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        # Each connection is a thread: past the bound, a new one is closed at once.
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("http_connection_failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "passerelle"
    sys_version = ""
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        """Answer one of the four pages."""
        if not _names_this_machine(self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"loopback only\n")
            return
        url = urlsplit(self.path)
        if url.path == "/healthz":
            self._answer(HTTPStatus.OK, "text/plain", b"ok\n")
        elif url.path == "/readyz":
            self._readiness()
        elif url.path == "/metrics":
            page = render_metrics(self.server.state)
            self._answer(HTTPStatus.OK, "text/plain; version=0.0.4", page)
        elif url.path in ("/", "/etat"):
            page = render_page(self.server.state(), self._language(url.query)).encode()
            self._answer(HTTPStatus.OK, "text/html", page)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")

    def log_message(self, *args: object) -> None:
        """Requests are not logged: a scrape each few seconds tells nothing."""

    def _readiness(self) -> None:
        state = self.server.state()
        document = {
            "state": state.condition,
            "freshness": state.freshness,
            "expires_in_s": state.expires_in_s,
            "faults": state.faults,
            "unauthenticated_routes": state.unauthenticated_routes,
            "workers": [
                {"worker": one.number, "state": one.state, "faults": state.faults_of(one)}
                for one in state.workers
            ],
        }
        status = HTTPStatus.OK if state.is_serving else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(document).encode() + b"\n")

    def _language(self, query: str) -> Language:
        match parse_qs(query).get("lang"):
            case ["fr"]:
                return "fr"
            case ["en"]:
                return "en"
            case _:
                return self.server.language

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _names_this_machine(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
