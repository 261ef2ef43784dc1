"""Parsers of what peers, programs and adapters send: HTTP/2, gRPC, metadata, the road, errors, the channel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import grpc
import msgspec

from adapters.context import parse_context
from core.identifiers import GatewayId
from core.payloads import Metadata
from core.reasons import ExchangeError, MalformedError, Reason
from gateway.channel import (
    ConfigurationChanged,
    Drain,
    MalformedMessageError,
    PeerState,
    WorkerReport,
    decode_for_control,
    decode_for_worker,
    encode_line,
)
from gateway.control.http import _names_this_machine
from gateway.worker.context import read_claims
from gateway.worker.frames import (
    Chunk,
    Hello,
    UnverifiedEntry,
    UnverifiedFrame,
    UnverifiedRun,
    decode_message,
    encode_chunk,
    encode_credit,
    encode_drain,
    encode_frame,
    encode_hello,
)
from gateway.worker.http2 import Headers, Http2Connection, Http2Limits, StreamSink, Sweep
from gateway.worker.trust import build, method_name
from gateway.worker.wire import (
    Message,
    MessageReader,
    decode_status_message,
    encode_status_message,
    format_timeout,
    frame_message,
    parse_timeout,
    read_metadata,
    read_request,
    read_status,
    request_headers,
    response_headers,
    trailers_for,
    write_metadata,
)
from passerelle.gateway.v1 import road_pb2
from pki.keys import key_thumbprint
from pki.tokens import ProgramKey, TokenError, verify_token
from rpc.status import error_from_rpc, status_of
from tests.fuzz import seeds
from tests.fuzz.target import BrokenPromiseError, Target
from tests.support.buffered import feed

LIMIT: Final = 64 * 1024
_PERSONAL: Final = re.compile("(?<![0-9])[0-9]{10}(?![0-9])")
_PATH: Final = b"/bj.identity.v1.IdentityService/GetPerson"


def headers_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Any bytes as a header list: lines, name and value parted by the first blank."""
    found = []
    for line in data.split(b"\n")[:600]:
        name, _, value = line.partition(b" ")
        found.append((name, value))
    return found


def as_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"\n".join(name + b" " + value for name, value in headers)


# --- gRPC on HTTP/2 ---


def _messages(data: bytes) -> None:
    """A body in pieces of every size is cut into the same messages, and no more is held than the limit."""
    step = data[0] + 1 if data else 1
    whole, pieces = _cut([data]), _cut([data[at : at + step] for at in range(0, len(data), step)])
    if whole[0] is not None and pieces[0] is not None and whole != pieces:
        raise BrokenPromiseError("pieces are cut otherwise than the whole")


def _cut(pieces: list[bytes]) -> tuple[list[Message] | None, int]:
    reader, found = MessageReader(LIMIT), []
    try:
        for piece in pieces:
            found += reader.feed(piece)
            if reader.pending > LIMIT + 5 + len(piece):
                raise BrokenPromiseError("more is held than the limit")
    except ExchangeError:
        return None, 0
    return found, reader.pending


def _request(data: bytes) -> None:
    head = read_request(headers_of(data))
    method_name(head.path)
    claims = read_claims(head.metadata, _PERSONAL)
    if any(name[:7] == b"x-road-" for name, _ in claims.passed):
        raise BrokenPromiseError("a reserved name passes the border")
    again = request_headers(head.path, b"localhost", head.metadata, head.encoding, head.timeout_us)
    if read_request(again).metadata != head.metadata:
        raise BrokenPromiseError("metadata does not survive a border")


def _metadata(data: bytes) -> None:
    found = read_metadata(headers_of(data))
    if read_metadata(write_metadata(found)) != found:
        raise BrokenPromiseError("metadata does not survive a border")
    response_headers(found)
    trailers_for(0, "", found)


def _status(data: bytes) -> None:
    read_status(headers_of(data))
    text = decode_status_message(data)
    if decode_status_message(encode_status_message(text)) != text:
        raise BrokenPromiseError("a status message does not survive")


def _timeout(data: bytes) -> int:
    found = parse_timeout(data)
    if parse_timeout(format_timeout(found)) > max(found, 1):
        raise BrokenPromiseError("a deadline grew")
    return found


class _Sink(StreamSink):
    """A call as an edge takes it in, without anybody behind."""

    def __init__(self, connection: Http2Connection, stream: int) -> None:
        self._connection, self._stream = connection, stream
        self._reader = MessageReader(LIMIT)
        self.closed = 0

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        raise BrokenPromiseError("a server gets no response")

    def on_data(self, data: bytes, end_stream: bool) -> None:
        try:
            self._reader.feed(data)
        except ExchangeError:
            self._connection.reset(self._stream)
        self._connection.acknowledge(self._stream, len(data))

    def on_trailers(self, headers: Headers) -> None:
        pass

    def on_closed(self, error_code: int) -> None:
        self.closed += 1


class _Wire(asyncio.Transport):
    """What would be a socket: counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += len(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        for data in list_of_data:
            self.write(data)

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _http2(data: bytes) -> None:
    """A connection of a stranger: every stream ends once, whatever came, and what is said back is bounded."""
    loop, wire = _loop(), _Wire()
    sinks: list[_Sink] = []

    def accept(connection: Http2Connection, stream: int, headers: Headers, end: bool) -> StreamSink:
        sink = _Sink(connection, stream)
        sinks.append(sink)
        try:
            read_request(headers)
        except ExchangeError:
            connection.reset(stream)
        return sink

    connection = Http2Connection(loop, Http2Limits(max_streams=20), Sweep(), accept=accept)
    connection.connection_made(wire)
    middle = len(data) // 2
    for piece in (data[:middle], data[middle:]):
        feed(connection, piece)
        loop.run_until_complete(asyncio.sleep(0))
    connection.connection_lost(None)
    if any(sink.closed != 1 for sink in sinks):
        raise BrokenPromiseError("a stream that did not end exactly once")
    if wire.written > 64 * 1024 + 64 * len(data):
        raise BrokenPromiseError("a stranger makes us say more than it said")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """HPACK: a literal without indexing (RFC 7541, section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _http2_seeds() -> list[bytes]:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    block = b"".join(
        _literal(name, value) for name, value in request_headers(_PATH, b"localhost", (), "identity", 1)
    )
    headers = _frame(1, 4, 1, block)
    body = _frame(0, 1, 1, frame_message(0, b"question"))
    return [
        preface + headers + body,
        preface + headers + _frame(3, 0, 1, (8).to_bytes(4, "big")),
        preface + _frame(6, 0, 0, bytes(8)) * 20,
        preface + _frame(1, 0, 1, block[:10]) + _frame(9, 4, 1, block[10:]),
        preface + _frame(8, 0, 0, b"\x7f\xff\xff\xff"),
        preface + _frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"),
        preface + _frame(7, 0, 0, bytes(8)),
        preface[:10],
    ]


# --- the road ---


def _road_seeds() -> list[bytes]:
    statement = msgspec.json.encode(seeds.statements()[0])
    entry = UnverifiedEntry(is_said=True, body=statement, payloads=b"p")
    receipt = UnverifiedEntry(is_said=False, body=msgspec.json.encode(seeds.heard()))
    frame = UnverifiedFrame((UnverifiedRun(3, b"h" * 32, (entry, receipt)),), b"a" * 32, seeds.head())
    return [
        encode_frame(frame.runs, frame.after, frame.head),
        encode_hello(Hello((1,), seeds.LOG, seeds.head(), b"", 1, "a" * 64)),
        encode_credit(b"l" * 32, 1),
        encode_chunk(Chunk(b"l" * 32, 10, b"data")),
        encode_drain(),
        road_pb2.RoadMessage(outcome=road_pb2.Outcome(index=1, leaf=b"l" * 32)).SerializeToString(),
        *seeds.vectors("road_messages", is_hex=True),
    ]


@cache
def _program_keys() -> dict[str, ProgramKey]:
    key = seeds.country().leaf_key.public_key()
    return {key_thumbprint(key): ProgramKey("BJ/GOV/PNS/PORTAIL/web", key)}


def _token(data: bytes) -> None:
    """What a stranger shows at the door as a token: only our own seed is one."""
    verify_token(data, _program_keys().get, GatewayId.parse("BJ/GOV/PNS/gw1"))
    if data.rpartition(b".")[0] != seeds.caller_token().rpartition(b".")[0]:
        raise BrokenPromiseError("a token was accepted that nobody signed")


def _trust(data: bytes) -> None:
    """The configuration that control hands over, if it were not what control verified."""
    current = msgspec.json.decode(data, type=type(seeds.current()))
    build(current, own_member="BJ/GOV/ANIP", own_key="A" * 43, fresh_ms=1000)


# --- what other processes answer ---


class _Failed(grpc.RpcError, grpc.Call):
    """A failed call as grpcio hands it over."""

    def __init__(self, details: bytes, message: str) -> None:
        self._details, self._message = details, message

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> Any:
        return (("grpc-status-details-bin", self._details),)

    def initial_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Any) -> bool:
        return False


def _error(data: bytes) -> None:
    found = error_from_rpc(_Failed(data, data.decode("utf-8", "replace")))
    for text in (found.reason, found.message, found.text.fr, *found.metadata, *found.metadata.values()):
        if not text.isprintable() and text:
            raise BrokenPromiseError("what a stranger says reaches the terminal")


def _error_seeds() -> list[bytes]:
    error = ExchangeError(Reason.NO_AGREEMENT, "none")
    _, _, details = status_of(error, language="fr")
    return [details]


def _context(data: bytes) -> None:
    metadata: Metadata = tuple(headers_of(data))
    parse_context(
        GatewayId.parse("BJ/GOV/ANIP/gw1"),
        [
            (name.decode("latin-1"), value.decode("latin-1") if not name.endswith(b"-bin") else value)
            for name, value in metadata
        ],
    )


_CALL: Final = request_headers(
    _PATH,
    b"localhost",
    (
        (b"x-road-client", b"BJ/GOV/PNS/PORTAIL"),
        (b"x-road-purpose", b"P01"),
        (b"x-road-issue", b"ACT-202611-0001"),
        (b"trace-bin", b"\0\1"),
    ),
    "gzip",
    3_000_000,
)
_REPORT: Final = WorkerReport(
    state="ready", counters={"refused": 1}, peers=(PeerState(gateway="a", log="b", state="open"),)
)

TARGETS: Final = {
    "messages": Target(
        _messages,
        lambda: [frame_message(0, b"a") + frame_message(1, b"bc"), b"\0\xff\xff\xff\xff", b"\2"],
        (),
    ),
    "request": Target(_request, lambda: [as_lines(_CALL), as_lines(_CALL) + b"\nx-road-userid a"]),
    "metadata": Target(
        _metadata, lambda: [b"a b\nc-bin AA==\nd-bin AA,AQ", b"A b", b"a \xff", b"a-bin A", b":path /x"]
    ),
    "status": Target(_status, lambda: [b"grpc-status 0", b"grpc-status 99", b"%zz%41%", "é".encode()], ()),
    "timeout": Target(
        _timeout, lambda: seeds.lines("100m", "99999999H", "1n", "0u", "+1S"), (MalformedError,)
    ),
    "http2": Target(_http2, _http2_seeds, ()),
    "road-message": Target(decode_message, _road_seeds, (MalformedError,)),
    "caller-token": Target(
        _token,
        lambda: [seeds.caller_token(), b"..", *seeds.vectors("signed_documents")[:5]],
        (TokenError,),
    ),
    "trust": Target(
        _trust,
        lambda: seeds.encoded(seeds.current()),
        (msgspec.MsgspecError, ValueError, RecursionError),
    ),
    "channel-to-worker": Target(
        decode_for_worker,
        lambda: [
            encode_line(Drain()),
            encode_line(ConfigurationChanged(path="/x", version=1, digest="a")),
            *seeds.HOSTILE_JSON,
        ],
        (MalformedMessageError,),
    ),
    "channel-to-control": Target(
        decode_for_control, lambda: [encode_line(_REPORT), *seeds.HOSTILE_JSON], (MalformedMessageError,)
    ),
    "remote-error": Target(_error, _error_seeds, ()),
    "host-header": Target(
        lambda data: _names_this_machine(data.decode("latin-1")),
        lambda: seeds.lines("localhost:42004", "[::1]:1", "127.0.0.1", "127.0.0.1.evil:80", "[", "a:b:c"),
        (),
    ),
    "adapter-context": Target(
        _context,
        lambda: [
            b"x-road-client BJ/GOV/PNS/PORTAIL\nx-road-service BJ/GOV/ANIP/RNPP\nx-road-purpose P01\n"
            b"x-road-exchange-id 01920000-0000-7000-8000-000000000000\nx-road-agreement CV-0042/1\n"
            b"x-road-request-hash " + b"ab" * 32 + b"\nx-road-issued-at 1790000000000",
            b"x-road-user \xff",
        ],
    ),
}
