"""The country that the benchmark loads: founded like every other, with an echo service instead of a ministry's.

``cli.country`` founds it by the documented steps; added are the service ``bench.v1.EchoService`` and an agreement for
it. Gateways, control processes and registry run as always; only the adapter's process is the lean echo.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.measure import BenchError, Variant
from bench.processes import Processes, descendants, free_port, wait_for_port
from bench.tls import Identity
from cli.country import Founder
from cli.plan import Layout, MemberPlan, Ports, load_plan
from core.clock import SystemClock
from gateway.layout import GatewayDirectory
from pki.profiles import AuthorityKind
from registry.client import RegistryClient
from rpc.identity import Identity as RpcIdentity

SERVICE: Final = "bench.v1.EchoService"
CLIENT: Final = "BJ/GOV/PNS/PORTAIL"
PROVIDER: Final = "BJ/GOV/ANIP/RNPP"
PROGRAM: Final = "BJ/GOV/PNS/PORTAIL/bench"
_READY_SECONDS: Final = 60.0

_PLAN: Final = f"""
instance = "BJ"
registry = "BJ/GOV/ASIN/registre"
operators = ["operateur-1", "operateur-2"]

[[purpose]]
code = "P01"
fr = "mesure"
en = "measurement"

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
persons = 20

[[agreement]]
id = "CV-BENCH"
consumer = "{CLIENT}"
provider = "{PROVIDER}"
service = "{SERVICE}"
methods = ["Call"]
purposes = ["P01"]
legal_basis_fr = "mesure"
legal_basis_en = "measurement"
"""


class EchoFounder(Founder):
    """Founds the country; ANIP also publishes the echo service, PNS has an agreement for it."""

    __slots__ = ()

    def register_gateway(self, member: MemberPlan) -> int:
        request = super().register_gateway(member)
        if member.adapter is not None:
            descriptors = (Path(__file__).parent / "echo.binpb").read_bytes()
            keys = GatewayDirectory(self.layout.gateway(member)).auth
            roots = self.layout.ca / f"{AuthorityKind.ROOT}.crt"
            identity = RpcIdentity.from_files(keys.key, keys.certificate, roots)
            with RegistryClient(self.ports.registry, identity, self.plan.registry) as client:
                client.publish_services(member.adapter.subsystem, descriptors, (SERVICE,))
        return request


def _free_base() -> int:
    """A base whose ports (registry, two gateways) are free."""
    for _ in range(100):
        base = free_port()
        if base < 60_000:
            return base
    raise BenchError("no free ports")


def start_country(processes: Processes, directory: Path) -> Variant:
    """Found the country, start all its processes, wait until both gateways are ready.

    Raises:
        BenchError: A process did not become ready.
    """
    directory.mkdir(parents=True)
    layout, ports = Layout(directory / "country"), Ports(_free_base())
    layout.root.mkdir(mode=0o700)
    layout.plan.write_text(_PLAN, encoding="utf-8")
    plan = load_plan(layout.plan)
    founder = EchoFounder(plan, layout, ports, SystemClock(), lambda _: None)

    def registry() -> Iterator[None]:
        _start_registry(processes, layout, ports)
        yield

    founder.found(registry)
    consumer, provider = plan.member
    adapter_port = int(ports.gateway(2, 5).rpartition(":")[2])
    backend = _start_backend(processes, layout, provider, adapter_port)
    control = {}
    for number, member in enumerate(plan.member, 1):
        settings = GatewayDirectory(layout.gateway(member)).settings
        control[member.id] = processes.start(
            f"gateway-{number}", [*_PASSERELLE, "gateway", "serve", "--config", str(settings)]
        )
    for number, _ in enumerate(plan.member, 1):
        _wait_until_ready(f"http://{ports.gateway(number, 4)}/readyz")
    workers = {
        name: tuple(descendants(control[member.id].pid)[1:])
        for name, member in (("consumer", consumer), ("provider", provider))
    }
    program = layout.program(PROGRAM)
    return Variant(
        name="passerelle",
        port=int(ports.gateway(1, 1).rpartition(":")[2]),
        identity=Identity(program / "ca.pem", program / "identity.crt", program / "identity.key"),
        metadata=(f"x-road-client={CLIENT}", "x-road-purpose=P01", "x-road-issue=ACT-202611-0001"),
        workers=workers,
        control=tuple(one.pid for one in control.values()),
        backend=backend,
    )


_PASSERELLE: Final = [sys.executable, "-c", "import sys; from cli.main import main; sys.exit(main())"]


def _start_registry(processes: Processes, layout: Layout, ports: Ports) -> None:
    command = [*_PASSERELLE, "registry", "serve", "--config", str(layout.registry / "registry.toml")]
    processes.start("registry", command)
    wait_for_port(int(ports.registry.rpartition(":")[2]), 30)


def _start_backend(processes: Processes, layout: Layout, member: MemberPlan, port: int) -> int:
    directory = layout.adapter(member)
    identity = Identity(directory / "anchor.pem", directory / "adapter.crt", directory / "adapter.key")
    command = [sys.executable, "-m", "bench.backend", str(port), *identity.arguments()]
    process = processes.start("backend-passerelle", command)
    wait_for_port(port)
    return process.pid


def _wait_until_ready(url: str) -> None:
    end = time.monotonic() + _READY_SECONDS
    why = ""
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError) as error:
            why = str(error)
        time.sleep(0.1)
    raise BenchError(f"{url} is not ready: {why}")
