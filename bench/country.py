"""The country that the benchmark loads: founded like every other, with an echo service instead of a ministry's.

``cli.country`` founds it by the documented steps; added are the service ``bench.v1.EchoService`` and an agreement for
it. Gateways, control processes and registry run as always; only the adapter's process is the lean echo.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench.measure import Variant
from bench.processes import Processes, descendants, wait_for_port
from bench.tls import Identity
from cli.country import Founder
from cli.plan import Layout, MemberPlan, Ports, load_plan
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


@contextlib.contextmanager
def running_country(processes: Processes, directory: Path, *, name: str = "passerelle") -> Iterator[Variant]:
    """Found the country, start all its processes, wait until both gateways are ready; stop them at the end."""
    directory.mkdir(parents=True)
    layout, ports = Layout(directory), Ports(free_base())
    layout.plan.write_text(_PLAN, encoding="utf-8")
    plan = load_plan(layout.plan)
    founder = EchoFounder(plan, layout, ports, SystemClock(), lambda _: None)
    founder.found(Country(plan, layout, ports).only_registry)
    backend = _start_backend(processes, layout, plan.member[1], int(ports.gateway(2, 5).rpartition(":")[2]))
    # The adapter of the plan is not started: the lean echo stands on its port, with its certificate.
    members = tuple(msgspec.structs.replace(member, adapter=None) for member in plan.member)
    country = Country(msgspec.structs.replace(plan, member=members), layout, ports)
    try:
        country.start_registry()
        country.start_members()
        control = {part.name: part.process.pid for part in country.parts}
        gateways = {"consumer": control["pns-gw1"], "provider": control["anip-gw1"]}
        program = layout.program(PROGRAM)
        yield Variant(
            name=name,
            port=int(ports.gateway(1, 1).rpartition(":")[2]),
            identity=Identity(program / "ca.pem", program / "identity.crt", program / "identity.key"),
            metadata=(f"x-road-client={CLIENT}", "x-road-purpose=P01", "x-road-issue=ACT-202611-0001"),
            workers={role: tuple(descendants(pid)[1:]) for role, pid in gateways.items()},
            control=tuple(gateways.values()),
            backend=backend,
        )
    finally:
        country.stop()


def _start_backend(processes: Processes, layout: Layout, member: MemberPlan, port: int) -> int:
    directory = layout.adapter(member)
    identity = Identity(directory / "anchor.pem", directory / "adapter.crt", directory / "adapter.key")
    command = [sys.executable, "-m", "bench.backend", str(port), *identity.arguments()]
    process = processes.start("backend-passerelle", command)
    wait_for_port(port)
    return process.pid
