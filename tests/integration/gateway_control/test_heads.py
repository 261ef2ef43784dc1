"""A real control process and a real worker with a registry that is their witness (PROTOCOL M5)."""

from __future__ import annotations

from click.testing import CliRunner

from core.clock import SystemClock
from core.heads import TreeHead, parse_head
from core.registrations import RegisteredLog
from gateway.channel import WorkerReport
from gateway.commands import log as log_commands
from gateway.commands import status as status_command
from gateway.control.main import Control
from gateway.founding import InitResult
from pki.heads import HeadSigner
from pki.keys import load_chain, read_key
from tests.integration.gateway_control.conftest import Country, Start
from tests.support.published_country import registered
from tests.support.waiting import until


def founded(country: Country) -> InitResult:
    """A gateway of PNS, registered with its own seal certificate and its log."""
    made = country.found(country.pns)
    leaf, issuer = load_chain(made.directory.seal.certificate.read_bytes())
    logs = [RegisteredLog(made.logs[0].id, 0, "127.0.0.1:1")]
    country.published.register(
        country.pns,
        country.published.registration("BJ/GOV/PNS/gw1", seal=[registered(leaf, issuer)], logs=logs),
    )
    country.publish()
    return made


def head_of(made: InitResult, size: int) -> bytes:
    """A head of the gateway's log, signed by its own seal key: as the lost original signed it."""
    leaf = load_chain(made.directory.seal.certificate.read_bytes())[0]
    now_s = SystemClock().now_ms() // 1000
    claims = TreeHead(1, made.logs[0].id, made.settings.gateway, size, "ab" * 32, now_s, None)
    return HeadSigner(read_key(made.directory.seal.key), leaf).sign(claims)


def report(control: Control) -> WorkerReport:
    """What the worker last said."""
    found = control.state().workers[0].report
    return found or WorkerReport(state="starting")


def test_the_newest_head_is_reported_to_the_registry(country: Country, start: Start) -> None:
    """At once after the first signature."""
    made = founded(country)

    control = start(made, command=None)

    until(lambda: bool(country.heads.reported))
    head = parse_head(country.heads.reported[0]).unverified
    assert (head.log, head.size) == (made.logs[0].id, 1)
    until(lambda: report(control).state == "ready")


def test_a_log_behind_the_registry_is_stopped_and_succeeded_while_the_gateway_runs(
    country: Country, start: Start
) -> None:
    """No peer is there: the registry alone noticed it. The command closes the log, the worker comes back on the next."""
    made = founded(country)
    country.heads.held = [head_of(made, 10)]
    control = start(made, command=None)
    until(lambda: report(control).stopped is not None)
    stopped = report(control).stopped
    assert stopped is not None
    assert (stopped.witness, stopped.here, stopped.there) == ("registry", 1, 10)
    assert (report(control).signed_size, country.heads.reported) == (0, [])
    assert "LOG_BEHIND_PEERS" in control.state().faults
    told = CliRunner().invoke(status_command, ["--config", str(made.directory.settings)])
    assert (told.exit_code, "LOG_BEHIND_PEERS" in told.stdout) == (1, True)

    result = CliRunner().invoke(
        log_commands,
        ["succeed", "--reason", "copie", "--yes", "--config", str(made.directory.settings), "--lang", "fr"],
        catch_exceptions=False,
    )

    assert result.exit_code == 0, result.output
    assert "1 feuilles ici ; 10 au registre." in result.output
    # What comes next works from any directory, as it is printed.
    assert (
        f"passerelle gateway register --config {made.directory.settings} --member-key-file" in result.output
    )
    until(lambda: report(control).log not in ("", made.logs[0].id))
    until(lambda: report(control).state == "ready")
    assert "LOG_NOT_REGISTERED" in report(control).faults
    until(lambda: set(control.state().indexed) == {made.logs[0].id, report(control).log})


def test_a_worker_starts_without_the_registry_and_says_so(country: Country, start: Start) -> None:
    """It waits for the answer that does not come no longer than for a peer."""
    made = founded(country)
    first = start(made, command=None)
    until(lambda: report(first).signed_size > 0 and "LOG_UNCONFIRMED" not in report(first).faults)
    first.stop()
    country.stop_registry()

    again = start(made, command=None)

    until(lambda: report(again).state == "ready" and report(again).signed_size > 0)
    assert "LOG_UNCONFIRMED" in report(again).faults
