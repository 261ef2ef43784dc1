"""A federation whose worker processes die, fail and wait; programs and adapter keep journals of their own."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from bj.identity.v1 import identity_pb2
from core.wire import LENGTH_DELIMITED, encode_varint
from gateway.control.checkpoints import checkpoint_command
from ledger.failpoints import VARIABLE
from tests.support.checker import Verdict, check, read_journal
from tests.support.federation import Member, calling, metadata
from tests.support.persons import federation_marks
from tests.support.processes import ROOT, ProcessFederation
from tests.support.waiting import until

# The least there may be, so that segments begin often.
SEGMENT_BYTES = 1024 * 1024


class Journal:
    """JSON lines, each durable before ``write`` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self.counts: dict[str, int] = {}

    def write(self, event: str, **values: str) -> None:
        """Append one line."""
        line = json.dumps({"event": event} | values).encode("ascii") + b"\n"
        with self._lock:
            os.write(self._fd, line)
            os.fdatasync(self._fd)
            self.counts[event] = self.counts.get(event, 0) + 1

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


class Program(threading.Thread):
    """A stock program that calls without end: sizes from nothing to 100 KB, some calls cancelled or out of time."""

    def __init__(self, country: CrashingCountry, name: str) -> None:
        super().__init__(daemon=True)
        self.name = name
        self._country = country
        self._chance = random.Random(name)

    def run(self) -> None:
        number = 0
        with self._country.channel() as channel:
            while not self._country.stopping.is_set():
                number += 1
                self._call(channel, f"{self.name}-{number}")

    def _call(self, channel: grpc.Channel, reference: str) -> None:
        chance, journal = self._chance, self._country.told
        size = chance.choice((0, 200, 500, 4_000, 4_000, 100_000))
        body = asked_about(chance.randint(0, 99), chance.randbytes(size)) if size else b""
        in_vain = chance.random() < 0.1
        journal.write("sent", reference=reference, digest=hashlib.sha256(body).hexdigest())
        call = calling(channel).future(
            body,
            metadata=metadata(x_road_id=reference),
            timeout=chance.uniform(0.001, 0.05) if in_vain else 8,
            wait_for_ready=True,
        )
        if in_vain and chance.random() < 0.5:
            time.sleep(chance.uniform(0, 0.02))
            call.cancel()
        try:
            answer = call.result()
        except grpc.FutureCancelledError:
            journal.write("ended", reference=reference, reason="CANCELLED", delivery="unknown")
            return
        except grpc.RpcError as error:
            journal.write("ended", reference=reference, **_told(error))
            return
        request = str(dict(call.trailing_metadata())["x-road-request-hash"])
        digest = hashlib.sha256(answer).hexdigest()
        journal.write("acknowledged", reference=reference, request=request, digest=digest)


def asked_about(person: int, more: bytes) -> bytes:
    """A request about one of a hundred persons, with a field behind it that nobody knows."""
    npi = identity_pb2.GetPersonRequest(npi=f"49999999{person:02}").SerializeToString()
    return npi + encode_varint(2000 << 3 | LENGTH_DELIMITED) + encode_varint(len(more)) + more


def _told(error: grpc.RpcError) -> dict[str, str]:
    """What a refusal says of the delivery; a call that the library itself ended says nothing."""
    assert isinstance(error, grpc.Call)
    status: Any = rpc_status.from_call(error)
    info = ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return {"reason": info.reason, "delivery": info.metadata["delivery"]}
    return {"reason": error.code().name, "delivery": "unknown"}


class CrashingCountry(ProcessFederation):
    """Programs call while the test kills and restarts workers; ``settle`` ends it, ``verdict`` judges it."""

    def __init__(self, root: Path, *, programs: int = 4, workers: int = 1) -> None:
        super().__init__(root, workers=workers)
        self.told, self.delivered = Journal(root / "program.journal"), Journal(root / "adapter.journal")
        self.stopping = threading.Event()
        self.marks = federation_marks()
        self._programs = [Program(self, f"p{number}") for number in range(programs)]
        self.adapter.answer = self._answer
        for member in (self.pns, self.anip):
            settings = member.directory.settings
            text = settings.read_text("utf-8").replace("[log]", f"[log]\nsegment_bytes = {SEGMENT_BYTES}")
            settings.write_text(text, "utf-8")

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        told = {name: str(value) for name, value in context.invocation_metadata() or ()}
        self.delivered.write(
            "delivered",
            reference=told["x-road-id"],
            request=told["x-road-request-hash"],
            digest=hashlib.sha256(request).hexdigest(),
        )
        return request

    def __enter__(self) -> Self:
        super().__enter__()
        for program in self._programs:
            program.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        super().__exit__(kind, error, trace)
        self.told.close()
        self.delivered.close()

    def keep(self, member: Member) -> subprocess.Popen[bytes]:
        """Start the process that makes a checkpoint of a member's log, as control does."""
        with (member.directory.root / "worker.err").open("ab") as errors:
            command = checkpoint_command(member.directory.settings, 0)
            return subprocess.Popen(command, cwd=ROOT, stderr=errors, stdin=subprocess.DEVNULL)

    def starts_behind_a_checkpoint(self) -> int:
        """How many starts did not read their whole log."""
        logs = [(one.directory.root / "worker.err").read_text("utf-8") for one in (self.pns, self.anip)]
        return sum(len(re.findall(r'"read_from": ?[1-9]', log)) for log in logs)

    def arm(self, member: Member, failpoint: str) -> None:
        """Start a worker that was killed, with a failpoint in it; it may die before it listens."""
        self.environment = {VARIABLE: failpoint}
        try:
            self.launch(member)
        finally:
            self.environment = {}

    def until_dead(self, member: Member, seconds: float) -> bool:
        """Wait until a worker ended by itself; false if it did not."""
        end = time.monotonic() + seconds
        while self.running[member.id].poll() is None:
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def until_progress(self, count: int = 5, seconds: float = 40) -> None:
        """Wait until some more calls were acknowledged."""
        counts = self.told.counts
        wanted = counts.get("acknowledged", 0) + count
        until(lambda: counts.get("acknowledged", 0) >= wanted, seconds)

    def until_each_progresses(self, count: int, seconds: float = 40) -> None:
        """Wait until some more calls of each program were acknowledged."""
        wanted = {name: number + count for name, number in self._acknowledged().items()}
        until(lambda: all(number >= wanted[name] for name, number in self._acknowledged().items()), seconds)

    def _acknowledged(self) -> Counter[str]:
        """How many calls of each program were acknowledged."""
        found = Counter({program.name: 0 for program in self._programs})
        events = [one for one in read_journal(self.told.path) if one["event"] == "acknowledged"]
        found.update(one["reference"].partition("-")[0] for one in events)
        return found

    def settle(self) -> Verdict:
        """Let both gateways run undisturbed until nothing is in doubt; then judge."""
        self.until_progress()
        self.stopping.set()
        for program in self._programs:
            program.join(30)
        end = time.monotonic() + 60
        while True:
            verdict = self.verdict()
            if verdict.is_clean or time.monotonic() > end:
                return verdict
            time.sleep(0.5)

    def verdict(self) -> Verdict:
        """What the independent checker says now."""
        journals = read_journal(self.told.path), read_journal(self.delivered.path)
        return check(self.logs(self.pns), self.logs(self.anip), *journals)
