"""Runs the parts of a country as processes of their own, and ends them with itself.

Each child holds the reading end of a pipe: however the supervisor ends, the kernel closes the pipe and the child
stops. Nothing is ended that was not started here.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cli.plan import CountryPlan, Layout, Ports
from core.reasons import ExchangeError, Reason
from rpc.lifeline import Lifeline
from rpc.ports import require_free

START_S: Final = 60.0
STOP_S: Final = 20.0
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(slots=True)
class Part:
    """One process of the country."""

    name: str
    process: subprocess.Popen[bytes]
    lifeline: Lifeline
    log: Path


class Country:
    """The running parts of one founded country."""

    def __init__(self, plan: CountryPlan, layout: Layout, ports: Ports) -> None:
        self._plan = plan
        self._layout = layout
        self._ports = ports
        self.parts: list[Part] = []

    def start_registry(self) -> None:
        """Start the registry and wait until it answers."""
        self._start(
            "registre", ["registry", "serve", "--config", str(self._layout.registry / "registry.toml")]
        )
        self._until("registre", lambda: _listens(self._ports.registry))

    def start_members(self) -> None:
        """Start gateways and adapters, and wait until each is ready."""
        for member in self._plan.member:
            name = member.id.rpartition("/")[2].lower()
            gateway = self._layout.gateway(member) / "gateway.toml"
            self._start(f"{name}-{member.gateway}", ["gateway", "serve", "--config", str(gateway)])
            if member.adapter is not None:
                adapter = self._layout.adapter(member) / "adapter.toml"
                self._start(f"{name}-adaptateur", ["adapter", "serve", "--config", str(adapter)])
        for number, member in enumerate(self._plan.member, 1):
            name = member.id.rpartition("/")[2].lower()
            pages, adapter_address = self._ports.gateway(number, 4), self._ports.gateway(number, 5)
            self._until(f"{name}-{member.gateway}", partial(_is_ready, pages))
            if member.adapter is not None:
                self._until(f"{name}-adaptateur", partial(_listens, adapter_address))

    @contextlib.contextmanager
    def only_registry(self) -> Iterator[None]:
        """The registry alone, while members are added."""
        self.start_registry()
        try:
            yield
        finally:
            self.stop()

    def failed(self) -> Part | None:
        """A part that has ended although nobody asked it to."""
        return next((part for part in self.parts if part.process.poll() is not None), None)

    def memory_kb(self) -> int:
        """Proportional set size of all parts and their children."""
        return sum(_pss(pid) for part in self.parts for pid in _family(part.process.pid))

    def stop(self) -> None:
        """Cut the lifelines, last started first, and wait; what hangs is killed."""
        for part in reversed(self.parts):
            part.lifeline.cut()
        for part in reversed(self.parts):
            try:
                part.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
        self.parts.clear()

    def require_free_ports(self) -> None:
        """Name the process that holds a port of ours; raises ``ExchangeError`` ``PORT_IN_USE``."""
        require_free(self._ports.registry)
        for number, member in enumerate(self._plan.member, 1):
            for offset in (1, 2, 3, 4, *((5,) if member.adapter else ())):
                require_free(self._ports.gateway(number, offset))

    def _start(self, name: str, arguments: list[str]) -> None:
        lifeline = Lifeline()
        log = self._layout.log / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", *arguments, *lifeline.arguments],
                pass_fds=lifeline.pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the supervisor, which then stops its children in order.
                start_new_session=True,
            )
        lifeline.given()
        self.parts.append(Part(name, process, lifeline, log))

    def _until(self, name: str, ready: Callable[[], bool]) -> None:
        part = next(one for one in self.parts if one.name == name)
        end = time.monotonic() + START_S
        while not ready():
            if part.process.poll() is not None or time.monotonic() > end:
                raise ExchangeError(
                    Reason.STATE_CONFLICT, f"{name} did not start; its last words are in {part.log}"
                )
            time.sleep(0.05)


def free_base() -> int:
    """A base whose ports are free now, away from those of ``make up`` and from the kernel's own choices."""
    for base in range(20_000, 30_000, 100):
        if all(_is_free(base + offset) for offset in (0, *range(11, 17), *range(21, 27), *range(31, 37))):
            return base
    raise ExchangeError(Reason.PORT_IN_USE, "no free block of ports was found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 0.5).close()
    except OSError:
        return False
    return True


def _is_ready(address: str) -> bool:
    """Whether a gateway's ``/readyz`` says 200: it has a configuration, its log and its workers."""
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _family(pid: int) -> list[int]:
    found = [pid]
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in tasks.read_text(encoding="ascii").split():
                found += _family(int(child))
    return found


def _pss(pid: int) -> int:
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
    except OSError:
        return 0
    return int(found[1]) if found else 0
