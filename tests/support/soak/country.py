"""The country that is soaked: two gateways with their control processes, the registry, a lean program and a lean adapter.

Founded by the documented steps, on real disks. Between the gateways lies a link that can die without a reset; whatever
is a process can be killed, stopped and started again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from bench.processes import wait_for_port
from bench.tls import Identity
from cli.country import Founder
from cli.plan import Layout, MemberPlan, Ports, load_plan
from cli.processes import Country, Part, free_base, is_ready, listens
from core.clock import SystemClock
from gateway.layout import GatewayDirectory
from pki.profiles import AuthorityKind
from registry.client import RegistryClient
from rpc.identity import Identity as RpcIdentity
from tests.support.loopback import LoopThread
from tests.support.proxy import Link
from tests.support.soak.plans import METHODS, SERVICE, descriptors
from tests.support.waiting import until

CLIENT: Final = "BJ/GOV/PNS/PORTAIL"
PROVIDER: Final = "BJ/GOV/ANIP/RNPP"
PROGRAM: Final = f"{CLIENT}/soak"
CONSUMER_GATEWAY: Final = "pns-gw1"
PROVIDER_GATEWAY: Final = "anip-gw1"
GATEWAYS: Final = (CONSUMER_GATEWAY, PROVIDER_GATEWAY)
REGISTRY: Final = "registre"
# A start reads the whole log: minutes, once it has millions of leaves. The bound tells a hang, nothing else.
START_S: Final = 900.0

_PLAN: Final = f"""
instance = "BJ"
registry = "BJ/GOV/ASIN/registre"
persons = 20
operators = ["operateur-1", "operateur-2"]

[[purpose]]
code = "P01"
fr = "essai"
en = "test"

[[member]]
id = "BJ/GOV/PNS"
fr = "Portail"
en = "Portal"
subsystems = ["{CLIENT}"]
programs = ["{PROGRAM}"]

[[member]]
id = "BJ/GOV/ANIP"
fr = "Écho"
en = "Echo"
subsystems = ["{PROVIDER}"]
[member.adapter]
subsystem = "{PROVIDER}"
kind = "identity"

[[agreement]]
id = "CV-SOAK"
consumer = "{CLIENT}"
provider = "{PROVIDER}"
service = "{SERVICE}"
methods = {json.dumps(sorted({name for name, _, _ in METHODS.values()}))}
purposes = ["P01"]
legal_basis_fr = "essai"
legal_basis_en = "test"
"""


class SoakFounder(Founder):
    """Founds the country; ANIP also publishes the service of the soak."""

    __slots__ = ()

    def register_gateway(self, member: MemberPlan) -> int:
        request = super().register_gateway(member)
        if member.adapter is not None:
            keys = GatewayDirectory(self.layout.gateway(member)).auth
            roots = self.layout.ca / f"{AuthorityKind.ROOT}.crt"
            identity = RpcIdentity.from_files(keys.key, keys.certificate, roots)
            with RegistryClient(self.ports.registry, identity, self.plan.registry) as client:
                client.publish_services(member.adapter.subsystem, descriptors(), (SERVICE,))
        return request


class SoakCountry:
    """The country; ``with`` starts and stops it.

    Attributes:
        link: What lies between the consumer's gateway and the provider's.
        told: Journal of the program.
        delivered: Journal of the adapter.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout, self.ports = Layout(root / "bj"), Ports(free_base())
        self.layout.root.mkdir(parents=True)
        self.layout.plan.write_text(_PLAN, encoding="utf-8")
        plan = load_plan(self.layout.plan)
        founder = SoakFounder(plan, self.layout, self.ports, SystemClock(), lambda _: None)
        founder.found(Country(plan, self.layout, self.ports).only_registry)
        # The adapter of the plan is not started: the lean one stands on its port, with its certificate.
        members = tuple(msgspec.structs.replace(member, adapter=None) for member in plan.member)
        self.members = dict(zip(GATEWAYS, members, strict=True))
        self._country = Country(msgspec.structs.replace(plan, member=members), self.layout, self.ports)
        self._ended: list[Part] = []
        self._adapter: subprocess.Popen[bytes] | None = None
        self._loop = LoopThread()
        self.link = self._put_link_between()
        self.told, self.delivered = root / "program.journal", root / "adapter.journal"

    def _put_link_between(self) -> Link:
        """ANIP's gateway listens beside its registered road port, at which the link stands."""
        registered, behind = (_port(self.ports.gateway(2, offset)) for offset in (2, 6))
        settings = GatewayDirectory(self.layout.gateway(self.members[PROVIDER_GATEWAY])).settings
        text = settings.read_text(encoding="utf-8")
        settings.write_text(text.replace(f"127.0.0.1:{registered}", f"127.0.0.1:{behind}"), encoding="utf-8")
        return Link(self._loop, behind, port=registered)

    def __enter__(self) -> Self:
        try:
            self.start_adapter()
            self._country.start_registry()
            self._country.start_members()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._country.stop()
        for part in self._ended:
            part.lifeline.cut()
        self.stop_adapter()
        self.link.close()
        self._loop.stop()

    # --- places ---

    def directory(self, gateway: str) -> Path:
        """Where a gateway lies."""
        return self.layout.gateway(self.members[gateway])

    def log(self, gateway: str) -> Path:
        """Its log."""
        return self.directory(gateway) / "log" / "0"

    # --- processes ---

    def control(self, gateway: str) -> int:
        """Process id of a gateway's control."""
        return self._part(gateway).process.pid

    def worker(self, gateway: str) -> int | None:
        """Process id of its worker, if it runs."""
        try:
            return int((self.directory(gateway) / "state/worker-0.pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def processes(self) -> Iterator[tuple[str, int]]:
        """Roles and process ids of what is watched, as far as they run."""
        for side, gateway in (("consumer", CONSUMER_GATEWAY), ("provider", PROVIDER_GATEWAY)):
            yield f"{side}'s control", self.control(gateway)
            worker = self.worker(gateway)
            if worker is not None:
                yield f"{side}'s worker", worker

    def signal_worker(self, gateway: str, number: signal.Signals) -> int | None:
        """Send a signal to the worker that runs now, if one does; returns whom it was sent to."""
        worker = self.worker(gateway)
        if worker is None or not _is_worker(worker):
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, number)
        return worker

    def kill(self, part: str) -> None:
        """SIGKILL for control or registry; a worker goes on."""
        process = self._part(part).process
        process.kill()
        process.wait()

    def stop(self, part: str) -> int:
        """SIGTERM, and wait until it has ended; returns its exit code."""
        process = self._part(part).process
        process.terminate()
        return process.wait(START_S)

    def start(self, part: str, environment: Mapping[str, str] | None = None) -> None:
        """Start control or registry again, as a service manager does; a worker left over may hang on the old lifeline."""
        ended, before = self._part(part), dict(os.environ)
        if part == REGISTRY:
            arguments = ["registry", "serve", "--config", str(self.layout.registry / "registry.toml")]
        else:
            arguments = ["gateway", "serve", "--config", str(self.directory(part) / "gateway.toml")]
        os.environ.update(environment or {})
        try:
            self._country._start(part, arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)
        self._part(part).is_ready = True  # from now on it watches its lifeline
        self._country.parts.remove(ended)
        self._ended.append(ended)

    def until_ready(self) -> None:
        """Wait until both gateways have a configuration, their log and their worker."""
        until(self._are_ready, START_S)

    def until_serving_or_dead(self) -> None:
        """Wait until both workers have read their log and listen, or one that was started has ended again.

        That is less than ready: a gateway whose clock is wrong is never ready.
        """
        until(lambda: None not in self._workers(), START_S)
        before = self._workers()
        until(lambda: self._are_listening() or self._workers() != before, START_S)

    def _workers(self) -> list[int | None]:
        return [self.worker(gateway) for gateway in GATEWAYS]

    def _are_listening(self) -> bool:
        return all(listens(self.ports.gateway(number, 1)) for number in (1, 2))

    def _are_ready(self) -> bool:
        return all(is_ready(self.ports.gateway(number, 4)) for number in (1, 2))

    def _part(self, name: str) -> Part:
        return next(part for part in reversed(self._country.parts) if part.name == name)

    def start_adapter(self) -> None:
        """Start the adapter, which writes its journal on."""
        own = self.layout.adapter(self.members[PROVIDER_GATEWAY])
        identity = Identity(own / "anchor.pem", own / "adapter.crt", own / "adapter.key")
        port = _port(self.ports.gateway(2, 5))
        command = [sys.executable, "-m", "tests.support.soak.adapter", str(port), str(self.delivered)]
        with (self.root / "adapter.err").open("ab") as errors:
            self._adapter = subprocess.Popen([*command, *identity.arguments()], stderr=errors)
        wait_for_port(port, 60)

    def signal_adapter(self, number: signal.Signals) -> None:
        """Send a signal to the adapter."""
        if self._adapter is not None:
            self._adapter.send_signal(number)

    def stop_adapter(self) -> None:
        """SIGKILL for the adapter."""
        if self._adapter is not None:
            self._adapter.kill()
            self._adapter.wait()
            self._adapter = None


class Program(threading.Thread):
    """The program as a process of its own, and what it last said of itself."""

    def __init__(self, country: SoakCountry, calls: int, seed: int) -> None:
        super().__init__(daemon=True)
        own = country.layout.program(PROGRAM)
        identity = Identity(own / "ca.pem", own / "identity.crt", own / "identity.key")
        self.latencies = country.root / "latencies"
        command = [sys.executable, "-m", "tests.support.soak.program", "127.0.0.1"]
        command += [str(_port(country.ports.gateway(1, 1))), str(country.told), str(self.latencies)]
        command += ["--calls", str(calls), "--seed", str(seed), *identity.arguments()]
        with (country.root / "program.err").open("ab") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        self.state: dict[str, Any] = {"planned": 0, "counts": {}, "kinds": {}}

    @property
    def planned(self) -> int:
        """Calls that ended as planned so far."""
        return int(self.state["planned"])

    @property
    def acknowledged(self) -> int:
        """Calls that were answered so far."""
        return int(self.state["counts"].get("acknowledged", 0))

    def run(self) -> None:
        output = self._process.stdout
        for line in output or ():
            self.state = json.loads(line)

    def end(self) -> int:
        """Wait until it has ended by itself; returns its exit code."""
        self.join()
        return self._process.wait()

    def stop(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _is_worker(pid: int) -> bool:
    """Whether that is still the process that was meant: numbers are given again."""
    try:
        return b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
