"""The leaves of a log: ``label LF log-id LF body`` (PROTOCOL M1). Only ``said`` is a signature.

Every kind has a label of its own, so that the bytes of one can never be shown as another, and the log id
binds a leaf to the one log that may hold it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeVar

import msgspec

from core.identifiers import require_log_id
from core.merkle import MAX_SIZE, leaf_hash
from core.reasons import MalformedError, Reason

SAID: Final = b"passerelle/1/said"
HEARD: Final = b"passerelle/1/heard"
NOTE: Final = b"passerelle/1/note"
GENESIS: Final = b"passerelle/1/genesis"
REGISTRY: Final = b"passerelle/1/registry"
LABELS: Final = frozenset({SAID, HEARD, NOTE, GENESIS, REGISTRY})

MAX_LEAF_BYTES: Final = 64 * 1024

Role = Literal["request", "response"]


class MalformedLeafError(MalformedError):
    """Bytes that are no leaf."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.STATEMENT_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


class Heard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a log records of a peer's statement: never the peer's own bytes.

    Else a peer could make us sign words of its choice.

    Attributes:
        v: Format version, 1.
        role: Whether the statement was part of a request or of a response.
        log: The peer's log id.
        index: Index of the peer's ``said`` leaf in it.
        leaf: Its leaf hash.
        head: SHA-256 of the JWS of the peer's head that it was verified with.
        verdict: ``taken``, ``late`` or ``refused:REASON``; ``taken`` means that the member's gateway has it.
        annex: Salted digest of the member's private record (M13), or null.
    """

    v: int
    role: Role
    log: str
    index: int
    leaf: str
    head: str
    verdict: str
    annex: str | None


class Succession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log that a new one succeeds, and why (PROTOCOL M5).

    Attributes:
        log: Its id.
        size: How many of its leaves are here; 0 if it was lost whole.
        root: Merkle root over them.
        reason: Why, in the words of the administrator (``core.succession.written_reason``).
    """

    log: str
    size: int
    root: str
    reason: str


class Genesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leaf 0. Its leaf hash is the log id.

    Attributes:
        v: Format version, 1.
        gateway: Whose log it is.
        worker: Number of the worker that writes it, from 0.
        time: UTC milliseconds.
        random: 16 random bytes, hex.
        succeeds: The log it succeeds, or null.
    """

    v: int
    gateway: str
    worker: int
    time: int
    random: str
    succeeds: Succession | None


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something the log records of itself.

    Attributes:
        v: Format version, 1.
        nonce: 16 random bytes, hex.
        time: UTC milliseconds.
        event: What happened, a fixed name.
        detail: Further text without personal data.
        count: How many such events this note sums up.
    """

    v: int
    nonce: str
    time: int
    event: str
    detail: str
    count: int


class RegistryChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One change of the registry, in the registry's own log.

    Attributes:
        v: Format version, 1.
        nonce: 16 random bytes, hex.
        time: UTC milliseconds.
        change: What was done, a fixed name such as ``agreement-concluded``.
        actors: The certificates' identifiers of those who asked and approved.
        object: Written form of what was changed.
        digest: SHA-256 of the document that was changed or added, or null.
    """

    v: int
    nonce: str
    time: int
    change: str
    actors: list[str]
    object: str
    digest: str | None


class Leaf(msgspec.Struct, frozen=True):
    """A leaf taken apart; ``log`` is empty in a genesis leaf."""

    label: bytes
    log: str
    body: bytes


_Body = TypeVar("_Body", bound=msgspec.Struct)
_encoder = msgspec.json.Encoder()


def prefix(label: bytes, log_id: str) -> bytes:
    """What stands before the body: a log keeps it ready for each label."""
    return b"%s\n%s\n" % (label, log_id.encode("ascii"))


def said_leaf(log_id: str, statement: bytes) -> bytes:
    """The leaf that makes ``statement`` this log's word."""
    return prefix(SAID, log_id) + statement


def heard_leaf(log_id: str, heard: Heard) -> bytes:
    """The leaf that records a peer's statement."""
    return prefix(HEARD, log_id) + _encoder.encode(heard)


def note_leaf(log_id: str, note: Note) -> bytes:
    """The leaf of a note."""
    return prefix(NOTE, log_id) + _encoder.encode(note)


def registry_leaf(log_id: str, change: RegistryChange) -> bytes:
    """The leaf of a change of the registry."""
    return prefix(REGISTRY, log_id) + _encoder.encode(change)


def genesis_leaf(genesis: Genesis) -> bytes:
    """Leaf 0 of a log; its log-id line is empty."""
    return prefix(GENESIS, "") + _encoder.encode(genesis)


def log_id_of(genesis: bytes) -> str:
    """The log id: the leaf hash of the genesis leaf, 64 hex digits."""
    return leaf_hash(genesis).hex()


def parse_leaf(leaf: bytes) -> Leaf:
    """Take a leaf apart.

    Raises:
        MalformedLeafError: Unknown label, wrong log id line, or over-long.
    """
    if len(leaf) > MAX_LEAF_BYTES:
        raise MalformedLeafError("leaf is too long")
    parts = leaf.split(b"\n", 2)
    if len(parts) != 3 or parts[0] not in LABELS:
        raise MalformedLeafError("leaf has no known label")
    label, log, body = parts
    if label == GENESIS:
        if log:
            raise MalformedLeafError("a genesis leaf has an empty log id line")
        return Leaf(label, "", body)
    try:
        return Leaf(label, require_log_id(log.decode("ascii")), body)
    except ValueError:
        raise MalformedLeafError("leaf has a malformed log id line") from None


def parse_heard(body: bytes) -> Heard:
    """The body of a ``heard`` leaf; must equal its own re-encoding (M15)."""
    heard = _parse_body(body, Heard)
    try:
        for hexed in (heard.log, heard.leaf, heard.head, *([heard.annex] if heard.annex is not None else ())):
            require_log_id(hexed)
    except ValueError as error:
        raise MalformedLeafError(f"heard leaf: {error}") from None
    if not 0 <= heard.index < MAX_SIZE or not _is_verdict(heard.verdict):
        raise MalformedLeafError("heard leaf: value out of range")
    return heard


def parse_genesis(body: bytes) -> Genesis:
    """The body of a ``genesis`` leaf."""
    genesis = _parse_body(body, Genesis)
    before = genesis.succeeds
    try:
        for hexed in (before.log, before.root) if before is not None else ():
            require_log_id(hexed)
    except ValueError as error:
        raise MalformedLeafError(f"genesis leaf: {error}") from None
    if before is not None and not 0 <= before.size <= MAX_SIZE:
        raise MalformedLeafError("genesis leaf: value out of range")
    return genesis


def parse_note(body: bytes) -> Note:
    """The body of a ``note`` leaf."""
    return _parse_body(body, Note)


def parse_registry_change(body: bytes) -> RegistryChange:
    """The body of a ``registry`` leaf."""
    return _parse_body(body, RegistryChange)


def _parse_body(body: bytes, kind: type[_Body]) -> _Body:
    try:
        parsed = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedLeafError(f"not a {kind.__name__}: {str(error)[:120]!a}") from None
    if not body.isascii() or b"\\" in body or _encoder.encode(parsed) != body or getattr(parsed, "v", 0) != 1:
        raise MalformedLeafError(f"{kind.__name__} is not canonical")
    return parsed


def _is_verdict(verdict: str) -> bool:
    if verdict in ("taken", "late"):
        return True
    kind, _, reason = verdict.partition(":")
    return kind == "refused" and reason in Reason.__members__
