"""The segments of calls as one log tells them, in its order: each follows the one before (``docs/protocol/stream.md``).

For whoever reads a whole log once: what is remembered is what is open, and of that the newest ``MAX_OPEN``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from core.statements import Statement
from core.streams import Direction, SegmentError, named, require_bound

MAX_OPEN: Final = 16_384


class _Call:
    """One call: its first statement, and how far both directions are."""

    __slots__ = ("answered", "asked", "handed", "request")

    def __init__(self, request: Statement) -> None:
        self.request = request
        self.asked = Direction()
        self.answered = Direction()
        self.handed = -1
        self.asked.take(request)


class OpenCalls:
    """Takes in what a log says, and what it took of its peers; what it refused or got late is no part of a call."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        # Whether a call may have begun elsewhere: in a log before this one, or among what was forgotten.
        self.is_complete = True

    def take(self, statement: Statement, hashed: str) -> None:
        """Take in the next one.

        Args:
            statement: What was said or taken.
            hashed: Its leaf hash.

        Raises:
            SegmentError: It does not follow what the log holds of its call.
        """
        s = statement
        if s.kind == "request" and s.request is None:
            self._begin(s, hashed)
            return
        if s.kind not in ("request", "response", "refusal") or s.request is None:
            return  # an ending leaves open what was not final: nothing is demanded of what may come behind it
        call = self._calls.get(s.request)
        if call is None:
            if s.kind != "refusal" and s.sequence and self.is_complete:
                raise SegmentError(f"{named(s)} belongs to no call of this log that is open")
            return
        self._calls.move_to_end(s.request)
        require_bound(call.request, s)
        if s.kind == "request":
            call.asked.take(s)
            return
        self._require_handed(call, s)
        if s.kind == "response":
            call.answered.take(s)
        if (s.kind == "refusal" or s.final) and call.asked.is_final:
            del self._calls[s.request]

    def _begin(self, request: Statement, hashed: str) -> None:
        # The same bytes logged twice are two sayings (ADR 0013): the later one counts from here on.
        self._calls[hashed] = _Call(request)
        self._calls.move_to_end(hashed)
        if len(self._calls) > MAX_OPEN:
            self._calls.popitem(last=False)
            self.is_complete = False

    @staticmethod
    def _require_handed(call: _Call, s: Statement) -> None:
        """Nobody hands on what was not said, nor takes back what it said it handed on."""
        if s.heard is None or s.delivery == "not_sent":
            return
        if s.heard >= call.asked.segments:
            raise SegmentError(
                f"{named(s)} says that request segment {s.heard} was handed on, which is not here"
            )
        if s.heard < call.handed:
            raise SegmentError(
                f"{named(s)} says that request segment {s.heard} was handed on, and {call.handed} before"
            )
        call.handed = s.heard
