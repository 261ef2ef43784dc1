"""One more worker: its log and two lines of ``gateway.toml``; nothing else changes, and nothing is half done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from core.identifiers import GatewayId
from core.leaves import parse_genesis, parse_leaf
from core.reasons import ExchangeError, Reason
from core.registrations import parse_registration
from gateway.commands import gateway as gateway_commands
from gateway.enlarging import add_worker, enlarged, worker_without_log
from gateway.founding import InitResult, registered_logs, registration_payload
from gateway.settings import GatewaySettings, HostPort, Listen
from ledger.reader import LogReader
from rpc.settings import load_settings
from tests.unit.gateway_control.test_founding import PLAN, Founder

pytestmark = pytest.mark.unit

ONE = replace(
    PLAN,
    listen=Listen(
        programs="127.0.0.1:42011",
        road=("127.0.0.1:42012",),
        admin="127.0.0.1:42013",
        http="127.0.0.1:42014",
    ),
)


@pytest.fixture
def founder(tmp_path: Path) -> Founder:
    return Founder(tmp_path)


@pytest.fixture
def made(founder: Founder) -> InitResult:
    """A gateway with one worker, registered or not."""
    made = founder.init(plan=ONE)
    founder.install(made)
    return made


def read(made: InitResult) -> GatewaySettings:
    return load_settings(made.directory.settings, GatewaySettings)


def command(made: InitResult, *options: str) -> Result:
    arguments = ["add-worker", "--config", str(made.directory.settings), "--lang", "en", *options]
    return CliRunner().invoke(gateway_commands, arguments, catch_exceptions=False)


def test_a_worker_is_added_with_a_log_of_its_own(made: InitResult, founder: Founder) -> None:
    """The first keeps its log; the registration that follows names both."""
    before = registered_logs(made.directory, made.settings)
    lines = made.directory.settings.read_text(encoding="utf-8").splitlines()

    result = command(made)

    assert result.exit_code == 0, result.output
    settings = read(made)
    assert settings == enlarged(made.settings, None)
    assert settings.listen.road == ("127.0.0.1:42012", "127.0.0.1:42016")
    after = made.directory.settings.read_text(encoding="utf-8").splitlines()
    changed = [(old, new) for old, new in zip(lines, after, strict=True) if old != new]
    assert changed == [
        ("workers = 1", "workers = 2"),
        ('road = ["127.0.0.1:42012"]', 'road = ["127.0.0.1:42012", "127.0.0.1:42016"]'),
    ]
    logs = parse_registration(registration_payload(made.directory, settings, founder.clock)).logs
    assert logs[:1] == before
    assert (logs[1].worker, logs[1].address) == (1, "127.0.0.1:42016")
    assert logs[1].id in result.output
    (leaf,) = LogReader(made.directory.log(1)).follow()
    genesis = parse_genesis(parse_leaf(leaf.leaf).body)
    assert (genesis.gateway, genesis.worker, genesis.succeeds) == ("BJ/GOV/ANIP/gw1", 1, None)


def test_workers_are_added_one_after_the_other(made: InitResult) -> None:
    """Up to four by the rule of ports; a further port is named."""
    for _ in range(4):
        command(made)

    assert read(made).listen.road[1:] == tuple(f"127.0.0.1:4201{port}" for port in range(6, 10))
    assert command(made, "--road", "127.0.0.1:42500").exit_code == 0
    assert read(made).listen.road[5] == "127.0.0.1:42500"


def test_a_dry_run_changes_nothing(made: InitResult) -> None:
    """It says what would be."""
    result = command(made, "--dry-run")

    assert "Worker 1, road 127.0.0.1:42016" in result.output
    assert read(made) == made.settings
    assert not made.directory.log(1).exists()


def test_what_the_administrator_wrote_stays(made: InitResult) -> None:
    """Comments, order and blanks; ``workers`` and ``road`` as they may be written by hand."""
    path = made.directory.settings
    text = path.read_text(encoding="utf-8")
    text = text.replace("workers = 1\n", "workers=1 # un seul\n")
    text = text.replace('road = ["127.0.0.1:42012"]', 'road = [\n  "127.0.0.1:42012",\n]  # vers les pairs')
    path.write_text(text, encoding="utf-8")

    assert command(made).exit_code == 0

    written = path.read_text(encoding="utf-8")
    assert "workers = 2 # un seul\n" in written
    assert 'road = ["127.0.0.1:42012", "127.0.0.1:42016"]  # vers les pairs\n' in written


def test_lines_that_are_not_there_are_added(made: InitResult) -> None:
    """Both have defaults: one worker, one road port."""
    path = made.directory.settings
    text = path.read_text(encoding="utf-8").replace("workers = 1\n", "")
    path.write_text(text.replace('road = ["127.0.0.1:42012"]\n', ""), encoding="utf-8")

    assert command(made).exit_code == 0

    assert read(made).listen.road == ("0.0.0.0:7444", "0.0.0.0:7448")
    assert read(made).workers == 2


def test_a_file_of_another_form_is_left_alone_and_the_lines_are_told(made: InitResult) -> None:
    """Then they are written by hand, and the command makes the log that is missing."""
    path = made.directory.settings
    text = path.read_text(encoding="utf-8")
    dotted = text.replace("[listen]\n", "").replace("\n[[adapter]]", "\n[[adapter]]", 1)
    for key in ("programs", "road", "admin", "http"):
        dotted = dotted.replace(f"{key} = ", f"listen.{key} = ")
    head, _, listen = dotted.partition("[registry]")
    registry, _, rest = listen.partition("listen.programs")
    dotted_listen, _, tail = rest.partition("\n[")
    path.write_text(f"{head}listen.programs{dotted_listen}\n[registry]{registry}\n[{tail}", encoding="utf-8")
    assert read(made) == made.settings

    with pytest.raises(ExchangeError) as refused:
        command(made)

    assert refused.value.reason is Reason.CONFIG_FILE_INVALID
    assert refused.value.remedy is not None
    assert "`workers = 2`" in refused.value.remedy.en
    assert read(made) == made.settings
    assert not made.directory.log(1).exists()
    by_hand = path.read_text(encoding="utf-8").replace("workers = 1", "workers = 2")
    path.write_text(by_hand.replace(':42012"]', ':42012", "127.0.0.1:42016"]'), encoding="utf-8")
    assert worker_without_log(made.directory, read(made)) == 1
    assert command(made).exit_code == 0
    assert len(registered_logs(made.directory, read(made))) == 2


def test_a_command_that_was_cut_is_given_again(made: InitResult, founder: Founder) -> None:
    """The log was made, the file was not written: the same log is taken."""
    larger = enlarged(made.settings, None)
    first = add_worker(made.directory, made.settings, larger, 1, founder.clock)
    text = made.directory.settings.read_text(encoding="utf-8")
    made.directory.settings.write_text(
        text.replace("workers = 2", "workers = 1").replace(', "127.0.0.1:42016"', ""), encoding="utf-8"
    )

    assert command(made).exit_code == 0

    assert registered_logs(made.directory, read(made))[1] == first


def test_a_port_of_the_gateway_itself_is_refused(made: InitResult) -> None:
    """Two parts cannot have one port."""
    with pytest.raises(ExchangeError, match="port 42013"):
        command(made, "--road", "127.0.0.1:42013")


def test_a_log_of_another_gateway_is_not_taken(made: InitResult, founder: Founder) -> None:
    """A directory that was copied there by mistake."""
    other = founder.init("other", replace(PLAN, gateway=GatewayId.parse("BJ/GOV/ANIP/gw2")))
    other.directory.log(1).rename(made.directory.log(1))

    with pytest.raises(ExchangeError) as refused:
        command(made)

    assert refused.value.reason is Reason.ALREADY_EXISTS
    assert read(made) == made.settings


def test_the_address_may_be_named_in_any_form(made: InitResult) -> None:
    """IPv6, another interface."""
    found = enlarged(made.settings, HostPort.parse("[::1]:7500"))

    assert found.listen.road[1] == "[::1]:7500"
