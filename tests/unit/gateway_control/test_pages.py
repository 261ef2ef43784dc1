"""Health, readiness, metrics and /etat, through a real socket."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_struct

from core.reasons import ExchangeError, Reason
from gateway.channel import PeerState, StoppedReport, WorkerReport
from gateway.control.http import StatusPages
from gateway.control.state import (
    AdapterState,
    Condition,
    ConfigurationState,
    Freshness,
    GatewayState,
    LeftOut,
    RegistryState,
    RouteState,
)
from gateway.control.supervisor import WorkerState
from gateway.settings import HostPort

NOW = 1_790_000_000_000
LOG = "ab" * 32
REPORT = WorkerReport(
    state="ready",
    log=LOG,
    size=10,
    signed_size=9,
    in_flight=2,
    free_bytes=5_000_000_000,
    counters={"exchanges": 7, "refused_NO_AGREEMENT": 1},
    peers=(PeerState(gateway="BJ/GOV/ANIP/gw1", log="cd" * 32, state="open", size=12),),
)
WORKER = WorkerState(number=0, pid=42, restarts=1, report=REPORT, silent_s=0.2)
HEALTHY = GatewayState(
    gateway="BJ/GOV/PNS/gw1",
    now_ms=NOW,
    started_at=NOW - 60_000,
    configuration=ConfigurationState(
        version=12, digest="ef" * 32, fresh_at=NOW - 3000, expires_at=NOW + 72 * 3_600_000, members=3
    ),
    freshness=Freshness.FRESH,
    registry=RegistryState("127.0.0.1:42000"),
    workers=(WORKER,),
    adapters=(AdapterState("BJ/GOV/PNS/PORTAIL", "127.0.0.1:9101", "up"),),
    indexed={LOG: 8},
)


class Shown:
    """The state that the pages show; a test changes it."""

    def __init__(self) -> None:
        self.state = HEALTHY

    def __call__(self) -> GatewayState:
        return self.state


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Shown, StatusPages]]:
    shown = Shown()
    pages = StatusPages(HostPort.parse("127.0.0.1:0"), shown, "fr")
    pages.start()
    yield shown, pages
    pages.stop()


@pytest.fixture
def shown(served: tuple[Shown, StatusPages]) -> Shown:
    served[0].state = HEALTHY
    return served[0]


@pytest.fixture
def pages(served: tuple[Shown, StatusPages], shown: Shown) -> StatusPages:
    return served[1]


def get(
    pages: StatusPages, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", pages.port, timeout=10)
    connection.request("GET", path, headers=dict(headers or {}))
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read().decode()


def test_a_gateway_that_serves_is_healthy_and_ready(pages: StatusPages) -> None:
    """Both answers are 200."""
    assert get(pages, "/healthz")[0] == 200
    status, _, body = get(pages, "/readyz")

    assert status == 200
    assert json.loads(body) == {
        "state": "ready",
        "freshness": "fresh",
        "expires_in_s": 72 * 3600,
        "faults": [],
        "unauthenticated_routes": [],
        "workers": [{"worker": 0, "state": "ready", "faults": []}],
    }


def test_each_of_several_workers_is_told_and_one_that_carries_exchanges_is_enough(
    pages: StatusPages, shown: Shown
) -> None:
    """Readiness says 200, and what is wrong with the other; metrics have each under its number."""
    away = replace(WORKER, number=1, pid=0, report=None, is_failing=True)
    shown.state = replace(HEALTHY, workers=(WORKER, away))

    status, _, body = get(pages, "/readyz")
    page, metrics = get(pages, "/etat")[2], get(pages, "/metrics")[2].splitlines()

    assert (status, json.loads(body)["state"]) == (200, "degraded")
    assert json.loads(body)["workers"] == [
        {"worker": 0, "state": "ready", "faults": []},
        {"worker": 1, "state": "stopped", "faults": ["WORKER_DOWN"]},
    ]
    assert json.loads(body)["faults"] == ["WORKER_DOWN"]
    assert "WORKER_DOWN" in page
    assert 'passerelle_worker_fault{code="WORKER_DOWN",worker="1"} 1.0' in metrics
    assert 'passerelle_worker_up{worker="0"} 1.0' in metrics
    assert 'passerelle_worker_up{worker="1"} 0.0' in metrics


def test_a_stale_configuration_is_counted_down(pages: StatusPages, shown: Shown) -> None:
    """On the page, in readiness and in the metrics: how long exchanges still go on."""
    configuration = replace(HEALTHY.configuration, expires_at=NOW + 67 * 3_600_000 + 90_000)  # type: ignore[type-var]
    shown.state = replace(HEALTHY, configuration=configuration, freshness=Freshness.STALE)

    page, ready = get(pages, "/etat")[2], json.loads(get(pages, "/readyz")[2])

    assert "tout échange s&#x27;arrête dans 67 h 01 min" in page
    assert (ready["freshness"], ready["expires_in_s"]) == ("stale", 67 * 3600 + 90)
    assert "passerelle_configuration_expires_in_seconds 241290.0" in get(pages, "/metrics")[2].splitlines()


@pytest.mark.parametrize(
    ("change", "condition", "fault"),
    [
        ({"configuration": None, "freshness": Freshness.EXPIRED}, Condition.WAITING, "CONFIG_MISSING"),
        ({"freshness": Freshness.EXPIRED}, Condition.CLOSED, "CONFIG_EXPIRED"),
        ({"workers": (replace(WORKER, pid=0, report=None),)}, Condition.WAITING, "WORKER_DOWN"),
        (
            {"workers": (replace(WORKER, report=WorkerReport(state="FORKED")),)},
            Condition.CLOSED,
            "FORKED",
        ),
        ({"workers": (replace(WORKER, silent_s=6.0),)}, Condition.CLOSED, "WORKER_SILENT"),
        *(
            (
                {"workers": (replace(WORKER, report=WorkerReport(state="ready", faults=(fault,))),)},
                condition,
                fault,
            )
            for fault, condition in (
                ("LOG_NOT_REGISTERED", Condition.WAITING),
                ("LOG_CLOSED", Condition.CLOSED),
            )
        ),
    ],
)
def test_what_stops_exchanges_makes_the_gateway_not_ready(
    change: dict[str, object], condition: Condition, fault: str, pages: StatusPages, shown: Shown
) -> None:
    """Readiness covers the configuration and the log."""
    shown.state = replace(HEALTHY, **change)  # type: ignore[arg-type]  # one field each, by name

    status, _, body = get(pages, "/readyz")

    assert status == 503
    assert json.loads(body)["state"] == condition
    assert fault in json.loads(body)["faults"]


def test_a_worker_whose_log_is_not_registered_waits_on_the_page(pages: StatusPages, shown: Shown) -> None:
    """It is ready for its part, and serves nobody: « en service » would be untrue."""
    report = WorkerReport(state="ready", faults=("LOG_NOT_REGISTERED",))
    shown.state = replace(HEALTHY, workers=(WORKER, replace(WORKER, number=1, report=report)))

    page = get(pages, "/etat?lang=fr")[2]

    assert page.count("<td>en service</td>") == 1
    assert "<td>attend son enregistrement</td>" in page


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"freshness": Freshness.STALE}, "CONFIG_STALE"),
        (
            {"registry": RegistryState("127.0.0.1:42000", "refused", "REGISTRY_UNREACHABLE")},
            "REGISTRY_UNREACHABLE",
        ),
        *(
            ({"adapters": (AdapterState("BJ/GOV/PNS/PORTAIL", "127.0.0.1:1", state),)}, "ADAPTER_DOWN")
            for state in ("down", "silent")
        ),
        ({"workers": (WORKER, replace(WORKER, number=1, silent_s=6.0))}, "WORKER_SILENT"),
        ({"workers": (replace(WORKER, is_failing=True),)}, "WORKER_DOWN"),
        ({"days_left": 22.9, "low_days": 23}, "DISK_LOW"),
        ({"log_damage": {0: "0.seg is damaged at byte 120"}}, "LOG_DAMAGED"),
        (
            {"workers": (replace(WORKER, report=WorkerReport(state="ready", faults=("DISK_LOW",))),)},
            "DISK_LOW",
        ),
        (
            {
                "configuration": replace(
                    HEALTHY.configuration,  # type: ignore[type-var]  # it is set in HEALTHY
                    left_out=(LeftOut("members/BJ.GOV.X.json", "agreement", "bad signature"),),
                )
            },
            "DOCUMENT_INVALID",
        ),
    ],
)
def test_what_needs_attention_is_named_while_exchanges_go_on(
    change: dict[str, object], fault: str, pages: StatusPages, shown: Shown
) -> None:
    """A stale configuration, an adapter that is down: degraded, and ready."""
    shown.state = replace(HEALTHY, **change)  # type: ignore[arg-type]  # one field each, by name

    status, _, body = get(pages, "/readyz")

    assert status == 200
    assert json.loads(body)["state"] == "degraded"
    assert json.loads(body)["faults"] == [fault]


def test_a_route_that_asks_nobody_is_shown_and_stops_nothing(pages: StatusPages, shown: Shown) -> None:
    """It was decided; whoever looks at the gateway's health sees it."""
    shown.state = replace(
        HEALTHY,
        routes=(
            RouteState("guichet", "10.0.0.7:8501", is_unauthenticated=False),
            RouteState("local", "127.0.0.1:8502", is_unauthenticated=True),
        ),
    )

    status, _, readiness = get(pages, "/readyz")
    page = get(pages, "/etat?lang=fr")[2]

    assert (status, json.loads(readiness)["unauthenticated_routes"]) == (200, ["local"])
    assert json.loads(readiness)["state"] == Condition.READY
    assert "PERSONNE N&#x27;EST AUTHENTIFIÉ" in page
    assert "127.0.0.1:8502" in page
    assert 'passerelle_unauthenticated_route{route="local"} 1.0' in get(pages, "/metrics")[2]
    shown.state = HEALTHY
    assert "Routes fixes" not in get(pages, "/etat?lang=fr")[2]


def test_a_peer_whose_clock_differs_needs_attention(pages: StatusPages, shown: Shown) -> None:
    """Which one, and by how much; whose clock is wrong nobody can tell from here."""
    peer = replace_struct(REPORT.peers[0], state="CLOCK_SKEW", ahead_s=432)
    shown.state = replace(HEALTHY, workers=(replace(WORKER, report=replace_struct(REPORT, peers=(peer,))),))

    page, ready = get(pages, "/etat")[2], json.loads(get(pages, "/readyz")[2])

    assert "<td>CLOCK_SKEW (-432 s)</td>" in page
    assert ready["faults"] == ["CLOCK_SKEW"]


def test_metrics_are_what_the_workers_report(pages: StatusPages) -> None:
    """Plain integers, by worker."""
    _, headers, body = get(pages, "/metrics")

    assert headers["Content-Type"].startswith("text/plain")
    for line in (
        'passerelle_log_entries{worker="0"} 10.0',
        'passerelle_index_behind_entries{worker="0"} 2.0',
        'passerelle_events_total{event="refused_NO_AGREEMENT",worker="0"} 1.0',
        'passerelle_worker_restarts_total{worker="0"} 1.0',
        "passerelle_configuration_version 12.0",
        "passerelle_configuration_age_seconds 3.0",
        "passerelle_serving 1.0",
    ):
        assert line in body.splitlines()


def test_days_left_on_the_disk_are_shown_where_they_are_foreseen(pages: StatusPages, shown: Shown) -> None:
    """On the page and in the metrics; a gateway that cannot tell yet shows none."""
    before = get(pages, "/metrics")[2], get(pages, "/etat")[2]
    shown.state = replace(HEALTHY, days_left=23.4)

    assert "passerelle_log_days_left 23.4" in get(pages, "/metrics")[2].splitlines()
    assert "jours avant la réserve du disque : 23<" in get(pages, "/etat")[2]
    assert "passerelle_log_days_left" not in before[0]
    assert "réserve du disque" not in before[1]


def test_metrics_before_the_first_configuration(pages: StatusPages, shown: Shown) -> None:
    """What is not known is not shown."""
    shown.state = replace(HEALTHY, configuration=None, workers=(replace(WORKER, report=None),))

    _, _, body = get(pages, "/metrics")

    assert "passerelle_configuration_version" not in body
    assert 'passerelle_fault{code="CONFIG_MISSING"} 1.0' in body


@pytest.mark.parametrize(
    ("path", "language", "word"),
    [
        ("/etat", "fr", "EN SERVICE"),
        ("/", "fr", "EN SERVICE"),
        ("/etat?lang=en", "en", "IN SERVICE"),
        ("/etat?lang=fr", "fr", "Liaisons"),
        ("/etat?lang=de", "fr", "Liaisons"),
    ],
)
def test_the_page_speaks_french_and_english(path: str, language: str, word: str, pages: StatusPages) -> None:
    """French is the default of this gateway."""
    status, headers, body = get(pages, path)

    assert status == 200
    assert f'<html lang="{language}">' in body
    assert word in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "<script" not in body


def test_states_are_words_in_the_readers_language(pages: StatusPages, shown: Shown) -> None:
    """An administrator at two in the morning reads French; a state without words is shown as it is."""
    _, _, french = get(pages, "/etat")
    _, _, english = get(pages, "/etat?lang=en")
    shown.state = replace(HEALTHY, adapters=())
    _, _, without = get(pages, "/etat")

    assert "<td>répond</td>" in french
    assert "<td>up</td>" in english
    assert "<h2>Adaptateurs</h2><p>aucun</p>" in without
    assert "<h2>À traiter</h2><p>rien</p>" in without


def test_the_page_before_the_first_configuration(pages: StatusPages, shown: Shown) -> None:
    """It says so, and does not fail."""
    shown.state = replace(
        HEALTHY,
        configuration=None,
        workers=(replace(WORKER, pid=0, report=None),),
        adapters=(),
        registry=RegistryState("127.0.0.1:1", "connection refused"),
    )

    _, _, body = get(pages, "/etat")

    assert "aucune configuration reçue" in body
    assert "connection refused" in body


def test_what_the_page_shows_is_escaped(pages: StatusPages, shown: Shown) -> None:
    """A document that did not verify may hold anything."""
    hostile = LeftOut("<script>alert(1)</script>", "document", "<img src=x>")
    assert HEALTHY.configuration is not None
    shown.state = replace(HEALTHY, configuration=replace(HEALTHY.configuration, left_out=(hostile,)))

    _, _, body = get(pages, "/etat")

    assert "<script" not in body
    assert "<img" not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1", "[::2]:1", "[", ""])
def test_a_request_for_another_host_is_refused(host: str, pages: StatusPages) -> None:
    """A web page elsewhere must not read the state through a browser on this machine."""
    assert get(pages, "/etat", {"Host": host})[0] == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:9444", "127.0.0.1:9444", "[::1]:9444"])
def test_a_request_for_this_machine_is_answered(host: str, pages: StatusPages) -> None:
    """By any of its loopback names."""
    assert get(pages, "/healthz", {"Host": host})[0] == 200


def test_other_paths_and_methods_are_refused(pages: StatusPages) -> None:
    """There is nothing to change."""
    connection = http.client.HTTPConnection("127.0.0.1", pages.port, timeout=10)
    connection.request("POST", "/etat", body=b"x")

    assert connection.getresponse().status == 501
    assert get(pages, "/secrets")[0] == 404


def test_too_many_connections_are_closed_and_others_go_on_later(pages: StatusPages) -> None:
    """Each connection is a thread: their number is bounded."""
    held = [socket.create_connection(("127.0.0.1", pages.port), timeout=10) for _ in range(16)]
    one_more = socket.create_connection(("127.0.0.1", pages.port), timeout=10)

    closed = one_more.recv(1)
    for connection in (*held, one_more):
        connection.close()

    assert closed == b""
    for _ in range(50):
        try:
            if get(pages, "/healthz")[0] == 200:
                return
        except ConnectionError:
            continue
    raise AssertionError("connections were not freed")


def test_a_clock_stepped_back_makes_nothing_stale() -> None:
    """Age is never negative, and expiry still counts."""
    configuration = ConfigurationState(version=1, digest="", fresh_at=NOW, expires_at=NOW + 1000, members=0)

    assert configuration.freshness(NOW - 60_000, 600) is Freshness.FRESH
    assert configuration.freshness(NOW + 1000, 600) is Freshness.EXPIRED


def test_a_gateway_beside_a_running_one_is_told_that_its_port_is_taken(
    served: tuple[Shown, StatusPages],
) -> None:
    """By the reason whose remedy fits, not by the system's own words."""
    shown, running = served

    with pytest.raises(ExchangeError) as refused:
        StatusPages(HostPort("127.0.0.1", running.port), shown, "fr")

    assert refused.value.reason is Reason.PORT_IN_USE


def test_a_stopped_log_is_told_on_page_metrics_and_readiness(pages: StatusPages, shown: Shown) -> None:
    """Sizes here and there, who holds the head, what to do: the escaped words, not a code alone."""
    told = StoppedReport(here=12, there=15, witness="registry")
    report = WorkerReport(state="LOG_BEHIND_PEERS", log="ab" * 32, stopped=told)
    shown.state = replace(HEALTHY, workers=(replace(WORKER, report=report),))

    page, metrics, ready = (get(pages, path)[2] for path in ("/etat?lang=en", "/metrics", "/readyz"))

    assert "Old log: 12 here, 15 at the registry" in page
    assert 'passerelle_log_stopped{worker="0"} 1.0' in metrics
    assert "LOG_BEHIND_PEERS" in json.loads(ready)["faults"]


@pytest.mark.parametrize(
    ("states", "faults"),
    [
        ({"BJ/GOV/ANIP/gw1": "PEER_UNREACHABLE"}, ("PEER_UNREACHABLE",)),
        ({"BJ/GOV/ANIP/gw1": "PEER_UNREACHABLE", "BJ/GOV/ANIP/gw2": "open"}, ()),
        ({"BJ/GOV/ANIP/gw1": "PEER_UNREACHABLE", "BJ/GOV/PNS/gw1": "open"}, ("PEER_UNREACHABLE",)),
        ({"BJ/GOV/ANIP/gw1": "lost"}, ()),
    ],
    ids=["alone", "another-gateway", "another-member", "not-in-use"],
)
def test_a_member_that_was_dialled_in_vain_is_a_fault(
    states: dict[str, str], faults: tuple[str, ...]
) -> None:
    """Unless another of its gateways is reached; a link that broke and that nobody waits for is none."""
    peers = tuple(PeerState(gateway=name, log="cd" * 32, state=state) for name, state in states.items())
    worker = replace(WORKER, report=replace_struct(REPORT, peers=peers))

    assert replace(HEALTHY, workers=(worker,)).faults == faults
