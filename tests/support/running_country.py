"""The country in a box on real processes, founded and called through the commands that people type."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.country import founder
from cli.plan import CountryPlan, Layout, Ports
from cli.processes import Country, Part, free_base
from tests.support.plans import TWO_MEMBERS

PORTAL = "BJ/GOV/PNS/PORTAIL"
RNPP = "BJ/GOV/ANIP/RNPP"
GET_PERSON = "bj.identity.v1.IdentityService/GetPerson"


class Running:
    """A country in a box on real processes, with shortcuts for its commands."""

    def __init__(self, plan: CountryPlan, layout: Layout, ports: Ports, country: Country) -> None:
        self.plan, self.layout, self.ports, self.country = plan, layout, ports, country
        self.ended: list[Part] = []

    def run(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=typed)

    def call(self, *more: str, npi: str = "0000000001", program: str = f"{PORTAL}/portail") -> dict[str, Any]:
        identity = self.layout.program(program)
        done = self.run(
            *("call", GET_PERSON, "--as", program.rpartition("/")[0], "--identity", str(identity)),
            *("--purpose", "P01"),
            *("--issue", "ACT-202611-0001", "--data", json.dumps({"npi": npi}), "--output", "json", *more),
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def operator(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        identity = self.layout.person("operator", "operateur-1")
        return self.run(
            *arguments,
            "--registry",
            self.ports.registry,
            "--registry-id",
            self.plan.registry,
            "--identity",
            str(identity),
        )

    @property
    def pns(self) -> Path:
        return self.layout.gateway(self.plan.member[0])

    def start_again(self, name: str, arguments: list[str]) -> None:
        """Start a part that died, as a service manager does; its lifeline stays, its children may hang on it."""
        ended = next(part for part in self.country.parts if part.name == name)
        self.country._start(name, arguments)
        self.country.parts.remove(ended)
        self.ended.append(ended)

    def part(self, name: str) -> subprocess.Popen[bytes]:
        return next(part.process for part in self.country.parts if part.name == name)


@contextmanager
def running_country(root: Path, plan_text: str = TWO_MEMBERS) -> Iterator[Running]:
    """Found a country in ``root``, by default the portal and ANIP, and run it.

    The registry that serves the founding goes on: started once less than by ``country found`` and ``country up``.
    """
    layout = Layout(root / "bj")
    layout.root.mkdir(mode=0o700)
    layout.plan.write_text(plan_text, encoding="utf-8")
    found = founder(layout.plan, layout.root, free_base(), print)
    running = Country(found.plan, layout, found.ports)

    @contextmanager
    def registry_that_stays() -> Iterator[None]:
        running.start_registry()
        yield

    try:
        with running.hold_ports():
            found.found(registry_that_stays)
            running.start_members()
        yield Running(found.plan, layout, found.ports, running)
    finally:
        running.stop()
