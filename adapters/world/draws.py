"""Chance that anybody can repeat: the draws of a record hang on the seed, its kind and its ordinal alone.

So the millionth person is drawn without the 999,999 before, by whoever asks for him: the land book, the trade register.
SHAKE128 gives the same words on every machine; no draw needs floating point, which libraries round differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import shake_128
from itertools import chain, count
from struct import Struct
from typing import Final, TypeVar

T = TypeVar("T")

# What one permutation of SHAKE128 squeezes out: 42 words of 32 bits.
_BLOCK: Final = 168
_unpack: Final = Struct("<42I").unpack
_WORDS: Final = 1 << 32


class Draws:
    """The draws of one record, without end; ``word`` is the next 32 bits."""

    __slots__ = ("word",)

    word: Callable[[], int]

    def __init__(self, seed: int, kind: bytes, ordinal: int) -> None:
        self.word = _words(b"%d/%s/%d/" % (seed, kind, ordinal)).__next__

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1."""
        return self.word() % bound

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return low + self.word() % (high - low + 1)

    def chance(self, per_thousand: int) -> bool:
        """True so often."""
        return self.word() % 1000 < per_thousand

    def pick(self, pool: Sequence[T]) -> T:
        """One of ``pool``."""
        return pool[self.word() % len(pool)]

    def fraction(self, whole: int) -> int:
        """A number from 0 to ``whole`` - 1, small ones oftener: the product of two draws."""
        return whole * self.word() * self.word() // (_WORDS * _WORDS)


def _words(key: bytes) -> Iterator[int]:
    def block(number: int) -> tuple[int, ...]:
        return _unpack(shake_128(key + b"%d" % number).digest(_BLOCK))

    return chain.from_iterable(map(block, count()))


def spread(seed: int, kind: bytes, ordinal: int, space: int, step: int) -> int:
    """Where ``ordinal`` comes to stand among ``space`` numbers: every one once, in no visible order.

    ``step`` and ``space`` have no common divisor.
    """
    return (Draws(seed, kind, -1).word() + ordinal * step) % space
