"""The only way to end badly: what a program is told when the layer, not the provider, ends its call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.language import Language
from core.payloads import Metadata
from core.reasons import Delivery, Reason, Retry
from rpc.richerrors import Side, describe


@dataclass(slots=True)
class Ending:
    """How a call ends for its program: gRPC status, message, trailing metadata."""

    status: int
    message: str
    metadata: Metadata


class Refusals:
    """Words for refusals, in the language of the gateway; counts them by reason."""

    def __init__(self, language: Language, count: Callable[[str], None]) -> None:
        self._language = language
        self._count = count

    def ending(
        self,
        reason: Reason,
        *,
        side: Side,
        exchange: str | None,
        delivery: Delivery,
        request_hash: str | None = None,
        retry: Retry | None = None,
        status: int | None = None,
    ) -> Ending:
        """Tell ``reason`` with everything a caller needs to act on it."""
        self._count(f"refused_{reason}")
        message, details = describe(
            reason,
            language=self._language,
            exchange_id=exchange,
            delivery=delivery,
            retry=retry or reason.entry.retry,
            side=side,
        )
        metadata = [(b"grpc-status-details-bin", details)]
        if exchange:
            metadata.append((b"x-road-exchange-id", exchange.encode("ascii")))
        if request_hash:
            metadata.append((b"x-road-request-hash", request_hash.encode("ascii")))
        return Ending(status if status is not None else int(reason.entry.code), message, tuple(metadata))
