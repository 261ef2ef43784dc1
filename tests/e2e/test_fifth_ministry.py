"""The tutorial of docs/adapters.md on real processes: a fifth ministry is exposed, called, and decides a dossier."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fifth_ministry import fifth_ministry
from tests.support.running_country import PORTAL, Running

DIPLOMAS = "bj.diploma.v1.DiplomaService"
DOSSIERS = "bj.common.v1.DossierService"
PROVIDER = "BJ/GOV/MESTFP/DIPLOMES"
MINE = {"number": "BAC-2005-900001", "npi": "0000000001"}


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fifth_ministry(tmp_path_factory.mktemp("fifth")) as found:
        yield found


def called(country: Running, method: str, data: dict[str, Any]) -> dict[str, Any]:
    """What the command prints about the portal's call, as JSON."""
    done = country.run(
        *("call", method, "--as", PORTAL, "--service", PROVIDER, "--purpose", "P01"),
        *("--issue", "ACT-202611-0001", "--identity", str(country.layout.program(f"{PORTAL}/portail"))),
        *("--data", json.dumps(data), "--output", "json"),
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def answered(country: Running, method: str, data: dict[str, Any]) -> dict[str, Any]:
    """The answer of a call that is answered."""
    found = called(country, method, data)
    assert found.get("responses"), found
    (answer,) = found["responses"]
    assert isinstance(answer, dict)
    return answer


def officer(country: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What an officer of the ministry types."""
    config = country.layout.adapter(country.plan.member[1]) / "adapter.toml"
    return country.run("adapter", "dossier", *arguments, "--config", str(config))


def test_a_diploma_is_read_through_both_gateways(country: Running) -> None:
    assert answered(country, f"{DIPLOMAS}/GetDiploma", MINE) == {
        "number": "BAC-2005-900001",
        "series": "D",
        "year": 2005,
        "honours": "Bien",
    }


def test_somebody_elses_diploma_and_one_that_does_not_exist_look_the_same(country: Running) -> None:
    others = called(country, f"{DIPLOMAS}/GetDiploma", MINE | {"npi": "0000000014"})
    nobodys = called(country, f"{DIPLOMAS}/GetDiploma", MINE | {"number": "BAC-2005-999999"})

    assert others["reason"] == nobodys["reason"] == "NOT_FOUND"


def test_a_number_that_is_none_is_refused_by_the_rules_of_the_proto(country: Running) -> None:
    assert called(country, f"{DIPLOMAS}/GetDiploma", MINE | {"number": "BAC-5"})["reason"] == "FORMAT_INVALID"


def test_a_duplicate_is_asked_for_paid_granted_by_an_officer_and_followed(country: Running) -> None:
    application = {
        "idempotencyKey": "duplicata-2026-0001",
        "applicationId": "APP-0001",
        "serviceCode": "PS90501",
        "applicantNpi": "0000000001",
    }
    request = {"application": application, "number": MINE["number"]}

    opened = answered(country, f"{DIPLOMAS}/RequestDuplicate", request)["dossier"]
    again = answered(country, f"{DIPLOMAS}/RequestDuplicate", request)["dossier"]
    payment = {
        "paymentRef": "MOMO-0001",
        "channel": "PAYMENT_CHANNEL_MTN_MOMO",
        "state": "PAYMENT_STATE_CONFIRMED",
        "amountXof": 2000,
        "receiptNo": "Q-0001",
        "changedAt": "2026-01-01T10:00:00Z",
    }
    reported = {
        "idempotencyKey": "paiement-2026-0001",
        "reference": opened["reference"],
        "payment": payment,
    }
    paid = answered(country, f"{DOSSIERS}/ReportPayment", reported)["dossier"]
    listed = officer(country, "list")
    reviewed = officer(country, "review", opened["reference"], "--officer", "agent-7")
    granted = officer(country, "grant", opened["reference"], "--officer", "agent-7")
    followed = answered(country, f"{DOSSIERS}/GetDossier", {"reference": opened["reference"]})["dossier"]

    assert opened["state"] == "DOSSIER_STATE_AWAITING_PAYMENT"
    assert again == opened
    assert paid["state"] == "DOSSIER_STATE_FILED"
    assert opened["reference"] in listed.stdout, listed.stderr
    assert reviewed.returncode == 0, reviewed.stderr
    assert granted.stdout.strip() == f"{opened['reference']} GRANTED", granted.stderr
    assert (followed["state"], followed["officerRef"]) == ("DOSSIER_STATE_GRANTED", "agent-7")
