"""Whole answers of an adapter's edge: what a test asks it, and what came back."""

from __future__ import annotations

from collections.abc import Callable

from core.payloads import Metadata
from core.reasons import Reason
from gateway.worker.call import AdapterAnswer
from gateway.worker.edges import AdapterCall, AdapterEdge
from gateway.worker.wire import Message


class WholeAnswer:
    """Gathers all that an adapter answers to one call, then hands it up once."""

    def __init__(self, on_answer: Callable[[AdapterAnswer], None]) -> None:
        self._on_answer = on_answer
        self._initial: Metadata = ()
        self._encoding = "identity"
        self._messages: list[Message] = []

    def on_start(self, metadata: Metadata, encoding: str) -> None:
        """Keep the initial metadata."""
        self._initial, self._encoding = metadata, encoding

    def on_message(self, flag: int, data: bytes) -> None:
        """Keep the message."""
        self._messages.append((flag, data))

    def on_end(self, status: int | None, trailing: Metadata, failure: Reason | None) -> None:
        """Hand all of it up."""
        self._on_answer(
            AdapterAnswer(self._initial, self._messages, trailing, status, self._encoding, failure)
        )


def call_adapter(
    edge: AdapterEdge,
    path: bytes,
    metadata: Metadata,
    encoding: str,
    timeout_us: int | None,
    messages: list[Message],
    on_answer: Callable[[AdapterAnswer], None],
) -> AdapterCall:
    """Make a call with all its messages; ``on_answer`` is called once, later, unless the call is cancelled."""
    call = edge.open(path, metadata, encoding, timeout_us, WholeAnswer(on_answer))
    for flag, data in messages[:-1]:
        call.send(flag, data)
    if messages:
        call.send_last(*messages[-1])
    else:
        call.half_close()
    return call
