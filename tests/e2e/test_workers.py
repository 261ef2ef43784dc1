"""Gateways with several workers: one port for programs, one view of all logs, through the commands that people type."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from cli.commands import found_country
from cli.processes import Country, free_base
from gateway.layout import GatewayDirectory
from gateway.local import LocalAdmin, NotRunningError
from passerelle.gateway.v1 import status_pb2
from rpc.remote import RemoteError
from tests.e2e.test_country import Caller
from tests.support.plans import TWO_MEMBERS
from tests.support.running_country import Running
from tests.support.waiting import until

# PNS has two workers, ANIP four.
WORKERS = {"BJ/GOV/PNS": 2, "BJ/GOV/ANIP": 4}
PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


class Workers(Running):
    """The country, with a look at each worker."""

    @property
    def anip(self) -> Path:
        return self.layout.gateway(self.plan.member[1])

    def workers(self, gateway: Path) -> list[status_pb2.WorkerStatus]:
        """As the gateway tells them itself."""
        with LocalAdmin(GatewayDirectory(gateway)) as admin:
            return list(admin.status().workers)

    def sizes(self, gateway: Path) -> list[int]:
        return [one.size for one in self.workers(gateway)]

    def are_ready(self, gateway: Path) -> bool:
        try:
            return all(one.state == "ready" for one in self.workers(gateway))
        except (NotRunningError, RemoteError):
            return False  # control has just been started

    def exchanges(self, gateway: Path) -> dict[str, str]:
        """Exchange ids with the log that each is in, as an auditor lists them."""
        done = self.run("audit", "list", "--log", str(gateway), "--output", "json")
        assert done.returncode == 0, done.stderr
        return {one["exchange"]: one["log"] for one in json.loads(done.stdout)}

    @contextmanager
    def callers(self, count: int) -> Iterator[list[Caller]]:
        """Programs that call without end, with a connection each."""
        callers = [Caller(self) for _ in range(count)]
        for one in callers:
            one.start()
        try:
            for one in callers:
                one.until_answered(3)
            yield callers
        finally:
            for one in callers:
                one.stop.set()
            for one in callers:
                one.join(20)


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    root = tmp_path_factory.mktemp("country")
    text = TWO_MEMBERS
    for member, workers in WORKERS.items():
        text = text.replace(f'id = "{member}"\n', f'id = "{member}"\nworkers = {workers}\n')
    (root / "plan.toml").write_text(text, encoding="utf-8")
    plan, layout, ports = found_country(root / "plan.toml", root / "bj", free_base())
    running = Country(plan, layout, ports)
    try:
        running.start_registry()
        running.start_members()
        found = Workers(plan, layout, ports, running)
        until(lambda: found.are_ready(found.pns) and found.are_ready(found.anip), 60)
        yield found
    finally:
        running.stop()


def worker_pids(gateway: Path) -> list[int]:
    """Those that are written; one that is being written counts for nothing yet."""
    found = [path.read_text(encoding="ascii") for path in sorted(gateway.glob("state/worker-*.pid"))]
    return [int(one) for one in found if one]


def test_a_worker_at_rest_takes_up_less_than_60_mb(country: Workers) -> None:
    """Proportional set size: what is shared among workers counts once."""
    found = [
        int(PSS.findall(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))[0]) / 1024
        for gateway in (country.pns, country.anip)
        for pid in worker_pids(gateway)
    ]

    print("PSS of workers at rest, MiB:", [round(one, 1) for one in found])
    assert len(found) == sum(WORKERS.values())
    assert max(found) < 60


def test_calls_are_spread_over_all_logs_and_every_view_shows_all_of_them(
    country: Workers, tmp_path: Path
) -> None:
    """Four programs, two workers here, four there: each log has its exchanges, and evidence is found in any of them."""
    before = country.sizes(country.pns), country.sizes(country.anip)
    with country.callers(4):
        until(
            lambda: all(
                now >= then + 4
                for gateway, sizes in zip((country.pns, country.anip), before, strict=True)
                for now, then in zip(country.sizes(gateway), sizes, strict=True)
            ),
            60,
        )

    here, there = country.exchanges(country.pns), country.exchanges(country.anip)

    assert set(here) == set(there)
    assert len(set(here.values())) == 2
    assert len(set(there.values())) == 4
    for log in set(here.values()):
        exchange = next(one for one, found in here.items() if found == log)
        settings = str(country.pns / "gateway.toml")
        out = tmp_path / f"{log[:8]}.asice"
        shown = country.run("exchange", "show", exchange, "--config", settings)
        exported = country.run("audit", "export", exchange, "--log", str(country.pns), "--out", str(out))
        verified = country.run("audit", "verify", str(out), "--anchor", str(country.layout.anchor))
        assert log[:16] in shown.stdout, shown.stderr
        assert exported.returncode == 0, exported.stderr
        assert verified.returncode == 0, verified.stdout + verified.stderr
    for gateway in (country.pns, country.anip):
        assert country.run("audit", "verify-log", str(gateway)).returncode == 0


def test_status_metrics_and_readiness_tell_each_worker(country: Workers) -> None:
    """One view of the gateway; a number for each worker in it."""
    base = f"http://{country.ports.gateway(2, 4)}"
    pages = {}
    for path in ("/metrics", "/readyz", "/etat"):
        with urllib.request.urlopen(base + path, timeout=5) as page:  # loopback, ours
            pages[path] = page.read().decode("utf-8")
    logs = country.run("log", "status", "--config", str(country.anip / "gateway.toml"))
    doctor = country.run(
        "doctor", "GATEWAY_DOWN", "--config", str(country.anip / "gateway.toml"), "--lang", "en"
    )

    assert [one["state"] for one in json.loads(pages["/readyz"])["workers"]] == ["ready"] * 4
    assert all(f'passerelle_log_entries{{worker="{number}"}}' in pages["/metrics"] for number in range(4))
    assert all(log in logs.stdout for log in set(country.exchanges(country.anip).values()))
    assert "4 workers run" in doctor.stdout


def kill_and_wait(country: Workers, gateway: Path, worker: int, callers: list[Caller]) -> None:
    """Kill a worker while programs call; return when it is back and has calls again."""
    before = country.workers(gateway)[worker].pid
    os.kill(before, signal.SIGKILL)
    for one in callers:
        one.until_answered(10)
    until(lambda: country.workers(gateway)[worker].pid not in (0, before), 30)
    until(lambda: country.are_ready(gateway), 30)
    size = country.sizes(gateway)[worker]
    if gateway == country.anip:
        # Back, it has its share of the calls, although three others were there all the time.
        until(lambda: country.sizes(gateway)[worker] > size + 4, 30)


@pytest.mark.timeout(120)
def test_one_killed_worker_takes_only_its_own_calls_with_it_and_comes_back(country: Workers) -> None:
    """On both sides, one after the other; control starts it again on the port that all of them share."""
    with country.callers(4) as callers:
        for gateway, worker in ((country.pns, 1), (country.anip, 2)):
            kill_and_wait(country, gateway, worker, callers)

    failures = [one.failures for one in callers]
    print(
        "failures by caller:", [len(one) for one in failures], "answered:", [one.answered for one in callers]
    )
    assert {code for one in failures for code in one} <= {grpc.StatusCode.UNAVAILABLE}
    # Worker 1 of PNS had two of the four connections; the others never noticed that it died.
    until(lambda: country.run("status", "--config", str(country.pns / "gateway.toml")).returncode == 0, 30)


@pytest.mark.timeout(120)
def test_the_port_stays_theirs_while_control_is_away_and_the_next_control_takes_it(country: Workers) -> None:
    """Workers have the socket itself: calls and new connections go on; the next control waits until they let go."""
    before, control = worker_pids(country.pns), country.part("pns-gw1")
    with country.callers(2) as callers, ExitStack() as more:
        control.kill()
        control.wait()
        for one in callers:
            one.until_answered(10)
        more.enter_context(country.callers(2))  # new connections
        assert all(one.failures == [] for one in callers)

        country.start_again("pns-gw1", ["gateway", "serve", "--config", str(country.pns / "gateway.toml")])

        until(lambda: worker_pids(country.pns) not in ([], before) and len(worker_pids(country.pns)) == 2, 60)
        until(lambda: country.are_ready(country.pns), 60)
        for one in callers:
            one.until_answered(10)

    assert set(worker_pids(country.pns)).isdisjoint(before)
    assert {code for one in callers for code in one.failures} <= {grpc.StatusCode.UNAVAILABLE}


def test_a_second_gateway_on_the_same_port_is_refused_by_name(country: Workers, tmp_path: Path) -> None:
    """Of the same user, with a copy of the settings: it starts no worker, and says who has the port."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("anchor.pem", "keys", "log"):
        (copy / name).symlink_to(country.pns / name)
    text = (country.pns / "gateway.toml").read_text(encoding="utf-8")
    free = re.sub(r'^(admin|http) = "127\.0\.0\.1:\d+"', r'\1 = "127.0.0.1:0"', text, flags=re.MULTILINE)
    (copy / "gateway.toml").write_text(free, encoding="utf-8")

    refused = country.run("gateway", "serve", "--config", str(copy / "gateway.toml"))

    assert refused.returncode == 1
    assert "PORT_IN_USE" in refused.stderr
    assert re.search(r"\(pid \d+\)", refused.stderr)
    assert "ADJOVI" in json.dumps(country.call())
