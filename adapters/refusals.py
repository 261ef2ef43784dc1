"""How a refusal of an adapter reads on the wire.

``ErrorInfo.domain`` tells whose it is: the service's id for the register's own reasons, ``passerelle`` for those of
the layer. Whatever is neither is ``INTERNAL``: the caller learns the exchange id, the log the type of the error and
where it arose, and nobody its text, which might name somebody.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from adapters.reasons import InvalidFieldsError, ProviderError
from core.identifiers import SubsystemId
from core.language import Language, Text
from core.reasons import Code, ExchangeError, Reason, ReasonEntry
from rpc.richerrors import DOMAIN, error_info, status_bytes
from rpc.status import DETAILS_KEY, printable

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

_log = structlog.get_logger("adapter")


class Refusals:
    """Ends calls of one provider."""

    def __init__(self, provider: SubsystemId, language: Language) -> None:
        self._provider = provider
        self._language = language

    def __call__(
        self, context: grpc.ServicerContext, error: Exception, method: str, exchange_id: str | None
    ) -> None:
        """End the call with the status for ``error``; never returns, as grpcio's own ``abort`` does not."""
        if not isinstance(error, ProviderError | ExchangeError):
            _log.error("call_failed", method=method, exchange_id=exchange_id, **_traces(error))
        code, message, details = self.describe(error, method, exchange_id)
        context.set_trailing_metadata(((DETAILS_KEY, details),))
        context.abort(_CODES[int(code)], message)

    def describe(self, error: Exception, method: str, exchange_id: str | None) -> tuple[Code, str, bytes]:
        """Code, message and ``grpc-status-details-bin`` for ``error``."""
        service = method.strip("/").partition("/")[0]
        if isinstance(error, ProviderError):
            reason, entry, domain = str(error.reason), error.reason.entry, f"{self._provider}/{service}"
            code = error.code
            sentence = _with_detail(entry.text, ", ".join(filter(None, _violations(error))))
        else:
            known = error.reason if isinstance(error, ExchangeError) else Reason.INTERNAL
            reason, entry, domain, code = str(known), known.entry, DOMAIN, known.entry.code
            detail = printable(str(error)) if isinstance(error, ExchangeError) else ""
            sentence = _with_detail(entry.text, detail if detail != entry.text.en else "")
        message = f"{reason}: {sentence.in_(self._language)}"
        if exchange_id:
            message += f" ({'échange' if self._language == 'fr' else 'exchange'} {exchange_id})"
        details = _details(reason, domain, entry, sentence, exchange_id, _violations(error))
        return code, message, status_bytes(int(code), message, details)


def _details(
    reason: str,
    domain: str,
    entry: ReasonEntry,
    sentence: Text,
    exchange_id: str | None,
    violations: dict[str, str],
) -> list[Message]:
    facts = {"delivery": "delivered", "retry": entry.retry, "side": "adapter"}
    if exchange_id:
        facts["exchange_id"] = exchange_id
    details: list[Message] = [
        error_info(reason, domain, facts),
        error_details_pb2.LocalizedMessage(locale="fr", message=f"{sentence.fr} ; {entry.remedy.fr}"),
        error_details_pb2.LocalizedMessage(locale="en", message=f"{sentence.en}; {entry.remedy.en}"),
    ]
    if violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=field, description=rule)
                    for field, rule in violations.items()
                ]
            )
        )
    return details


def _violations(error: Exception) -> dict[str, str]:
    return error.violations if isinstance(error, InvalidFieldsError) else {}


def _with_detail(text: Text, detail: str) -> Text:
    return Text(f"{text.fr} : {detail}", f"{text.en}: {detail}") if detail else text


def _traces(error: Exception) -> dict[str, str]:
    """What the log may know of a fault: its type and the place, never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return {"error": type(error).__name__, "place": place}
