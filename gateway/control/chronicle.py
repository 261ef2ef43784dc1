"""What remains of a gateway's state when it does not run: ``state/status.json``, and since when each part is as it is.

``passerelle doctor`` and ``passerelle status`` read the file when nobody answers at ``admin.sock``. It holds what the
admin API tells, neither personal data nor keys. It is renamed in place and never synced: the log's disk is not made to
wait for it, and a disk that is full keeps the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog
from google.protobuf.json_format import MessageToJson, Parse, ParseError

from core.reasons import Reason
from gateway.control.state import (
    REGISTRY_PART,
    GatewayState,
    Since,
    adapter_part,
    peer_part,
    worker_part,
)
from passerelle.gateway.v1 import status_pb2

WRITE_EVERY_MS: Final = 5_000
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_ADAPTER_DOWN: Final = f"refused_{Reason.ADAPTER_DOWN}"

_log = structlog.get_logger("gateway.control.chronicle")


class Chronicle:
    """Remembers since when, and writes the newest state down.

    Args:
        path: ``state/status.json``; what an earlier process left there is taken up.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = _since_of(read_status(path))
        self._refused = 0
        self._counted: dict[int, int] = {}
        self._written_ms: int | None = None
        self._faults: tuple[str, ...] = ()
        self._is_refused = False

    @property
    def since(self) -> Mapping[str, Since]:
        """Since when each part is as it was at the last look."""
        return self._since

    @property
    def refused(self) -> int:
        """Calls that were refused for want of an adapter, as far as control has seen."""
        return self._refused

    def look(self, state: GatewayState) -> None:
        """Take note of what changed."""
        self._count(state)
        now = dict(_parts(state))
        self._since = {
            name: held
            if (held := self._since.get(name)) is not None and held.state == part
            else Since(part, state.now_ms, self._refused)
            for name, part in now.items()
        }

    def keep(self, state: GatewayState, status: status_pb2.GetStatusResponse) -> None:
        """Write ``status`` down, at once if the faults are others than before, else every few seconds."""
        is_due = self._written_ms is None or not 0 <= state.now_ms - self._written_ms < WRITE_EVERY_MS
        if not is_due and state.faults == self._faults:
            return
        self._written_ms, self._faults = state.now_ms, state.faults
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_text(MessageToJson(status, indent=None), encoding="ascii")
            fresh.replace(self._path)
            self._is_refused = False
        except OSError as error:
            # A disk that is full is told by other means, and must not end this process.
            if not self._is_refused:
                _log.warning("status_not_written", error=str(error))
            self._is_refused = True

    def _count(self, state: GatewayState) -> None:
        for worker in state.workers:
            if worker.report is None:
                continue
            counted = worker.report.counters.get(_ADAPTER_DOWN, 0)
            before = self._counted.get(worker.number, 0)
            # A worker that was started again counts from 0.
            self._refused += counted - before if counted >= before else counted
            self._counted[worker.number] = counted


def read_status(path: Path) -> status_pb2.GetStatusResponse | None:
    """What control wrote last; ``None`` if there is no such file, or none that can be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES)
        return Parse(data, status_pb2.GetStatusResponse(), ignore_unknown_fields=True)
    except (OSError, ParseError, ValueError):
        return None


def _parts(state: GatewayState) -> Iterator[tuple[str, str]]:
    yield REGISTRY_PART, state.registry.reason
    for worker in state.workers:
        report = worker.report
        yield worker_part(worker.number), worker.state
        for peer in report.peers if report else ():
            yield peer_part(worker.number, peer.log), peer.state
    for adapter in state.adapters:
        yield adapter_part(adapter.subsystem), adapter.state


def _since_of(status: status_pb2.GetStatusResponse | None) -> dict[str, Since]:
    """The same as an earlier process wrote it; what it counted begins anew."""
    if status is None:
        return {}
    found = {REGISTRY_PART: Since(status.registry.reason, status.registry.since.ToMilliseconds())}
    for worker in status.workers:
        found[worker_part(worker.worker)] = Since(worker.state, worker.since.ToMilliseconds())
    for peer in status.peers:
        found[peer_part(peer.worker, peer.log)] = Since(peer.state, peer.since.ToMilliseconds())
    for adapter in status.adapters:
        found[adapter_part(adapter.subsystem)] = Since(
            adapter.state, adapter.since.ToMilliseconds(), -adapter.refused
        )
    return found
