"""What ``make demo`` shows: real calls from the portal's side, each with its outcome, and evidence that is verified.

Every step is the command that a user would type, run as a process of its own.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
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
from cli.scripts import run_command, run_script
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
# They come with the source, not with an installed package.
EXAMPLES: Final = Path(__file__).parents[1] / "examples" / "python"
_TIMEOUT_S: Final = 60
_FLOW_TIMEOUT_S: Final = 180


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


@dataclass(frozen=True, slots=True)
class Flow:
    """A citizen's case through several ministries: a script of ``examples/python``, and who decides.

    Attributes:
        office: Subsystem whose officer must decide; empty if nobody has to.
    """

    title: str
    script: str
    issue: str
    arguments: tuple[str, ...]
    office: str = ""


FLOWS: Final = (
    Flow(
        "Créer une entreprise / create a company",
        "creer_entreprise.py",
        "ENT-202611-0001",
        ("0000000014", "Les Ateliers du Mono"),
    ),
    Flow(
        "Acheter une parcelle / buy a parcel",
        "acheter_parcelle.py",
        "FON-202611-0001",
        ("900000001", "0000000013", "0000000001", "10000000"),
        "BJ/GOV/ANDF/CADASTRE",
    ),
)
# What the scripts print: a dossier that waits, and each call.
_WAITS: Final = re.compile(r"  ([A-Z]+-\d{6}-\d+) : (?:FILED|UNDER_REVIEW)")
_ASKED: Final = re.compile(r"  \w+ +BJ/")


def run_demo(plan: CountryPlan, layout: Layout, running: Country) -> bool:
    """Show everything; ``False`` if something did not come out as it must."""
    click.echo("\nAppels du portail / calls of the portal")
    outcomes = [_show_call(plan, layout, one) for one in CALLS]
    exchange = outcomes[0]
    if exchange is None or None in outcomes:
        return False
    if not EXAMPLES.is_dir():
        click.echo("\nParcours non montrés : pas d'exemples ici / flows not shown: no examples here")
    flows = [_show_flow(plan, layout, one) for one in FLOWS if EXAMPLES.is_dir()]
    click.echo("\nPreuve / evidence")
    return _show_evidence(plan, layout, exchange) and all(flows)


def tell_what_is_left(plan: CountryPlan, layout: Layout) -> None:
    """Where evidence and documents lie now that the country is stopped, and the commands that need nothing else."""
    papers = sorted((layout.root / "documents").glob("*.pdf"))
    command = sys.argv[0] if Path(sys.argv[0]).name == "passerelle" else "passerelle"
    evidence, anchor = _near(layout.root / "preuve.asice"), _near(layout.anchor)
    click.echo(f"\nPreuve / evidence: {evidence}")
    for paper in papers:
        click.echo(f"Document / document: {_near(paper)}")
    click.echo("\nÀ essayer, sans réseau / to try, offline:")
    click.echo(f"  {command} audit verify {evidence} --anchor {anchor}")
    for paper in papers[:1]:
        issuer = _near(_certificate(plan, layout, paper))
        click.echo(f"  {command} document verify {_near(paper)} --issuer {issuer} --anchor {anchor}")
    click.echo("Le même pays, qui reste / the same country, which stays: make up")


def _certificate(plan: CountryPlan, layout: Layout, paper: Path) -> Path:
    """The certificate of whoever signed a document, whose number begins with the names of that system."""
    return next(
        layout.adapter(member) / "document.crt"
        for member in plan.member
        if member.adapter and paper.stem.startswith("-".join(member.adapter.subsystem.split("/")[2:]))
    )


def _near(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _show_flow(plan: CountryPlan, layout: Layout, flow: Flow) -> bool:
    """Run a script of the portal's, let an officer decide if one must, and weave what all logs tell of the case."""
    click.echo(f"\n{flow.title} · {flow.issue}")
    script = [sys.executable, str(EXAMPLES / flow.script), str(_identity(plan, layout, PORTAL))]
    script += [str(layout.adapter(plan.member_of(PORTAL)) / "adapter.toml"), flow.issue, *flow.arguments]
    papers = layout.root / "documents"
    papers.mkdir(exist_ok=True)
    decided = not flow.office

    def hear(line: str) -> None:
        nonlocal decided
        waits = _WAITS.match(line)
        if waits and not decided:
            decided = True
            _grant(layout.adapter(plan.member_of(flow.office)) / "adapter.toml", waits[1])
        elif not _ASKED.match(line):
            click.echo(f"  {line}")

    log = layout.log / f"{Path(flow.script).stem}.log"
    done = run_script(script, cwd=papers, log=log, hear=hear, timeout_s=_FLOW_TIMEOUT_S) == 0
    members = str(layout.root / "members")
    told = _passerelle(["audit", "dossier", flow.issue, "--log", members, "--output", "json"])
    rows = json.loads(told.stdout) if told.returncode == 0 else []
    for row in rows:
        client, service = (str(row[one]).removeprefix("BJ/GOV/") for one in ("client", "service"))
        method = str(row["method"]).rpartition(".")[2]
        click.echo(
            f"    {row['time'][11:19]}  {client:<15} → {service:<15} {method:<33} {row['outcome']}, {row['standing']}"
        )
    good = done and bool(rows) and all(row["standing"] == "both" for row in rows)
    click.echo(f"  {_mark(good)} {len(rows)} échanges, deux journaux chacun / exchanges, each in two logs")
    return good


def _grant(config: Path, reference: str) -> None:
    """The officer's command; the ministry may still be asking another for the dossier."""
    end = time.monotonic() + _TIMEOUT_S
    while True:
        command = ["adapter", "dossier", "grant", reference, "--officer", "AGENT-7", "--config", str(config)]
        granted = _passerelle(command)
        if granted.returncode == 0 or time.monotonic() > end:
            click.echo(f"  agent / officer: {(granted.stdout or granted.stderr).strip()}")
            return
        time.sleep(0.5)


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
    return run_command(arguments, timeout_s=_TIMEOUT_S)


def _mark(good: bool) -> str:
    return click.style("✓", fg="green") if good else click.style("✗", fg="red")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "–"
