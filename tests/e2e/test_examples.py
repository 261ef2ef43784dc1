"""The examples for other languages, as their first lines say to run them: each does what it prints, with evidence.

Commands that are not the example itself run in this process: each would start an interpreter.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bj.identity.v1.events_pb2 import WatchPersonChangesResponse
from cli.main import passerelle
from tests.support.interop import NODE_MODULES, require_grpc_js
from tests.support.programs import end_without, require_program
from tests.support.running_country import PORTAL, RNPP, Running, running_country
from tests.support.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"
LANGUAGES = ("curl", "java", "node", "php")
# It compiles once and runs once: so it takes half the time.
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
FIRST_CHANGE = "PERSON_EVENT_TYPE_ADDRESS_CHANGED"  # of a country of 200 people
EXCHANGE = re.compile(r"échange ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_country(tmp_path_factory.mktemp("country")) as found:
        yield found


def printed(country: Running, *command: str, more: tuple[str, ...] = (), **environment: str) -> str:
    """What an example prints, given the programs' port and the directory that ``program add`` wrote."""
    address = country.ports.gateway(1, 1)
    identity = str(country.layout.program(f"{PORTAL}/portail"))
    done = subprocess.run(
        [*command, address, identity, *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8"} | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_curl_asks_in_json_and_the_evidence_is_authentic(country: Running, tmp_path: Path) -> None:
    """A record, a refusal, one sent again, a stream; an auditor sees through which door, and verifies."""
    require_program("curl")

    told = printed(country, "sh", str(EXAMPLES / "curl" / "appeler.sh"))

    assert re.findall(r"HTTP (\d+)", told) == ["200", "404", "504", "200", "200"]
    assert '"lastName": "ADJOVI"' in told
    assert '"reason": "NOT_FOUND"' in told
    (page,) = [json.loads(line) for line in told.splitlines() if "nextCursor" in line and line[0] == "{"]
    assert [len(page["events"]), page["events"][0]["type"]] == [2, FIRST_CHANGE]
    listed, streamed = page["events"][0]["header"]["cursor"], first_message(told)
    assert streamed.event.header.cursor == listed
    exchange = EXCHANGE.findall(told)[0]
    show = ("exchange", "show", exchange, "--config", str(country.pns / "gateway.toml"))
    # The gateway's index is a moment behind its log.
    until(lambda: CliRunner().invoke(passerelle, show).exit_code == 0)
    assert "porte json" in ran(*show).output
    for log in (country.pns, country.layout.gateway(country.plan.member[1])):
        named = ("--log", str(log), "--exchange", exchange)
        listing = ran("audit", "list", *named, "--output", "json")
        assert [row["door"] for row in json.loads(listing.output)] == ["json"]
        evidence = str(tmp_path / f"{log.parent.name}.asice")
        ran("audit", "export", exchange, "--log", str(log), "--out", evidence)
        verdict = ran("audit", "verify", evidence, "--anchor", str(country.layout.anchor))
        assert "AUTHENTIQUE" in verdict.output
    ran("audit", "verify-log", str(country.pns), "--anchor", str(country.layout.anchor))


def ran(*arguments: str) -> Result:
    """A command that must succeed."""
    done = CliRunner().invoke(passerelle, arguments)
    assert done.exit_code == 0, done.output
    return done


def first_message(told: str) -> WatchPersonChangesResponse:
    """The first message of a stream of which ``od`` wrote the first bytes: a zero, four bytes of length, the message."""
    dumped = "".join(re.findall(r"^(?: [0-9a-f]{2})+$", told, re.MULTILINE))
    frames = bytes.fromhex(dumped)
    assert frames[0] == 0
    return WatchPersonChangesResponse.FromString(frames[5 : 5 + int.from_bytes(frames[1:5])])


def test_the_json_call_of_the_page_can_be_typed(country: Running) -> None:
    """docs/appeler.md, for the country that runs here."""
    require_program("curl")
    page = (EXAMPLES.parent / "docs" / "appeler.md").read_text(encoding="utf-8")
    (typed,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    here = typed.replace("localhost:42011", country.ports.gateway(1, 1)).replace(
        "var/up/", f"{country.layout.root}/"
    )

    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, timeout=60, check=False)

    assert json.loads(done.stdout)["lastName"] == "ADJOVI", done.stderr


def test_node_calls_with_the_protos_that_the_command_writes(country: Running, tmp_path: Path) -> None:
    """Stock @grpc/grpc-js, and nothing of ours but what a developer gets."""
    require_grpc_js()
    identity = str(country.layout.program(f"{PORTAL}/portail"))
    protos = ("service", "protos", RNPP, "--out", str(tmp_path), "--identity", identity)
    ran(*protos)

    told = printed(
        country,
        *("node", str(EXAMPLES / "node" / "appeler.js")),
        more=(str(tmp_path),),
        NODE_PATH=str(NODE_MODULES),
    )

    assert told.count("fiche ADJOVI") == 2
    for line in (
        "refus NOT_FOUND NOT_FOUND: ",
        "tentative DEADLINE_EXCEEDED",
        f"changement {FIRST_CHANGE}",
        "fin CANCELLED",
    ):
        assert line in told


def test_java_calls_without_anything_installed(country: Running) -> None:
    """The JDK alone: HTTP/2, JSON, and the frames of a stream."""
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("a JDK of version 17 or later is not installed")

    told = printed(country, *JAVA, str(EXAMPLES / "java" / "Appeler.java"))

    assert re.findall(r"HTTP (\d+)", told) == ["200", "404", "504", "200"]
    assert told.count('"lastName": "ADJOVI"') == 1
    assert re.search(r"^changement de [1-9]\d* octets$", told, re.MULTILINE)


def test_php_calls_with_its_extension_curl(country: Running) -> None:
    """PHP as Debian has it, and what it prints."""
    php = require_program("php")
    if "curl" not in subprocess.run([php, "-m"], capture_output=True, text=True, check=True).stdout.split():
        end_without("php", "php is there without its extension curl (make setup-system)")

    told = printed(country, php, str(EXAMPLES / "php" / "appeler.php"))

    assert re.findall(r"HTTP (\d+)", told) == ["404", "504", "200"]
    assert "fiche ADJOVI" in told
    changes = re.findall(r"^changement (\w+) le 20", told, re.MULTILINE)
    assert [len(changes), changes[0]] == [2, FIRST_CHANGE]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_is_short_and_names_no_machine(language: str) -> None:
    """Under 60 lines, to be read at once and copied."""
    (example,) = (EXAMPLES / language).iterdir()

    assert len(example.read_text(encoding="utf-8").splitlines()) < 60
