"""The country that the benchmark loads: founded like every other, with an echo service instead of a ministry's.

``cli.country`` founds it by the documented steps; added are the service ``bench.v1.EchoService`` and an agreement for
it. Gateways, control processes and registry run as always; only the adapter's process is the lean echo.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench.measure import Variant
from bench.peers import backend_command
from bench.processes import Processes, descendants, wait_for_port
from bench.tls import Identity
from cli.country import Founder
from cli.plan import CountryPlan, Layout, MemberPlan, Ports, load_plan
from cli.processes import Country, free_base
from core.clock import SystemClock
from gateway.layout import GatewayDirectory
from pki.profiles import AuthorityKind
from registry.client import RegistryClient
from rpc.identity import Identity as RpcIdentity

SERVICE: Final = "bench.v1.EchoService"
CLIENT: Final = "BJ/GOV/PNS/PORTAIL"
PROVIDER: Final = "BJ/GOV/ANIP/RNPP"
PROGRAM: Final = "BJ/GOV/PNS/PORTAIL/bench"

_PLAN: Final = f"""
instance = "BJ"
registry = "BJ/GOV/ASIN/registre"
persons = 20
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
{{workers}}

[[member]]
id = "BJ/GOV/ANIP"
fr = "Écho"
en = "Echo"
subsystems = ["{PROVIDER}"]
{{workers}}
[member.adapter]
subsystem = "{PROVIDER}"
kind = "identity"

[[agreement]]
id = "CV-BENCH"
consumer = "{CLIENT}"
provider = "{PROVIDER}"
service = "{SERVICE}"
methods = ["Call", "Count"]
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


@dataclass(frozen=True)
class RunningCountry:
    """A founded country under load: the variant that is measured, and what belongs to its gateways.

    Attributes:
        variant: What is loaded.
        layout: Where its files lie.
        plan: Who its members are.
        pages: ``host:port`` of each gateway's HTTP pages, by role.
    """

    variant: Variant
    layout: Layout
    plan: CountryPlan
    pages: dict[str, str]


@contextlib.contextmanager
def running_country(
    processes: Processes, directory: Path, *, name: str = "passerelle", workers: int = 1
) -> Iterator[RunningCountry]:
    """Found the country, start all its processes, wait until both gateways are ready; stop them at the end."""
    directory.mkdir(parents=True)
    layout, ports = Layout(directory), Ports(free_base())
    number = f"workers = {workers}" if workers > 1 else ""
    layout.plan.write_text(_PLAN.replace("{workers}", number), encoding="utf-8")
    plan = load_plan(layout.plan)
    founder = EchoFounder(plan, layout, ports, SystemClock(), lambda _: None)
    founder.found(Country(plan, layout, ports).only_registry)
    adapter = layout.adapter(plan.member[1])
    identity = Identity(adapter / "anchor.pem", adapter / "adapter.crt", adapter / "adapter.key")
    port = int(ports.gateway(2, 5).rpartition(":")[2])
    backend = processes.start(f"backend-{name}", backend_command("lean", port, identity))
    wait_for_port(port)
    # The adapter of the plan is not started: the lean echo stands on its port, with its certificate.
    members = tuple(msgspec.structs.replace(member, adapter=None) for member in plan.member)
    country = Country(msgspec.structs.replace(plan, member=members), layout, ports)
    try:
        country.start_registry()
        country.start_members()
        control = {part.name: part.process.pid for part in country.parts}
        gateways = {"consumer": control["pns-gw1"], "provider": control["anip-gw1"]}
        program = layout.program(PROGRAM)
        variant = Variant(
            name=name,
            port=int(ports.gateway(1, 1).rpartition(":")[2]),
            identity=Identity(program / "ca.pem", program / "identity.crt", program / "identity.key"),
            metadata=(f"x-road-client={CLIENT}", "x-road-purpose=P01", "x-road-issue=ACT-202611-0001"),
            workers={role: tuple(descendants(pid)[1:]) for role, pid in gateways.items()},
            # Not the makers of checkpoints that they start later, at nice 19: docs/performance.md tells what those take.
            control=tuple(gateways.values()),
            backend=backend.pid,
            backend_port=port,
            backend_identity=identity,
            gateways=workers,
        )
        pages = {"consumer": ports.gateway(1, 4), "provider": ports.gateway(2, 4)}
        yield RunningCountry(variant, layout, plan, pages)
    finally:
        country.stop()
