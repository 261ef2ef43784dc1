"""A program's connection that sends exactly what a test wants, and an adapter that keeps metadata in order."""

from __future__ import annotations

import select
import socket
import ssl
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import ngh2

from gateway.worker.http2 import Headers
from gateway.worker.wire import frame_message, request_headers
from pki.keys import certificate_pem, key_pem
from tests.support.federation import METHOD, Federation, Issued


def client_tls(federation: Federation, program: Issued | None) -> ssl.SSLContext:
    """TLS of a program of PNS, or of nobody."""
    context = ssl.create_default_context(
        cadata=certificate_pem(federation.pns.programs.certificate).decode("ascii")
    )
    context.set_alpn_protocols(["h2"])
    if program is not None:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "program.pem"
            file.write_bytes(key_pem(program.key) + certificate_pem(program.certificate))
            context.load_cert_chain(file)
    return context


class RawProgram:
    """A stock HTTP/2 engine on a TLS connection to PNS's programs' port, without any of gRPC's manners."""

    def __init__(
        self,
        federation: Federation,
        program: Issued | None = None,
        *,
        preface: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", federation.pns.programs_port), 20)
        tls = tls or client_tls(federation, program or federation.portal)
        self.socket = tls.wrap_socket(plain, server_hostname="localhost")
        self.h2 = ngh2.Connection(ngh2.Role.CLIENT)
        self.events: list[ngh2.Event] = []
        self.is_open = True
        if preface:
            self.h2.initiate_connection()
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what the engine has queued."""
        try:
            self.socket.sendall(self.h2.data_to_send())
        except OSError:
            self.is_open = False

    def read(self, seconds: float = 0.1) -> bool:
        """Take in what is there; false once the gateway closed the connection."""
        if not self.is_open:
            return False
        if not self.socket.pending():
            readable, _, _ = select.select([self.socket], [], [], seconds)
            if not readable:
                return True
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.is_open = False
            return False
        self.h2.receive_data(data)
        self.flush()
        self.events += self.h2.events()
        return True

    def send(self, data: bytes) -> bool:
        """Bytes past the engine; false once the gateway takes none."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_open = False
        return self.is_open

    def read_to_end(self, seconds: float = 20) -> None:
        """Read until the gateway closes the connection, whatever it says before."""
        end = time.monotonic() + seconds
        self.socket.settimeout(seconds)
        try:
            while self.is_open and self.socket.recv(1 << 16):
                assert time.monotonic() < end, "the connection stays open"
        except TimeoutError:
            raise AssertionError("the connection stays open") from None
        except OSError:
            pass
        self.is_open = False

    def read_until_closed(self, stream: int, seconds: float = 20) -> None:
        """Read until a stream has ended."""
        end = time.monotonic() + seconds
        while not self.is_closed(stream) and self.read():
            assert time.monotonic() < end, "no answer in time"

    def status_of(self, stream: int) -> bytes | None:
        """``grpc-status`` of an answer."""
        return self._headers_of(stream).get(b"grpc-status")

    def closed_streams(self) -> int:
        """How many streams have ended."""
        return sum(isinstance(one, ngh2.StreamClosed) for one in self.events)

    def begin(self, *entries: tuple[bytes, bytes], path: str = METHOD) -> int:
        """Open a call; nothing of its body."""
        headers: Headers = request_headers(path.encode(), b"localhost", entries, "identity", None)
        stream: int = self.h2.send_request(headers)
        return stream

    def call(
        self, *entries: tuple[bytes, bytes], body: bytes = b"", seconds: float = 20
    ) -> dict[bytes, bytes]:
        """One whole call; headers and trailers of the answer, ``{}`` if the stream or connection was cut."""
        self.events.clear()
        stream = self.begin(*entries)
        self.h2.send_data(stream, frame_message(0, body), end_stream=True)
        self.flush()
        self.read_until_closed(stream, seconds)
        return self._headers_of(stream)

    def _headers_of(self, stream: int) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for event in self.events:
            if (
                isinstance(event, (ngh2.ResponseReceived, ngh2.TrailersReceived))
                and event.stream_id == stream
            ):
                found.update(event.headers)
        return found

    def handmade(self, headers: Headers, body: bytes) -> int:
        """A call on stream 1 written by hand, names as they stand; the type of the frame that ends it.

        An engine would put names into lower case. 1 is HEADERS, 3 RST_STREAM, 7 GOAWAY; 0 a closed connection.
        """
        block = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in headers)
        self.socket.sendall(http2_frame(1, 4, block) + http2_frame(0, 1, frame_message(0, body)))
        while True:
            head = self._exactly(9)
            if len(head) < 9:
                return 0
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
            self._exactly(int.from_bytes(head[:3], "big"))
            if kind == 7 or (stream == 1 and (kind == 3 or (kind == 1 and flags & 1))):
                return kind

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                more = self.socket.recv(size - len(found))
            except OSError:
                more = b""
            if not more:
                return found
            found += more
        return found

    def is_closed(self, stream: int) -> bool:
        """Whether a stream has ended."""
        return any(isinstance(one, ngh2.StreamClosed) and one.stream_id == stream for one in self.events)


def _literal(text: bytes) -> bytes:
    """An HPACK string, not Huffman coded (RFC 7541, section 5.2)."""
    assert len(text) < 127
    return bytes([len(text)]) + text


def http2_frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    """A frame of HTTP/2 as it travels (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
