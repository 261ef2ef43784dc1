"""Pseudonyms of the persons whom an exchange is about, and the annex of a ``heard`` leaf that holds them (PROTOCOL M13).

The annex is a private record of the member: it lies beside the leaf, which commits to it by a salted digest, and never
travels. So whoever sees a leaf learns that there is an annex, and nothing of it; whoever holds the annex and not the key
of that member and year learns that two exchanges of the year are about the same person, and not who that is.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from core.identifiers import require_log_id
from core.payloads import SALT_BYTES, payload_digest
from core.reasons import MalformedError, Reason

KEY_BYTES: Final = 32
# More persons than these are counted, not named: 256 pseudonyms are 17 KiB beside one leaf, and 0.3 ms to make.
MAX_PSEUDONYMS: Final = 256
MAX_COUNT: Final = 2**31 - 1
MAX_ANNEX_BYTES: Final = 20 * 1024

_PORTO_NOVO_S: Final = 3600  # Africa/Porto-Novo is UTC+1 all year
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 9999

_encoder = msgspec.json.Encoder()
_BLOCK_BYTES: Final = 64
_KEY_NAMED: Final = b"passerelle pseudonym key"
_KEY_ID_DIGITS: Final = 16
_KEY_ID: Final = re.compile(rf"[0-9a-f]{{{_KEY_ID_DIGITS}}}")
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class MalformedAnnexError(MalformedError):
    """Bytes that are no annex, or not the one that a leaf commits to."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.STATEMENT_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


class Annex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the messages of one ``heard`` leaf are about, as its member notes it for itself.

    Attributes:
        v: Format version, 1.
        year: Whose key the pseudonyms are made with.
        key: Which key that was, by its ``key_id``: so that nobody is looked for with another one in vain.
        count: How many different persons were found.
        complete: Whether these are all: false if there were more than ``MAX_PSEUDONYMS``, or if a message could not be
            read to its end, so that there may be others.
        pseudonyms: One for each, rising; the first that were found if there were too many.
    """

    v: int
    year: int
    key: str
    count: int
    complete: bool
    pseudonyms: list[str]


def year_of(now_ms: int) -> int:
    """The year of a key: it changes on 1 January in Porto-Novo."""
    return time.gmtime(now_ms // 1000 + _PORTO_NOVO_S).tm_year


def begin_of(year: int) -> int:
    """When the key of ``year`` is used from, UTC milliseconds."""
    return (calendar.timegm((year, 1, 1, 0, 0, 0)) - _PORTO_NOVO_S) * 1000


class PseudonymKey:
    """The key of one member and year at work: both of HMAC's first blocks are hashed once, not for each number.

    Attributes:
        year: Of which year it is.
        id: Its ``key_id``.
    """

    __slots__ = ("_inner", "_outer", "id", "year")

    def __init__(self, year: int, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of pseudonyms has {KEY_BYTES} bytes")
        self.year, self.id = year, key_id(key)
        # RFC 2104: the key is shorter than a block, and is filled up with zeros.
        self._inner = hashlib.sha256(key.ljust(_BLOCK_BYTES, b"\0").translate(_INNER))
        self._outer = hashlib.sha256(key.ljust(_BLOCK_BYTES, b"\0").translate(_OUTER))

    def pseudonym(self, number: bytes) -> str:
        """HMAC-SHA-256(key, personal number), 64 hex digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(number)
        outer.update(inner.digest())
        return outer.hexdigest()


def pseudonym(key: bytes, number: bytes) -> str:
    """HMAC-SHA-256(key of the member and year, personal number), 64 hex digits."""
    return hmac.digest(key, number, "sha256").hex()


def key_id(key: bytes) -> str:
    """Which key made an annex: the first 16 hex digits of HMAC-SHA-256(key, a text); it tells nothing of the key."""
    return pseudonym(key, _KEY_NAMED)[:_KEY_ID_DIGITS]


def annex_of(key: PseudonymKey, numbers: Iterable[bytes], *, complete: bool) -> bytes:
    """The annex about some personal numbers, each counted once however often it is named."""
    found = list(dict.fromkeys(numbers))
    named = sorted([key.pseudonym(one) for one in found[:MAX_PSEUDONYMS]])
    whole = complete and len(found) == len(named)
    return _encoder.encode(Annex(1, key.year, key.id, min(len(found), MAX_COUNT), whole, named))


def keep_annex(salt: bytes, annex: bytes) -> tuple[str, bytes]:
    """Its digest, as it stands in the leaf, and its bytes as they lie beside it: the salt, then the annex."""
    return payload_digest(salt, 0, annex), salt + annex


def annex_beside(digest: str | None, annexes: Sequence[bytes]) -> Annex | None:
    """What lies beside a leaf that commits to ``digest``: the one annex of that digest, and nothing without one.

    Whom an exchange was about can be neither taken away nor added later (PROTOCOL M13).

    Raises:
        MalformedAnnexError: It is missing, another, not alone, or the leaf commits to none.
    """
    if len(annexes) != (digest is not None):
        raise MalformedAnnexError("a record without its one annex, or an annex without one")
    return read_annex(annexes[0], digest) if annexes else None


def read_annex(kept: bytes, digest: str | None) -> Annex:
    """The annex that lies beside a leaf, which names ``digest``.

    Raises:
        MalformedAnnexError: It is not the one that the leaf commits to, or none at all.
    """
    salt, data = kept[:SALT_BYTES], kept[SALT_BYTES:]
    if len(salt) != SALT_BYTES or len(data) > MAX_ANNEX_BYTES or payload_digest(salt, 0, data) != digest:
        raise MalformedAnnexError("the annex beside it is not the one that the leaf commits to")
    return parse_annex(data)


def parse_annex(data: bytes) -> Annex:
    """Read an annex; must equal its own re-encoding (M15).

    Raises:
        MalformedAnnexError: It is not exactly such a record.
    """
    if len(data) > MAX_ANNEX_BYTES:
        raise MalformedAnnexError("annex is too long")
    try:
        annex = msgspec.json.decode(data, type=Annex)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedAnnexError(f"not an annex: {str(error)[:120]!a}") from None
    if not data.isascii() or b"\\" in data or _encoder.encode(annex) != data or annex.v != 1:
        raise MalformedAnnexError("annex is not canonical")
    _require_possible(annex)
    return annex


def _require_possible(annex: Annex) -> None:
    named = annex.pseudonyms
    try:
        for one in named:
            require_log_id(one)  # 64 hex digits
    except ValueError as error:
        raise MalformedAnnexError(f"annex: {error}") from None
    if not _KEY_ID.fullmatch(annex.key):
        raise MalformedAnnexError("annex: key is not named by 16 hex digits")
    if not _FIRST_YEAR <= annex.year <= _LAST_YEAR or not len(named) <= annex.count <= MAX_COUNT:
        raise MalformedAnnexError("annex: value out of range")
    if not all(one < other for one, other in pairwise(named)) or len(named) > MAX_PSEUDONYMS:
        raise MalformedAnnexError("annex: pseudonyms are not rising, or too many")
    if annex.complete and (annex.count != len(named) or not named):
        raise MalformedAnnexError("annex: said to be complete, and is not")
