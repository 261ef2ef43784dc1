"""Five members, four registers, and the citizen's flows through them (DOMAIN 5): the scripts of examples/python as typed.

Officers decide with their command while the scripts wait; what all of it left in the logs is woven by ``audit dossier``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.portal.applications import Applications
from bj.common.v1 import dossier_pb2 as dos
from cli.plan import DEFAULT_PLAN
from tests.support.running_country import PORTAL, Running, running_country
from tests.support.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
ANDF, MTFP, APIEX, ANIP = "BJ/GOV/ANDF", "BJ/GOV/MTFP", "BJ/GOV/APIEX", "BJ/GOV/ANIP"
# docs/personnes-de-test.md
OWNER, BUYER, MANAGER = "0000000013", "0000000001", "0000000014"
OWNED_NUP = "900000001"
FLOW_S = 90


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    plan = DEFAULT_PLAN.replace("persons = 10000", "persons = 500")
    with running_country(tmp_path_factory.mktemp("country"), plan) as found:
        yield found


class Script:
    """One script of the portal's program, running."""

    def __init__(self, country: Running, name: str, issue: str, *arguments: str, out: Path) -> None:
        identity = country.layout.program(f"{PORTAL}/portail")
        portal = adapter_of(country, "BJ/GOV/PNS")
        self.output = out / "output"
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(EXAMPLES / name), str(identity), str(portal), issue, *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=out,
            )

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def reference(self) -> str:
        """The dossier that it opened, once it waits for a decision."""
        opened = re.compile(r"^  ([A-Z]+-\d{6}-\d+) : ", re.MULTILINE)
        until(lambda: bool(opened.search(self.said)) or self.process.poll() is not None)
        found = opened.search(self.said)
        assert found, self.said
        return found[1]

    def end(self) -> str:
        assert self.process.wait(FLOW_S) == 0, self.said
        return self.said


def adapter_of(country: Running, member: str) -> Path:
    (found,) = [one for one in country.plan.member if one.id == member]
    return country.layout.adapter(found) / "adapter.toml"


def officer(country: Running, member: str, *words: str) -> None:
    """An officer's command; a step that another process still works on is waited for."""
    config = ("--config", str(adapter_of(country, member)), "--officer", "AGENT-7")
    until(lambda: country.run("adapter", "dossier", *words, *config).returncode == 0)


def woven(country: Running, issue: str) -> list[dict[str, Any]]:
    done = country.run(
        "audit", "dossier", issue, "--log", str(country.layout.root / "members"), "--output", "json"
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def heard(country: Running, issue: str) -> list[int]:
    """What the portal was told of its applications."""
    applications = Applications.open(adapter_of(country, "BJ/GOV/PNS"))
    try:
        return [one["state"] for one in applications.of_issue(issue)]
    finally:
        applications.close()


def test_a_company_is_created_in_one_go(country: Running, tmp_path: Path) -> None:
    """No officer is needed: the register, the tax office and the CNSS each give their number, and all is signed."""
    issue = "ENT-202611-0001"
    script = Script(country, "creer_entreprise.py", issue, MANAGER, "Les Ateliers du Mono", out=tmp_path)

    said = script.end()

    assert "GRANTED" in said
    assert {"RCCM", "IFU", "CNSS_EMPLOYER_NO"} <= set(re.findall(r"^    (\w+) : ", said, re.M))
    assert list(tmp_path.glob("*.pdf"))
    until(lambda: heard(country, issue) == [dos.DOSSIER_STATE_GRANTED])
    rows = woven(country, issue)
    assert {one["standing"] for one in rows} == {"both"}
    assert {(one["client"], one["service"]) for one in rows} >= {
        (PORTAL, "BJ/GOV/APIEX/RCCM"),
        ("BJ/GOV/APIEX/RCCM", "BJ/GOV/ANIP/RNPP"),
        ("BJ/GOV/APIEX/RCCM", PORTAL),
    }


def test_a_parcel_is_checked_and_bought(country: Running, tmp_path: Path) -> None:
    """Ten million francs: 30,500 F. Afterwards the buyer owns it, and the seller does not."""
    issue = "FON-202611-0001"
    script = Script(country, "acheter_parcelle.py", issue, OWNED_NUP, OWNER, BUYER, "10000000", out=tmp_path)
    reference = script.reference()
    officer(country, ANDF, "grant", reference)

    said = script.end()

    assert "30500 F" in said
    until(lambda: heard(country, issue) == [dos.DOSSIER_STATE_GRANTED])
    assert {one["standing"] for one in woven(country, issue)} == {"both"}
    for npi, result in ((BUYER, "YES"), (OWNER, "NO")):
        asked = {"nup": OWNED_NUP, "party": {"npi": npi}}
        assert f"OWNERSHIP_RESULT_{result}" in called(country, "LandService/CheckOwnership", "P01", asked)
    told = called(country, "ParcelEventService/ListParcelChanges", "P02", {"filter": {"nups": [OWNED_NUP]}})
    assert json.loads(told)["events"][-1]["type"] == "PARCEL_EVENT_TYPE_TRANSFERRED"


def test_a_contract_gets_its_visa(country: Running, tmp_path: Path) -> None:
    """The inspectorate asks ANIP and the trade register itself, then an officer decides."""
    issue = "CTR-202611-0001"
    script = Script(country, "viser_contrat.py", issue, employer(country), BUYER, "90000", out=tmp_path)
    reference = script.reference()
    officer(country, MTFP, "grant", reference)

    script.end()

    assert list(tmp_path.glob("*.pdf"))
    until(lambda: heard(country, issue) == [dos.DOSSIER_STATE_GRANTED])
    rows = woven(country, issue)
    assert {one["standing"] for one in rows} == {"both"}
    assert ("BJ/GOV/MTFP/TRAVAIL", "BJ/GOV/APIEX/RCCM") in {(one["client"], one["service"]) for one in rows}


def test_a_birth_act_is_asked_for_paid_and_fetched(country: Running, tmp_path: Path) -> None:
    """At once, and whoever holds the paper verifies it with the agency's certificate and the anchor alone."""
    script = Script(country, "acte_naissance.py", "ACT-202611-0042", BUYER, "documents", out=tmp_path)

    script.end()

    (act,) = tmp_path.glob("documents/*.pdf")
    issuer = adapter_of(country, ANIP).with_name("document.crt")
    verified = country.run(
        *("document", "verify", str(act), "--issuer", str(issuer), "--anchor", str(country.layout.anchor))
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    altered = act.with_name("altered.pdf")
    altered.write_bytes(act.read_bytes()[:-20] + b"x" + act.read_bytes()[-19:])
    refused = country.run(
        *("document", "verify", str(altered), "--issuer", str(issuer), "--anchor", str(country.layout.anchor))
    )
    assert refused.returncode == 1


def test_what_a_ministry_asks_another_is_masked_and_verifies(country: Running, tmp_path: Path) -> None:
    """APIEx gets what a registration needs of an identity, and both logs say what was cut."""
    rows = [
        one
        for one in woven(country, "ENT-202611-0001")
        if (one["client"], one["service"]) == ("BJ/GOV/APIEX/RCCM", "BJ/GOV/ANIP/RNPP")
    ]
    (apiex,) = [one for one in country.plan.member if one.id == APIEX]
    log = str(country.layout.gateway(apiex))
    listed = json.loads(
        country.run(
            "audit", "list", "--log", log, "--exchange", rows[0]["exchange"], "--output", "json"
        ).stdout
    )
    evidence = tmp_path / "preuve.asice"

    exported = country.run("audit", "export", rows[0]["exchange"], "--log", log, "--out", str(evidence))
    verified = country.run("audit", "verify", str(evidence), "--anchor", str(country.layout.anchor))

    assert listed[0]["fields_cut"] > 0
    assert exported.returncode == 0, exported.stderr
    assert verified.returncode == 0, verified.stdout


def called(country: Running, method: str, purpose: str, data: dict[str, Any]) -> str:
    """The answer of a method of ANDF, asked for from the shell."""
    answer = country.run(
        *("call", f"bj.land.v1.{method}", "--as", PORTAL, "--purpose", purpose, "--issue", "FON-202611-0001"),
        *("--identity", str(country.layout.program(f"{PORTAL}/portail")), "--data", json.dumps(data)),
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()[0]


def employer(country: Running) -> str:
    """The tax number of a firm of test persons that is active."""
    answer = country.run(
        *("call", "bj.business.v1.BusinessService/GetBusiness", "--as", PORTAL, "--purpose", "P02"),
        *("--identity", str(country.layout.program(f"{PORTAL}/portail")), "--issue", "CTR-202611-0000"),
        *("--data", '{"rccm":"RB/COT/20 B 900001"}'),
    )
    found: str = json.loads(answer.stdout.splitlines()[0])["ifu"]
    return found
