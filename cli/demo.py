"""What ``make demo`` shows: real calls from the portal's side, each with its outcome, and evidence that is verified.

Every step is the command that a user would type, run as a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import grpc

from adapters.descriptors import STANDARD_SERVICES
from bj.identity.v1 import identity_pb2, identity_pb2_grpc
from cli.plan import CountryPlan, Layout
from cli.processes import Country
from cli.program import CallContext
from core.identifiers import GatewayId, urn
from gateway.hints import HINTS_FILE, ProgramHints
from rpc.credentials import channel
from rpc.identity import Identity
from rpc.settings import load_settings
from rpc.status import error_from_rpc

METHOD: Final = "bj.identity.v1.IdentityService"
PORTAL: Final = "BJ/GOV/PNS/PORTAIL"
STATS: Final = "BJ/GOV/PNS/STATS"
ISSUE: Final = "ACT-202611-0001"
_TIMEOUT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Shown:
    """One call of the demo and what must come of it."""

    title: str
    method: str
    client: str
    data: dict[str, str]
    purpose: str | None
    expected: str  # "" for an answer, else the reason
    service: str = METHOD


CALLS: Final = (
    Shown("Une personne / a person", "GetPerson", PORTAL, {"npi": "0000000001"}, "P01", ""),
    Shown(
        "Vérifier une identité / verify an identity",
        "VerifyPerson",
        PORTAL,
        {"npi": "0000000001", "lastName": "Adjovi", "firstNames": "Koffi"},
        "P01",
        "",
    ),
    Shown(
        "Un flux dans les deux sens / a stream both ways",
        "ServerReflectionInfo",
        PORTAL,
        {"listServices": "*"},
        "P01",
        "",
        STANDARD_SERVICES["reflection"],
    ),
    Shown("NPI inconnu / unknown NPI", "GetPerson", PORTAL, {"npi": "0000000003"}, "P01", "NOT_FOUND"),
    Shown(
        "Sans convention / without agreement",
        "GetPerson",
        STATS,
        {"npi": "0000000001"},
        "P01",
        "NO_AGREEMENT",
    ),
    Shown(
        "Sans finalité / without purpose",
        "GetPerson",
        PORTAL,
        {"npi": "0000000001"},
        None,
        "PURPOSE_REQUIRED",
    ),
)


def run_demo(plan: CountryPlan, layout: Layout, running: Country) -> bool:
    """Show everything; ``False`` if something did not come out as it must."""
    click.echo("\nAppels du portail / calls of the portal")
    outcomes = [_show_call(plan, layout, one) for one in CALLS]
    exchange = outcomes[0]
    if exchange is None or None in outcomes:
        return False
    click.echo("\nPreuve / evidence")
    return _show_evidence(plan, layout, exchange)


def _show_call(plan: CountryPlan, layout: Layout, shown: Shown) -> str | None:
    """Make one call; returns its exchange id, or ``None`` if it did not end as expected."""
    made = _call_with_stub if shown.client == STATS else _call_with_command
    good, reason, exchange, told = made(plan, layout, shown)
    outcome = reason or "accordé / granted"
    click.echo(f"  {_mark(good)} {shown.title:<48} {outcome:<20} échange / exchange {exchange or '–'}")
    if not good:
        click.echo(told)
        return None
    return exchange


def _identity(plan: CountryPlan, layout: Layout, client: str) -> Path:
    program = next(one for member in plan.member for one in member.programs if one.startswith(f"{client}/"))
    return layout.program(program)


def _call_with_stub(plan: CountryPlan, layout: Layout, shown: Shown) -> tuple[bool, str, str, str]:
    """As a stock program that has the proto: the Directory would not even show it a service without agreement."""
    directory = _identity(plan, layout, shown.client)
    hints = load_settings(directory / HINTS_FILE, ProgramHints)
    metadata = CallContext(client=shown.client, purpose=shown.purpose or "", issue=ISSUE).metadata
    expect = urn("gateway", GatewayId.parse(hints.gateway_id))
    with channel(hints.gateway, Identity.read(directory), expect=expect) as opened:
        try:
            request = identity_pb2.GetPersonRequest(npi=shown.data["npi"])
            identity_pb2_grpc.IdentityServiceStub(opened).GetPerson(request, metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            found = error_from_rpc(error)
            good = found.reason == shown.expected
            return good, found.reason, found.metadata.get("exchange_id", ""), found.message
    return False, "", "", "answered"


def _call_with_command(plan: CountryPlan, layout: Layout, shown: Shown) -> tuple[bool, str, str, str]:
    command = ["call", f"{shown.service}/{shown.method}", "--as", shown.client, "--issue", ISSUE]
    command += ["--data", json.dumps(shown.data), "--output", "json"]
    command += ["--identity", str(_identity(plan, layout, shown.client))]
    if shown.purpose:
        command += ["--purpose", shown.purpose]
    done = _passerelle(command)
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        answer = {}
    exchange = str(answer.get("exchange_id", ""))
    reason = str(answer.get("reason", ""))
    good = reason == shown.expected and (done.returncode == 0) == (shown.expected == "")
    return good, reason, exchange, done.stdout + done.stderr


def _show_evidence(plan: CountryPlan, layout: Layout, exchange: str) -> bool:
    evidence = layout.root / "preuve.asice"
    gateway = layout.gateway(plan.member_of(PORTAL))
    exported = _passerelle(["audit", "export", exchange, "--log", str(gateway), "--out", str(evidence)])
    if exported.returncode != 0:
        click.echo(exported.stdout + exported.stderr)
        return False
    verified = _verify(layout, evidence)
    click.echo(f"  {_mark(verified.returncode == 0)} {evidence.name}: {_last_line(verified.stdout)}")
    altered = layout.root / "preuve-alteree.asice"
    changed = alter_statement(evidence, altered)
    refused = _verify(layout, altered)
    click.echo(f"  {_mark(refused.returncode == 1)} {altered.name} ({changed}): {_last_line(refused.stdout)}")
    return verified.returncode == 0 and refused.returncode == 1


def alter_statement(evidence: Path, altered: Path) -> str:
    """Copy a container with one byte of one statement changed; returns which."""
    with zipfile.ZipFile(evidence) as source, zipfile.ZipFile(altered, "w") as target:
        name = min(one for one in source.namelist() if one.startswith("statements/"))
        for info in source.infolist():
            data = source.read(info)
            if info.filename == name:
                # Another purpose would be another request: P01 becomes P02.
                data = data.replace(b'"purpose":"P01"', b'"purpose":"P02"', 1)
            target.writestr(info, data)
    return f"{name}: P01 → P02"


def _verify(layout: Layout, evidence: Path) -> subprocess.CompletedProcess[str]:
    return _passerelle(["audit", "verify", str(evidence), "--anchor", str(layout.anchor)])


def _passerelle(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def _mark(good: bool) -> str:
    return click.style("✓", fg="green") if good else click.style("✗", fg="red")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "–"
