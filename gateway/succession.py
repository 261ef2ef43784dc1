"""Closing a log that cannot go on, and opening the one that succeeds it (PROTOCOL M5, ADR 0016).

A log is never repaired. Its successor is written whole beside it, ``log/<worker>.next/``, then the two are switched by
renames: the old one goes to ``log/closed/``, where auditors find it as it was. Whoever is cut in between is gone on
with by the next one that opens the log: each step is done or not done, and the last makes the successor the log.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from core.clock import Clock
from core.configuration import decode_current
from core.heads import parse_head
from core.jws import DocumentKind, parse_document
from core.leaves import Genesis, Succession, genesis_leaf, log_id_of, note_leaf, parse_genesis, parse_leaf
from core.merkle import EMPTY_ROOT
from core.reasons import ExchangeError, MalformedError, Reason
from core.registrations import ClosedLog, Registration, parse_registration
from core.succession import OWN_STATE, Gap, WitnessedHead, first_notes, gap_between, written_reason
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from gateway.stopped import Tree, read_stopped, verdict_on, witnessed
from ledger.headfile import read_head_file
from ledger.log import create_log, hold_log, segments, sync_directory
from ledger.places import closed_place
from ledger.reader import LogReader


@dataclass(frozen=True, slots=True)
class OldLog:
    """A log as far as it is here.

    Attributes:
        log: Its id.
        size: Leaves that can be read.
        root: Merkle root over them.
        head: Its newest signed head that those leaves have.
        elsewhere: Heads that others hold and that these leaves lack or contradict.
        is_whole: Whether it can be read to its end, and was never told to be forked.
    """

    log: str
    size: int
    root: str
    head: bytes | None
    elsewhere: tuple[WitnessedHead, ...]
    is_whole: bool

    @property
    def can_go_on(self) -> bool:
        """Whether nothing says that it must be closed."""
        return self.is_whole and not self.elsewhere

    def shown(self, witness: str, jws: bytes, tree: LogReader | None) -> OldLog:
        """The same log, with a head that somebody holds, if these leaves do not have it."""
        verdict = verdict_on(tree.tree, parse_head(jws).unverified) if tree else "LOG_BEHIND_PEERS"
        if verdict is None or any(one.jws == jws for one in self.elsewhere):
            return self
        found = WitnessedHead(witness, jws, verdict == "FORKED")
        return replace(self, elsewhere=(*self.elsewhere, found))


@dataclass(frozen=True, slots=True)
class Successor:
    """A log that will go on.

    Attributes:
        log: Its id.
        before: What its genesis leaf says of the log before.
        gap: What is missing between the two.
    """

    log: str
    before: Succession
    gap: Gap


def read_old_log(
    directory: GatewayDirectory, settings: GatewaySettings, worker: int
) -> tuple[OldLog, LogReader | None]:
    """Read the log of ``worker`` as far as it can be read; where it is lost, its id comes from the registration.

    Raises:
        ExchangeError: ``NOT_FOUND``: there is no log, and none is registered.
    """
    place = directory.place(worker)
    if not (place.segments.is_dir() and segments(place.segments)):
        return _lost_log(directory, settings, worker), None
    reader, is_whole = LogReader(place.segments), True
    try:
        reader.read_all()
    except ExchangeError:
        is_whole = False
    if not reader.log_id:
        return _lost_log(directory, settings, worker), None
    tree = reader.tree
    stopped = read_stopped(place.stopped_file, reader.log_id)
    shown = tuple(witnessed(stopped, tree)) if stopped is not None else ()
    is_whole = is_whole and not (stopped is not None and stopped.state == "FORKED")
    head = _newest(reader, place.head_file, tree)
    old = OldLog(reader.log_id, tree.size, tree.root().hex(), head, shown, is_whole)
    kept = read_head_file(place.head_file)
    if kept is not None and _is_head_of(kept, reader.log_id):
        old = old.shown(OWN_STATE, kept, reader)
    return old, reader


def open_successor(
    directory: GatewayDirectory,
    settings: GatewaySettings,
    worker: int,
    old: OldLog,
    reason: str,
    clock: Clock,
    *,
    is_asked: bool,
) -> Successor:
    """Write the successor beside the log; nothing is switched yet.

    Args:
        directory: The gateway's directory.
        settings: Its settings.
        worker: Whose log is succeeded.
        old: That log, with every head of it that others are known to hold.
        reason: Why, in the administrator's words.
        clock: The clock.
        is_asked: Whether the registry told what it holds: else the gap may be larger than it seems.

    Raises:
        ExchangeError: ``DOCUMENT_INVALID``: the reason cannot be written. ``STATE_CONFLICT``: a successor waits already.
    """
    if is_successor_waiting(directory, worker):
        raise ExchangeError(Reason.STATE_CONFLICT, f"a successor of log {old.log[:16]} was opened already")
    now = clock.now_ms()
    before = Succession(old.log, old.size, old.root, written_reason(reason))
    genesis = genesis_leaf(Genesis(1, settings.gateway, worker, now, secrets.token_hex(16), before))
    log = log_id_of(genesis)
    nonces = iter(lambda: secrets.token_hex(16), "")
    gap = gap_between(old.size, old.elsewhere, is_certain=old.is_whole and is_asked)
    notes = first_notes(old.head, old.elsewhere, gap, now, nonces)
    create_log(directory.next_log(worker), genesis, [(note_leaf(log, note), jws) for note, jws in notes])
    return Successor(log, before, gap)


def is_successor_waiting(directory: GatewayDirectory, worker: int) -> bool:
    """Whether a successor was written whole and the two are still to be switched."""
    fresh = directory.next_log(worker)
    return fresh.is_dir() and bool(segments(fresh))


def finish_succession(directory: GatewayDirectory, worker: int) -> bool:
    """Switch to the successor that waits, if one does; safe to call again after a crash. Returns whether it did.

    Raises:
        ExchangeError: ``STATE_CONFLICT``: a process still holds the old log.
    """
    if not is_successor_waiting(directory, worker):
        return False
    fresh, place = directory.next_log(worker), directory.place(worker)
    before = genesis_of(fresh).succeeds
    if before is None:
        raise ExchangeError(Reason.LOG_DAMAGED, f"{fresh.name} succeeds no log")
    closed = closed_place(directory.root, worker, before.log)
    for folder in (closed.segments.parent, closed.bodies.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as held:
        # Who switches holds the successor; who writes holds the log before. Neither is waited for.
        held.callback(os.close, hold_log(fresh))
        if place.segments.is_dir():
            held.callback(os.close, hold_log(place.segments))
            if closed.segments.exists():
                # Another copy of it was put back while the switch was cut: one of the two must be taken away by hand.
                raise ExchangeError(
                    Reason.STATE_CONFLICT, f"log {before.log[:16]} lies in log/{worker} and in log/closed"
                )
            _move(place.head_file, place.segments / closed.head_file.name)
            _move(place.stopped_file, place.segments / closed.stopped_file.name)
            _move(place.segments, closed.segments)
        # The bodies of before stay readable under the id of their log; the successor begins with slots of its own.
        _move(place.bodies, closed.bodies)
        _move(fresh, place.segments)
    return True


def closed_logs(directory: GatewayDirectory, settings: GatewaySettings) -> list[ClosedLog]:
    """The logs that a registration must name as closed: told by genesis leaves, and by the registration in force."""
    found: dict[str, ClosedLog] = {}
    for place in (*map(directory.place, range(settings.workers)), *directory.closed()):
        if place.segments.is_dir() and segments(place.segments):
            genesis = genesis_of(place.segments)
            before, successor = genesis.succeeds, log_id_of(genesis_leaf(genesis))
            if before is not None:
                found[before.log] = ClosedLog(before.log, genesis.worker, before.size, before.root, successor)
    registered = registration_in_force(directory, settings)
    for closed in registered.closed if registered is not None else ():
        found.setdefault(closed.id, closed)
    return list(found.values())


def predecessors(directory: GatewayDirectory, worker: int) -> list[Succession]:
    """The logs that the log of ``worker`` goes on from, the nearest first, as the genesis leaves tell."""
    found: list[Succession] = []
    where = directory.log(worker)
    while where.is_dir() and segments(where):
        before = genesis_of(where).succeeds
        if before is None or before.log in (one.log for one in found):
            break
        found.append(before)
        where = closed_place(directory.root, worker, before.log).segments
    return found


def genesis_of(log: Path) -> Genesis:
    """The genesis leaf of a log; raises ``ExchangeError`` if it cannot be read."""
    first = next(LogReader(log).follow(), None)
    if first is None:
        raise ExchangeError(Reason.LOG_DAMAGED, f"{log.name} has no genesis leaf")
    return parse_genesis(parse_leaf(first.leaf).body)


def registration_in_force(directory: GatewayDirectory, settings: GatewaySettings) -> Registration | None:
    """This gateway's registration in the configuration that its workers use; ``None`` if there is none."""
    try:
        current = decode_current(directory.current.read_bytes())
    except (OSError, MalformedError):
        return None
    listed = [
        parse_registration(parse_document(DocumentKind.REGISTRATION, entry.jws).unverified_payload)
        for member in current.members
        for entry in member.registrations
    ]
    own = [one for one in listed if one.gateway == settings.gateway]
    return max(own, key=lambda one: one.serial, default=None)


def _lost_log(directory: GatewayDirectory, settings: GatewaySettings, worker: int) -> OldLog:
    registered = registration_in_force(directory, settings)
    logs: Sequence[str] = [one.id for one in registered.logs if one.worker == worker] if registered else []
    if not logs:
        raise ExchangeError(
            Reason.NOT_FOUND,
            f"worker {worker} has no log here, and none is registered for {settings.gateway}",
        )
    old = OldLog(logs[0], 0, EMPTY_ROOT.hex(), None, (), False)
    kept = read_head_file(directory.head(worker))
    return old.shown(OWN_STATE, kept, None) if kept is not None and _is_head_of(kept, old.log) else old


def _newest(reader: LogReader, head_file: Path, tree: Tree) -> bytes | None:
    """The newest signed head that the leaves which are here have."""
    candidates: Iterable[bytes | None] = (read_head_file(head_file), reader.last_head)
    heads = [one for one in candidates if one is not None and _is_head_of(one, reader.log_id)]
    good = [one for one in heads if verdict_on(tree, parse_head(one).unverified) is None]
    return max(good, key=lambda one: parse_head(one).unverified.size, default=None)


def _is_head_of(jws: bytes, log: str) -> bool:
    try:
        return parse_head(jws).unverified.log == log
    except MalformedError:
        return False


def _move(old: Path, new: Path) -> None:
    """Rename what is there, durably; done before, it is not there any more."""
    if old.exists():
        os.rename(old, new)
        for folder in {old.parent, new.parent}:
            sync_directory(folder)
