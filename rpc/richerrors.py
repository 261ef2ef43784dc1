"""Rich errors (google.rpc) for every refusal of the layer, built without grpcio so that workers can use it.

A refusal carries ``ErrorInfo`` (reason, domain, what a program needs to decide whether to send again), a
``LocalizedMessage`` in French and in English, and ``RetryInfo`` where a retry is safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from core.language import Language
from core.reasons import Delivery, Reason, Retry
from rpc.remote import OWN_DOMAIN

DOMAIN: Final = OWN_DOMAIN
RETRY_AFTER_S: Final = 1

Side = Literal["consumer", "provider", "adapter"]


def describe(
    reason: Reason,
    *,
    language: Language,
    exchange_id: str | None = None,
    delivery: Delivery | None = None,
    retry: Retry | None = None,
    side: Side | None = None,
) -> tuple[str, bytes]:
    """The status message and the bytes of ``grpc-status-details-bin`` for a refusal of the layer.

    The message reads ``REASON: sentence (échange 0192…)`` in ``language``.

    Args:
        reason: Why.
        language: Language of the status message; the details carry both.
        exchange_id: The exchange, if one was begun.
        delivery: Whether the adapter has got the request.
        retry: Whether sending again is safe, to be asked first, or useless; the reason's own advice by default.
        side: Which side refused.
    """
    entry = reason.entry
    word = "échange" if language == "fr" else "exchange"
    message = f"{reason}: {entry.text.in_(language)}" + (f" ({word} {exchange_id})" if exchange_id else "")
    advice = retry or entry.retry
    facts = {"exchange_id": exchange_id, "delivery": delivery, "retry": advice, "side": side}
    details: list[Message] = [
        error_info(str(reason), DOMAIN, {name: value for name, value in facts.items() if value}),
        *(
            error_details_pb2.LocalizedMessage(
                locale=locale, message=f"{entry.text.in_(locale)} ; {entry.remedy.in_(locale)}"
            )
            for locale in ("fr", "en")
        ),
    ]
    if advice == "safe":
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
    return message, status_bytes(int(entry.code), message, details)


def error_info(reason: str, domain: str, metadata: Mapping[str, str]) -> error_details_pb2.ErrorInfo:
    """``ErrorInfo``: who failed (``domain``) and why."""
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def status_bytes(code: int, message: str, details: Sequence[Message]) -> bytes:
    """A serialised ``google.rpc.Status``."""
    packed = []
    for one in details:
        wrapped = AnyMessage()
        wrapped.Pack(one)
        packed.append(wrapped)
    serialised: bytes = status_pb2.Status(code=code, message=message, details=packed).SerializeToString()
    return serialised
