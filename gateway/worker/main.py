"""A worker process: reads its settings once, joins the parts, serves until it is told to stop.

One thread beside the loop, the commit's. Control is asked for nothing on the path of a call: it hands over the
configuration as a file, and may be gone for as long as that is valid.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
import structlog

from core.clock import Clock, SystemClock
from core.configuration import decode_current
from core.documents import MalformedDocumentError, digest
from core.heads import parse_head
from core.reasons import ExchangeError, MalformedError, Reason
from core.succession import OWN_STATE
from gateway.channel import (
    MAX_LINE_BYTES,
    ConfigurationChanged,
    ConfigurationConfirmed,
    FailedStart,
    FetchConfiguration,
    FromWorker,
    MalformedMessageError,
    RegistryHeads,
    StoppedReport,
    WorkerReport,
    WriteFailure,
    decode_for_worker,
    encode_line,
    write_failure_of,
)
from gateway.layout import GatewayDirectory
from gateway.open_files import allow_open_files
from gateway.settings import GatewaySettings, HostPort
from gateway.shared_port import Share
from gateway.stopped import StoppedLog, read_stopped, still_stopped, verdict_on, write_stopped
from gateway.succession import finish_succession, is_successor_waiting
from gateway.worker import tls
from gateway.worker.budget import BudgetLimits
from gateway.worker.checkpoint import TakenUp, bring_on, put_aside, take_up
from gateway.worker.dialling import PolicyDialler
from gateway.worker.edges import (
    AdapterEdge,
    AdapterLimits,
    AdapterTable,
    ProgramEdge,
    ProgramLimits,
)
from gateway.worker.http2 import Http2Limits
from gateway.worker.jsondoor import JsonDoor
from gateway.worker.link import ROAD_PORT_LIMITS, LinkDialler, LinkListener, RoadPortLimits
from gateway.worker.predecessors import Predecessors, read_predecessors
from gateway.worker.randomness import RandomPool
from gateway.worker.recovery import Reading, Recovered
from gateway.worker.road import RoadLimits
from gateway.worker.roads import MAX_WHY
from gateway.worker.routes import PROGRAMS, Door, door_of
from gateway.worker.station import Station, StationLimits
from gateway.worker.trust import TrustView, build
from ledger.checkpoint import tree_of
from ledger.commit import GroupCommit
from ledger.failpoints import hit
from ledger.headfile import read_head_file, write_head_file
from ledger.heard import HeardFiles
from ledger.log import Log
from ledger.reader import LogReader
from ledger.vault import BodyVault, read_wrapping_key
from pki.heads import HeadSigner
from pki.keys import load_chain, read_key
from pki.pseudonyms import read_key as read_key_of_year
from rpc.files import replace_file
from rpc.ports import require_free

BUSY_TICK_S: Final = 0.02
IDLE_TICK_S: Final = 0.2
REPORT_S: Final = 1.0
# After the time to drain is over: to commit and send the statements that say so.
LAST_WORDS_S: Final = 2.0
CLOSE_S: Final = 1.0
PROGRAM_SILENT_S: Final = 10.0
# Connections of programs that are sent on to a worker with fewer, each second.
MOVED_AT_ONCE: Final = 8
# No peer could say yet which head of this log it holds: nobody else has witnessed that it is the newest copy.
LOG_UNCONFIRMED: Final = "LOG_UNCONFIRMED"
# Control reads what was committed while it is in the page cache, which lets go of it 8 MiB later (``ledger.log``).
REPORT_BYTES: Final = 4 * 1024 * 1024

_events = structlog.get_logger("gateway.worker")


@dataclass(slots=True)
class Started:
    """What a worker listens on."""

    programs: tuple[str, int]
    road: tuple[str, int]
    routes: dict[str, tuple[str, int]]


@dataclass(slots=True)
class Worker:
    """One worker of a gateway, wired; ``run`` serves until ``stop``."""

    settings: GatewaySettings
    directory: GatewayDirectory
    number: int
    channel: socket.socket | None = None
    share: Share | None = None
    station: Station = field(init=False)
    started: Started | None = field(init=False, default=None)
    _clock: Clock = field(init=False, default_factory=SystemClock)
    _commit: GroupCommit = field(init=False)
    _log: Log = field(init=False)
    predecessors: Predecessors = field(init=False)
    _vault: BodyVault = field(init=False)
    _heard: HeardFiles = field(init=False)
    _programs: ProgramEdge = field(init=False)
    _json_door: JsonDoor = field(init=False)
    _adapters: AdapterTable = field(init=False)
    _listener: LinkListener = field(init=False)
    _links: LinkDialler = field(init=False)
    _view: TrustView | None = field(init=False, default=None)
    _stopped: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _buffer: bytes = field(init=False, default=b"")
    _exit_code: int = field(init=False, default=0)
    _reported_bytes: int = field(init=False, default=0)
    _write_failure: WriteFailure | None = field(init=False, default=None)
    _is_head_written: bool = field(init=False, default=True)
    _read_from: int = field(init=False, default=0)

    # --- start ---

    async def start(self) -> Started:
        """Open the log, take up what it left unfinished, listen.

        Raises:
            ExchangeError: The log is damaged or held, or a key cannot be read.
        """
        recovered = self._open_log()
        hit("start.recovered")
        self.station = self._station(recovered)
        self._load_configuration()
        self.started = await self._listen()
        _events.info(
            "worker.started",
            log=self._log.log_id,
            size=self._log.size,
            unfinished=len(recovered.unfinished),
            cut_bytes=self._log.recovery.cut_bytes,
            read_from=self._read_from,
        )
        return self.started

    def _open_log(self) -> Recovered:
        """Open and recover the log, the bodies beside it and the one door to both; returns what it left unfinished."""
        settings, directory = self.settings, self.directory
        finish_succession(directory, self.number)
        log_directory = directory.log(self.number)
        bring_on(directory, self.number, settings.log.segment_bytes, settings.log.reserve_bytes)
        known = self._open_behind_checkpoint(log_directory)
        wrapping = read_wrapping_key(directory.wrapping_key(settings), directory.root / "log")
        self._vault = BodyVault(directory.bodies(self.number), self._log.log_id, wrapping, self._clock)
        # What the logs before left unfinished is taken up here, once: whatever ended it, in any of them, is read.
        before = self.predecessors.leaves() if known is None else []
        if known is None:
            self._heard = HeardFiles(log_directory / "heard")
            reading, reader = Reading(self._log.log_id, self._heard), LogReader(log_directory)
        else:
            self._heard, reading, self._read_from = known.heard, known.reading, known.checkpoint.size
            reader = known.reader(log_directory)
        for one in chain(*before, reader.follow()):
            reading.take(one)
        reader.tree.close()
        recovered = reading.result(self._vault.open)
        self._vault.prepare()
        self._commit = GroupCommit(
            self._log,
            asyncio.get_running_loop().call_soon_threadsafe,
            self._failed,
            vault=self._vault,
            reserve_bytes=settings.log.reserve_bytes,
        )
        return recovered

    def _open_behind_checkpoint(self, log_directory: Path) -> TakenUp | None:
        """Open the log, without what a checkpoint covers, if there is one that can be believed."""
        known = None
        # Of a log that cannot be read opening it tells more.
        with contextlib.suppress(ExchangeError, OSError):
            before = read_predecessors(self.directory, self.number)
            known = take_up(log_directory, before, log_directory / "heard")
        self._log = Log.open(
            log_directory,
            segment_bytes=self.settings.log.segment_bytes,
            after=known.checkpoint if known is not None else None,
            kept_in=tree_of(log_directory),
        )
        self.predecessors = read_predecessors(self.directory, self.number)
        if known is not None and not self._log.resumed:
            put_aside(log_directory, "what follows does not agree with it, or no signed head covers it")
            known.heard.close()
            return None
        if known is not None:
            self.predecessors.take_damaged(known.damaged)
        return known

    def _station(self, recovered: Recovered) -> Station:
        settings, directory = self.settings, self.directory
        self._links = LinkDialler(tls.road_client(directory))
        self._adapters = AdapterTable(
            {one.subsystem: self._adapter_edge(one.address) for one in settings.adapter}
        )
        return Station(
            log_id=self._log.log_id,
            gateway=settings.gateway,
            language=settings.lang,
            limits=_station_limits(settings),
            log=self._log,
            commit=self._commit,
            is_reserve_reached=self._commit.is_reserve_reached,
            sign_head=_signer(directory).sign,
            newest_head=self._log.last_head or b"",
            recovered=recovered,
            heard=self._heard,
            are_predecessors_whole=self.predecessors.are_whole,
            clock=self._clock,
            random=RandomPool().take,
            call_soon=asyncio.get_running_loop().call_soon,
            dialler=PolicyDialler(settings, self._links),
            adapters=self._adapters,
            fetch_configuration=lambda version: self._tell(FetchConfiguration(version=version)),
            read_pseudonym_key=partial(read_key_of_year, directory.pseudonym_keys),
            on_defect=self._failed,
            stopped=self._stopped_before(),
            keep_stopped=self._keep_stopped,
            asks_registry=self.channel is not None,
        )

    def _keep_stopped(self, stopped: StoppedLog) -> None:
        write_stopped(self.directory.stopped(self.number), stopped)
        # Now, not at the next tick: each call that a program begins here until then is refused.
        self._share_out()

    def _stopped_before(self) -> StoppedLog | None:
        """Why this log was stopped, if it still is: as told before, or by a newer head in ``state/`` (PROTOCOL M5)."""
        path, log = self.directory.stopped(self.number), self._log
        stopped = read_stopped(path, log.log_id)
        if stopped is not None:
            holds = still_stopped(stopped, log)
            if holds is None:
                path.unlink()
                _events.info("log.whole_again", size=log.size)
            return holds
        kept = read_head_file(self.directory.head(self.number))
        try:
            head = parse_head(kept).unverified if kept is not None else None
        except MalformedError as error:
            # It is never synced, and for a quick look only: peers and registry hold the heads that count.
            _events.warning("head.unreadable", why=str(error))
            return None
        verdict = verdict_on(log, head) if head is not None and head.log == log.log_id else None
        if kept is None or verdict is None:
            return None
        # A log that lies behind a head we signed was put back from a copy: it must not sign again.
        own = (log.last_head or b"").decode("ascii")
        found = StoppedLog(1, log.log_id, verdict, self._clock.now_ms(), log.size, own, [])
        found = found.with_shown(verdict, OWN_STATE, kept)
        write_stopped(path, found)
        return found

    async def _listen(self) -> Started:
        """Take calls of programs and streams of peers."""
        settings, directory, consumer = self.settings, self.directory, self.station.pipeline.consumer
        self._json_door = JsonDoor(
            trust=lambda: self.station.roads.trust,
            clock=self._clock,
            read_descriptors=partial(_read_descriptors, directory),
            refusals=self.station.refusals,
            max_message_bytes=settings.limits.message_bytes,
        )
        self._programs = ProgramEdge(
            consumer,
            clock=self._clock,
            limits=_program_limits(settings),
            json_door=self._json_door,
        )
        self._listener = LinkListener(self.station.roads.accept, limits=_road_port_limits(settings))
        road = HostPort.parse(settings.listen.road[self.number])
        with _named(road):
            bound = await self._listener.serve(road.host, road.port, tls.road_port(directory))
        return Started(
            road=bound,
            programs=await self._open(PROGRAMS, settings.listen.programs, 0),
            routes={
                route.name: await self._open(door_of(route), route.listen, number)
                for number, route in enumerate(settings.routes, 1)
            },
        )

    async def _open(self, door: Door, address: str, number: int) -> tuple[str, int]:
        """Let programs in, by the shared socket of this number; only where nobody is asked who calls, without TLS."""
        where, share = HostPort.parse(address), self.share
        context = tls.programs_port(self.directory) if door.unasked is None else None
        shared = (share, share.sockets[number]) if share is not None else None
        with _named(where):
            return await self._programs.serve(where.host, where.port, context, shared=shared, door=door)

    async def run(self) -> int:
        """Serve until ``stop``; returns the exit code."""
        loop = asyncio.get_running_loop()
        if self.channel is not None:
            self.channel.setblocking(False)
            loop.add_reader(self.channel.fileno(), self._read_channel)
        self._tick()
        self._report()
        # Nothing of what is loaded by now will ever be garbage: do not look through it again.
        gc.freeze()
        await self._stopped.wait()
        return self._exit_code

    def stop(self) -> None:
        """Take no new calls; stop when those in flight have ended, or are ended by name after ``drain_ms``.

        Told again, as by a signal and the lifeline, it goes on draining: who cannot wait kills it.
        """
        if self.station.state == "draining":
            return
        self.station.drain()
        self._programs.drain()
        asyncio.get_running_loop().call_later(self.settings.limits.drain_ms / 1000, self._give_up)

    def _give_up(self) -> None:
        if not self._stopped.is_set():
            self.station.give_up()
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._stopped.set)

    def _is_drained(self) -> bool:
        """Whether every exchange has its end, and programs and peers have what they are to get."""
        edges = (*self._programs.connections, *self._listener.connections, *self._links.connections)
        return (
            self.station.is_drained
            and not any(one.streams for one in self._programs.connections)
            and not any(one.queued_bytes() for one in edges)
        )

    def tell_failed_start(self, error: BaseException) -> None:
        """The last words of a worker that cannot start: what the disk refused, or why else."""
        self._leave_trace(error)
        reason = error.reason if isinstance(error, ExchangeError) else None
        self._tell(
            WorkerReport(
                state="closed",
                write_failure=self._write_failure,
                failed_start=FailedStart(reason=str(reason), why=str(error)[:MAX_WHY]) if reason else None,
            )
        )

    def _leave_trace(self, error: BaseException) -> None:
        """What the disk refused, if that is what ends this worker: an event, and a file if the disk still takes it."""
        log = getattr(self, "_log", None)
        found = write_failure_of(error, log.segment if log is not None else "", self._clock.now_ms())
        if found is None:
            return
        self._write_failure = found
        _events.error("log.write_failed", worker=self.number, error=found.error, segment=found.segment)
        try:
            replace_file(self.directory.write_failure(self.number), msgspec.json.encode(found))
        except OSError as refused:
            _events.warning("log.write_failure_not_kept", why=str(refused))

    async def close(self) -> None:
        """Let go of everything; what is committed is on disk."""
        self._programs.close()
        self._json_door.close()
        self._listener.close()
        self._links.close()
        for edge in self._adapters.edges.values():
            edge.close()
        await self._until_closed()
        self._write_head()
        self._commit.close()
        self._vault.close()
        self._heard.close()
        self._log.close()

    async def _until_closed(self) -> None:
        """Let the last bytes leave: a socket that is full takes them a moment later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._programs.connections or self._listener.connections or self._links.connections:
                    await asyncio.sleep(0.005)

    def _adapter_edge(self, address: str) -> AdapterEdge:
        where = HostPort.parse(address)
        tls_of_adapter = tls.adapter_client(self.directory)
        return AdapterEdge(where.host, where.port, tls_of_adapter, limits=_adapter_limits(self.settings))

    # --- configuration ---

    def _share_out(self) -> None:
        """Tell the other workers how many connections there are here, and whether it may be more.

        A worker that cannot carry exchanges leaves programs to those that can, those that it has as well.
        """
        share = self.share
        if share is None:
            return
        was_open, share.is_open = share.is_open, self._carries_exchanges
        staying = [one for one in self._programs.connections if not one.draining]
        share.say(len(staying))
        if was_open and not share.is_open and share.has_others:
            for connection in staying:
                connection.send_away()

    def _send_surplus_away(self) -> None:
        """Programs that connected while another worker was away connect anew, and find the one with the fewest.

        No call is lost by it: GOAWAY, and what is open here ends here, however long it takes. A few at a time.
        """
        surplus = self.share.surplus if self.share is not None else 0
        staying = [one for one in self._programs.connections if not one.draining]
        idlest_first = sorted(staying, key=lambda one: len(one.streams))
        for connection in idlest_first[: min(surplus // 2, MOVED_AT_ONCE)]:
            connection.send_away()

    @property
    def _carries_exchanges(self) -> bool:
        view, station = self._view, self.station
        return view is not None and station.objection_to_start() is None and station.log_id in view.by_log

    def _load_configuration(self) -> None:
        """Swap in the configuration that control verified and renamed into place."""
        try:
            current = decode_current(self.directory.current.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, MalformedDocumentError) as error:
            _events.error("configuration.refused", why=str(error))
            return
        held = self._view
        if held is not None and current.version < held.mark.version:
            # Never backwards, whatever lies in the directory (invariant 4).
            _events.error("configuration.rolled_back", held=held.mark.version, found=current.version)
            return
        settings = self.settings
        view = build(
            current,
            own_member=str(settings.member),
            own_key=settings.member_key,
            fresh_ms=settings.configuration.fresh_s * 1000,
        )
        self._use(view)

    def _use(self, view: TrustView) -> None:
        hit("configuration.swap")
        first, self._view = self._view is None, view
        if first:
            self.station.start(view)
        else:
            self.station.swap(view)

    # --- control ---

    def _read_channel(self) -> None:
        channel = self.channel
        if channel is None:
            return
        try:
            data = channel.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            # Control is gone; we live on until it comes back or the configuration expires.
            asyncio.get_running_loop().remove_reader(channel.fileno())
            channel.close()
            self.channel = None
            _events.warning("control.gone")
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._obey(line)
        if len(self._buffer) > MAX_LINE_BYTES:
            self._buffer = b""

    def _obey(self, line: bytes) -> None:
        try:
            message = decode_for_worker(line)
        except MalformedMessageError as error:
            _events.error("channel.malformed", why=str(error))
            return
        if isinstance(message, ConfigurationChanged):
            self._load_configuration()
            self._tell(self.report())
        elif isinstance(message, RegistryHeads):
            if not message.answered:
                _events.warning("registry.not_asked")
            heads = tuple(one.encode("ascii") for one in message.heads)
            self.station.hear_registry(heads, answered=message.answered)
        elif isinstance(message, ConfigurationConfirmed):
            if self._view is not None and self._view.mark.version == message.version:
                self._use(self._view.confirmed(message.fetched_at, message.expires_at))
        else:
            self.stop()

    def _tell(self, message: FromWorker) -> None:
        if self.channel is None:
            return
        try:
            self.channel.send(encode_line(message))
        except (BlockingIOError, OSError):
            # Control reads late; the next report says the same and more.
            return

    def report(self) -> WorkerReport:
        """What control is told once a second."""
        station, commit = self.station, self._commit
        faults = [] if not commit.is_reserve_reached() else [str(Reason.DISK_RESERVE)]
        if self._view is None:
            faults.append(str(Reason.CONFIG_MISSING))
        if self._view is not None and not station.witnesses.is_confirmed and station.stopped is None:
            faults.append(LOG_UNCONFIRMED)
        if self._view is not None and station.log_id not in self._view.by_log:
            # A new log, or a successor: exchanges wait for the registration that the member key signs.
            faults.append(str(self._view.refusal_of_log(station.log_id)))
        if self._view is not None and self._view.names_persons:
            unread = station.pseudonyms.objection(self._clock.now_ms())
            faults += [str(unread)] if unread is not None else []
        if station.fault is not None:
            faults.append(str(station.fault))
        counters = Counter(station.counters)
        counters.update({f"programs_{name}": count for name, count in self._programs.counters.items()})
        counters.update({f"road_port_{name}": count for name, count in self._listener.counters.items()})
        counters["commits"] = commit.commits
        return WorkerReport(
            state=station.state,
            faults=tuple(faults),
            log=station.log_id,
            size=station.durable_size,
            sequence=commit.durable_sequence,
            signed_size=station.heads.size,
            head=station.heads.newest.decode("ascii"),
            configuration_version=self._view.mark.version if self._view else 0,
            in_flight=station.pipeline.in_flight,
            in_doubt=len(station.pipeline.consumer.doubts),
            free_bytes=commit.free_bytes,
            counters=dict(counters),
            peers=station.peer_states(),
            adapters={name: edge.state for name, edge in self._adapters.edges.items()},
            unanswered={name: edge.unanswered for name, edge in self._adapters.edges.items()},
            write_failure=self._write_failure,
            stopped=_stopped_report(station.stopped, station.durable_size),
            head_is_new=station.has_signed,
        )

    def _report(self) -> None:
        if self._stopped.is_set():
            return
        self._tell_control()
        self._write_head()
        self._send_surplus_away()
        if self.station.stopped is not None and is_successor_waiting(self.directory, self.number):
            # The operator opened a successor: the next start of this worker switches to it.
            self.stop()
        asyncio.get_running_loop().call_later(REPORT_S, self._report)

    def _tell_control(self) -> None:
        self._reported_bytes = self._commit.written_bytes
        self._tell(self.report())

    def _write_head(self) -> None:
        if not self.station.has_signed:
            # What is there may be newer than the head that the log brought from before, and tell why it was stopped.
            return
        try:
            write_head_file(self.directory.head(self.number), self.station.heads.newest)
            self._is_head_written = True
        except OSError as error:
            # For people only; a full disk must not end the reports that tell control of it.
            if self._is_head_written:
                _events.warning("head.not_written", why=str(error))
            self._is_head_written = False

    def _tick(self) -> None:
        if self._stopped.is_set():
            return
        try:
            self.station.tick()
            self._share_out()
            self._vault.prepare()
            if self._commit.written_bytes - self._reported_bytes >= REPORT_BYTES:
                self._tell_control()
        except Exception as error:
            # Without ticks no deadline ends a call: a defect, or a disk that refuses, ends the worker instead.
            self._failed(error)
            return
        if self.station.state == "draining" and self._is_drained():
            self._stopped.set()
        wait = BUSY_TICK_S if self.station.pipeline.in_flight else IDLE_TICK_S
        asyncio.get_running_loop().call_later(wait, self._tick)

    def _failed(self, error: BaseException) -> None:
        """The disk refused once: stop, so that a restart reads what it really holds."""
        self.station.failed(error)
        self._leave_trace(error)
        self._tell_control()
        self._exit_code = 1
        self._stopped.set()


def _signer(directory: GatewayDirectory) -> HeadSigner:
    """The seal key at work; raises ``ExchangeError``: key or certificate cannot be read, or do not belong together."""
    seal = load_chain(directory.seal.certificate.read_bytes())[0]
    key = read_key(directory.seal.key)
    try:
        return HeadSigner(key, seal)
    except ValueError as error:
        raise ExchangeError(Reason.KEY_UNREADABLE, str(error)) from error


@contextlib.contextmanager
def _named(address: HostPort) -> Iterator[None]:
    """A port that cannot be had is told with who holds it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            require_free(str(address))
            raise ExchangeError(
                Reason.PORT_IN_USE, f"cannot listen on {address}: {error.strerror}"
            ) from error
        raise


def _stopped_report(stopped: StoppedLog | None, here: int) -> StoppedReport | None:
    if stopped is None:
        return None
    witness, head = stopped.highest
    return StoppedReport(here=here, there=head.size, witness=witness)


def _read_descriptors(directory: GatewayDirectory, wanted: str) -> bytes:
    """A published FileDescriptorSet, as control verified and kept it.

    Raises:
        OSError: It cannot be read.
        ValueError: What is there has another digest.
    """
    data = directory.published_descriptors(wanted).read_bytes()
    if digest(data) != wanted:
        raise ValueError("the file has another digest than its name")
    return data


def _station_limits(settings: GatewaySettings) -> StationLimits:
    limits = settings.limits
    return StationLimits(
        budget=BudgetLimits(
            member_bytes=limits.member_bytes,
            worker_bytes=limits.worker_bytes,
            member_calls=limits.member_calls,
            worker_calls=limits.worker_calls,
        ),
        message_bytes=limits.message_bytes,
        peer_wait_us=limits.peer_wait_ms * 1000,
        head_us=settings.log.head_ms * 1000,
        entries_per_s=limits.entries_per_s,
        entries_burst=limits.entries_burst,
        cached_tokens=limits.cached_tokens,
        road=RoadLimits(
            sending_bytes=limits.road_sending_bytes,
            unreceipted=limits.road_unreceipted,
            unreceipted_bytes=limits.road_unreceipted_bytes,
        ),
    )


def _adapter_limits(settings: GatewaySettings) -> AdapterLimits:
    limits = settings.limits
    return AdapterLimits(
        max_message_bytes=limits.message_bytes,
        max_connections=limits.adapter_connections,
        max_waiting=limits.adapter_waiting,
    )


def _road_port_limits(settings: GatewaySettings) -> RoadPortLimits:
    limits = settings.limits
    return RoadPortLimits(
        http2=replace(ROAD_PORT_LIMITS, silence_seconds=limits.handshake_ms / 1000),
        max_connections=limits.road_connections,
        max_connections_per_peer=limits.road_peer_connections,
        max_handshakes=limits.handshakes,
    )


def _program_limits(settings: GatewaySettings) -> ProgramLimits:
    limits = settings.limits
    return ProgramLimits(
        http2=Http2Limits(
            max_streams=limits.program_calls,
            stream_window_bytes=limits.stream_window_bytes,
            connection_window_bytes=limits.connection_window_bytes,
            max_header_bytes=4 * limits.header_bytes,
            reset_burst=limits.reset_burst,
            resets_per_second=limits.resets_per_s,
            silence_seconds=limits.handshake_ms / 1000,
            idle_seconds=limits.idle_ms / 1000,
            write_stall_seconds=limits.write_stall_ms / 1000,
            # A program that went without a word: its calls are cancelled, as if it had said so.
            ping_after_seconds=PROGRAM_SILENT_S,
            ping_timeout_seconds=PROGRAM_SILENT_S,
        ),
        max_message_bytes=limits.message_bytes,
        max_connections=limits.connections,
        max_anonymous_connections=limits.anonymous_connections,
        max_connections_per_program=limits.program_connections,
        max_handshakes=limits.handshakes,
        max_incomplete_per_program=limits.member_calls,
        request_seconds=limits.request_ms / 1000,
        max_assembly_bytes=limits.worker_bytes,
        max_assembly_bytes_per_program=limits.member_bytes,
    )


async def serve(
    settings: GatewaySettings,
    directory: GatewayDirectory,
    number: int,
    channel: int,
    lifeline: int | None,
    shared_ports: Sequence[int] = (),
) -> int:
    """Run one worker until a signal, the lifeline or control ends it; returns the exit code."""
    allow_open_files()
    loop = asyncio.get_running_loop()
    worker = Worker(
        settings,
        directory,
        number,
        socket.socket(fileno=channel) if channel >= 0 else None,
        Share.inherited(shared_ports, settings.workers, number) if shared_ports else None,
    )
    try:
        await worker.start()
    except (ExchangeError, OSError) as error:
        worker.tell_failed_start(error)
        raise
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, worker.stop)
    if lifeline is not None:
        os.set_inheritable(lifeline, False)

        def parent_gone() -> None:
            loop.remove_reader(lifeline)
            worker.stop()

        loop.add_reader(lifeline, parent_gone)
    try:
        return await worker.run()
    finally:
        await worker.close()
