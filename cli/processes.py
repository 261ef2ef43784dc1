"""Runs the parts of a country as processes of their own, and ends them with itself.

Each child holds the reading end of a pipe: however the supervisor ends, the kernel closes the pipe and the child
stops. Nothing is ended that was not started here. The ports of a country lie where the kernel also takes the ports
of outgoing connections from; the supervisor holds them bound, so that none is taken before its part listens.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click

from cli.plan import LOOPBACK, CountryPlan, Layout, Ports
from core.reasons import ExchangeError, Reason
from rpc.lifeline import Lifeline
from rpc.ports import holder_of, require_free

START_S: Final = 60.0
STOP_S: Final = 20.0
# A closed connection keeps its port for a minute (TIME-WAIT).
_PASSING_S: Final = 65.0
_LAST_WORDS: Final = 3
# The ports of a country, up to nine members (``Ports``), and one among them where no part of it listens.
_BLOCK: Final = 100
_CLAIM: Final = 10
_claims: Final[list[socket.socket]] = []
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(slots=True)
class Part:
    """One process of the country."""

    name: str
    process: subprocess.Popen[bytes]
    lifeline: Lifeline
    log: Path
    log_start: int
    is_ready: bool = False

    def last_words(self) -> str:
        """What it said last in this run; its log holds earlier runs, too."""
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join([line for line in lines if line.strip()][-_LAST_WORDS:])


class PartFailedError(click.ClickException):
    """A part ended, or is not ready in time; told with its last words and where the rest of them stand."""

    def __init__(self, part: Part, what: str) -> None:
        self.part = part
        super().__init__("\n".join(filter(None, [f"{part.name} {what}", part.last_words(), str(part.log)])))


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
        self._until("registre", partial(listens, self._ports.registry))

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
            self._until(f"{name}-{member.gateway}", partial(is_ready, pages))
            if member.adapter is not None:
                self._until(f"{name}-adaptateur", partial(listens, adapter_address))

    @contextlib.contextmanager
    def only_registry(self) -> Iterator[None]:
        """The registry alone, while members are added."""
        self.start_registry()
        try:
            yield
        finally:
            self.stop()

    def require_running(self) -> None:
        """Check that no part has ended although nobody asked it to; raises ``PartFailedError``."""
        for part in self.parts:
            code = part.process.poll()
            if code is not None:
                raise PartFailedError(part, f"s'est arrêté / ended ({code})")

    def memory_kb(self) -> int:
        """Proportional set size of all parts and their children."""
        return sum(_pss(pid) for part in self.parts for pid in _family(part.process.pid))

    def stop(self) -> None:
        """Cut the lifelines, last started first, and wait; what hangs is killed."""
        for part in reversed(self.parts):
            part.lifeline.cut()
            if not part.is_ready:
                # It may not watch its lifeline yet, and has nothing to bring to an end.
                part.process.terminate()
        for part in reversed(self.parts):
            try:
                part.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
        self.parts.clear()

    @contextlib.contextmanager
    def hold_ports(self) -> Iterator[None]:
        """Keep the ports of all parts from outgoing connections, of anybody, until the parts have listened.

        A port that is bound is not given to a connection; who listens says SO_REUSEADDR, as all servers here do, and
        binds beside us.

        Raises:
            ExchangeError: ``PORT_IN_USE``, naming the process that listens on one.
        """
        with contextlib.ExitStack() as held:
            for address in self._addresses():
                held.enter_context(hold_port(address))
            yield

    def _addresses(self) -> Iterator[str]:
        yield self._ports.registry
        for number, member in enumerate(self._plan.member, 1):
            yield from self._ports.roads(number, member.workers)
            for offset in (1, 3, 4, *((5,) if member.adapter else ())):
                yield self._ports.gateway(number, offset)

    def _start(self, name: str, arguments: list[str]) -> None:
        lifeline = Lifeline()
        log = self._layout.log / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            log_start = output.tell()
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
        self.parts.append(Part(name, process, lifeline, log, log_start))

    def _until(self, name: str, ready: Callable[[], bool]) -> None:
        part = next(one for one in self.parts if one.name == name)
        end = time.monotonic() + START_S
        while not ready():
            # All of them: who waits for a registry that has ended is not to blame.
            self.require_running()
            if time.monotonic() > end:
                raise PartFailedError(part, f"n'est pas prêt / is not ready ({START_S:.0f} s)")
            time.sleep(0.05)
        part.is_ready = True


def free_base() -> int:
    """A base whose ports are free, away from those of ``make up`` and from the kernel's own choices.

    Nobody else who asks is given it while this process runs: two countries in a box, or two suites of tests, may be
    founded at the same moment, long before either listens. The kernel lets go of it with the process, however that
    ends.
    """
    for base in range(20_000, 30_000, _BLOCK):
        claim = socket.socket()
        try:
            claim.bind((LOOPBACK, base + _CLAIM))
        except OSError:
            claim.close()
            continue
        if all(_is_free(base + offset) for offset in range(_BLOCK) if offset != _CLAIM):
            _claims.append(claim)
            return base
        claim.close()
    raise ExchangeError(Reason.PORT_IN_USE, "no free block of ports was found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def hold_port(address: str) -> Iterator[None]:
    """Hold a port bound without listening on it; who listens with SO_REUSEADDR can still do so.

    Raises:
        ExchangeError: ``PORT_IN_USE``: somebody listens on it, or a connection does not let go of it.
    """
    host, _, port = address.rpartition(":")
    end = time.monotonic() + _PASSING_S
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                holder.bind((host, int(port)))
                break
            except OSError:
                # A connection passes and leaves the port free; who listens on it stays.
                if holder_of(int(port)) or time.monotonic() > end:
                    require_free(address)
                time.sleep(0.1)
        yield


def listens(address: str) -> bool:
    """Whether somebody listens on ``host:port``.

    A connection to a port where nobody listens may be given that very port as its own, and then answers itself
    (RFC 9293, simultaneous open). That is nobody, and is reset, so that no TIME-WAIT keeps the port.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 0.5) as probe:
            if probe.getsockname() != probe.getpeername():
                return True
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    return False


def is_ready(address: str) -> bool:
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
