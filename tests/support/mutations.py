"""Bytes as a failing disk, a broken line or a hostile server might leave them; seeded, so that a failure comes back."""

from __future__ import annotations

import random


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One of: a flipped bit, a cut end, nothing at all, a hole of zeros, a doubled piece, foreign bytes."""
    at = chance.randrange(len(data)) if data else 0
    match chance.randrange(6):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :] if data else b"x"
        case 1:
            return data[:at]
        case 2:
            return b""
        case 3:
            return data[:at] + bytes(len(data) - at)
        case 4:
            return data[:at] + data[at // 2 :]
        case _:
            return chance.randbytes(len(data) or 1)
