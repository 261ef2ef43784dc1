"""The commands that operators and members type, against a registry that runs."""

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result

from adapters.descriptors import descriptor_set
from cli.protos import protos
from core.documents import encode
from core.identifiers import urn
from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import heads_pb2, heads_pb2_grpc
from pki.anchor import Anchor
from pki.authority import found as found_authorities
from pki.keys import write_key
from pki.profiles import Profile
from registry import commands
from registry.hints import RegistryHints
from rpc.credentials import channel
from rpc.identity import CHAIN_FILE, KEY_FILE, ROOTS_FILE
from rpc.status import error_from_rpc
from tests.support.certified import write_identity
from tests.support.forgetful import without_marks
from tests.support.registry_country import (
    ANIP,
    IDENTITY_SERVICE,
    PNS,
    PORTAIL,
    REGISTRY,
    RNPP,
    RegistryCountry,
    SealedGateway,
)

Run = Callable[..., Result]


@pytest.fixture
def served(populated: RegistryCountry) -> RegistryCountry:
    """Two members, served on a free port; both operators' identities on disk."""
    populated.registry.start()
    for number in (1, 2):
        identity = populated.identity("operator", f"BJ/GOV/ASIN/operateur-{number}", Profile.OPERATOR)
        directory = populated.root / f"operateur-{number}"
        directory.mkdir()
        for name, data in (
            (KEY_FILE, identity.key),
            (CHAIN_FILE, identity.chain),
            (ROOTS_FILE, identity.roots),
        ):
            (directory / name).write_bytes(data)
            (directory / name).chmod(0o600)
        RegistryHints(str(REGISTRY), f"127.0.0.1:{populated.registry.port}").write(directory)
    return populated


@pytest.fixture
def run(served: RegistryCountry) -> Run:
    """Run one command as an operator."""

    def execute(group: str, *arguments: str, operator: int = 1) -> Result:
        identity = served.root / f"operateur-{operator}"
        command = getattr(commands, group)
        return CliRunner().invoke(command, [*arguments, "--identity", str(identity)], catch_exceptions=False)

    return execute


def rows(result: Result) -> list[dict[str, object]]:
    """What a list prints as JSON."""
    assert result.exit_code == 0, result.output
    listed: list[dict[str, object]] = json.loads(result.output)
    return listed


def test_an_agreement_from_toml_to_force(served: RegistryCountry, run: Run, tmp_path: Path) -> None:
    """Propose, sign twice, conclude, approve twice, list, suspend, resume, revoke."""
    terms = served.agreement()
    (tmp_path / "cv.toml").write_text(
        f"""
id = "CV-0042"
consumer = "{PORTAIL}"
consumer_key = "{terms.consumer.member_key}"
provider = "{RNPP}"
provider_key = "{terms.provider.member_key}"
service = "{IDENTITY_SERVICE}"
methods = ["GetPerson"]
purposes = ["P01"]
issue_required = true
not_before = "{terms.not_before}"
not_after = "{terms.not_after}"
legal_basis = {{ fr = "Loi 2017-08", en = "Law 2017-08" }}
"""
    )
    payload = str(tmp_path / "CV-0042.json")
    invoke = CliRunner().invoke
    result = invoke(commands.agreement, ["propose", str(tmp_path / "cv.toml"), "--out", payload])
    assert result.exit_code == 0, result.output
    for member in (PNS, ANIP):
        name = member.rpartition("/")[2]
        write_key(tmp_path / f"{name}.key", served.key(member))
        signing = ["sign", payload, "--member-key", str(tmp_path / f"{name}.key")]
        result = invoke(commands.agreement, [*signing, "--out", str(tmp_path / f"{name}.jwt")])
        assert result.exit_code == 0, result.output

    signed = (str(tmp_path / "PNS.jwt"), str(tmp_path / "ANIP.jwt"))
    assert "rien n'est changé" in run("agreement", "conclude", *signed, "--dry-run").output
    run("agreement", "conclude", *signed)
    (waiting,) = rows(run("request", "list", "--output", "json"))
    assert (waiting["given"], waiting["needed"], waiting["approvals"]) == (0, 2, [])
    assert "1 avis sur 2" in run("request", "approve", str(waiting["number"])).output
    assert "publié" in run("request", "approve", str(waiting["number"]), operator=2).output

    (listed,) = rows(run("agreement", "list", "--output", "json"))
    assert (listed["id"], listed["state"]) == ("CV-0042", "active")
    run("agreement", "suspend", "CV-0042", "--reason", "contrôle")
    assert "Demande" in run("agreement", "resume", "CV-0042").output
    run("agreement", "revoke", "CV-0042", "--reason", "fin", "--yes")
    (ended,) = rows(run("agreement", "list", "--output", "json"))
    assert (ended["state"], ended["reason"]) == ("revoked", "fin")


def test_a_member_from_key_to_request(run: Run, tmp_path: Path) -> None:
    """The key is made by the member, its public part goes to the operator, two approve."""
    made = CliRunner().invoke(commands.member, ["keygen", "--out", str(tmp_path / "andf.key")])
    assert made.exit_code == 0, made.output
    public = str(tmp_path / "andf.key.pub")

    run("member", "add", "BJ/GOV/ANDF", "--fr", "Domaine", "--en", "Land", "--key", public)
    (waiting,) = rows(run("request", "list", "--output", "json"))
    assert run("request", "show", str(waiting["number"])).exit_code == 0
    run("request", "approve", str(waiting["number"]))
    run("request", "approve", str(waiting["number"]), operator=2)

    assert [row["member"] for row in rows(run("member", "list", "--output", "json"))] == [
        "BJ/GOV/ANDF",
        ANIP,
        PNS,
    ]
    assert (tmp_path / "andf.key").stat().st_mode & 0o777 == 0o600


def test_stopping_and_looking(served: RegistryCountry, run: Run, tmp_path: Path) -> None:
    """Suspensions, subsystems, services, refusals and status, each in one command."""
    descriptors = tmp_path / "identity.binpb"
    descriptors.write_bytes(descriptor_set(IDENTITY_SERVICE))

    assert run("subsystem", "add", "BJ/GOV/ANIP/ESSAI").exit_code == 0
    published = run(
        "service", "publish", "BJ/GOV/ANIP/ESSAI", str(descriptors), "--service", IDENTITY_SERVICE
    )
    assert published.exit_code == 0
    out = tmp_path / "out.binpb"
    run("service", "show", "BJ/GOV/ANIP/ESSAI", IDENTITY_SERVICE, "--out", str(out))
    assert out.read_bytes() == descriptors.read_bytes()
    run("service", "retire", "BJ/GOV/ANIP/ESSAI", IDENTITY_SERVICE)
    assert len(rows(run("service", "list", "--output", "json"))) == 1

    run("member", "suspend", PNS, "--reason", "contrôle")
    run("member", "resume", PNS)
    (waiting,) = rows(run("request", "list", "--output", "json"))
    run("request", "refuse", str(waiting["number"]), "--reason", "pas encore")
    assert "suspended" in run("member", "show", PNS).output
    run("suspend_gateway", f"{ANIP}/gw1", "--reason", "vol")
    run("revoke_gateway", f"{ANIP}/gw1", "--reason", "vol", "--yes")
    assert "revoked" in run("member", "show", ANIP).output

    status = json.loads(run("registry", "status", "--output", "json").output)
    assert status["version"] == served.version
    assert status["members"] == 2


def test_fields_that_forgot_to_say_whether_they_are_personal_take_a_confirmation(
    run: Run, tmp_path: Path
) -> None:
    """They are named before anything is published; nobody who cannot answer publishes them by oversight."""
    forgetful = tmp_path / "forgetful.binpb"
    forgetful.write_bytes(without_marks())
    publish = ("service", "publish", RNPP, str(forgetful), "--service", IDENTITY_SERVICE)

    refused = run(*publish, "--lang", "fr")
    tried = run(*publish, "--dry-run")
    done = run(*publish, "--yes")

    assert (refused.exit_code, tried.exit_code, done.exit_code) == (1, 0, 0)
    assert "bj.identity.v1.GetPersonRequest.npi" in refused.stderr
    assert "data_subject" in refused.stderr
    assert "Publier quand même" in refused.stdout


def test_without_an_address_the_command_says_what_it_needs(tmp_path: Path) -> None:
    """Exit 2, and the two options by name."""
    result = CliRunner().invoke(commands.member, ["list", "--identity", str(tmp_path)])

    assert result.exit_code == 2
    assert "--registry" in result.output


def test_founding_by_command_prints_the_fingerprint(tmp_path: Path) -> None:
    """The anchor's fingerprint is read out over the telephone; root keys are to be moved away."""
    from core.clock import SystemClock

    found_authorities(tmp_path / "ca", "BJ", now_ms=SystemClock().now_ms())

    arguments = ["found", str(tmp_path / "registry"), "--id", str(REGISTRY), "--ca", str(tmp_path / "ca")]
    arguments += ["--anchor", str(tmp_path / "anchor.pem"), "--host", "registre.asin.bj"]
    arguments += ["--root-keys", "5", "--threshold", "3", "--purpose", "P01", "demandé", "asked for"]
    result = CliRunner().invoke(commands.registry, arguments, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert Anchor.read(tmp_path / "anchor.pem").fingerprint[:4].upper() in result.output
    assert len(list((tmp_path / "registry" / "root-keys").iterdir())) == 5


def test_signing_with_a_key_that_is_no_partys_is_refused(served: RegistryCountry, tmp_path: Path) -> None:
    """A member cannot sign somebody else's agreement by mistake."""
    from core.reasons import ExchangeError, Reason

    (tmp_path / "cv.json").write_bytes(encode(served.agreement()))
    write_key(tmp_path / "other.key", served.key("BJ/GOV/ANDF"))

    arguments = ["sign", str(tmp_path / "cv.json"), "--member-key", str(tmp_path / "other.key")]
    result = CliRunner().invoke(commands.agreement, [*arguments, "--out", str(tmp_path / "x.jwt")])

    assert isinstance(result.exception, ExchangeError)
    assert result.exception.reason is Reason.SIGNATURE_INVALID


def test_alarms_about_heads_are_listed(country: RegistryCountry) -> None:
    """A gateway reports over its own TLS identity; an operator sees what went back, nobody else does."""
    country.registry.start()
    sealed = SealedGateway(country, f"{ANIP}/gw1")
    identity = country.identity("gateway", sealed.gateway, Profile.AUTH)
    opened = channel(f"127.0.0.1:{country.registry.port}", identity, expect=urn("registry", REGISTRY))
    with opened:
        stub = heads_pb2_grpc.HeadsServiceStub(opened)
        for size in (9, 5):
            stub.ReportNewest(heads_pb2.ReportNewestRequest(heads=[sealed.head(size)]), timeout=10)
        held = stub.GetNewest(heads_pb2.GetNewestRequest(), timeout=10).heads
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListAlarms(heads_pb2.ListAlarmsRequest(), timeout=10)
    operator = country.root / "operateur-1"
    write_identity(operator, country.identity("operator", "BJ/GOV/ASIN/operateur-1", Profile.OPERATOR))
    RegistryHints(str(REGISTRY), f"127.0.0.1:{country.registry.port}").write(operator)

    listed = CliRunner().invoke(
        commands.registry, ["alarms", "--identity", str(operator), "--output", "json"]
    )

    assert list(held) == [sealed.head(9)]
    assert error_from_rpc(refused.value).reason == "NOT_AUTHORISED"
    (row,) = rows(listed)
    assert (row["gateway"], row["held"], row["shown"]) == (sealed.gateway, 9, 5)


def test_that_there_is_no_alarm_is_said(run: Run) -> None:
    """An operator is not left to read it out of an empty table; machines get an empty list."""
    assert "Aucune alarme" in run("registry", "alarms", "--lang", "fr").output
    assert "No alarm" in run("registry", "alarms", "--lang", "en").output
    assert rows(run("registry", "alarms", "--output", "json")) == []


def test_an_operator_writes_the_protos_of_any_provider(served: RegistryCountry, tmp_path: Path) -> None:
    """From the registry itself, where a program asks its gateway."""
    identity = served.root / "operateur-1"
    asked = [RNPP, "--out", str(tmp_path), "--identity", str(identity), "--output", "json"]

    done = CliRunner().invoke(protos, asked, catch_exceptions=False)
    missing = CliRunner().invoke(protos, [*asked, "--service", "bj.land.v1.LandService"])

    assert str(tmp_path / "bj/identity/v1/identity.proto") in {row["file"] for row in rows(done)}
    assert "IdentityService" in (tmp_path / "bj/identity/v1/identity.proto").read_text("utf-8")
    assert isinstance(missing.exception, ExchangeError)
    assert missing.exception.reason is Reason.NOT_FOUND
