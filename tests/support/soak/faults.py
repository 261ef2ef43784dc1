"""The weather of a soak: what breaks, for how long, and how it is mended."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ledger.failpoints import VARIABLE
from tests.support.soak.country import CONSUMER_GATEWAY, GATEWAYS, PROVIDER_GATEWAY, REGISTRY, SoakCountry

Mend = Callable[[], None]
Break = Callable[[SoakCountry, random.Random], Mend]

SLOW_DISK: Final = "commit.sync:delay=50"
CLOCK_STEP: Final = "SOAK_CLOCK_STEP_S"


def _nothing() -> None:
    """It mends itself."""


def _some(chance: random.Random) -> tuple[str, ...]:
    """One gateway, or the other, or both."""
    return chance.choice(((CONSUMER_GATEWAY,), (PROVIDER_GATEWAY,), GATEWAYS))


def _start(country: SoakCountry, gateways: tuple[str, ...]) -> Mend:
    """Each of them is started again."""

    def start() -> None:
        for gateway in gateways:
            country.start(gateway)

    return start


def worker_killed(country: SoakCountry, chance: random.Random) -> Mend:
    """SIGKILL; control starts it again."""
    for gateway in _some(chance):
        assert country.signal_worker(gateway, signal.SIGKILL), f"{gateway} has no worker"
    return _nothing


def control_killed(country: SoakCountry, chance: random.Random) -> Mend:
    """SIGKILL; the worker goes on alone, until the next control takes its place."""
    gateways = _some(chance)
    for gateway in gateways:
        country.kill(gateway)
    return _start(country, gateways)


def gateway_killed(country: SoakCountry, chance: random.Random) -> Mend:
    """Control and worker at once, as if the machine had gone."""
    gateways = _some(chance)
    for gateway in gateways:
        worker = country.worker(gateway)
        country.kill(gateway)
        if worker is not None:
            country.signal_worker(gateway, signal.SIGKILL)
    return _start(country, gateways)


def gateway_stopped(country: SoakCountry, chance: random.Random) -> Mend:
    """SIGTERM, as an upgrade does."""
    gateway = chance.choice(GATEWAYS)
    code = country.stop(gateway)
    assert code == 0, f"{gateway} ended with {code}"
    return lambda: country.start(gateway)


def worker_hangs(country: SoakCountry, chance: random.Random) -> Mend:
    """SIGSTOP; control kills it if it takes too long."""
    stopped = [country.signal_worker(gateway, signal.SIGSTOP) for gateway in _some(chance)]

    def mend() -> None:
        for pid in stopped:
            if pid is not None:
                _continue(pid)

    return mend


def _continue(pid: int) -> None:
    with suppress(ProcessLookupError):  # control was quicker
        os.kill(pid, signal.SIGCONT)


def registry_away(country: SoakCountry, chance: random.Random) -> Mend:
    """SIGKILL for the registry."""
    country.kill(REGISTRY)
    return lambda: country.start(REGISTRY)


def adapter_restarted(country: SoakCountry, chance: random.Random) -> Mend:
    """SIGKILL for the adapter, in the midst of its calls."""
    country.stop_adapter()
    return country.start_adapter


def adapter_hangs(country: SoakCountry, chance: random.Random) -> Mend:
    """SIGSTOP for the adapter."""
    country.signal_adapter(signal.SIGSTOP)
    return lambda: country.signal_adapter(signal.SIGCONT)


def link_dead(country: SoakCountry, chance: random.Random) -> Mend:
    """Nothing passes any more, in one direction or both, and nobody says so."""
    country.link.kill(*chance.choice((("up",), ("down",), ("up", "down"))))
    return country.link.heal


def link_cut(country: SoakCountry, chance: random.Random) -> Mend:
    """Every connection between the gateways is reset."""
    country.link.cut()
    return _nothing


def _restarted(country: SoakCountry, gateways: tuple[str, ...], environment: dict[str, str]) -> Mend:
    """Gateways are stopped in good order and started in a worse environment; mended in the same way.

    A start may take minutes, so it is over when this returns: else it would be mended before anything broke.
    """

    def stop() -> None:
        for gateway in gateways:
            country.stop(gateway)

    def mend() -> None:
        stop()
        for gateway in gateways:
            country.start(gateway)

    stop()
    for gateway in gateways:
        country.start(gateway, environment)
    country.until_serving_or_dead()
    return mend


def disk_slow(country: SoakCountry, chance: random.Random) -> Mend:
    """Every sync takes 50 ms longer."""
    return _restarted(country, _some(chance), {VARIABLE: SLOW_DISK})


def disk_full(country: SoakCountry, chance: random.Random) -> Mend:
    """A write in mid-commit finds no room; the worker ends at once, is started again, and finds none again."""
    point = chance.choice(("commit.write", "commit.torn"))
    environment = {VARIABLE: f"{point}:ENOSPC:{chance.randint(5, 500)}"}
    return _restarted(country, (chance.choice(GATEWAYS),), environment)


def clock_wrong(country: SoakCountry, chance: random.Random) -> Mend:
    """The wall clock of one gateway's worker is ten minutes ahead or behind."""
    step = chance.choice(("-600", "600"))
    environment = {CLOCK_STEP: step, "PYTHONPATH": str(Path(__file__).with_name("stepped"))}
    return _restarted(country, (chance.choice(GATEWAYS),), environment)


FAULTS: Final[tuple[Break, ...]] = (
    worker_killed,
    control_killed,
    gateway_killed,
    gateway_stopped,
    worker_hangs,
    registry_away,
    adapter_restarted,
    adapter_hangs,
    link_dead,
    link_cut,
    disk_slow,
    disk_full,
    clock_wrong,
)


def weather(chance: random.Random) -> Iterator[Break]:
    """Faults without end, at random; none comes again before all others did."""
    while True:
        yield from chance.sample(FAULTS, len(FAULTS))


@contextmanager
def fault(country: SoakCountry, chance: random.Random, broken: Break) -> Iterator[None]:
    """It is broken while this lasts."""
    mend = broken(country, chance)
    try:
        yield
    finally:
        mend()
