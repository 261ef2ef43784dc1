"""Errors of the layer to gRPC status and back, for grpcio servers and clients. The data plane has its own wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Never

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from core.language import Language, Text
from core.reasons import Code, ExchangeError, Reason
from rpc.remote import RemoteError, Violation, printable
from rpc.richerrors import DOMAIN, error_info, status_bytes

__all__ = ["DETAILS_KEY", "CallError", "abort", "error_from_rpc", "printable", "status_of"]

DETAILS_KEY: Final = "grpc-status-details-bin"

_CODES: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


class CallError(ExchangeError):
    """A refusal of one of our own services, with what the caller needs to correct.

    Attributes:
        violations: Refused fields, as ``BadRequest`` tells them.
    """

    def __init__(self, reason: Reason, text: str = "", violations: Sequence[Violation] = ()) -> None:
        super().__init__(reason, text)
        self.violations = tuple(violations)

    def __reduce__(self) -> tuple[type[ExchangeError], tuple[Reason, str]]:
        return (ExchangeError, (self.reason, str(self)))


def status_of(error: ExchangeError, *, language: Language = "fr") -> tuple[Code, str, bytes]:
    """Code, message and ``grpc-status-details-bin`` of an error.

    The message reads ``REASON: sentence — detail``: the sentence in ``language``, the detail as raised.
    """
    entry = error.reason.entry
    detail = printable(str(error))
    both = {locale: entry.text.in_(locale) for locale in _LOCALES}
    if detail and detail != entry.text.en:
        both = {locale: f"{sentence} — {detail}" for locale, sentence in both.items()}
    details: list[Message] = [
        error_info(str(error.reason), DOMAIN, {"retry": entry.retry}),
        *(error_details_pb2.LocalizedMessage(locale=locale, message=text) for locale, text in both.items()),
    ]
    if isinstance(error, CallError) and error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=one.field, description=printable(one.description)
                    )
                    for one in error.violations
                ]
            )
        )
    message = f"{error.reason}: {both[language]}"
    return entry.code, message, status_bytes(int(entry.code), message, details)


def abort(context: grpc.ServicerContext, error: ExchangeError, *, language: Language = "fr") -> Never:
    """End a call with ``error``; raises, as grpcio's own ``abort`` does."""
    code, message, details = status_of(error, language=language)
    context.set_trailing_metadata(((DETAILS_KEY, details),))
    context.abort(_CODES[int(code)], message)


def error_from_rpc(error: grpc.RpcError) -> RemoteError:
    """What a client learns from a failed call; details that cannot be read are left out, never trusted."""
    if not isinstance(error, grpc.Call):
        return RemoteError(Code.UNKNOWN, str(error))
    code = Code(error.code().value[0])
    message = printable(error.details() or "")
    details = _details(error.trailing_metadata() or ())
    if details is None or details.code != int(code):
        return RemoteError(code, message)
    info = error_details_pb2.ErrorInfo()
    localized = error_details_pb2.LocalizedMessage()
    bad = error_details_pb2.BadRequest()
    texts: dict[str, str] = {}
    violations: tuple[Violation, ...] = ()
    reason, domain, metadata = "", "", {}
    for one in details.details:
        if one.Unpack(info):
            reason, domain = printable(info.reason), printable(info.domain)
            metadata = {printable(name): printable(value) for name, value in info.metadata.items()}
        elif one.Unpack(localized):
            texts[localized.locale.partition("-")[0]] = printable(localized.message)
        elif one.Unpack(bad):
            violations = tuple(
                Violation(printable(v.field), printable(v.description)) for v in bad.field_violations
            )
    return RemoteError(
        code,
        message,
        reason=reason,
        domain=domain,
        text=Text(texts.get("fr", message), texts.get("en", message)),
        metadata=metadata,
        violations=violations,
    )


def _details(trailers: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status | None:
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


_LOCALES: Final[tuple[Language, ...]] = ("fr", "en")
