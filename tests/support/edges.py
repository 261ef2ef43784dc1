"""Whole requests and whole answers at the two edges: what a program sent, what an adapter was asked and said."""

from __future__ import annotations

from collections.abc import Callable

from core.payloads import Metadata
from core.reasons import ExchangeError, Reason
from gateway.worker.call import AdapterAnswer, Call
from gateway.worker.edges import AdapterCall, AdapterEdge
from gateway.worker.wire import DEFAULT_MAX_MESSAGE_BYTES, Message


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


class WholeRequests:
    """A ``CallHandler`` for unary work: hands up a call once its request is complete.

    Args:
        on_request: Called with the call and all its messages.
        on_cancel: Called when a program goes away after ``on_request`` and before the call was finished.
        on_malformed: Ends a call that broke the rules; by default with the bare reason and its text.
        on_call: Called with the headers; a call that it finishes is not read any further.
        max_messages: More messages than this end the call as malformed.
        max_request_bytes: As many bytes may a request have in sum.
    """

    def __init__(
        self,
        on_request: Callable[[Call, list[Message]], None],
        on_cancel: Callable[[Call], None],
        on_malformed: Callable[[Call, ExchangeError], None] | None = None,
        *,
        on_call: Callable[[Call], None] = lambda call: None,
        max_messages: int = 64,
        max_request_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> None:
        self._on_request = on_request
        self._on_cancel = on_cancel
        self._on_malformed = on_malformed or finish_plainly
        self._on_call = on_call
        self._max_messages = max_messages
        self._max_request_bytes = max_request_bytes

    def on_call(self, call: Call) -> None:
        """See who calls, then wait for the messages."""
        self._on_call(call)

    def on_message(self, call: Call, flag: int, data: bytes) -> None:
        """Gather, within bounds."""
        messages = call.messages
        messages.append((flag, data))
        if len(messages) > self._max_messages:
            messages.clear()
            raise ExchangeError(
                Reason.CALL_KIND_NOT_SUPPORTED, "more messages than a request of this kind has"
            )
        if len(messages) > 1 and sum([len(one) for _, one in messages]) > self._max_request_bytes:
            messages.clear()
            raise ExchangeError(
                Reason.MESSAGE_TOO_LARGE, "the messages of one request are over the limit in sum"
            )

    def on_half_close(self, call: Call) -> None:
        """The request is complete."""
        messages, call.messages = call.messages, []
        call.is_stated = True
        self._on_request(call, messages)

    def on_cancel(self, call: Call) -> None:
        """Whoever took the request is told; an unfinished one is just forgotten."""
        call.messages.clear()
        if call.is_stated:
            self._on_cancel(call)

    def on_malformed(self, call: Call, error: ExchangeError) -> None:
        """End the call with the reason."""
        call.messages.clear()
        self._on_malformed(call, error)


def finish_plainly(call: Call, error: ExchangeError) -> None:
    """End a call with the code and text of ``error``."""
    call.finish(int(error.reason.entry.code), f"{error.reason}: {error}")
