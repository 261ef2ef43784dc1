"""The federation with each worker as a process of its own, so that it can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.processes import listens
from core.clock import SystemClock
from core.leaves import Genesis, genesis_leaf
from core.registrations import RegisteredLog
from gateway.settings import HostPort, Limits, LogSettings
from gateway.shared_port import SharedPorts
from ledger.log import create_log
from tests.support.federation import PROVIDER, Federation, Member

ROOT = Path(__file__).resolve().parents[2]


class ProcessFederation(Federation):
    """PNS and ANIP as real worker processes without control: the test kills and restarts them.

    ``running`` has worker 0 of a member under the member's id, the others under ``BJ/GOV/ANIP#1``.
    """

    def __init__(
        self, root: Path, *, limits: Limits | None = None, log: LogSettings | None = None, workers: int = 1
    ) -> None:
        super().__init__(root, limits=limits, log=log)
        self.workers = workers
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.environment: dict[str, str] = {}
        self._shared: dict[str, SharedPorts] = {}
        for member in (self.pns, self.anip):
            member.road_port, member.programs_port = self._ports.new(), self._ports.new()
            for number in range(1, workers):
                member.more_logs.append(_more_log(member, number, self._ports.new()))
            if workers > 1:
                shared = self._shared[member.id] = SharedPorts(
                    [HostPort("127.0.0.1", member.programs_port)], workers
                )
                shared.bind()
            self._write_settings(member)

    def logs(self, member: Member) -> list[Path]:
        """The logs of a member's workers."""
        return [member.directory.log(number) for number in range(self.workers)]

    def _write_settings(self, member: Member) -> None:
        lines = [
            f'gateway = "{member.gateway}"',
            f'member_key = "{member.settings.member_key}"',
            f"workers = {self.workers}",
            'lang = "en"',
            'allowed_networks = ["127.0.0.0/8"]',
            "[registry]",
            'id = "BJ/GOV/ASIN/registre"',
            'address = "127.0.0.1:1"',
            "[listen]",
            f'programs = "127.0.0.1:{member.programs_port}"',
            f"road = {json.dumps(_roads(member))}",
            "[log]",
            "reserve_bytes = 0",
            "[limits]",
            *(f"{name} = {getattr(self._limits, name)}" for name in self._limits.__struct_fields__),
        ]
        if member is self.anip:
            lines += [
                "[[adapter]]",
                f'subsystem = "{PROVIDER}"',
                f'address = "127.0.0.1:{self.adapter.port}"',
            ]
        member.directory.settings.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __enter__(self) -> Self:
        self.adapter.start()
        self.publish()
        for member in (self.anip, self.pns):
            for worker in range(self.workers):
                self.spawn(member, worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(15)
        for shared in self._shared.values():
            shared.close()
        self.adapter.stop()
        self._loop.close()
        self._ports.close()

    def spawn(self, member: Member, worker: int = 0) -> None:
        """Start a member's worker and wait until it listens."""
        self.launch(member, worker)
        self.until_listening(member, worker)

    def until_listening(self, member: Member, worker: int = 0) -> None:
        """Wait until a worker that was started listens."""
        port = int(_roads(member)[worker].rpartition(":")[2]) if self._shared else member.programs_port
        until_listening(port, self.running[_key(member, worker)])

    def launch(self, member: Member, worker: int = 0) -> subprocess.Popen[bytes]:
        """Start a member's worker."""
        command = [sys.executable, "-m", "gateway.worker", "--config", str(member.directory.settings)]
        command += ["--worker", str(worker)]
        shared = self._shared.get(member.id)
        with (member.directory.root / "worker.err").open("ab") as errors:
            process = subprocess.Popen(
                command + (shared.arguments if shared is not None else []),
                cwd=ROOT,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=os.environ | self.environment,
                pass_fds=shared.descriptors if shared is not None else (),
            )
        self.running[_key(member, worker)] = process
        return process

    def memory_kib(self, member: Member) -> int:
        """Resident memory of a member's worker."""
        status = Path(f"/proc/{self.running[member.id].pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0])

    def kill(self, member: Member, worker: int = 0) -> None:
        """SIGKILL, now."""
        process = self.running[_key(member, worker)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if member.id in self._shared:
            self._shared[member.id].loads.withdraw(worker)


def _key(member: Member, worker: int) -> str:
    return f"{member.id}#{worker}" if worker else member.id


def _more_log(member: Member, worker: int, port: int) -> RegisteredLog:
    """A further worker's log, with its road port."""
    genesis = Genesis(1, member.gateway, worker, SystemClock().now_ms(), os.urandom(16).hex(), None)
    log = create_log(member.directory.log(worker), genesis_leaf(genesis))
    return RegisteredLog(log, worker, f"127.0.0.1:{port}")


def _roads(member: Member) -> list[str]:
    return [f"127.0.0.1:{member.road_port}", *(one.address for one in member.more_logs)]


def until_listening(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Wait until ``port`` answers."""
    end = time.monotonic() + seconds
    while not listens(f"127.0.0.1:{port}"):
        if process.poll() is not None:
            raise RuntimeError(f"the process ended with {process.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"port {port} does not answer")
        time.sleep(0.02)
