"""Connect's unary form with JSON on the wire: headers and errors (https://connectrpc.com/docs/protocol, Unary-Request).

Taken: POST, ``application/json`` in UTF-8, no compression. Not taken: GET, Connect's streams, its binary form (whoever
has protobuf speaks gRPC), and anything that lets a browser's page of another origin in (PROTOCOL M14: no CORS).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from core.payloads import Metadata
from core.reasons import Code, MalformedError, Reason
from gateway.worker.http2 import Header, Headers
from gateway.worker.wire import (
    MAX_PATH_BYTES,
    RequestHead,
    decode_status_message,
    read_metadata,
    write_metadata,
)

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage

Violation = tuple[str, str]
"""The place of what was refused in a request, and why; never a value."""

_CONTENT_TYPE = re.compile(rb"application/json(\s*;\s*charset\s*=\s*\"?utf-8\"?)?\s*", re.IGNORECASE)
_TIMEOUT = re.compile(rb"[0-9]{1,10}")
# Of this request and its answer alone: the two programs do not see them.
_OF_THE_REQUEST: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"content-encoding",
        b"expect",
        b"trailer",
        b"transfer-encoding",
    }
)
_READ: Final = frozenset({b"connect-protocol-version", b"connect-timeout-ms", b"content-encoding"})
# Of the two protocols that a call may come by.
_PROTOCOLS: Final = (b"grpc-", b"connect-")
# With one of these a provider would let pages of other origins read its answers.
_CORS: Final = b"access-control-"
_EXCHANGE: Final = (b"x-road-exchange-id", b"x-road-request-hash")
_TRAILER: Final = b"trailer-"

# https://connectrpc.com/docs/protocol#error-codes; by the number of the gRPC code.
_ERRORS: Final = {
    Code.CANCELLED: ("canceled", 499),
    Code.UNKNOWN: ("unknown", 500),
    Code.INVALID_ARGUMENT: ("invalid_argument", 400),
    Code.DEADLINE_EXCEEDED: ("deadline_exceeded", 504),
    Code.NOT_FOUND: ("not_found", 404),
    Code.ALREADY_EXISTS: ("already_exists", 409),
    Code.PERMISSION_DENIED: ("permission_denied", 403),
    Code.RESOURCE_EXHAUSTED: ("resource_exhausted", 429),
    Code.FAILED_PRECONDITION: ("failed_precondition", 400),
    Code.ABORTED: ("aborted", 409),
    Code.OUT_OF_RANGE: ("out_of_range", 400),
    Code.UNIMPLEMENTED: ("unimplemented", 501),
    Code.INTERNAL: ("internal", 500),
    Code.UNAVAILABLE: ("unavailable", 503),
    Code.DATA_LOSS: ("data_loss", 500),
    Code.UNAUTHENTICATED: ("unauthenticated", 401),
}


def is_json(headers: Headers) -> bool:
    """Whether a request says once that its body is JSON in UTF-8."""
    found = [value for name, value in headers if name == b"content-type"]
    return len(found) == 1 and _CONTENT_TYPE.fullmatch(found[0]) is not None


def read_json_request(headers: Headers) -> RequestHead:
    """Read the headers of a JSON call; that it is one, and a POST, was seen before.

    Raises:
        MalformedError: Path, version, timeout or metadata are malformed, or it is compressed.
        ExchangeError: Metadata over its limits.
    """
    entries = read_metadata(headers)
    own: dict[bytes, bytes] = {}
    for name, value in entries:
        if name in _READ and own.setdefault(name, value) != value:
            raise MalformedError(Reason.METADATA_INVALID, f"header {name.decode()} stands twice")
    path = next((value for name, value in headers if name == b":path"), b"")
    if not path.isascii() or path[:1] != b"/" or len(path) > MAX_PATH_BYTES:
        raise MalformedError(Reason.METADATA_INVALID, "the path is no method")
    if own.get(b"connect-protocol-version", b"1") != b"1":
        raise MalformedError(Reason.METADATA_INVALID, "connect-protocol-version is not 1")
    if own.get(b"content-encoding", b"identity") != b"identity":
        raise MalformedError(Reason.METADATA_INVALID, "the body is compressed; it is taken plain only")
    timeout = own.get(b"connect-timeout-ms")
    if timeout is not None and _TIMEOUT.fullmatch(timeout) is None:
        raise MalformedError(Reason.METADATA_INVALID, "connect-timeout-ms is malformed")
    return RequestHead(
        path,
        tuple([one for one in _without_protocol(entries) if one[0] not in _OF_THE_REQUEST]),
        None if timeout is None else int(timeout) * 1000,
        "identity",
    )


def answer_headers(status: int, size: int, initial: Metadata, trailing: Metadata) -> list[Header]:
    """The headers of an answer: initial metadata as it is, trailing metadata as ``trailer-…``.

    The exchange id and the request's hash stand under their own names too: whoever has no client of Connect looks there.
    """
    ours = [one for one in trailing if one[0] in _EXCHANGE]
    behind = [(_TRAILER + name, value) for name, value in _without_protocol(trailing)]
    before = [
        one
        for one in _without_protocol(initial)
        if one[0] not in _OF_THE_REQUEST and not one[0].startswith(_CORS)
    ]
    return [
        (b":status", b"%d" % status),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % size),
        *write_metadata([*before, *ours, *behind]),
    ]


def _without_protocol(metadata: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [one for one in metadata if not one[0].startswith(_PROTOCOLS)]


def error_body(
    status: int, message: str, trailing: Metadata, violations: Sequence[Violation] = ()
) -> tuple[int, bytes]:
    """HTTP status and JSON body of a call that ended with a gRPC status other than 0.

    Args:
        status: The gRPC status.
        message: Its message; if empty, the ``grpc-message`` of the metadata.
        trailing: Trailing metadata, with the details of a ``google.rpc.Status``.
        violations: Places of the request that were refused here.
    """
    name, http_status = _ERRORS.get(_code(status), _ERRORS[Code.UNKNOWN])
    if not message:
        message = decode_status_message(next((v for n, v in trailing if n == b"grpc-message"), b""))
    details = [_detail(one) for one in _details(trailing)] + _violations(violations)
    body: dict[str, object] = {"code": name}
    if message:
        body["message"] = message
    if details:
        body["details"] = details
    return http_status, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _code(status: int) -> Code:
    return Code(status) if status in Code._value2member_map_ else Code.UNKNOWN


def _details(trailing: Metadata) -> list[AnyMessage]:
    from google.protobuf.message import DecodeError
    from google.rpc import status_pb2

    packed = next((value for name, value in trailing if name == b"grpc-status-details-bin"), None)
    if packed is None:
        return []
    try:
        return list(status_pb2.Status.FromString(packed).details)
    except DecodeError:
        return []  # a provider's own; its status counts


def _violations(violations: Sequence[Violation]) -> list[dict[str, object]]:
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.rpc import error_details_pb2

    if not violations:
        return []
    refused = error_details_pb2.BadRequest()
    for field, text in violations:
        refused.field_violations.add(field=field, description=text)
    wrapped = AnyMessage()
    wrapped.Pack(refused)
    return [_detail(wrapped)]


def _detail(one: AnyMessage) -> dict[str, object]:
    """One detail: its type, its bytes, and for those of ``google.rpc`` what they say (``debug``)."""
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2

    kind = one.type_url.rpartition("/")[2]
    told: dict[str, object] = {
        "type": kind,
        "value": base64.b64encode(one.value).rstrip(b"=").decode("ascii"),
    }
    package, _, name = kind.rpartition(".")
    known = getattr(error_details_pb2, name, None) if package == "google.rpc" else None
    if known is not None:
        try:
            told["debug"] = json_format.MessageToDict(known.FromString(one.value))
        except (DecodeError, ValueError, TypeError):
            return told  # a provider's own bytes under a known name
    return told
