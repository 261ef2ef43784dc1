"""A whole country on real processes, through the commands that people type."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from bj.identity.v1 import identity_pb2, identity_pb2_grpc
from cli.demo import alter_statement
from rpc.identity import Identity
from tests.support.hostile import outcome_of
from tests.support.plans import TWO_MEMBERS
from tests.support.programs import require_program
from tests.support.running_country import GET_PERSON, PORTAL, RNPP, Running, running_country
from tests.support.waiting import until

REFLECT = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
EXCHANGE_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
CALLING = Path(__file__).parents[2] / "docs" / "appeler.md"
WITH_TOKEN = Path(__file__).parents[2] / "examples" / "python" / "get_person_with_token.py"
# Of a person, statistics get where and when he was born.
MASKED = """
[[agreement]]
id = "CV-0100"
consumer = "BJ/GOV/PNS/STATS"
provider = "BJ/GOV/ANIP/RNPP"
service = "bj.identity.v1.IdentityService"
methods = ["GetPerson"]
purposes = ["P01"]
legal_basis_fr = "essai"
legal_basis_en = "test"
[agreement.field_mask]
GetPerson = ["birth_date", "residence.department"]
"""


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_country(tmp_path_factory.mktemp("country"), TWO_MEMBERS + MASKED) as found:
        yield found


def test_call_from_the_shell_prints_the_person_and_the_exchange(country: Running) -> None:
    answer = country.call()

    assert answer["exchange_id"]
    assert "ADJOVI" in json.dumps(answer)


def test_unknown_person_is_the_providers_answer(country: Running) -> None:
    assert country.call(npi="0000000003")["reason"] == "NOT_FOUND"


def test_exchange_is_exported_verified_and_a_changed_byte_turns_the_verdict(
    country: Running, tmp_path: Path
) -> None:
    exchange = country.call()["exchange_id"]
    evidence, altered = tmp_path / "preuve.asice", tmp_path / "altered.asice"
    exported = country.run("audit", "export", exchange, "--log", str(country.pns), "--out", str(evidence))
    assert exported.returncode == 0, exported.stderr
    anchor = str(country.layout.anchor)

    good = country.run("audit", "verify", str(evidence), "--anchor", anchor, "--lang", "en")
    alter_statement(evidence, altered)
    bad = country.run("audit", "verify", str(altered), "--anchor", anchor, "--lang", "en")

    assert good.returncode == 0, good.stdout + good.stderr
    assert "VALID" in good.stdout
    assert bad.returncode == 1
    assert "INVALID" in bad.stdout


def test_evidence_can_be_exported_at_the_providers_gateway_too(country: Running, tmp_path: Path) -> None:
    exchange = country.call()["exchange_id"]
    anip = country.layout.gateway(country.plan.member[1])
    out = tmp_path / "preuve.asice"

    exported = country.run("audit", "export", exchange, "--log", str(anip), "--out", str(out))
    verified = country.run("audit", "verify", str(out), "--anchor", str(country.layout.anchor))

    assert exported.returncode == 0, exported.stderr
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_program_gets_the_fields_that_its_agreement_grants(country: Running, tmp_path: Path) -> None:
    """Founded from country.toml; the evidence of both sides tells which fields, and how many were cut."""
    answer = country.call(program="BJ/GOV/PNS/STATS/stats")
    whole = country.call()
    exchange, anchor = str(answer["exchange_id"]), str(country.layout.anchor)

    (granted,), (everything,) = answer["responses"], whole["responses"]
    assert {*granted} == {"birthDate", "residence"}
    assert granted["residence"] == {"department": everything["residence"]["department"]}
    assert len(everything) > 5
    for member in country.plan.member:
        directory = country.layout.gateway(member)
        out = tmp_path / f"{member.id.replace('/', '.')}.asice"
        exported = country.run("audit", "export", exchange, "--log", str(directory), "--out", str(out))
        assert exported.returncode == 0, exported.stderr
        verified = country.run("audit", "verify", str(out), "--anchor", anchor, "--lang", "fr")
        assert "VERDICT : AUTHENTIQUE" in verified.stdout, verified.stdout
        assert "champs accordés : birth_date, residence.department" in verified.stdout
        assert re.search(r"champs retirés : [1-9][0-9]*\n", verified.stdout)
        listed = country.run("audit", "list", "--log", str(directory), "--output", "json")
        (row,) = [one for one in json.loads(listed.stdout) if one["exchange"] == exchange]
        assert row["fields_granted"] == "birth_date, residence.department"
        assert row["fields_cut"] > 0


def test_a_program_with_a_key_of_its_own_calls_with_tokens_until_it_is_removed(
    country: Running, tmp_path: Path
) -> None:
    """As docs/operations/gateway.md has it: openssl, program add --key, the example; its evidence verifies."""
    require_program("openssl")
    key, public, settings = tmp_path / "nuit.key", tmp_path / "nuit.pub", str(country.pns / "gateway.toml")
    for command in (
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key)],
        ["pkey", "-in", str(key), "-pubout", "-out", str(public)],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=20)
    directory, program = tmp_path / "nuit", f"{PORTAL}/nuit"
    calls = [sys.executable, str(WITH_TOKEN), str(directory), str(key), program, "0000000001"]

    added = country.run(
        *("program", "add", PORTAL, "nuit", "--key", str(public)),
        *("--out", str(directory), "--config", settings),
    )
    called = subprocess.run(calls, capture_output=True, text=True, timeout=30, check=False)
    removed = country.run("program", "remove", program, "--yes", "--config", settings)
    refused = subprocess.run(calls, capture_output=True, text=True, timeout=30, check=False)

    assert "est admis" in added.stdout, added.stdout + added.stderr
    assert called.stdout.startswith("ADJOVI "), called.stderr
    assert removed.returncode == 0, removed.stderr
    assert refused.returncode == 1
    assert refused.stderr.startswith("UNAUTHENTICATED TOKEN_INVALID: ")
    out, exchange = tmp_path / "preuve.asice", called.stdout.split()[-1]
    exported = country.run("audit", "export", exchange, "--log", str(country.pns), "--out", str(out))
    verified = country.run("audit", "verify", str(out), "--anchor", str(country.layout.anchor))
    assert exported.returncode == 0, exported.stderr
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_page_on_calling_from_a_program_prints_what_it_says(country: Running, tmp_path: Path) -> None:
    """A newcomer who types its blocks in order sees its last block, whatever the numbers of the exchanges."""
    page = CALLING.read_text(encoding="utf-8")
    typed = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    (promised,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert typed.count("localhost:42011") == typed.count("var/up/") == 1
    script = tmp_path / "appeler.py"
    script.write_text(
        typed.replace("localhost:42011", country.ports.gateway(1, 1)).replace(
            "var/up", str(country.layout.root)
        ),
        encoding="utf-8",
    )

    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert EXCHANGE_ID.sub("ID", done.stdout) == EXCHANGE_ID.sub("ID", promised)
    one, both, *refused = EXCHANGE_ID.findall(done.stdout)
    assert len({one, both, *refused}) == 3
    assert (
        country.run(
            "audit", "export", both, "--log", str(country.pns), "--out", str(tmp_path / "f")
        ).returncode
        == 0
    )


def test_a_program_writes_the_protos_of_its_provider(country: Running, tmp_path: Path) -> None:
    """Both compilers take them, with no other file; what is there is replaced only when told so."""
    out = tmp_path / "protos"
    identity = country.layout.program(f"{PORTAL}/portail")
    command = ("service", "protos", RNPP, "--out", str(out), "--identity", str(identity), "--output", "json")

    written = country.run(*command)

    rows = {row["file"]: row for row in json.loads(written.stdout)}
    identity_proto = out / "bj/identity/v1/identity.proto"
    assert rows[str(identity_proto)]["services"] == ["bj.identity.v1.IdentityService"]
    assert {row["state"] for row in rows.values()} == {"written"}
    assert "// Reads one person's record. « Consulter une fiche. »" in identity_proto.read_text("utf-8")
    _require_compiles(out)
    identity_proto.write_text("other", encoding="utf-8")
    assert country.run(*command).returncode == 1
    assert identity_proto.read_text("utf-8") == "other"
    again = {row["file"]: row["state"] for row in json.loads(country.run(*command, "--yes").stdout)}
    assert [file for file, state in again.items() if state == "written"] == [str(identity_proto)]
    hidden = country.run(*command[:2], "BJ/GOV/ANDF/CADASTRE", *command[3:])
    assert (hidden.returncode, "NO_AGREEMENT" in hidden.stderr) == (1, True)


def _require_compiles(directory: Path) -> None:
    names = [str(path.relative_to(directory)) for path in directory.rglob("*.proto")]
    for compiler in (
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--descriptor_set_out=/dev/null", *names],
        [str(Path(sys.executable).with_name("buf")), "build"],
    ):
        done = subprocess.run(compiler, cwd=directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_stream_both_ways_from_the_shell(country: Running) -> None:
    """Each line of ``--data`` is a message, each answer a line, as the README shows it."""
    data = '{"listServices":"*"}\n{"fileContainingSymbol":"bj.Inconnu"}\n'
    identity = ("--identity", str(country.layout.program(f"{PORTAL}/portail")))

    done = country.run("call", REFLECT, "--as", PORTAL, *identity, "--purpose", "P01", "--data", data)

    listed, unknown = map(json.loads, done.stdout.splitlines())
    assert "bj.identity.v1.IdentityService" in {
        one["name"] for one in listed["listServicesResponse"]["service"]
    }
    assert unknown["errorResponse"]["errorMessage"] == "not found"
    assert "scellé, 2 journaux" in done.stderr


def test_status_and_list_show_what_happened(country: Running) -> None:
    exchange = country.call()["exchange_id"]

    status = country.run("status", "--config", str(country.pns / "gateway.toml"))
    listed = country.run("audit", "list", "--log", str(country.pns), "--output", "json")

    assert status.returncode == 0, status.stderr
    assert exchange in listed.stdout


def test_pages_tell_health_and_hold_no_personal_number(country: Running) -> None:
    country.call()
    base = f"http://{country.ports.gateway(1, 4)}"

    pages = {}
    for path in ("/etat", "/metrics", "/healthz", "/readyz"):
        with urllib.request.urlopen(base + path, timeout=5) as page:  # loopback, ours
            assert page.status == 200
            pages[path] = page.read().decode("utf-8")

    assert all("0000000001" not in page for page in pages.values())
    assert "BJ/GOV/PNS/gw1" in pages["/etat"]


def test_no_personal_number_stands_in_any_log_of_events(country: Running) -> None:
    country.call()
    country.call(npi="0000000003")

    for log in country.layout.log.glob("*.log"):
        text = log.read_text(encoding="utf-8")
        assert "0000000001" not in text
        assert "0000000003" not in text


CANARY_NPIS = tuple(f"09770000{number:02}" for number in range(50))
CANARY_SECRETS = ("canary-token-6f1d", "canary-cookie-6f1d", "canary-pin-6f1d")


def test_canary_secrets_and_numbers_stand_nowhere(country: Running) -> None:
    """A thousand calls that carry them in bodies, metadata and errors; then every byte that anybody wrote is searched.

    Not searched: the keys themselves, and the ministry's own register, which is where numbers belong.
    """
    outcomes = send_canaries(country)
    assert "INTERNAL" not in outcomes
    assert outcomes >= {"NOT_FOUND", "PERSONAL_NUMBER_IN_METADATA", "CLIENT_NOT_YOURS", "METADATA_INVALID"}
    last = country.call()["exchange_id"]
    until(lambda: last in country.run("audit", "list", "--log", str(country.pns), "--output", "json").stdout)

    keys = key_lines(country.layout.root)
    assert len(keys) > 10
    canaries = [b"09770000", b"canary-", *keys]  # how all numbers, and all secrets, begin
    found = {name for name, data in written_by(country) for one in canaries if one in data}
    assert found == set()


def test_exchanges_about_a_person_are_found_at_both_members(country: Running) -> None:
    """By the number that is typed, under keys that ``gateway init`` made; the answer says what it returned."""
    exchange = country.call(npi="0000000001")["exchange_id"]

    def found(gateway: Path) -> dict[str, Any] | None:
        listed = country.run(
            *("audit", "list", "--log", str(gateway), "--subject", "--output", "json"), typed="0000000001\n"
        )
        return next((one for one in json.loads(listed.stdout) if one["exchange"] == exchange), None)

    gateways = [country.layout.gateway(member) for member in country.plan.member[:2]]
    until(lambda: all(found(one) for one in gateways))
    rows = [found(one) or {} for one in gateways]
    assert [(one["subject_match"], one["subject_count"]) for one in rows] == [("named", 1)] * 2
    assert [(one["records"], one["sensitivity"]) for one in rows] == [(1, rows[0]["sensitivity"])] * 2
    assert rows[0]["sensitivity"] in ("S1", "S2")
    assert rows[0]["subjects"] != rows[1]["subjects"]


def test_every_line_that_a_process_of_the_country_prints_is_one_event(country: Running) -> None:
    """After all that the tests before sent: JSON, one line each, whichever library had something to say."""
    country.call()

    lines = [line for log in country.layout.log.glob("*.log") for line in log.read_text().splitlines()]

    assert len(lines) > 10
    assert [line for line in lines if not line.startswith('{"') or "event" not in json.loads(line)] == []


def test_calls_go_on_without_the_registry(country: Running) -> None:
    registry = country.part("registre")
    os.kill(registry.pid, signal.SIGSTOP)
    try:
        assert "ADJOVI" in json.dumps(country.call())
    finally:
        os.kill(registry.pid, signal.SIGCONT)


def test_killed_worker_comes_back_by_itself(country: Running) -> None:
    worker = int((country.pns / "state/worker-0.pid").read_text(encoding="ascii"))
    os.kill(worker, signal.SIGKILL)

    until(lambda: "ADJOVI" in json.dumps(country.call()))


class Caller(threading.Thread):
    """The portal's program, with an ordinary stub on one connection, calling without end."""

    def __init__(self, country: Running) -> None:
        super().__init__(daemon=True)
        self.answered = 0
        self.failures: list[grpc.StatusCode] = []
        self.stop = threading.Event()
        self._identity = Identity.read(country.layout.program(f"{PORTAL}/portail"))
        self._address = country.ports.gateway(1, 1)

    def run(self) -> None:
        one = self._identity
        credentials = grpc.ssl_channel_credentials(one.roots, one.key, one.chain)
        told = (("x-road-client", PORTAL), ("x-road-purpose", "P01"), ("x-road-issue", "ACT-202611-0001"))
        # A connection of its own, whatever other callers in this process have.
        own = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(self._address, credentials, own) as channel:
            stub = identity_pb2_grpc.IdentityServiceStub(channel)
            while not self.stop.is_set():
                try:
                    stub.GetPerson(
                        identity_pb2.GetPersonRequest(npi="0000000001"),
                        metadata=told,
                        timeout=10,
                        wait_for_ready=True,
                    )
                    self.answered += 1
                except grpc.RpcError as error:
                    self.failures.append(error.code())

    def until_answered(self, more: int) -> None:
        """Wait for ``more`` further answers."""
        wanted = self.answered + more
        until(lambda: self.answered >= wanted)


def test_calls_go_on_when_control_dies_and_it_comes_back_without_the_registry(country: Running) -> None:
    """The worker lives on; the next control, as a service manager starts it, takes its place from the mirror alone."""
    control, registry = country.part("pns-gw1"), country.part("registre")
    before = int((country.pns / "state/worker-0.pid").read_text(encoding="ascii"))
    caller = Caller(country)
    caller.start()
    os.kill(registry.pid, signal.SIGSTOP)
    try:
        caller.until_answered(5)
        control.kill()
        control.wait()
        caller.until_answered(20)
        assert caller.failures == []

        country.start_again("pns-gw1", ["gateway", "serve", "--config", str(country.pns / "gateway.toml")])

        until(lambda: _is_ready(country.ports.gateway(1, 4)))
        caller.until_answered(20)
    finally:
        os.kill(registry.pid, signal.SIGCONT)
        caller.stop.set()
        caller.join(20)
    after = int((country.pns / "state/worker-0.pid").read_text(encoding="ascii"))
    print(f"{caller.answered} answered, {len(caller.failures)} refused while the worker was replaced")
    assert after != before
    # A call that came in the moment of the change was refused by name or found the port closed; none was lost.
    assert set(caller.failures) <= {grpc.StatusCode.UNAVAILABLE}


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as page:  # loopback, ours
            return bool(page.status == 200)
    except OSError:
        return False


def send_canaries(country: Running) -> set[str]:
    """Calls of the portal with a canary in each place that a caller can write; how they ended."""
    identity = Identity.read(country.layout.program(f"{PORTAL}/portail"))
    credentials = grpc.ssl_channel_credentials(identity.roots, identity.key, identity.chain)
    path = f"/{GET_PERSON}"
    honest = {"x-road-client": PORTAL, "x-road-purpose": "P01", "x-road-issue": "ACT-1"}
    outcomes = set()
    with grpc.secure_channel(country.ports.gateway(1, 1), credentials) as channel:
        for begin in range(0, 1_000, 50):
            calls = []
            for number in range(begin, begin + 50):
                npi, secret = CANARY_NPIS[number % 50], CANARY_SECRETS[number % 3]
                places: tuple[dict[str, str], ...] = (
                    {"authorization": f"Bearer {secret}", "cookie": secret},
                    {"x-own": secret, "x-number": npi},
                    {"x-road-issue": npi},
                    {"x-road-userid": f"citizen:{npi}"},
                    {"x-road-client": f"BJ/GOV/{npi}/PORTAIL"},
                    {"x-road-purpose": secret},
                )
                carried = tuple((honest | places[number % 6]).items())
                request = identity_pb2.GetPersonRequest(npi=npi).SerializeToString()
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                    path if number % 11 else f"/{npi}.Service/{npi}", None, None
                )
                body = npi.encode() if number % 7 == 0 else request
                calls.append(call.future(body, metadata=carried, timeout=20))
            outcomes |= {outcome_of(call.result) for call in calls}
    return outcomes


def key_lines(root: Path) -> list[bytes]:
    """A line from the middle of every private key of the country: a canary that is always planted."""
    pems = [path.read_bytes() for path in root.rglob("*.key")]
    return [pem.splitlines()[2] for pem in pems if b"PRIVATE KEY" in pem and len(pem.splitlines()) > 3]


def written_by(country: Running) -> Iterator[tuple[str, bytes]]:
    """Files, pages, command lines and environments of all processes of the country."""
    root = country.layout.root
    for path in root.rglob("*"):
        if path.is_file() and path.suffix != ".key" and not path.name.startswith("register.sqlite"):
            yield str(path.relative_to(root)), path.read_bytes()
    for page in ("etat", "metrics", "readyz"):
        with suppress(urllib.error.HTTPError):
            address = country.ports.gateway(1, 4)
            with urllib.request.urlopen(f"http://{address}/{page}", timeout=5) as answer:  # loopback, ours
                yield page, answer.read()
    for part in country.country.parts:
        for pid in family(part.process.pid):
            for what in ("cmdline", "environ"):
                yield f"{part.name}: {what} of {pid}", Path(f"/proc/{pid}/{what}").read_bytes()


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *(one for child in children.read_text().split() for one in family(int(child)))]


@pytest.mark.timeout(120)
def test_revoked_agreement_is_refused_everywhere(country: Running) -> None:
    """The last test of this country: what is revoked stays revoked."""
    assert "ADJOVI" in json.dumps(country.call())

    revoked = country.operator("agreement", "revoke", "CV-0001", "--reason", "essai", "--yes")
    started = time.monotonic()
    until(lambda: country.call().get("reason") in ("NO_AGREEMENT", "NOT_FOUND"))

    assert revoked.returncode == 0, revoked.stderr
    print(f"refused {time.monotonic() - started:.1f} s after the command, the calls' own start included")
