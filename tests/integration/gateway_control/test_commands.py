"""The commands of a gateway, from an empty directory to a running one, and what each prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from cli.main import passerelle
from core.clock import SystemClock
from core.identifiers import GatewayId, urn
from core.reasons import ExchangeError, Reason
from core.registrations import parse_registration
from gateway.control.main import Control
from gateway.control.programs import PinnedPrograms
from gateway.control.state import Condition
from gateway.founding import InitResult
from gateway.layout import GatewayDirectory
from gateway.local import LocalAdmin
from gateway.settings import GatewaySettings
from passerelle.registry.v1 import members_pb2, members_pb2_grpc
from pki.keys import chain_pem, generate_key, key_pem, key_thumbprint, public_key_pem, write_key
from pki.profiles import Profile, issue, read_csr
from pki.tokens import ProgramKey, verify_token
from rpc.credentials import server_credentials
from rpc.remote import RemoteError
from rpc.settings import load_settings
from tests.integration.gateway_control.conftest import PORTAL, Country, Start
from tests.integration.gateway_control.test_program import EXCHANGE, Door, echo_descriptors
from tests.support.published_country import REGISTRY
from tests.support.waiting import until


def run(*arguments: str, code: int = 0) -> Result:
    """One command; French unless it says otherwise."""
    result = CliRunner().invoke(passerelle, arguments, env={"PASSERELLE_LANG": "fr", "COLUMNS": "200"})
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def made(country: Country) -> InitResult:
    return country.found(country.pns)


def config(made: InitResult) -> tuple[str, str]:
    return "--config", str(made.directory.settings)


def issue_chain(country: Country, directory: GatewayDirectory, profile: Profile, out: Path) -> None:
    """What the CA answers to a request file."""
    files = directory.auth if profile is Profile.AUTH else directory.seal
    issuer = country.published.auth if profile is Profile.AUTH else country.published.seal
    settings = load_settings(directory.settings, GatewaySettings)
    certificate = issue(
        profile,
        issuer,
        read_csr(files.request.read_bytes()),
        urn("gateway", settings.gateway),
        now_ms=country.published.now_ms,
        hosts=settings.hosts if profile.rules.hosts else (),
    )
    out.write_bytes(chain_pem([certificate, issuer.certificate]))


def test_a_gateway_is_founded_with_three_commands(country: Country, tmp_path: Path) -> None:
    """init, install, register --out: the member key stays elsewhere."""
    directory = GatewayDirectory(tmp_path / "gw")
    text = run(
        *("gateway", "init", str(directory.root), "--gateway", "BJ/GOV/ANIP/gw7"),
        *("--anchor", str(country.anchor), "--member-key", country.anip.thumbprint),
        *("--registry", f"127.0.0.1:{country.registry_port}", "--registry-id", REGISTRY),
        *("--workers", "3", "--road", "127.0.0.1:42012", "--http", "127.0.0.1:0"),
        *("--adapter", "BJ/GOV/ANIP/RNPP=127.0.0.1:42015", "--allow-network", "127.0.0.0/8"),
        *("--output", "json"),
    ).output
    shown = json.loads(text)
    for profile in (Profile.AUTH, Profile.SEAL):
        issue_chain(country, directory, profile, tmp_path / f"{profile}.crt")
    settings_file = str(directory.settings)

    run(
        *("gateway", "install", "--config", settings_file),
        *("--auth", str(tmp_path / "auth.crt"), "--seal", str(tmp_path / "seal.crt")),
    )
    run("gateway", "register", "--config", settings_file, "--out", str(tmp_path / "registration.json"))

    settings = load_settings(directory.settings, GatewaySettings)
    registration = parse_registration((tmp_path / "registration.json").read_bytes())
    assert settings.listen.road == ("127.0.0.1:42012", "127.0.0.1:42016", "127.0.0.1:42017")
    assert [log.id for log in registration.logs] == shown["logs"]
    assert len(shown["anchor"].split()) == 16


@pytest.mark.parametrize(
    "wrong", [(), ("--out", "x", "--signed", "pyproject.toml"), ("--adapter", "nonsense")]
)
def test_wrong_usage_exits_2(wrong: tuple[str, ...], made: InitResult, country: Country) -> None:
    """As every command of the system."""
    if wrong[:1] == ("--adapter",):
        arguments = [
            *("gateway", "init", str(country.root / "x"), "--gateway", "BJ/GOV/ANIP/gw7"),
            *("--anchor", str(country.anchor), "--member-key", country.anip.thumbprint),
            *("--registry", "127.0.0.1:1", "--registry-id", REGISTRY, *wrong),
        ]
    else:
        arguments = ["gateway", "register", *config(made), *wrong]

    run(*arguments, code=2)


class Registrar(members_pb2_grpc.MembersServiceServicer):
    """Takes registrations as the registry does."""

    def __init__(self) -> None:
        self.requests: list[members_pb2.SubmitRegistrationRequest] = []

    def SubmitRegistration(
        self, request: members_pb2.SubmitRegistrationRequest, context: grpc.ServicerContext
    ) -> members_pb2.SubmitRegistrationResponse:
        self.requests.append(request)
        return members_pb2.SubmitRegistrationResponse(request=0 if request.dry_run else 218)


@pytest.fixture
def registrar(country: Country) -> Iterator[Registrar]:
    """In the place of the registry, on its port and under its name."""
    country.stop_registry()
    from pki.keys import certificate_pem, generate_key

    key = generate_key()
    certificate = issue(
        Profile.REGISTRY,
        country.published.auth,
        key.public_key(),
        urn("registry", REGISTRY),
        now_ms=country.published.now_ms,
        hosts=("127.0.0.1",),
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = Registrar()  # type: ignore[abstract]  # the other methods are not asked
    members_pb2_grpc.add_MembersServiceServicer_to_server(servicer, server)
    credentials = server_credentials(
        key_pem(key),
        chain_pem([certificate, country.published.auth.certificate]),
        certificate_pem(country.published.root.certificate),
    )
    server.add_secure_port(f"127.0.0.1:{country.registry_port}", credentials)
    server.start()
    yield servicer
    server.stop(None).wait()
    country.start_registry()


def test_a_registration_is_signed_submitted_and_numbered(
    made: InitResult, country: Country, registrar: Registrar, tmp_path: Path
) -> None:
    """In one command where the member key is at hand; as a file where it is not."""
    text = made.directory.settings.read_text().replace('road = ["127.0.0.1:0"]', 'road = ["127.0.0.1:7444"]')
    made.directory.settings.write_text(text)
    write_key(tmp_path / "member.key", country.pns.key)

    dry = run(
        "gateway", "register", *config(made), "--member-key-file", str(tmp_path / "member.key"), "--dry-run"
    )
    sent = run("gateway", "register", *config(made), "--member-key-file", str(tmp_path / "member.key"))
    (tmp_path / "signed.jwt").write_text(registrar.requests[1].registration_jws + "\n")
    again = run(
        "gateway", "register", *config(made), "--signed", str(tmp_path / "signed.jwt"), "--lang", "en"
    )

    assert "Rien n'a été changé" in dry.output
    assert "218" in sent.output
    assert "waits for two approvals" in again.output
    assert [request.dry_run for request in registrar.requests] == [True, False, False]
    assert registrar.requests[1].registration_jws == registrar.requests[2].registration_jws


def test_a_registry_that_is_away_is_told(made: InitResult, country: Country, tmp_path: Path) -> None:
    """With the reason of the transport."""
    country.stop_registry()
    (tmp_path / "signed.jwt").write_text("x.y.z")

    with pytest.raises(RemoteError):
        run("gateway", "register", *config(made), "--signed", str(tmp_path / "signed.jwt"))


def test_programs_are_added_listed_and_removed(made: InitResult, tmp_path: Path) -> None:
    """The identity is complete, the list says who is admitted."""
    added = run(
        "program", "add", "BJ/GOV/PNS/PORTAIL", "nuit", "--out", str(tmp_path / "nuit"), *config(made)
    )
    listed = json.loads(run("program", "list", *config(made), "--output", "json").output)
    run("program", "remove", "BJ/GOV/PNS/PORTAIL/nuit", "--yes", *config(made))

    assert "BJ/GOV/PNS/PORTAIL/nuit sera admis dès que la passerelle sera en service" in added.output
    assert [(row["id"], row["state"]) for row in listed] == [
        ("BJ/GOV/PNS/PORTAIL/nuit", "active"),
        (str(PORTAL), "active"),
    ]
    states = {one.id: one.state for one in PinnedPrograms(made.directory.pinned_programs).entries()}
    assert states["BJ/GOV/PNS/PORTAIL/nuit"] == "removed"
    assert {path.name for path in (tmp_path / "nuit").iterdir()} == {
        "identity.key",
        "identity.crt",
        "ca.pem",
        "passerelle.toml",
    }


def test_a_program_with_a_key_of_its_own_is_told_what_its_tokens_say(
    made: InitResult, tmp_path: Path
) -> None:
    """The private key never comes here; ca.pem and the address do, without an identity."""
    key = generate_key().public_key()
    (tmp_path / "web.pub").write_text(public_key_pem(key))
    kid = key_thumbprint(key)

    added = run(
        *("program", "add", "BJ/GOV/PNS/PORTAIL", "jetons", "--key", str(tmp_path / "web.pub")),
        *("--out", str(tmp_path / "jetons"), *config(made)),
    )
    listed = json.loads(run("program", "list", *config(made), "--output", "json").output)
    run("program", "remove", "BJ/GOV/PNS/PORTAIL/jetons", "--thumbprint", kid, "--yes", *config(made))

    assert f"kid {kid}, aud BJ/GOV/PNS/gw1, iss et sub BJ/GOV/PNS/PORTAIL/jetons" in added.output
    assert [(row["id"], row["credential"]) for row in listed] == [
        ("BJ/GOV/PNS/PORTAIL/jetons", "jwt"),
        (str(PORTAL), "mtls"),
    ]
    assert {path.name for path in (tmp_path / "jetons").iterdir()} == {"ca.pem", "passerelle.toml"}
    states = {one.thumbprint: one.state for one in PinnedPrograms(made.directory.pinned_programs).entries()}
    assert states[kid] == "removed"


def test_a_token_to_try_with_is_one_that_the_gateway_takes(made: InitResult, tmp_path: Path) -> None:
    """Printed alone, so that it goes into a header of grpcurl; the key is read as strictly as any."""
    key = generate_key()
    write_key(tmp_path / "nuit.key", key)
    program, gateway = "BJ/GOV/PNS/PORTAIL/nuit", "BJ/GOV/PNS/gw1"
    command = ("program", "token", program, "--key", str(tmp_path / "nuit.key"), "--gateway", gateway)

    printed = run(*command).output.rstrip("\n")

    registered = {key_thumbprint(key.public_key()): ProgramKey(program, key.public_key())}
    found = verify_token(printed.encode(), registered.get, GatewayId.parse(gateway))
    found.require_usable(SystemClock().now_ms(), None)
    assert found.program == program
    (tmp_path / "nuit.key").chmod(0o644)
    with pytest.raises(ExchangeError) as refused:
        run(*command)
    assert refused.value.reason is Reason.KEY_UNREADABLE


def test_a_private_key_is_not_taken_for_tokens(made: InitResult, tmp_path: Path) -> None:
    """It belongs to the program alone; the remedy says how to take its public half."""
    write_key(tmp_path / "web.key", generate_key())

    with pytest.raises(ExchangeError) as refused:
        run(
            "program",
            "add",
            "BJ/GOV/PNS/PORTAIL",
            "jetons",
            "--key",
            str(tmp_path / "web.key"),
            *config(made),
        )

    assert refused.value.reason is Reason.KEY_UNREADABLE
    assert refused.value.remedy is not None
    assert "openssl pkey" in refused.value.remedy.fr


def test_a_program_is_admitted_when_the_command_returns(
    made: InitResult, country: Country, start: Start, tmp_path: Path
) -> None:
    """The next command of the administrator is not refused, and a removed program is."""
    country.publish()
    control = start(made)
    until(lambda: control.state().condition is Condition.READY)

    added = run("program", "add", "BJ/GOV/PNS/PORTAIL", "nuit", "--out", str(tmp_path / "n"), *config(made))
    with LocalAdmin(made.directory) as admin:
        assert admin.goes_by(PinnedPrograms(made.directory.pinned_programs).entries())
    removed = run("program", "remove", "BJ/GOV/PNS/PORTAIL/nuit", "--yes", *config(made))
    with LocalAdmin(made.directory) as admin:
        assert admin.goes_by(PinnedPrograms(made.directory.pinned_programs).entries())

    assert "BJ/GOV/PNS/PORTAIL/nuit est admis." in added.output
    assert "BJ/GOV/PNS/PORTAIL/nuit n'est plus admis." in removed.output


def test_an_adapter_gets_what_its_settings_expect(made: InitResult, tmp_path: Path) -> None:
    """Beside adapter.toml: who it is, whom it trusts, and the key of its documents with the request for the seal CA."""
    run(
        *("gateway", "adapter", "BJ/GOV/PNS/PORTAIL", "--host", "127.0.0.1"),
        *("--out", str(tmp_path / "a"), *config(made)),
    )

    beside = {"adapter.key", "adapter.crt", "anchor.pem", "document.key", "document.csr"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == beside


@pytest.fixture
def running(country: Country, made: InitResult, start: Start) -> Control:
    country.publish()
    control = start(made)
    until(lambda: control.state().condition is Condition.READY)
    return control


def test_status_fits_one_screen_in_both_languages(running: Control, made: InitResult) -> None:
    """State, configuration and its age, processes."""
    french = run("status", *config(made)).output
    english = run("status", *config(made), "--lang", "en").output
    document = json.loads(run("status", *config(made), "--output", "json").output)

    assert "BJ/GOV/PNS/gw1 · EN SERVICE · configuration v1 (il y a" in french
    assert "IN SERVICE" in english
    assert document["state"] == "STATE_READY"
    assert len(french.splitlines()) < 40


def test_config_show_lists_members_and_what_was_left_out(
    running: Control, made: InitResult, country: Country
) -> None:
    """As the workers have it."""
    country.published.files["members/BJ.GOV.X.json"] = b"{"
    country.publish()
    until(lambda: "DOCUMENT_INVALID" in running.state().faults)

    shown = run("config", "show", *config(made)).output
    document = json.loads(run("config", "show", *config(made), "--output", "json").output)
    table = run("config", "show", *config(made), "--output", "csv").output

    assert "BJ/GOV/ANIP/gw1" in shown
    assert "members/BJ.GOV.X.json" in shown
    assert document["version"] == 2
    assert table.splitlines()[0].startswith("member,name")


def test_log_status_and_exchanges_are_shown(running: Control, made: InitResult) -> None:
    """An unknown exchange is refused with its reason."""
    assert "Journaux" in run("log", "status", *config(made)).output
    assert "Aucun échange en doute." in run("exchange", "list", "--in-doubt", *config(made)).output
    csv = run("exchange", "list", "--in-doubt", "--output", "csv", *config(made)).output
    assert csv == "exchange,since,peer,provider,method,issue,known\n"
    listed = run("exchange", "list", "--dossier", "ACT-1", "--output", "csv", *config(made)).output
    assert (
        listed
        == "time,exchange,client,service,method,purpose,outcome,reason,asked_messages,answered_messages\n"
    )
    assert "Aucun échange trouvé." in run("exchange", "list", "--dossier", "ACT-1", *config(made)).output

    with pytest.raises(RemoteError) as refused:
        run("exchange", "show", EXCHANGE, *config(made))

    assert refused.value.reason == Reason.NOT_FOUND
    asked = run("exchange", "list", *config(made), code=2)
    assert "donner --dossier DOSSIER" in asked.output
    assert "passerelle audit list --log" in asked.output


def test_a_gateway_that_does_not_run_is_told(made: InitResult) -> None:
    """Before anything is asked; its state is told from its files, and exits 1."""
    with pytest.raises(ExchangeError, match=r"admin\.sock"):
        run("exchange", "list", "--in-doubt", *config(made))

    assert "À L'ARRÊT" in run("status", *config(made), code=1).output


# --- call ---


class Describing(Door):
    """Programs' port and Directory in one, for a service that only these tests know."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if not details.method.endswith("/GetDescriptors"):
            return super().service(details)
        from passerelle.gateway.v1 import directory_pb2

        answer = directory_pb2.GetDescriptorsResponse(
            file_descriptor_set=echo_descriptors()
        ).SerializeToString()
        return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)


@pytest.fixture
def called(made: InitResult) -> Iterator[int]:
    """The port of a gateway that echoes."""
    files = made.directory.programs_server
    credentials = server_credentials(
        files.key.read_bytes(),
        files.certificate.read_bytes(),
        made.directory.programs.certificate.read_bytes(),
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Describing(),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield port
    server.stop(None).wait()


def call(country: Country, port: int, *arguments: str, method: str = "One", code: int = 0) -> Result:
    address = f"127.0.0.1:{port}"
    return run(
        *("call", f"bj.echo.v1.EchoService/{method}", "--identity", str(country.root / "portal")),
        *("--gateway", address, "--directory", address, *arguments),
        code=code,
    )


def test_call_prints_the_answer_the_exchange_and_the_time(country: Country, called: int) -> None:
    """The answer alone on standard output."""
    result = call(country, called, "--purpose", "P01", "--data", '{"lastWord":"bonjour"}')
    document = json.loads(
        call(country, called, "--purpose", "P01", "--data", "{}", "--output", "json").stdout
    )

    assert result.stdout == '{"lastWord": "bonjour"}\n'
    assert f"échange {EXCHANGE} · scellé, 2 journaux" in result.stderr
    assert (document["exchange_id"], document["sealed"], document["responses"]) == (EXCHANGE, True, [{}])


def test_call_takes_its_data_from_a_file_and_streams_line_by_line(
    country: Country, called: int, tmp_path: Path
) -> None:
    """One request per line."""
    (tmp_path / "words").write_text('{"lastWord":"un"}\n\n{"lastWord":"deux"}\n', encoding="utf-8")

    result = call(country, called, "--purpose", "P01", "--data", f"@{tmp_path / 'words'}", method="Chat")

    assert result.stdout.splitlines() == ['{"lastWord": "un"}', '{"lastWord": "deux"}']


def test_call_shows_what_came_before_a_stream_broke(country: Country, called: int, tmp_path: Path) -> None:
    """Each response stands there as it came; then what went wrong, and which exchange to ask about."""
    (tmp_path / "words").write_text('{"lastWord":"un"}\n{"lastWord":"deux"}\n{}\n', encoding="utf-8")
    given = ("--purpose", "P01", "--data", f"@{tmp_path / 'words'}")

    shown = call(country, called, *given, method="Chat", code=1)
    told = call(country, called, *given, "--output", "json", method="Chat", code=1)

    assert shown.stdout.splitlines() == ['{"lastWord": "un"}', '{"lastWord": "deux"}']
    assert "PEER_LOST" in shown.stderr
    assert EXCHANGE in shown.stderr
    document = json.loads(told.stdout)
    assert document["reason"] == "PEER_LOST"
    assert document["responses"] == [{"lastWord": "un"}, {"lastWord": "deux"}]


def test_call_tells_a_refusal_with_reason_remedy_and_exchange(country: Country, called: int) -> None:
    """Exit 1; both languages can be asked for."""
    french = call(country, called, code=1)
    english = call(country, called, "--lang", "en", code=1)
    document = json.loads(call(country, called, "--output", "json", code=1).stdout)

    assert "PURPOSE_REQUIRED" in french.stderr
    assert "Remède" in french.stderr
    assert f"échange {EXCHANGE} · demande non remise (not_sent)" in french.stderr
    assert f"exchange {EXCHANGE} · request not delivered (not_sent)" in english.stderr
    assert "Remedy" in english.stderr
    assert (document["reason"], document["retry"]) == ("PURPOSE_REQUIRED", "no")


@pytest.mark.parametrize("data", ["nonsense", "@/does/not/exist"])
def test_call_refuses_bad_data_before_it_calls(data: str, country: Country, called: int) -> None:
    """Exit 1 with the reason."""
    call(country, called, "--purpose", "P01", "--data", data, code=1)


def test_call_without_hints_needs_addresses(country: Country, called: int, made: InitResult) -> None:
    """An identity that was copied without its passerelle.toml."""
    (country.root / "portal" / "passerelle.toml").unlink()
    run(*("call", "bj.echo.v1.EchoService/One", "--identity", str(country.root / "portal")), code=2)

    result = call(country, called, "--as", "BJ/GOV/PNS/PORTAIL", "--purpose", "P01")

    assert result.stdout == "{}\n"
