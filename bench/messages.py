"""The bytes of ``bench/echo.proto``, written by hand: building and checking them must not be what is measured."""

from __future__ import annotations

import struct
from typing import Final

CALL: Final = "/bench.v1.EchoService/Call"
COUNT: Final = "/bench.v1.EchoService/Count"

_PREFIX: Final = struct.Struct(">BI")
# Fields 1 and 2, fixed32 each.
_REQUEST: Final = struct.Struct("<BIBI")
_BLOCK: Final = 512


def message_of(size: int) -> bytes:
    """A ``bench.v1.CallRequest`` of exactly ``size`` bytes, with its gRPC prefix.

    Raises:
        ValueError: No such message has this size (130 is one: its length takes one byte too few or too many).
    """
    for length_bytes in (1, 2, 3, 4):
        length = size - 1 - length_bytes
        encoded = _varint(length) if length >= 0 else b""
        if len(encoded) == length_bytes:
            body = (b"passerelle" * (length // 10 + 1))[:length]
            return _PREFIX.pack(0, size) + b"\x0a" + encoded + body
    raise ValueError(f"no CallRequest has {size} bytes")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def count_request(messages: int, size: int) -> bytes:
    """A ``CountRequest`` with its gRPC prefix."""
    body = _REQUEST.pack(0x0D, messages, 0x15, size)
    return _PREFIX.pack(0, len(body)) + body


def read_count_request(message: bytes) -> tuple[int, int]:
    """Messages and their size, from a ``CountRequest`` with its prefix.

    Raises:
        ValueError: It is none that ``count_request`` wrote.
    """
    if len(message) != _PREFIX.size + _REQUEST.size or message[:1] != b"\0":
        raise ValueError("not a CountRequest of this benchmark")
    _, messages, _, size = _REQUEST.unpack_from(message, _PREFIX.size)
    return messages, size


class CountedMessages:
    """The body of a ``Count`` response: what the backend sends, and what the generator compares with.

    Args:
        messages: How many.
        size: Bytes of each without its gRPC prefix, 11 to 136.
    """

    def __init__(self, messages: int, size: int) -> None:
        if not 11 <= size <= 136:
            raise ValueError(f"a CountResponse has 11 to 136 bytes here, not {size}")
        self._before = _PREFIX.pack(0, size) + b"\x09"
        self._after = b"\x12" + bytes((size - 11,)) + bytes(size - 11)
        self._next = 0
        self._messages = messages
        self._ahead = b""
        self.length = _PREFIX.size + size

    @property
    def is_empty(self) -> bool:
        """Whether all bytes have been taken."""
        return self._next == self._messages and not self._ahead

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end."""
        parts, there = [self._ahead], len(self._ahead)
        while there < size and self._next < self._messages:
            last = min(self._next + _BLOCK, self._messages)
            before, after = self._before, self._after
            block = b"".join(
                [before + number.to_bytes(8, "little") + after for number in range(self._next + 1, last + 1)]
            )
            self._next = last
            parts.append(block)
            there += len(block)
        data = b"".join(parts) if len(parts) > 1 else self._ahead
        self._ahead = data[size:]
        return data[:size]
