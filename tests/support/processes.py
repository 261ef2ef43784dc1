"""The federation with each worker as a process of its own, so that it can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.processes import listens
from gateway.settings import Limits, LogSettings
from tests.support.federation import PROVIDER, Federation, Member

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that is free now; its number is passed to the process that binds it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ProcessFederation(Federation):
    """PNS and ANIP as real worker processes without control: the test kills and restarts them."""

    def __init__(self, root: Path, *, limits: Limits | None = None, log: LogSettings | None = None) -> None:
        super().__init__(root, limits=limits, log=log)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.environment: dict[str, str] = {}
        for member in (self.pns, self.anip):
            member.road_port, member.programs_port = free_port(), free_port()
            self._write_settings(member)

    def _write_settings(self, member: Member) -> None:
        lines = [
            f'gateway = "{member.gateway}"',
            f'member_key = "{member.settings.member_key}"',
            'lang = "en"',
            'allowed_networks = ["127.0.0.0/8"]',
            "[registry]",
            'id = "BJ/GOV/ASIN/registre"',
            'address = "127.0.0.1:1"',
            "[listen]",
            f'programs = "127.0.0.1:{member.programs_port}"',
            f'road = ["127.0.0.1:{member.road_port}"]',
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
            self.spawn(member)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(15)
        self.adapter.stop()
        self._loop.close()

    def spawn(self, member: Member) -> None:
        """Start a member's worker and wait until it listens."""
        self.launch(member)
        self.until_listening(member)

    def until_listening(self, member: Member) -> None:
        """Wait until a worker that was started listens."""
        until_listening(member.programs_port, self.running[member.id])

    def launch(self, member: Member) -> subprocess.Popen[bytes]:
        """Start a member's worker."""
        command = [
            sys.executable,
            "-m",
            "gateway.worker",
            "--config",
            str(member.directory.settings),
            "--worker",
            "0",
        ]
        with (member.directory.root / "worker.err").open("ab") as errors:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=os.environ | self.environment,
            )
        self.running[member.id] = process
        return process

    def memory_kib(self, member: Member) -> int:
        """Resident memory of a member's worker."""
        status = Path(f"/proc/{self.running[member.id].pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0])

    def kill(self, member: Member) -> None:
        """SIGKILL, now."""
        process = self.running[member.id]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def until_listening(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Wait until ``port`` answers."""
    end = time.monotonic() + seconds
    while not listens(f"127.0.0.1:{port}"):
        if process.poll() is not None:
            raise RuntimeError(f"the process ended with {process.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"port {port} does not answer")
        time.sleep(0.02)
