"""What control and a worker say to each other over their socketpair: one JSON object per line.

Control dies, the worker lives on: an end of file on the channel is not an order to stop (the lifeline is).
Fields that one side does not know yet are ignored, so that control can be replaced before its workers are.
"""

import errno
from pathlib import PurePath
from typing import Final

import msgspec

MAX_LINE_BYTES: Final = 1024 * 1024


class ConfigurationChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="configuration"):
    """Control to worker: a verified configuration was renamed into place; read it and swap it in whole.

    Attributes:
        path: The file, ``configuration/current.json``.
        version: Its version.
        digest: Its digest, 64 lower-case hex digits.
    """

    path: str
    version: int
    digest: str


class ConfigurationConfirmed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="confirmed"):
    """Control to worker: the registry says that the version in force is still the newest; nothing to read.

    Attributes:
        version: The version it is about; ignored by a worker that has another.
        fetched_at: When that was, UTC milliseconds.
        expires_at: When it expires if the registry stays silent, UTC milliseconds.
    """

    version: int
    fetched_at: int
    expires_at: int


class RegistryHeads(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="registry_heads"):
    """Control to worker: what the registry holds of this gateway's logs; always sent once after a start.

    Attributes:
        answered: Whether the registry could be asked.
        heads: Newest heads, compact JWS, of any of the gateway's logs. The worker verifies the signature itself.
    """

    answered: bool
    heads: tuple[str, ...] = ()


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="drain"):
    """Control to worker: take no new calls, finish those in flight, then exit 0."""


class FetchConfiguration(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="fetch"):
    """Worker to control: a peer has a newer configuration or an unknown log; ask the registry once.

    Attributes:
        version: The version that the peer has; 0 when it is not known.
    """

    version: int = 0


class PeerState(msgspec.Struct, frozen=True, kw_only=True):
    """One road of a worker.

    Attributes:
        gateway: The peer, ``BJ/GOV/ANIP/gw1``.
        log: Its log.
        state: ``open``, ``connecting``, ``lost`` or a reason: ``PEER_UNREACHABLE`` once it was dialled in vain.
        size: Verified size of its log.
        ahead_s: Seconds by which our clock was ahead of the newest head that it showed; ``None`` before the first.
    """

    gateway: str
    log: str
    state: str
    size: int = 0
    ahead_s: int | None = None


class WriteFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A write that the disk refused, the last word of the worker that stopped for it.

    Attributes:
        at: UTC milliseconds.
        error: ``EIO``, ``ENOSPC`` …
        segment: Name of the segment that was open; empty if none was.
    """

    at: int
    error: str
    segment: str = ""


class FailedStart(msgspec.Struct, frozen=True, kw_only=True):
    """Why a worker could not start, its last word.

    Attributes:
        reason: ``LOG_DAMAGED``, ``KEY_UNREADABLE`` …
        why: One sentence in English: which file, where in it.
    """

    reason: str
    why: str


class StoppedReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why a log was stopped.

    Attributes:
        here: Leaves that are here.
        there: Leaves under the highest head that somebody else holds.
        witness: Who: a gateway, ``registry``, or ``state`` for a head on our own disk.
    """

    here: int
    there: int
    witness: str


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="status"):
    """Worker to control, once a second and on every change of state.

    Attributes:
        state: ``starting``, ``ready``, ``draining``, ``closed``, ``FORKED``, ``LOG_BEHIND_PEERS`` …
        faults: Codes of what needs attention, ``DISK_RESERVE``.
        log: Log id.
        size: Durable entries.
        sequence: Sequence of the last durable record: readers go no further.
        signed_size: Size of the newest signed head.
        head: That head, a compact JWS.
        configuration_version: Version in use, 0 before the first.
        in_flight: Calls in flight.
        in_doubt: Exchanges that wait for a peer's word.
        free_bytes: Free on the log's disk.
        counters: Plain integers by name, ``refused_NO_AGREEMENT``; they only grow.
        peers: Roads.
        adapters: ``up``, ``silent``, ``down`` or ``unknown`` by subsystem.
        unanswered: Calls given up without an answer since an adapter's last one, by subsystem.
        write_failure: What the disk refused; this worker stops.
        failed_start: Why this worker did not start; it ends.
        stopped: Why the log signs nothing more; ``None`` while it goes on.
        head_is_new: Whether this process signed the head; one from before may be older than what others were shown.
    """

    state: str
    faults: tuple[str, ...] = ()
    log: str = ""
    size: int = 0
    sequence: int = 0
    signed_size: int = 0
    head: str = ""
    configuration_version: int = 0
    in_flight: int = 0
    in_doubt: int = 0
    free_bytes: int = 0
    counters: dict[str, int] = {}
    peers: tuple[PeerState, ...] = ()
    adapters: dict[str, str] = {}
    unanswered: dict[str, int] = {}
    write_failure: WriteFailure | None = None
    failed_start: FailedStart | None = None
    stopped: StoppedReport | None = None
    head_is_new: bool = False


# What a disk says, of all that a system call may say.
_OF_THE_DISK: Final = frozenset(
    {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENODEV, errno.ENXIO}
)


def write_failure_of(error: BaseException | None, segment: str, now_ms: int) -> WriteFailure | None:
    """What the disk refused, if that is what ``error`` or its cause tells."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            named = segment or PurePath(str(error.filename or "")).name
            return WriteFailure(at=now_ms, error=errno.errorcode[error.errno], segment=named)
        error = error.__cause__
    return None


ToWorker = ConfigurationChanged | ConfigurationConfirmed | RegistryHeads | Drain
FromWorker = WorkerReport | FetchConfiguration

_encoder = msgspec.json.Encoder()
_to_worker: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker)
_from_worker: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)


class MalformedMessageError(ValueError):
    """A line on the channel is not a message of the other side."""


def encode_line(message: ToWorker | FromWorker) -> bytes:
    """One message as it is written, with its line feed."""
    return _encoder.encode(message) + b"\n"


def decode_for_worker(line: bytes) -> ToWorker:
    """Read what control wrote.

    Raises:
        MalformedMessageError: It is not a message of control.
    """
    try:
        return _to_worker.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedMessageError(str(error)) from error


def decode_for_control(line: bytes) -> FromWorker:
    """Read what a worker wrote.

    Raises:
        MalformedMessageError: It is not a message of a worker.
    """
    try:
        return _from_worker.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedMessageError(str(error)) from error
