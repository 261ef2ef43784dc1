"""Refusals of a stock grpcio server in every shape, and whether a stock client sees them unchanged through two gateways.

What is expected is what the same client sees when it calls the same server directly: a program must not be able to tell
that the gateways are there, except by their two trailers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from pki.keys import certificate_pem, key_pem
from tests.support.federation import METHOD, Federation, calling, metadata

if TYPE_CHECKING:
    Calling: TypeAlias = grpc.UnaryUnaryMultiCallable[bytes, bytes]

CODES: Final = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
OURS: Final = frozenset({"x-road-exchange-id", "x-road-request-hash"})
AT_ONCE: Final = 200

MESSAGES: Final = (
    "",
    "plain",
    "refusé : l'acte n'existe pas à Abomey-Calavi",
    "Ọ̀rọ̀ àṣírí · 秘密 · 🔒",
    "100% of %20 and %zz and %E9",
    'tab\tline\nreturn\r"quoted"\\ and \x7f',
    "NO_AGREEMENT: sentence of another layer (échange 0192)",
    "é" * 500,
)
TRAILERS: Final[tuple[tuple[tuple[str, str | bytes], ...], ...]] = (
    (),
    (("x-cause", "quota"),),
    (("x-cause", "first"), ("x-other", "between"), ("x-cause", "second")),
    (("x-proof-bin", bytes(range(256))), ("x-empty", ""), ("x-empty-bin", b"")),
    (("retry-after", "3"), ("grpc-retry-pushback-ms", "100")),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a stock client is told of a call."""

    code: grpc.StatusCode
    details: str
    trailing: tuple[tuple[str, str | bytes], ...]


def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Refuse at once; the request is the number of the shape."""
    number = int(request)
    code = CODES[number % len(CODES)]
    message = MESSAGES[number // len(CODES) % len(MESSAGES)]
    trailing = TRAILERS[number % len(TRAILERS)]
    if number % 3 == 0:
        info = error_details_pb2.ErrorInfo(reason="QUOTA", domain="anip.bj", metadata={"n": str(number)})
        packed = any_pb2.Any()
        packed.Pack(info)
        status = status_pb2.Status(code=code.value[0], message=message, details=[packed])
        trailing = (*trailing, ("grpc-status-details-bin", status.SerializeToString()))
    context.set_trailing_metadata(trailing)
    context.abort(code, message)


def direct(federation: Federation, number: int) -> Seen:
    """The same call without gateways between, with the identity that the adapter lets in."""
    auth = federation.anip.auth
    credentials = grpc.ssl_channel_credentials(
        certificate_pem(federation.anip.programs.certificate),
        key_pem(auth.key),
        certificate_pem(auth.certificate) + certificate_pem(federation.ca.certificate),
    )
    with grpc.secure_channel(f"localhost:{federation.adapter.port}", credentials) as channel:
        call: Calling = channel.unary_unary(METHOD, None, None)
        return ended(call.future(b"%d" % number, timeout=30))


def differences(federation: Federation, count: int) -> list[tuple[int, Seen, Seen]]:
    """Make ``count`` calls, many at once, and compare each with what the server says of its shape."""
    federation.adapter.answer = refuse
    expected = [direct(federation, number) for number in range(SHAPES)]
    found: list[tuple[int, Seen, Seen]] = []
    with federation.channel() as channel:
        call = calling(channel)
        open_calls: deque[tuple[int, grpc.Future[bytes]]] = deque()
        for number in range(count + AT_ONCE):
            if number < count:
                open_calls.append(
                    (number, call.future(b"%d" % (number % SHAPES), metadata=metadata(), timeout=60))
                )
            if number >= AT_ONCE and open_calls:
                which, one = open_calls.popleft()
                seen = ended(one)
                if seen != expected[which % SHAPES]:
                    found.append((which, expected[which % SHAPES], seen))
    return found


def ended(call: grpc.Future[bytes]) -> Seen:
    """How a call ended, without the gateways' trailers."""
    error = call.exception()
    assert isinstance(error, grpc.Call)
    trailing = tuple(tuple(one) for one in error.trailing_metadata() or ())
    return Seen(error.code(), error.details() or "", tuple(one for one in trailing if one[0] not in OURS))


# Every code with every message, and with every set of trailers and with and without details as the numbers run on.
SHAPES: Final = len(CODES) * len(MESSAGES) * 3
