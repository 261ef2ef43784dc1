"""gRPC as it stands on HTTP/2: message prefixes, timeouts, metadata, statuses.

Specification: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Every parser here meets bytes
of strangers:
it accepts what the specification says, and raises ``ExchangeError`` with a reason for the caller for all
else.
Messages are opaque; they are neither decompressed nor parsed.
"""

from __future__ import annotations

import binascii
import re
import struct
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from core.payloads import Metadata
from core.reasons import Code, ExchangeError, MalformedError, Reason
from gateway.worker.http2 import ErrorCode, Header, Headers

Message = tuple[int, bytes]
"""gRPC compressed flag (0 or 1) and the bytes of one message."""

DEFAULT_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
MAX_METADATA_BYTES: Final = 16 * 1024
"""Of all values together; names are bounded by count and length."""
MAX_METADATA_COUNT: Final = 128
MAX_PATH_BYTES: Final = 512

_prefix = struct.Struct(">BI")
_PREFIX_BYTES: Final = 5


class MessageTooLargeError(ExchangeError):
    """A message announces more bytes than the limit."""


class NotGrpcError(ExchangeError):
    """An HTTP request that is no gRPC call; answered with a plain HTTP status."""

    def __init__(self, http_status: int, text: str) -> None:
        super().__init__(Reason.METADATA_INVALID, text)
        self.http_status = http_status


# --- Messages ---


class MessageReader:
    """Cuts a body into messages.

    ``pending`` is the number of bytes held for the message under assembly; at most ``max_message_bytes`` and
    the
    bytes of one ``feed``. The limit is checked when the prefix is read: nothing is gathered for a message
    too large.
    """

    __slots__ = ("_chunks", "_flag", "_limit", "_missing", "pending")

    def __init__(self, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._chunks: list[bytes] = []
        self._flag = 0
        self._missing = 0
        self.pending = 0

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes of the body, return the messages that are complete with them.

        Raises:
            MessageTooLargeError: A prefix announces more than the limit.
            MalformedError: The compressed flag is neither 0 nor 1.
        """
        messages: list[Message] = []
        at = 0
        if self._missing:
            if len(data) < self._missing:
                self._keep(data)
                return messages
            at = self._missing
            self._chunks.append(data[:at])
            messages.append((self._flag, b"".join(self._chunks)))
            self._forget()
        elif self.pending:
            data = b"".join((*self._chunks, data))
            self._forget()
        size = len(data)
        while size - at >= _PREFIX_BYTES:
            flag, length = _prefix.unpack_from(data, at)
            if flag > 1:
                raise MalformedError(Reason.METADATA_INVALID, "a message starts with an unknown flag")
            if length > self._limit:
                raise MessageTooLargeError(
                    Reason.MESSAGE_TOO_LARGE,
                    f"a message of {length} bytes is over the limit of {self._limit}",
                )
            begin = at + _PREFIX_BYTES
            at = begin + length
            if at > size:
                self._flag, self._missing, self.pending = flag, length, _PREFIX_BYTES
                self._keep(data[begin:])
                return messages
            messages.append((flag, data[begin:at]))
        if at < size:
            self._chunks.append(data[at:])
            self.pending = size - at
        return messages

    def _keep(self, data: bytes) -> None:
        self._chunks.append(data)
        self._missing -= len(data)
        self.pending += len(data)

    def _forget(self) -> None:
        self._chunks.clear()
        self._missing = self.pending = 0


def message_prefix(flag: int, length: int) -> bytes:
    """What stands in front of a message."""
    return _prefix.pack(flag, length)


def frame_message(flag: int, data: bytes) -> bytes:
    """A message with its prefix, ready for the body."""
    return _prefix.pack(flag, len(data)) + data


# --- Timeouts ---

_UNIT_NS: Final = {
    b"H": 3_600_000_000_000,
    b"M": 60_000_000_000,
    b"S": 1_000_000_000,
    b"m": 1_000_000,
    b"u": 1_000,
    b"n": 1,
}
_MAX_DIGITS: Final = 8
_MOST_DIGITS: Final = 10**_MAX_DIGITS


def parse_timeout(value: bytes) -> int:
    """``grpc-timeout`` in microseconds, rounded down: ``100m`` is 100,000.

    Raises:
        MalformedError: Not one to eight digits and a unit.
    """
    digits, unit_ns = value[:-1], _UNIT_NS.get(value[-1:])
    if unit_ns is None or len(digits) > _MAX_DIGITS or not digits.isdigit():
        raise MalformedError(Reason.METADATA_INVALID, "grpc-timeout is malformed")
    return int(digits) * unit_ns // 1_000


def format_timeout(timeout_us: int) -> bytes:
    """Microseconds as ``grpc-timeout``, in the finest unit that eight digits hold; at least 1 us."""
    left = max(timeout_us, 1)
    for unit, us in ((b"u", 1), (b"m", 1_000), (b"S", 1_000_000), (b"M", 60_000_000)):
        if left // us < _MOST_DIGITS:
            return b"%d%b" % (left // us, unit)
    return b"%dH" % min(left // 3_600_000_000, _MOST_DIGITS - 1)


# --- Metadata ---

_NAME = re.compile(rb"[0-9a-z_.\-]{1,128}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


# What a header is by its name. The own ones are of the HTTP message itself: read or written at this edge.
_PLAIN: Final = 0
_BINARY: Final = 1
_METHOD: Final = 2
_PATH: Final = 3
_CONTENT_TYPE: Final = 4
_TE: Final = 5
_TIMEOUT: Final = 6
_ENCODING: Final = 7
_OTHER: Final = 8

_OWN: Final = {
    b":method": _METHOD,
    b":path": _PATH,
    b"content-type": _CONTENT_TYPE,
    b"te": _TE,
    b"grpc-timeout": _TIMEOUT,
    b"grpc-encoding": _ENCODING,
    b"grpc-status": _OTHER,
    b"content-length": _OTHER,
    b"host": _OTHER,
    b"connection": _OTHER,
    b":status": _OTHER,
    b":scheme": _OTHER,
    b":authority": _OTHER,
}
_kinds: dict[bytes, int] = dict(_OWN)
_NAMES_REMEMBERED: Final = 4_096


def _kind_of(name: bytes) -> int | None:
    """The kind of a header, ``None`` if gRPC allows no such name; remembers what it found."""
    kind = _kinds.get(name)
    if kind is not None:
        return kind
    if name[:1] == b":":
        return _OTHER
    if _NAME.fullmatch(name) is None:
        return None
    kind = _BINARY if name.endswith(b"-bin") else _PLAIN
    if len(_kinds) < _NAMES_REMEMBERED:
        _kinds[name] = kind
    return kind


def read_metadata(headers: Iterable[Header]) -> Metadata:
    """The entries of a header list that are metadata, in order, ``-bin`` values decoded.

    A ``-bin`` header may hold several values, parted by commas; they become several entries. ``grpc-message``,
    ``grpc-accept-encoding`` and ``user-agent`` count as metadata here: they belong to the two programs.

    Raises:
        MalformedError: A name, a value or base64 that gRPC does not allow.
        ExchangeError: Too many entries, or too many bytes (``LIMIT_EXCEEDED``).
    """
    return _split(headers)[1]


def _split(headers: Iterable[Header]) -> tuple[dict[int, bytes], Metadata]:
    """Own headers by kind, and metadata; one pass, for this is done for every call."""
    own: dict[int, bytes] = {}
    entries: list[tuple[bytes, bytes]] = []
    texts: list[bytes] = []
    size = 0
    kinds = _kinds
    for header in headers:
        name = header[0]
        kind = kinds.get(name)
        if kind is None:
            kind = _kind_of(name)
        if kind == _PLAIN:
            texts.append(header[1])
            entries.append(header)
        elif kind is None:
            raise MalformedError(
                Reason.METADATA_INVALID, "a metadata name has characters that gRPC does not allow"
            )
        elif kind == _BINARY:
            size += len(header[1])
            entries += [(name, _decode_binary(part)) for part in header[1].split(b",")]
        elif kind != _OTHER:
            if kind in own:
                raise MalformedError(Reason.METADATA_INVALID, f"header {name.decode()} stands twice")
            own[kind] = header[1]
    text = b"".join(texts)
    if not _is_text(text):
        raise MalformedError(Reason.METADATA_INVALID, "a metadata value is not printable ASCII")
    if size + len(text) > MAX_METADATA_BYTES or len(entries) > MAX_METADATA_COUNT:
        raise ExchangeError(
            Reason.LIMIT_EXCEEDED,
            f"metadata is over {MAX_METADATA_COUNT} entries or {MAX_METADATA_BYTES} bytes",
        )
    return own, tuple(entries)


_TEXT: Final = bytes(range(0x20, 0x7F))


def _is_text(value: bytes) -> bool:
    """Whether all bytes are printable ASCII, space to ``~``."""
    return not value.translate(None, _TEXT)


def _decode_binary(value: bytes) -> bytes:
    value = value.strip(b" ")
    if _BASE64.fullmatch(value) is None:
        raise MalformedError(Reason.METADATA_INVALID, "binary metadata is not base64")
    bare = value.rstrip(b"=")
    try:
        return binascii.a2b_base64(bare + b"=" * (-len(bare) % 4))
    except binascii.Error as error:
        raise MalformedError(Reason.METADATA_INVALID, "binary metadata is not base64") from error


def write_metadata(metadata: Iterable[tuple[bytes, bytes]]) -> list[Header]:
    """Metadata as headers, ``-bin`` values encoded without padding.

    Entries that may not stand on the wire are left out, so that no peer can smuggle a header of ours
    (``:path``, ``content-type``, ``grpc-status``) or break the header block.
    """
    headers = []
    texts: list[bytes] = []
    kinds = _kinds
    for entry in metadata:
        name, value = entry
        kind = kinds.get(name)
        if kind is None:
            kind = _kind_of(name)
        if kind == _PLAIN:
            headers.append(entry)
            texts.append(value)
        elif kind == _BINARY:
            headers.append((name, binascii.b2a_base64(value, newline=False).rstrip(b"=")))
    if not _is_text(b"".join(texts)):
        return [one for one in headers if _is_text(one[1])]
    return headers


# --- Requests ---


@dataclass(slots=True)
class RequestHead:
    """What a gRPC request says before its first message."""

    path: bytes
    metadata: Metadata
    timeout_us: int | None
    encoding: str


def read_request(headers: Headers) -> RequestHead:
    """Read the headers of a call.

    Raises:
        NotGrpcError: Another method than POST, or another content type than ``application/grpc``.
        MalformedError: ``te``, ``grpc-timeout``, path or metadata are malformed, or stand twice.
        ExchangeError: Metadata over its limits.
    """
    own, metadata = _split(headers)
    if own.get(_METHOD) != b"POST":
        raise NotGrpcError(405, "gRPC calls use POST")
    require_grpc(own.get(_CONTENT_TYPE, b""))
    if own.get(_TE) != b"trailers":
        raise MalformedError(Reason.METADATA_INVALID, "header te: trailers is missing")
    path = own.get(_PATH, b"")
    if not path.isascii() or path[:1] != b"/" or len(path) > MAX_PATH_BYTES:
        raise MalformedError(Reason.METADATA_INVALID, "the path is no gRPC method")
    timeout = own.get(_TIMEOUT)
    encoding = own.get(_ENCODING)
    return RequestHead(
        path,
        metadata,
        None if timeout is None else parse_timeout(timeout),
        "identity" if encoding is None else read_encoding(encoding),
    )


def require_grpc(content_type: bytes) -> None:
    """Check a content type: ``application/grpc``, also with ``+proto`` or parameters.

    Raises:
        NotGrpcError: Something else; 415 is the HTTP status for it.
    """
    if content_type != b"application/grpc" and not content_type.startswith(
        (b"application/grpc+", b"application/grpc;")
    ):
        raise NotGrpcError(415, "content-type is not application/grpc")


# As a statement names it (``core.statements``): what is taken here must be sayable there.
_ENCODING_TEXT = re.compile(rb"[a-z0-9\-]{1,16}")


def read_encoding(value: bytes) -> str:
    """``grpc-encoding``; raises ``MalformedError`` if it is no short token."""
    if _ENCODING_TEXT.fullmatch(value) is None:
        raise MalformedError(Reason.METADATA_INVALID, "grpc-encoding is malformed")
    return value.decode("ascii")


def request_headers(
    path: bytes, authority: bytes, metadata: Metadata, encoding: str, timeout_us: int | None
) -> list[Header]:
    """The headers of a call that we make."""
    headers: list[Header] = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path),
        (b":authority", authority),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]
    if timeout_us is not None:
        headers.append((b"grpc-timeout", format_timeout(timeout_us)))
    if encoding != "identity":
        headers.append((b"grpc-encoding", encoding.encode("ascii")))
    return headers + write_metadata(metadata)


# --- Responses ---

_RESPONSE: Final[list[Header]] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_STATUS: Final = {code: (b"grpc-status", b"%d" % code) for code in range(17)}


def response_headers(metadata: Metadata) -> list[Header]:
    """Initial headers of a response; ``grpc-encoding`` in the metadata says how messages are packed."""
    if not metadata:
        return _RESPONSE
    encoding = [
        (name, value)
        for name, value in metadata
        if name == b"grpc-encoding" and _ENCODING_TEXT.fullmatch(value)
    ]
    return _RESPONSE + encoding + write_metadata(metadata)


def trailers_for(status: int, message: str, metadata: Metadata) -> list[Header]:
    """The trailers that end a call: status, percent-encoded message, metadata.

    With an empty ``message`` a ``grpc-message`` in the metadata passes through as it is.
    """
    trailers = [_STATUS.get(status) or (b"grpc-status", b"%d" % int(Code.UNKNOWN))]
    if message:
        trailers.append((b"grpc-message", encode_status_message(message)))
        metadata = tuple(one for one in metadata if one[0] != b"grpc-message")
    return trailers + write_metadata(metadata) if metadata else trailers


def encode_status_message(text: str) -> bytes:
    """Percent-encode a status message: space to ``~`` stay, but for ``%``."""
    return urllib.parse.quote_from_bytes(text.encode("utf-8", "replace"), safe=_UNENCODED).encode("ascii")


def decode_status_message(value: bytes) -> str:
    """Decode a status message; what is not valid stays as it stands, by the specification's rule."""
    return urllib.parse.unquote_to_bytes(value).decode("utf-8", "replace")


_UNENCODED: Final = "".join(chr(c) for c in range(0x20, 0x7F) if c != 0x25)


def read_status(headers: Headers) -> int | None:
    """``grpc-status`` of a response; ``None`` if there is none, or it is no number or stands twice."""
    found = [value for name, value in headers if name == b"grpc-status"]
    if len(found) != 1 or not found[0].isdigit() or len(found[0]) > 3:
        return None
    status = int(found[0])
    return status if status in _STATUS else int(Code.UNKNOWN)


# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "HTTP2 Transport Mapping"
_CODE_OF_RESET: Final[dict[int, Code]] = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
    ErrorCode.CONNECTION_LOST: Code.UNAVAILABLE,
}


def code_of_reset(error_code: int) -> Code:
    """The gRPC code for a stream that was reset before it had a status."""
    return _CODE_OF_RESET.get(error_code, Code.UNKNOWN)
