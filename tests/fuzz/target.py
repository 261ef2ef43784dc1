"""What a fuzz target is: one parser, the errors it may answer with, and inputs to start from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from core.reasons import ExchangeError


class BrokenPromiseError(AssertionError):
    """A parser did what its contract excludes without raising."""


@dataclass(frozen=True)
class Target:
    """One parser of the product.

    Attributes:
        parse: Takes any bytes; returns a value, or raises one of ``refusals``.
        seeds: Good inputs and hostile ones, made by our own code or taken from ``tests/vectors``.
        refusals: The parser's own named errors: anything else that it raises is a fault of ours.
        encode: Of a parser whose format has one written form: what was accepted must be exactly this.
    """

    parse: Callable[[bytes], Any]
    seeds: Callable[[], Iterable[bytes]]
    refusals: tuple[type[Exception], ...] = (ExchangeError,)
    encode: Callable[[Any], bytes] | None = field(default=None)

    def __call__(self, data: bytes) -> bool:
        """Whether the input was accepted; raises if the parser broke its promise."""
        try:
            value = self.parse(data)
        except self.refusals:
            return False
        if self.encode is not None and self.encode(value) != data:
            raise BrokenPromiseError("accepted, and not in its one written form")
        return True
