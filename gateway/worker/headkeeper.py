"""The newest signed head of our own log (PROTOCOL M6, M19). Signed only over what is durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from core.clock import Clock
from core.heads import ConfigurationMark, TreeHead, parse_head
from core.reasons import ExchangeError, Reason
from ledger.failpoints import hit

MAX_BACKSTEP_S: Final = 60
MAX_STEP_MS: Final = 60_000
# A peer refuses a head whose time is 60 s from its clock (PROTOCOL M19): half of that is left to the two clocks.
MAX_AGE_S: Final = 30


class RootSource(Protocol):
    """The tree of our log."""

    def root(self, size: int | None = None) -> bytes:
        """Merkle root over the first ``size`` leaves."""


class ClockWatch:
    """Notices that the wall clock was set: it moved otherwise than the monotonic one, by more than peers put up with.

    A head that is signed at a wrong time binds its log: set right again, the clock would lie behind it, and nothing
    could be signed until it is made up. So a clock that was set is not signed with before it is believed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lead_ms = self._lead()
        self.stepped_ms = 0

    def look(self) -> int:
        """By how much the clock was set and not yet taken note of, in milliseconds; slewing, as NTP does, is no step."""
        lead = self._lead()
        if abs(lead - self._lead_ms) > MAX_STEP_MS:
            self.stepped_ms = lead - self._lead_ms
        self._lead_ms = lead
        return self.stepped_ms

    def take(self) -> int:
        """The same, and take note of it."""
        stepped, self.stepped_ms = self.look(), 0
        return stepped

    def _lead(self) -> int:
        return self._clock.now_ms() - self._clock.monotonic_us() // 1000


class HeadKeeper:
    """Signs a head when one is needed and remembers it."""

    def __init__(
        self, log: str, gateway: str, tree: RootSource, sign: Callable[[TreeHead], bytes], clock: Clock
    ) -> None:
        self._log = log
        self._gateway = gateway
        self._tree = tree
        self._sign = sign
        self._clock = clock
        self.newest = b""
        self.size = 0
        self._iat = 0

    def restore(self, jws: bytes) -> None:
        """Take over the head that the log kept from before; its time binds us, its signature is not checked again."""
        head = parse_head(jws).unverified
        self.newest, self.size, self._iat = jws, head.size, head.iat

    def over(self, durable_size: int, configuration: ConfigurationMark | None) -> bytes:
        """A signed head over the first ``durable_size`` leaves, which the caller knows to be on disk.

        The newest one serves again while it is young; the head of a quiet log is signed anew, with the time of now.
        The clock may have been set back: up to 60 s the last time is used again, beyond that nothing is signed.

        Raises:
            ExchangeError: ``CLOCK_SKEW``, naming both times.
        """
        now = self._clock.now_ms() // 1000
        if durable_size == self.size and now < self._iat + MAX_AGE_S:
            return self.newest
        if now < self._iat - MAX_BACKSTEP_S:
            raise ExchangeError(
                Reason.CLOCK_SKEW,
                f"the clock says {now} s, the last signed head {self._iat} s: nothing is signed",
            )
        head = TreeHead(
            v=1,
            log=self._log,
            gateway=self._gateway,
            size=durable_size,
            root=self._tree.root(durable_size).hex(),
            iat=max(now, self._iat),
            cfg=configuration,
        )
        hit("head.sign")
        self.newest, self.size, self._iat = self._sign(head), durable_size, head.iat
        hit("head.signed")
        return self.newest
