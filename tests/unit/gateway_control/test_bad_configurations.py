"""A registry that serves damage, a disk that holds some: the good configuration stays, and comes back unaided.

``REHEARSAL_ROUNDS`` makes it more rounds than a test run has time for; docs/reliability.md has the figures.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.configuration import decode_current
from core.reasons import ExchangeError
from gateway.channel import ConfigurationChanged, ToWorker
from gateway.control.configuration import CONFIG_NOT_STORED, ConfigurationKeeper
from gateway.control.repository import FileMissingError
from gateway.layout import GatewayDirectory
from tests.support.mutations import mutate
from tests.support.tuf_repository import TufRepository
from tests.unit.gateway_control.test_configuration import SETTINGS, judge

ROUNDS = int(os.environ.get("REHEARSAL_ROUNDS", "100"))


class Weather:
    """One gateway's keeper of the configuration, its directory and its registry, which may serve damage."""

    def __init__(self, root: Path) -> None:
        self.registry = TufRepository()
        self.clock = ManualClock(int(self.registry.now.timestamp() * 1000))
        self.directory = GatewayDirectory(root)
        self.told: list[ToWorker] = []
        self.spoil: Callable[[str, bytes], bytes | None] = lambda path, data: data
        self.good: dict[int, tuple[str, int]] = {}
        self.publish()

    def publish(self) -> None:
        """A new version, with a document that only it has."""
        number = self.registry.version + 1
        self.registry.publish({"common.json": b"common", "members/x.json": b"%d" % number})
        self.good[number] = (self.registry.targets_digest, number)

    def keeper(self) -> ConfigurationKeeper:
        """The keeper of a process that starts now."""
        return ConfigurationKeeper(
            SETTINGS, self.directory, self.registry.root, judge, self, self.clock, self.told.append
        )

    def fetch(self, path: str) -> Iterator[bytes]:
        """Serve a file, as it is or as ``spoil`` leaves it."""
        data = self.spoil(path, b"".join(self.registry.source(path)))
        if data is None:
            raise FileMissingError(path)
        yield data

    def watch(self, version: int) -> Iterator[int]:
        """Nobody watches here."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Nobody watches here."""

    def require_good(self, keeper: ConfigurationKeeper, at_least: int) -> int:
        """What is in force, in memory and on disk, is a signed version, none before ``at_least``."""
        assert keeper.in_force is not None
        trusted = keeper.in_force.trusted
        assert self.good[trusted.version][0] == trusted.digest
        assert trusted.version >= at_least
        assert keeper.read_target("members/x.json") == b"%d" % trusted.version
        current = decode_current(self.directory.current.read_bytes())
        assert (current.version, current.digest) == (trusted.version, trusted.digest)
        assert all(isinstance(one, ConfigurationChanged) for one in self.told[:1])
        return trusted.version


@pytest.fixture
def weather(tmp_path: Path) -> Weather:
    return Weather(tmp_path)


def attempt(work: Callable[[], None]) -> None:
    """Nothing but what the keeper names may come out of it."""
    try:
        work()
    except ExchangeError:
        return


@pytest.mark.no_cover
def test_damaged_answers_never_replace_a_good_configuration(weather: Weather) -> None:
    """Any file of an answer damaged or missing: refused, said, and the next good answer comes into force."""
    chance = random.Random(20261127)
    keeper = weather.keeper()
    keeper.refresh()
    held = weather.require_good(keeper, 1)

    for _ in range(ROUNDS):
        weather.publish()
        victim = chance.choice(["timestamp.json", "snapshot.json", "targets.json", "x.json", "common.json"])
        is_missing = chance.random() < 0.2

        def spoil(
            path: str, data: bytes, victim: str = victim, is_missing: bool = is_missing
        ) -> bytes | None:
            if not path.endswith(victim):
                return data
            return None if is_missing else mutate(data, chance)

        weather.spoil = spoil
        attempt(keeper.refresh)
        held = weather.require_good(keeper, held)
        assert held == weather.registry.version or keeper.registry.reason
        if chance.random() < 0.3:
            keeper = weather.keeper()
            keeper.restore()
            held = weather.require_good(keeper, held)

        weather.spoil = lambda path, data: data
        keeper.refresh()
        held = weather.require_good(keeper, weather.registry.version)
        assert keeper.registry.reason == ""


def test_damage_on_the_disk_never_brings_a_bad_configuration(weather: Weather) -> None:
    """Any file that control keeps damaged or gone: the start goes on with a good version or waits for the registry."""
    chance = random.Random(20261128)
    keeper = weather.keeper()
    keeper.refresh()
    weather.publish()
    keeper.refresh()
    pristine = weather.directory.root.parent / "pristine"
    shutil.copytree(weather.directory.configuration, pristine, symlinks=True)

    for _ in range(ROUNDS):
        shutil.rmtree(weather.directory.configuration)
        shutil.copytree(pristine, weather.directory.configuration, symlinks=True)
        for _ in range(chance.randrange(1, 3)):
            files = sorted(one for one in weather.directory.configuration.rglob("*") if one.is_file())
            victim = chance.choice(files)
            if chance.random() < 0.2:
                victim.unlink()
            else:
                victim.write_bytes(mutate(victim.read_bytes(), chance))

        keeper = weather.keeper()
        keeper.restore()
        if keeper.in_force is not None:
            weather.require_good(keeper, 1)
        keeper.refresh()

        weather.require_good(keeper, 2)


def test_an_answer_that_broke_off_leaves_a_start_without_registry(weather: Weather) -> None:
    """The newest timestamp was trusted already, the version that it names never came: the mirror's still holds."""
    keeper = weather.keeper()
    keeper.refresh()
    weather.publish()
    weather.spoil = lambda path, data: None if path.endswith("targets.json") else data
    attempt(keeper.refresh)
    weather.registry.away = True

    restarted = weather.keeper()
    restarted.restore()

    assert weather.require_good(restarted, 1) == 1


def test_a_version_refused_for_what_it_says_leaves_a_start_without_registry(weather: Weather) -> None:
    """Its signatures hold, its common document does not: the mirror goes on with the version before."""
    keeper = weather.keeper()
    keeper.refresh()
    weather.registry.publish({"common.json": b"nonsense"})
    attempt(keeper.refresh)
    weather.registry.away = True

    restarted = weather.keeper()
    restarted.restore()

    assert weather.require_good(restarted, 1) == 1


def test_a_restored_directory_of_yesterday_does_not_lead_back(weather: Weather) -> None:
    """Metadata and mirror from a backup beside the file that workers read: refused, said, until the registry answers."""
    keeper = weather.keeper()
    keeper.refresh()
    yesterday = weather.directory.root / "yesterday"
    shutil.copytree(weather.directory.configuration, yesterday, symlinks=True)
    weather.publish()
    keeper.refresh()
    today = weather.directory.current.read_bytes()
    shutil.rmtree(weather.directory.configuration)
    shutil.copytree(yesterday, weather.directory.configuration, symlinks=True)
    weather.directory.current.write_bytes(today)

    restarted = weather.keeper()
    restarted.restore()

    assert restarted.in_force is None
    assert restarted.state is not None
    assert restarted.state.version == 2
    restarted.refresh()
    assert weather.require_good(restarted, 2) == 2


def test_a_restored_file_of_yesterday_is_replaced_at_the_start(weather: Weather) -> None:
    """The signed files decide, with the registry away, too."""
    keeper = weather.keeper()
    keeper.refresh()
    yesterday = weather.directory.current.read_bytes()
    weather.publish()
    keeper.refresh()
    weather.directory.current.write_bytes(yesterday)
    weather.registry.away = True

    restarted = weather.keeper()
    restarted.restore()

    assert weather.require_good(restarted, 2) == 2


def test_a_lost_timestamp_does_not_make_an_old_configuration_fresh(weather: Weather) -> None:
    """The mirror confirms nothing: the age is counted from when the registry was last heard."""
    keeper = weather.keeper()
    keeper.refresh()
    fetched = weather.clock.now_ms()
    weather.clock.step(timedelta(hours=1))
    (weather.directory.tuf / "timestamp.json").unlink()

    restarted = weather.keeper()
    restarted.restore()

    assert restarted.state is not None
    assert restarted.state.fresh_at == fetched


def test_a_disk_that_takes_nothing_leaves_the_version_in_force_confirmed(
    weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version cannot be handed over, and that is said; the one in force does not grow old for it."""
    keeper = weather.keeper()
    keeper.refresh()
    full = OSError(28, "No space left on device")

    def refuse(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr("gateway.control.configuration.replace_file", refuse)
    weather.clock.step(timedelta(minutes=5))
    weather.registry.renew()
    with pytest.raises(OSError):
        keeper.refresh()

    assert keeper.registry.reason == CONFIG_NOT_STORED
    assert keeper.state is not None
    assert keeper.state.fresh_at == weather.clock.now_ms()
    weather.publish()
    with pytest.raises(OSError):
        keeper.refresh()
    assert keeper.state.version == 1
    monkeypatch.undo()
    keeper.refresh()
    assert weather.require_good(keeper, 2) == 2
