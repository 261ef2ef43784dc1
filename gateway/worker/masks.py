"""Field masks at work (PROTOCOL M11): the provider's side cuts what its adapter answers, the consumer's looks for more.

A mask is chosen with the grant of a call, once: a call without one never comes here.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from core.masks import original_digest
from core.payloads import SALT_BYTES, payload_digest
from core.reasons import ExchangeError, Reason
from core.statements import Cut
from core.wire import Limits, MalformedMessageError, Plan, walk
from gateway.worker.wire import Message

# What is looked at costs the time of all other calls: about 1 us for each field. So much of one message; those that share
# a segment have 256 KiB in sum, at most twice as many fields.
MAX_FIELDS: Final = 65_536

# Both as zlib reads them, whichever header they have.
_INFLATED: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


@dataclass(frozen=True, slots=True)
class FieldMask:
    """What an agreement grants of the answers of one method: how statements name it, and how it is enforced.

    Attributes:
        digest: How statements name it.
        plan: What it lets through, by the descriptors of our configuration.
        outline: What it may let through by any descriptors to come: they only add fields to messages that it grants.
    """

    digest: str
    plan: Plan
    outline: Plan

    def is_kept(self, messages: Sequence[Message], max_bytes: int, *, is_ahead: bool = False) -> bool:
        """Whether nothing in ``messages`` is past the mask.

        Args:
            messages: As they came.
            max_bytes: How long each may be.
            is_ahead: Whether they were cut by a configuration that is newer than ours, as their sender says.
        """
        plan = self.outline if is_ahead else self.plan
        limits = Limits(max_bytes=max_bytes, max_fields=MAX_FIELDS)
        try:
            return all(not flag and walk(plan, data, limits).cut == 0 for flag, data in messages)
        except MalformedMessageError:
            return False


class _Taken(NamedTuple):
    """Of one message: how many fields were cut, and the salted digest of what they were cut from."""

    fields: int
    salt: bytes
    original: str


class Cutter:
    """Cuts the answers to one call.

    Args:
        mask: What is granted of them.
        random: Gives salts.
        max_bytes: How long a message may be, decompressed.

    Attributes:
        mask: May change while the call is open: descriptors are registered anew.
        encoding: How the adapter compresses, as its answer says.
    """

    __slots__ = ("_limits", "_pending", "_random", "encoding", "mask")

    def __init__(self, mask: FieldMask, random: Callable[[int], bytes], max_bytes: int) -> None:
        self.mask = mask
        self.encoding = "identity"
        self._random = random
        self._limits = Limits(max_bytes=max_bytes, max_fields=MAX_FIELDS)
        self._pending: deque[_Taken] = deque()  # of the messages that are cut and not stated yet

    def cut(self, flag: int, data: bytes) -> bytes:
        """What is granted of a message of the adapter; it is not compressed.

        Raises:
            ExchangeError: ``MESSAGE_TOO_LARGE``: decompressed, it is too long. ``ADAPTER_PROTOCOL``: it is no message, or
                is compressed otherwise than the answer says or than can be read here.
        """
        message = inflate(self.encoding, data, self._limits.max_bytes) if flag else data
        walked = walk(self.mask.plan, message, self._limits)
        salt = self._random(SALT_BYTES)
        self._pending.append(_Taken(walked.cut, salt, payload_digest(salt, flag, data)))
        return walked.data

    def state(self, messages: int) -> tuple[Cut | None, bytes]:
        """What the statement says that carries the next so many messages; and the salts, which stay here."""
        taken = [self._pending.popleft() for _ in range(messages)]
        if not taken:
            return None, b""
        count, original = sum([one.fields for one in taken]), original_digest([one.original for one in taken])
        return Cut(self.mask.digest, count, original), b"".join([one.salt for one in taken])


def inflate(encoding: str, data: bytes, max_bytes: int) -> bytes:
    """A compressed message, decompressed: never more than ``max_bytes`` of it; raises ``ExchangeError``."""
    bits = _INFLATED.get(encoding)
    if bits is None:
        raise ExchangeError(Reason.ADAPTER_PROTOCOL, f"a message compressed as {encoding!a} cannot be cut")
    inflater = zlib.decompressobj(bits)
    try:
        found = inflater.decompress(data, max_bytes + 1)
    except zlib.error:
        raise ExchangeError(Reason.ADAPTER_PROTOCOL, f"a message is not {encoding}") from None
    if len(found) > max_bytes:
        raise ExchangeError(
            Reason.MESSAGE_TOO_LARGE, f"a message has more than {max_bytes} bytes decompressed"
        )
    if not inflater.eof or inflater.unused_data:
        raise ExchangeError(Reason.ADAPTER_PROTOCOL, f"a message is not {encoding} to its end")
    return found
