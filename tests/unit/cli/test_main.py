"""The entry point: finds every command, starts fast, tells errors, clears away nothing that is not ours."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import structlog
from click.testing import CliRunner

from adapters.descriptors import STANDARD_SERVICES
from cli import main
from cli.commands import clear, country, found_country, in_use, to_try, wrapper_of, write_wrapper
from cli.country import tell_unsaid
from cli.demo import tell_what_is_left
from cli.plan import DEFAULT_PLAN, Layout, Ports, load_plan
from core.reasons import ExchangeError, Reason
from rpc.files import replace_file
from rpc.settings import SettingsError
from tests.support.forgetful import without_marks
from tests.support.plans import TWO_MEMBERS

# A country whose one ministry is none of ours.
FIFTH = (Path(__file__).parents[3] / "examples/cinquieme_ministere/pays.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def as_a_command_starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No log is configured, and what a command sets for its process, others do not inherit."""
    monkeypatch.setattr(structlog, "is_configured", lambda: False)
    umask = os.umask(0o022)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    os.umask(umask)
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_listed_command_exists(name: str) -> None:
    """The table names modules and attributes; none may be misspelt."""
    command = main.passerelle.get_command(click.Context(main.passerelle), name)

    assert isinstance(command, click.Command)
    assert command.name in (name, None)


def test_help_imports_no_area() -> None:
    """Listing the areas costs neither grpcio nor SQLAlchemy."""
    code = (
        "import sys, cli.main\n"
        "try:\n    cli.main.passerelle.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'grpc', 'sqlalchemy', 'tuf', 'rich', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "registre central" in done.stdout


def test_unknown_commands_are_a_usage_error() -> None:
    """Exit 2, as DESIGN section 9 says."""
    assert CliRunner().invoke(main.passerelle, ["frobnicate"]).exit_code == 2


@pytest.mark.parametrize("arguments", [["status", "--lang", "en"], ["status", "--lang=en", "--yes"]])
def test_errors_speak_the_language_that_was_asked_for(arguments: list[str]) -> None:
    """``--lang`` holds for a command that fails, too."""
    assert main.language_of(arguments) == "en"
    assert main.language_of(["status", "--lang"]) == "fr"


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "{path}: no such file or directory\nRemedy: check the path; the directory must exist\n"),
        (
            "fr",
            "{path}: fichier ou répertoire absent\nRemède : vérifier le chemin ; le répertoire doit exister\n",
        ),
    ],
)
def test_what_the_system_refuses_is_told_not_traced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: str,
    told: str,
) -> None:
    """Path, cause, remedy, exit 1; the path is the one that was given."""
    out = tmp_path / "nope" / "x.asice"

    @click.command()
    def export() -> None:
        replace_file(out, b"evidence")

    monkeypatch.setattr(main, "passerelle", export)
    monkeypatch.setattr(sys, "argv", ["passerelle"])
    monkeypatch.setenv("PASSERELLE_LANG", language)

    assert main.main() == 1
    assert capsys.readouterr().err == told.format(path=out)


@pytest.mark.parametrize(
    "error", [OSError(), OSError("words"), OSError(99, "odd"), OSError(2, "x", b"/a\x1b")]
)
def test_any_error_of_the_system_is_told(error: OSError, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a number, a path or words, too; a path cannot colour a terminal."""
    assert main.tell_system_error(error, "en") == 1
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == 2
    assert all(line.isprintable() and line for line in lines)


def test_a_process_that_serves_keeps_the_place_in_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence for people, the traceback for who looks into the log."""
    monkeypatch.setattr(structlog, "is_configured", lambda: True)

    with structlog.testing.capture_logs() as events:
        main.tell_system_error(OSError(28, "full", "/var/log"), "en")

    assert [event["event"] for event in events] == ["process_failed"]


def test_help_keeps_its_second_language() -> None:
    """A line of help is wrapped, never cut where English begins."""
    result = CliRunner().invoke(main.passerelle, ["agreement", "--help"])

    assert "sign an agreement with the member key" in " ".join(result.output.split())


def test_operators_orders_stand_beside_the_gateways_own() -> None:
    """``gateway suspend`` and ``gateway revoke`` talk to the registry, the others to the gateway."""
    result = CliRunner().invoke(main.passerelle, ["gateway", "--help"])

    assert all(verb in result.output for verb in ("init", "suspend", "revoke"))


@pytest.mark.parametrize("command", ["found", "up", "demo"])
def test_a_directory_that_is_not_ours_is_left_alone(tmp_path: Path, command: str) -> None:
    """``--dir`` could be given anything: no command writes there, so that none may clear it later."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("years of work")
    (theirs / "country.toml").write_text(TWO_MEMBERS)
    arguments = [str(theirs / "country.toml"), str(theirs)] if command == "found" else ["--dir", str(theirs)]

    done = CliRunner().invoke(country, [command, *arguments])

    assert isinstance(done.exception, ExchangeError)
    assert done.exception.reason is Reason.ALREADY_EXISTS
    assert {path.name for path in theirs.iterdir()} == {"thesis.tex", "country.toml"}


def test_a_half_founded_country_is_cleared_away(tmp_path: Path) -> None:
    """What a founding began, the next one may remove."""
    layout = Layout(tmp_path / "country")
    layout.ca.mkdir(parents=True)
    layout.marker.touch()
    layout.plan.write_text(TWO_MEMBERS)

    clear(layout)

    assert not list(layout.root.iterdir())


def test_a_clearing_cut_short_is_still_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker goes last."""
    layout = Layout(tmp_path)
    layout.ca.mkdir()
    layout.marker.touch()

    def cut_short(_path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", cut_short)
        with pytest.raises(KeyboardInterrupt):
            clear(layout)
    clear(layout)

    assert not list(tmp_path.iterdir())


def test_a_running_country_is_neither_cleared_nor_run_twice(tmp_path: Path) -> None:
    """``country demo --dir var/up`` beside ``make up`` would take its logs away from under it."""
    layout = Layout(tmp_path)
    layout.marker.touch()
    kept = tmp_path / "kept"
    kept.touch()

    with in_use(layout):
        with pytest.raises(ExchangeError) as not_cleared:
            clear(layout)
        with pytest.raises(ExchangeError) as not_run, in_use(layout):
            pass
        assert kept.exists()
    assert not_cleared.value.reason is not_run.value.reason is Reason.STATE_CONFLICT
    clear(layout)

    assert not kept.exists()


def test_a_founded_country_is_not_founded_again(tmp_path: Path) -> None:
    """Nothing of it is touched, its plan neither."""
    layout = Layout(tmp_path)
    layout.marker.touch()
    layout.plan.write_text("theirs")
    layout.founded.write_text('{"base_port": 42000}')

    with pytest.raises(ExchangeError) as refused:
        found_country(None, tmp_path, 42_000)

    assert refused.value.reason is Reason.ALREADY_EXISTS
    assert layout.plan.read_text() == "theirs"


@pytest.mark.parametrize("command", ["up", "found"])
def test_a_founding_refused_for_its_ports_leaves_nothing_behind(tmp_path: Path, command: str) -> None:
    """Somebody listens where the registry would."""
    plan = tmp_path / "country.toml"
    plan.write_text(TWO_MEMBERS)
    arguments = [str(plan), str(tmp_path / "bj")] if command == "found" else ["--dir", str(tmp_path / "bj")]
    with socket.create_server(("127.0.0.1", 0)) as server:
        base = str(server.getsockname()[1])

        done = CliRunner().invoke(country, [command, *arguments, "--base-port", base])

    assert isinstance(done.exception, ExchangeError)
    assert done.exception.reason is Reason.PORT_IN_USE
    assert [path.name for path in tmp_path.iterdir()] == ["country.toml"]


def test_a_wrapper_works_below_a_path_with_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone may lie anywhere, ``l'État $(x)`` too: every path reaches the command as one argument."""
    root = tmp_path / "l'État $(x)"
    root.mkdir()
    (root / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (root / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(root / "python"))
    layout = Layout(root / "bj")
    layout.root.mkdir()
    layout.plan.write_text(TWO_MEMBERS)
    wrapper = wrapper_of(layout)
    write_wrapper(wrapper, load_plan(layout.plan), layout)

    def last_argument(*arguments: str) -> str:
        done = subprocess.run([wrapper, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    assert last_argument("call", "M", "--as", "BJ/GOV/PNS/PORTAIL") == str(
        layout.program("BJ/GOV/PNS/PORTAIL/portail")
    )
    assert last_argument("member", "list") == str(layout.person("operator", "operateur-1"))
    settings = str(layout.gateway(load_plan(layout.plan).member[0]) / "gateway.toml")
    assert last_argument("status") == settings
    assert last_argument("program", "list") == settings
    assert last_argument("gateway", "register", "--member-key-file", "key") == settings


def test_a_wrapper_adds_nothing_to_what_belongs_to_no_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is made from a key alone; a new gateway has no settings yet."""
    monkeypatch.setattr(sys, "executable", "echo")
    layout = Layout(tmp_path)
    layout.plan.write_text(TWO_MEMBERS)
    wrapper = wrapper_of(layout)
    write_wrapper(wrapper, load_plan(layout.plan), layout)

    for arguments in (["program", "token", "P", "--key", "k"], ["gateway", "init", "d"], ["--help"]):
        done = subprocess.run([wrapper, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["-m", "cli", *arguments]


def test_each_country_has_its_own_wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``./passerelle`` serves ``var/up``; no other country can take it over."""
    monkeypatch.chdir(tmp_path)

    assert wrapper_of(Layout(Path("var/up"))) == Path("passerelle")
    assert wrapper_of(Layout(tmp_path / "var" / "up")) == Path("passerelle")
    assert wrapper_of(Layout(Path("other"))) == tmp_path / "other" / "passerelle"


def test_only_a_wrapper_is_replaced_by_a_wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name that somebody else wrote is refused before anything is founded."""
    monkeypatch.chdir(tmp_path)
    layout = Layout(Path("var/up"))
    layout.plan.parent.mkdir(parents=True)
    layout.plan.write_text(TWO_MEMBERS)
    write_wrapper(wrapper_of(layout), load_plan(layout.plan), layout)
    write_wrapper(wrapper_of(layout), load_plan(layout.plan), layout)
    Path("passerelle").write_text("#!/bin/sh\nsomething else\n")

    with pytest.raises(ExchangeError) as refused:
        wrapper_of(layout)

    assert refused.value.reason is Reason.ALREADY_EXISTS


def test_the_default_plan_is_a_plan(tmp_path: Path) -> None:
    """Two members, two operators, agreements over what the provider publishes; ports follow the order of founding."""
    (tmp_path / "country.toml").write_text(TWO_MEMBERS, encoding="utf-8")

    plan = load_plan(tmp_path / "country.toml")

    assert len(plan.operators) == 2
    assert [member.id for member in plan.member] == ["BJ/GOV/PNS", "BJ/GOV/ANIP"]
    assert plan.member_of(plan.agreement[0].provider).id == "BJ/GOV/ANIP"
    assert [one.service for one in plan.agreement[1:]] == [
        *(STANDARD_SERVICES[one] for one in ("health", "reflection")),
        "bj.identity.v1.PersonEventService",
    ]
    assert Ports(42000).gateway(2, 5) == "127.0.0.1:42025"


@pytest.mark.parametrize(
    ("text", "first", "then"),
    [
        (
            TWO_MEMBERS,
            "p sandbox persons",
            "p call bj.identity.v1.IdentityService/GetPerson --as BJ/GOV/PNS/PORTAIL ",
        ),
        (
            FIFTH,
            "p call bj.diploma.v1.DiplomaService/GetDiploma --as BJ/GOV/PNS/PORTAIL ",
            "p audit list --log ",
        ),
    ],
)
def test_what_a_country_proposes_to_try_is_what_its_agreements_open(
    tmp_path: Path, text: str, first: str, then: str
) -> None:
    """A country without ANIP does not send people to ANIP."""
    (tmp_path / "country.toml").write_text(text, encoding="utf-8")

    proposed = list(to_try(load_plan(tmp_path / "country.toml"), Layout(tmp_path), "p"))

    assert proposed[0].startswith(first)
    assert proposed[1].startswith(then)
    assert ("identity" in "".join(proposed)) == ("identity" in text)


def test_a_founding_names_fields_that_forgot_to_say_whether_they_are_personal() -> None:
    """Nobody is there to be asked; whoever founds a country to try his proto reads it."""
    told: list[str] = []

    tell_unsaid(without_marks(), told.append)

    assert "  bj.identity.v1.GetPersonRequest.npi" in told
    assert "data_subject" in told[0]


def test_what_the_demo_leaves_is_named_with_the_commands_that_check_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By paths as one would type them; a document with the certificate of whoever signed it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "country.toml").write_text(DEFAULT_PLAN, encoding="utf-8")
    paper = tmp_path / "var" / "documents" / "APIEX-RCCM-2026-00000001.pdf"
    paper.parent.mkdir(parents=True)
    paper.touch()

    tell_what_is_left(load_plan(tmp_path / "country.toml"), Layout(tmp_path / "var"))

    told = capsys.readouterr().out
    assert "passerelle audit verify var/preuve.asice --anchor var/anchor.pem\n" in told
    assert (
        "document verify var/documents/APIEX-RCCM-2026-00000001.pdf "
        "--issuer var/members/BJ.GOV.APIEX/adapter/document.crt --anchor var/anchor.pem\n"
    ) in told


def test_a_plan_publishes_standard_services_that_exist(tmp_path: Path) -> None:
    """A name that no server has is told with those that may be named."""
    (tmp_path / "country.toml").write_text(
        TWO_MEMBERS.replace('"reflection"]', '"reflexion"]'), encoding="utf-8"
    )

    with pytest.raises(SettingsError, match="among health, reflection, not reflexion"):
        load_plan(tmp_path / "country.toml")


def test_a_member_of_the_plan_may_have_up_to_five_workers(tmp_path: Path) -> None:
    """Their road ports stand beside those that the gateway has anyway; a sixth would be the next gateway's."""
    (tmp_path / "country.toml").write_text(
        TWO_MEMBERS.replace('id = "BJ/GOV/ANIP"', 'id = "BJ/GOV/ANIP"\nworkers = 5'), encoding="utf-8"
    )
    (tmp_path / "six.toml").write_text(
        TWO_MEMBERS.replace('id = "BJ/GOV/ANIP"', 'id = "BJ/GOV/ANIP"\nworkers = 6'), encoding="utf-8"
    )

    plan = load_plan(tmp_path / "country.toml")

    assert [member.workers for member in plan.member] == [1, 5]
    roads = Ports(42000).roads(2, 5)
    assert roads == tuple(f"127.0.0.1:420{port}" for port in (22, 26, 27, 28, 29))
    with pytest.raises(SettingsError, match="workers must be 1 to 5, not 6"):
        load_plan(tmp_path / "six.toml")
