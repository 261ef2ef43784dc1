"""What a gateway leaves behind when nobody answers at its ``admin.sock``: its files, read and left as they are.

Works with the process dead and the disk full. Nothing here is proof: it is how the gateway stands, as far as files tell.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from core.configuration import CurrentConfiguration, decode_current
from core.documents import MalformedDocumentError
from core.heads import MalformedHeadError, TreeHead, parse_head
from core.reasons import ExchangeError, Reason
from gateway.channel import WriteFailure
from gateway.control.chronicle import read_status
from gateway.control.forecast import days_left, read_growth
from gateway.control.services import timestamp
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from gateway.stopped import StoppedLog, read_stopped
from ledger.glance import Glance, glance
from ledger.headfile import read_head_file
from passerelle.gateway.v1 import log_pb2, status_pb2

# Nobody answers at ``admin.sock``.
GATEWAY_DOWN: Final = "GATEWAY_DOWN"


@dataclass(frozen=True, slots=True)
class LogOnDisk:
    """One worker's log as its files are.

    Attributes:
        worker: Number.
        seen: What a look at it told; ``None`` if it could not be read.
        problem: Why not.
        head: The newest head that the worker signed, from ``state``.
        jws: The same as it was signed.
        stopped: Why the log was stopped, if it was.
    """

    worker: int
    seen: Glance | None
    problem: str
    head: TreeHead | None
    jws: bytes | None = None
    stopped: StoppedLog | None = None


def read_current(directory: GatewayDirectory) -> CurrentConfiguration | None:
    """``configuration/current.json``; ``None`` if there is none that can be read."""
    try:
        return decode_current(directory.current.read_bytes())
    except (OSError, MalformedDocumentError):
        return None


def living_workers(directory: GatewayDirectory) -> dict[int, int]:
    """Process ids of workers that live, by number; control may be dead meanwhile."""
    return dict(_living(directory))


def _living(directory: GatewayDirectory) -> Iterator[tuple[int, int]]:
    for path in sorted(directory.state.glob("worker-*.pid")):
        try:
            number = int(path.stem.removeprefix("worker-"))
            pid = int(path.read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if b"gateway.worker" in command:
            yield number, pid


def look_at_logs(settings: GatewaySettings, directory: GatewayDirectory) -> tuple[LogOnDisk, ...]:
    """Every log, in order of workers."""
    return tuple(_look_at(directory, number) for number in range(settings.workers))


def _look_at(directory: GatewayDirectory, worker: int) -> LogOnDisk:
    jws = read_head_file(directory.head(worker))
    head = None
    if jws is not None:
        with contextlib.suppress(MalformedHeadError):
            head = parse_head(jws).unverified
    try:
        seen = glance(directory.log(worker))
        return LogOnDisk(worker, seen, "", head, jws, read_stopped(directory.stopped(worker), seen.log))
    except ExchangeError as error:  # LOG_DAMAGED, of the log or of the file that says why it was stopped
        return LogOnDisk(worker, None, str(error), head, jws)
    except OSError as error:
        return LogOnDisk(worker, None, error.strerror or type(error).__name__, head, jws)


def write_failures(settings: GatewaySettings, directory: GatewayDirectory) -> dict[int, WriteFailure]:
    """The last write that the disk refused to each worker, as the worker itself left it."""
    return dict(_failures(settings, directory))


def _failures(settings: GatewaySettings, directory: GatewayDirectory) -> Iterator[tuple[int, WriteFailure]]:
    for number in range(settings.workers):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            data = directory.write_failure(number).read_bytes()
            yield number, msgspec.json.decode(data, type=WriteFailure)


def free_bytes(directory: GatewayDirectory) -> int | None:
    """Bytes that may still be written on the disk of the log; ``None`` if the system does not tell."""
    try:
        found = os.statvfs(directory.root / "log")
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def forecast(
    settings: GatewaySettings, directory: GatewayDirectory, free: int | None, now_ms: int
) -> float | None:
    """Days until the reserve of the disk is reached, at the pace that control noted; ``None`` if nothing is foreseen."""
    if free is None:
        return None
    return days_left(read_growth(directory), now_ms, free - settings.log.reserve_bytes)


def status_from_files(
    settings: GatewaySettings, directory: GatewayDirectory, now_ms: int
) -> tuple[status_pb2.GetStatusResponse, log_pb2.GetHeadResponse]:
    """What the admin API would tell of it, and its newest heads; ``as_of`` is when the gateway last noted its state."""
    living, logs, free = (
        living_workers(directory),
        look_at_logs(settings, directory),
        free_bytes(directory),
    )
    noted, current = read_status(directory.status), read_current(directory)
    status = status_pb2.GetStatusResponse(
        gateway=settings.gateway,
        # Workers go on without control, for as long as their configuration is good.
        state=status_pb2.STATE_DEGRADED if living else status_pb2.STATE_CLOSED,
        faults=[GATEWAY_DOWN, *_faults(current, now_ms), *_damaged(logs)],
        workers=[_worker(log, living, free or 0) for log in logs],
        registry=status_pb2.RegistryStatus(address=settings.registry.address),
        days_left=forecast(settings, directory, free, now_ms),
        as_of=noted.as_of if noted is not None else None,
        configuration=_configuration(current) if current is not None else None,
    )
    heads = [
        log_pb2.SignedHead(
            log=log.head.log, worker=log.worker, size=log.head.size, root=log.head.root, jws=log.jws
        )
        for log in logs
        if log.head is not None and log.jws is not None
    ]
    return status, log_pb2.GetHeadResponse(heads=heads)


def _faults(current: CurrentConfiguration | None, now_ms: int) -> Iterator[str]:
    if current is None:
        yield Reason.CONFIG_MISSING
    elif now_ms >= current.expires_at:
        yield Reason.CONFIG_EXPIRED


def _damaged(logs: Iterable[LogOnDisk]) -> Iterator[str]:
    """As far as a quick look tells; doctor looks longer."""
    if any(log.seen is None or log.seen.damage for log in logs):
        yield Reason.LOG_DAMAGED


def _worker(log: LogOnDisk, living: Mapping[int, int], free: int) -> status_pb2.WorkerStatus:
    pid, seen = living.get(log.worker, 0), log.seen
    return status_pb2.WorkerStatus(
        worker=log.worker,
        pid=pid,
        state=Reason.LOG_DAMAGED if seen is None or seen.damage else "unknown" if pid else "stopped",
        log=seen.log if seen is not None else "",
        size=seen.size if seen is not None else 0,
        signed_size=log.head.size if log.head is not None else 0,
        free_bytes=free,
    )


def _configuration(current: CurrentConfiguration) -> status_pb2.ConfigurationStatus:
    return status_pb2.ConfigurationStatus(
        version=current.version,
        digest=current.digest,
        fetched_at=timestamp(current.fresh_at),
        expires_at=timestamp(current.expires_at),
        members=len(current.members),
    )
