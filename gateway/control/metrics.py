"""``/metrics`` in the format of Prometheus, from plain integers that the workers report."""

from collections.abc import Callable, Iterator
from operator import attrgetter

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.control.state import GatewayState
from gateway.control.supervisor import WorkerState

_REPORTED = (
    ("passerelle_log_entries", "Durable entries of the log.", attrgetter("report.size")),
    (
        "passerelle_log_signed_entries",
        "Entries under the newest signed head.",
        attrgetter("report.signed_size"),
    ),
    ("passerelle_log_free_bytes", "Free space on the disk of the log.", attrgetter("report.free_bytes")),
    ("passerelle_calls_in_flight", "Calls in flight.", attrgetter("report.in_flight")),
    (
        "passerelle_exchanges_in_doubt",
        "Exchanges whose end the peer must tell.",
        attrgetter("report.in_doubt"),
    ),
)


def render_metrics(state: Callable[[], GatewayState]) -> bytes:
    """The page at this moment."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_GatewayCollector(state()))
    return generate_latest(registry)


class _GatewayCollector(Collector):
    """One scrape: all values belong to the same moment."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Every metric of the gateway."""
        yield from self._configuration()
        yield from self._workers()
        yield _gauge("passerelle_serving", "1 while exchanges are carried.", self._state.is_serving)
        if self._state.days_left is not None:
            yield _gauge(
                "passerelle_log_days_left",
                "Days until the disk of the log reaches its reserve, at the pace of the last day or week.",
                self._state.days_left,
            )
        faults = GaugeMetricFamily("passerelle_fault", "1 for each fault at this moment.", labels=["code"])
        for code in self._state.faults:
            faults.add_metric([code], 1)
        yield faults
        unasked = GaugeMetricFamily(
            "passerelle_unauthenticated_route",
            "1 for each fixed route that asks nobody who calls.",
            labels=["route"],
        )
        for name in self._state.unauthenticated_routes:
            unasked.add_metric([name], 1)
        yield unasked

    def _configuration(self) -> Iterator[Metric]:
        configuration = self._state.configuration
        if configuration is None:
            return
        now = self._state.now_ms
        yield _gauge("passerelle_configuration_version", "Version in force.", configuration.version)
        yield _gauge(
            "passerelle_configuration_age_seconds",
            "Time since the registry confirmed it.",
            max(0, now - configuration.fresh_at) / 1000,
        )
        yield _gauge(
            "passerelle_configuration_expires_in_seconds",
            "Time until every exchange is refused.",
            self._state.expires_in_s or 0,
        )
        yield _gauge(
            "passerelle_configuration_left_out",
            "Documents that did not verify.",
            len(configuration.left_out),
        )

    def _workers(self) -> Iterator[Metric]:
        workers = self._state.workers
        yield _per_worker("passerelle_worker_up", "1 while the process runs.", workers, lambda w: bool(w.pid))
        restarts = CounterMetricFamily(
            "passerelle_worker_restarts", "Times it was restarted.", labels=["worker"]
        )
        events = CounterMetricFamily(
            "passerelle_events", "What the workers counted, since each started.", labels=["worker", "event"]
        )
        faults = GaugeMetricFamily(
            "passerelle_worker_fault",
            "1 for each fault of a worker at this moment.",
            labels=["worker", "code"],
        )
        for worker in workers:
            for code in self._state.faults_of(worker):
                faults.add_metric([str(worker.number), code], 1)
            restarts.add_metric([str(worker.number)], worker.restarts)
            for event, count in sorted((worker.report.counters if worker.report else {}).items()):
                events.add_metric([str(worker.number), event], count)
        yield restarts
        yield faults
        yield events
        reporting = tuple(worker for worker in workers if worker.report is not None)
        for name, text, value in _REPORTED:
            yield _per_worker(name, text, reporting, value)
        yield _per_worker(
            "passerelle_log_stopped",
            "1 if the log signs nothing more: FORKED or LOG_BEHIND_PEERS.",
            reporting,
            lambda w: w.report is not None and w.report.stopped is not None,
        )
        yield _per_worker(
            "passerelle_index_behind_entries",
            "Entries that the index has not read yet.",
            reporting,
            lambda w: w.report.size - self._state.indexed.get(w.report.log, 0) if w.report else 0,
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _per_worker(
    name: str, text: str, workers: tuple[WorkerState, ...], value: Callable[[WorkerState], float]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["worker"])
    for worker in workers:
        family.add_metric([str(worker.number)], float(value(worker)))
    return family
