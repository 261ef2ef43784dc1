"""Keeping the configuration in force: forward only, whole, and through absences of the registry."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import structlog

from core.clock import ManualClock
from core.configuration import (
    Authorities,
    CommonDocument,
    CurrentConfiguration,
    Marks,
    RegistryParty,
    encode_current,
)
from core.documents import decode_strict
from core.identifiers import ProgramId
from core.reasons import ExchangeError, Reason
from gateway.channel import ConfigurationChanged, ConfigurationConfirmed, ToWorker
from gateway.control.configuration import ConfigurationKeeper
from gateway.control.programs import PinnedPrograms
from gateway.control.repository import RegistryAwayError, UntrustedConfigurationError
from gateway.control.state import Freshness, LeftOut
from gateway.control.verification import JudgedConfiguration
from gateway.layout import GatewayDirectory
from gateway.settings import Configuration, GatewaySettings, Registry
from tests.support.tuf_repository import TufRepository

SETTINGS = GatewaySettings(
    gateway="BJ/GOV/PNS/gw1",
    member_key="k" * 43,
    registry=Registry(id="BJ/GOV/ASIN/registre", address="127.0.0.1:7443"),
)
COMMON = CommonDocument(
    v=1,
    instance="BJ",
    registry=RegistryParty(id="BJ/GOV/ASIN/registre", logs=[], certificates=[]),
    purposes=[],
    authorities=Authorities(auth=[], seal=[]),
    crls=[],
    personal_number_pattern="[0-9]{10}",
)


class SimulatedRegistry:
    """A registry whose Watch stream the test feeds."""

    def __init__(self) -> None:
        self.repository = TufRepository()
        self._changed = threading.Condition()
        self._told = 0
        self._broken = 0
        self.watchers = 0
        self.cancelled = False

    def fetch(self, path: str) -> Iterator[bytes]:
        return self.repository.source(path)

    def publish(self, documents: Mapping[str, bytes]) -> None:
        version = self.repository.publish(documents)
        with self._changed:
            self._told = version
            self._changed.notify_all()

    def break_watch(self) -> None:
        with self._changed:
            self._broken += 1
            self._changed.notify_all()

    def watch(self, version: int) -> Iterator[int]:
        told, broken = 0, self._broken
        with self._changed:
            self.watchers += 1
            self._changed.notify_all()
        while True:
            with self._changed:
                while self._told <= told and self._broken == broken and not self.cancelled:
                    self._changed.wait()
                if self.cancelled or self._broken > broken:
                    raise RegistryAwayError("stream ended")
                told = self._told
            yield told

    def cancel(self) -> None:
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()

    def wait_for_watcher(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.watchers >= count, timeout=20)


class Told:
    """What the workers were told."""

    def __init__(self) -> None:
        self.messages: list[ToWorker] = []
        self._changed = threading.Condition()

    def __call__(self, message: ToWorker) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait_for_version(self, version: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: version in self.versions, timeout=20)

    def wait_for_messages(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= count, timeout=20)

    @property
    def versions(self) -> list[int]:
        return [one.version for one in self.messages if isinstance(one, ConfigurationChanged)]


def judge(documents: Mapping[str, bytes], now_ms: int) -> JudgedConfiguration:
    """Stands in for the judge: 'bad' documents are left out, a bad common document refuses the version."""
    if documents.get("common.json") != b"common":
        raise UntrustedConfigurationError("the common document does not hold")
    left_out = tuple(
        LeftOut(target, "document", "bad") for target, data in documents.items() if data == b"bad"
    )
    return JudgedConfiguration(COMMON, [], [], Marks([], []), left_out)


@pytest.fixture
def registry() -> SimulatedRegistry:
    registry = SimulatedRegistry()
    registry.publish({"common.json": b"common"})
    return registry


@pytest.fixture
def clock(registry: SimulatedRegistry) -> ManualClock:
    return ManualClock(int(registry.repository.now.timestamp() * 1000))


@pytest.fixture
def told() -> Told:
    return Told()


class Keepers:
    """Makes keepers over one directory: the second is the same gateway after a restart."""

    def __init__(self, root: Path, registry: SimulatedRegistry, clock: ManualClock, told: Told) -> None:
        self.directory = GatewayDirectory(root)
        self._registry = registry
        self._clock = clock
        self._told = told

    def new(self, settings: GatewaySettings = SETTINGS) -> ConfigurationKeeper:
        return ConfigurationKeeper(
            settings,
            self.directory,
            self._registry.repository.root,
            judge,
            self._registry,
            self._clock,
            self._told,
        )

    def current(self) -> CurrentConfiguration:
        return decode_strict(self.directory.current.read_bytes(), CurrentConfiguration)


@pytest.fixture
def keepers(tmp_path: Path, registry: SimulatedRegistry, clock: ManualClock, told: Told) -> Keepers:
    return Keepers(tmp_path, registry, clock, told)


def test_workers_are_told_of_a_complete_file(keepers: Keepers, told: Told, clock: ManualClock) -> None:
    """Version, digest, ages; the file is there before the message."""
    keeper = keepers.new()

    keeper.refresh()

    (message,) = told.messages
    current = keepers.current()
    assert isinstance(message, ConfigurationChanged)
    assert (message.version, message.digest) == (current.version, current.digest) == (1, current.digest)
    assert message.path == str(keepers.directory.current)
    assert current.fresh_at == clock.now_ms()
    assert current.expires_at == clock.now_ms() + 72 * 3_600_000
    assert keeper.greeting() == (message,)
    assert keeper.registry.problem == ""


def test_a_version_that_is_confirmed_is_not_read_again(
    keepers: Keepers, told: Told, clock: ManualClock, registry: SimulatedRegistry
) -> None:
    """Workers learn that it is still the newest; the file says so for the next start."""
    keeper = keepers.new()
    keeper.refresh()
    clock.advance(timedelta(minutes=5))
    registry.repository.renew()

    keeper.refresh()

    assert isinstance(told.messages[-1], ConfigurationConfirmed)
    assert told.messages[-1].fetched_at == clock.now_ms() == keepers.current().fresh_at


def test_age_is_counted_from_the_last_new_timestamp(
    keepers: Keepers, clock: ManualClock, registry: SimulatedRegistry
) -> None:
    """A registry that repeats itself, or is away, lets the configuration grow old: fresh, stale, expired."""
    keeper = keepers.new()
    keeper.refresh()
    assert keeper.state is not None
    fetched = clock.now_ms()

    seen = []
    for age in (timedelta(minutes=10), timedelta(minutes=11), timedelta(hours=71), timedelta(hours=72)):
        clock.advance(age - timedelta(milliseconds=clock.now_ms() - fetched))
        keeper.refresh()
        seen.append(keeper.state.freshness(clock.now_ms(), SETTINGS.configuration.fresh_s))

    assert seen == [Freshness.FRESH, Freshness.STALE, Freshness.STALE, Freshness.EXPIRED]


def test_a_restart_without_registry_brings_the_last_version_back(
    keepers: Keepers, told: Told, clock: ManualClock, registry: SimulatedRegistry
) -> None:
    """With the age it really has."""
    keepers.new().refresh()
    fetched = clock.now_ms()
    clock.advance(timedelta(hours=3))
    registry.repository.away = True

    restarted = keepers.new()
    restarted.restore()

    assert restarted.state is not None
    assert restarted.state.version == 1
    assert restarted.state.fresh_at == fetched
    assert isinstance(told.messages[-1], ConfigurationChanged)
    with pytest.raises(RegistryAwayError):
        restarted.refresh()
    assert restarted.registry.reason == Reason.REGISTRY_UNREACHABLE
    assert restarted.state.version == 1


def test_a_first_start_does_not_accuse_the_registry(keepers: Keepers) -> None:
    """Nothing was kept yet: nobody has been asked, so nobody is unreachable."""
    with structlog.testing.capture_logs() as lines:
        keepers.new().restore()

    assert [line["event"] for line in lines] == ["no_configuration_kept"]
    assert "REGISTRY_UNREACHABLE" not in str(lines)


def test_a_version_too_old_to_be_put_in_force_again_is_expired_not_missing(
    keepers: Keepers, clock: ManualClock, registry: SimulatedRegistry
) -> None:
    """A start after days without the registry: its administrator is to look for the link, not for an anchor."""
    keepers.new().refresh()
    shutil.rmtree(keepers.directory.mirror)
    registry.repository.away = True
    restarted = keepers.new()
    restarted.restore()

    reasons = []
    for hours in (71, 1):
        clock.advance(timedelta(hours=hours))
        with pytest.raises(ExchangeError) as refused:
            restarted.require()
        reasons.append(refused.value.reason)

    assert reasons == [Reason.CONFIG_MISSING, Reason.CONFIG_EXPIRED]


def test_without_any_record_the_age_is_the_one_that_was_signed(
    keepers: Keepers, clock: ManualClock, registry: SimulatedRegistry
) -> None:
    """A mirror from a USB stick is as old as its timestamp."""
    keepers.new().refresh()
    keepers.directory.current.unlink()

    restarted = keepers.new()
    restarted.restore()

    assert restarted.state is not None
    assert restarted.state.fresh_at == int(registry.repository.now.timestamp() * 1000)


def test_a_start_with_nothing_waits(keepers: Keepers, told: Told) -> None:
    """No configuration, nothing told, no crash."""
    keeper = keepers.new()

    keeper.restore()

    assert keeper.in_force is None
    assert keeper.state is None
    assert keeper.greeting() == ()
    assert told.messages == []
    with pytest.raises(ExchangeError) as refused:
        keeper.read_target("descriptors/x.binpb")
    assert refused.value.reason is Reason.CONFIG_MISSING


def test_a_version_never_goes_back_even_when_the_trusted_metadata_was_deleted(
    keepers: Keepers, registry: SimulatedRegistry
) -> None:
    """What was in force is remembered apart from python-tuf's own files."""
    yesterday = dict(registry.repository.files)
    registry.publish({"common.json": b"common", "members/x.json": b"x"})
    keepers.new().refresh()
    for file in keepers.directory.tuf.iterdir():
        if file.is_symlink() or file.is_file():
            file.unlink()
    registry.repository.files = yesterday

    restarted = keepers.new()
    with pytest.raises(UntrustedConfigurationError) as refused:
        restarted.refresh()

    assert refused.value.reason is Reason.CONFIG_SPLIT
    assert restarted.registry.reason == Reason.CONFIG_SPLIT
    assert keepers.current().version == 2


def test_one_version_never_has_two_digests(keepers: Keepers) -> None:
    """The registry's keys signed two configurations under one number: an alarm, not a change."""
    keepers.new().refresh()
    other = msgspec.structs.replace(keepers.current(), digest="00" * 32)
    keepers.directory.current.write_bytes(encode_current(other))

    with pytest.raises(UntrustedConfigurationError) as refused:
        keepers.new().refresh()

    assert refused.value.reason is Reason.CONFIG_SPLIT


def test_a_version_whose_common_document_is_bad_does_not_come_into_force(
    keepers: Keepers, told: Told, registry: SimulatedRegistry
) -> None:
    """The version before stays."""
    keeper = keepers.new()
    keeper.refresh()
    registry.publish({"common.json": b"nonsense"})

    with pytest.raises(UntrustedConfigurationError):
        keeper.refresh()

    assert keeper.state is not None
    assert keeper.state.version == 1
    assert told.versions == [1]


def test_what_does_not_hold_is_left_out_and_told(keepers: Keepers, registry: SimulatedRegistry) -> None:
    """The rest comes into force."""
    keeper = keepers.new()
    registry.publish({"common.json": b"common", "members/BJ.GOV.X.json": b"bad"})

    keeper.refresh()

    assert keeper.state is not None
    assert [one.target for one in keeper.state.left_out] == ["members/BJ.GOV.X.json"]
    assert keeper.state.version == 2


@pytest.mark.parametrize("damage", [lambda data: b"{", lambda data: data.replace(b'"v":1', b'"v":7', 1)])
def test_a_damaged_current_file_is_replaced(keepers: Keepers, damage: Callable[[bytes], bytes]) -> None:
    """It is our own output, and shows by its checksum; the signed files decide."""
    keepers.new().refresh()
    keepers.directory.current.write_bytes(damage(keepers.directory.current.read_bytes()))

    keeper = keepers.new()
    keeper.refresh()

    assert keepers.current().version == 1


def test_a_program_that_was_added_is_handed_to_the_workers(
    keepers: Keepers, told: Told, clock: ManualClock
) -> None:
    """The age of the configuration stays what it is."""
    keeper = keepers.new()
    keeper.refresh()
    fetched = clock.now_ms()
    clock.advance(timedelta(minutes=1))
    PinnedPrograms(keepers.directory.pinned_programs).add(ProgramId.parse("BJ/GOV/PNS/PORTAIL/web"), "t" * 43)

    keeper.refresh_programs()
    keeper.refresh_programs()

    assert told.versions == [1, 1]
    assert [one.id for one in keepers.current().programs] == ["BJ/GOV/PNS/PORTAIL/web"]
    assert keepers.current().fresh_at == fetched


def test_documents_of_every_version_stay_at_hand(keepers: Keepers, registry: SimulatedRegistry) -> None:
    """Evidence of an exchange needs the documents of its version."""
    keeper = keepers.new()
    registry.publish({"common.json": b"common", "members/BJ.GOV.X.json": b"old"})
    keeper.refresh()
    registry.publish({"common.json": b"common", "members/BJ.GOV.X.json": b"new"})
    keeper.refresh()

    mirrored = [path.read_bytes() for path in (keepers.directory.mirror / "targets" / "members").iterdir()]
    assert sorted(mirrored) == [b"new", b"old"]
    assert (keepers.directory.mirror / "metadata" / "2.targets.json").is_file()
    assert keeper.read_target("members/BJ.GOV.X.json") == b"new"


@pytest.fixture
def running(keepers: Keepers) -> Iterator[ConfigurationKeeper]:
    keeper = keepers.new()
    keeper.start()
    yield keeper
    keeper.stop()


def test_a_new_version_is_in_force_as_soon_as_it_is_told(
    running: ConfigurationKeeper, told: Told, registry: SimulatedRegistry
) -> None:
    """Watch wakes the fetch; nobody waits for the next minute."""
    told.wait_for_version(1)

    registry.publish({"common.json": b"common", "members/x.json": b"x"})

    told.wait_for_version(2)


def test_the_configuration_is_fetched_although_watch_is_silent(
    keepers: Keepers, told: Told, registry: SimulatedRegistry
) -> None:
    """A registry that forgets to tell is asked."""
    keeper = keepers.new(msgspec.structs.replace(SETTINGS, configuration=Configuration(refresh_s=1)))
    keeper.start()
    told.wait_for_version(1)

    registry.repository.publish({"common.json": b"common", "members/x.json": b"x"})

    told.wait_for_version(2)
    keeper.stop()


def test_a_watch_that_breaks_is_opened_again(
    running: ConfigurationKeeper, told: Told, registry: SimulatedRegistry
) -> None:
    """And tells what was missed."""
    registry.wait_for_watcher(1)
    registry.break_watch()
    registry.wait_for_watcher(2)

    registry.publish({"common.json": b"common", "members/x.json": b"x"})

    told.wait_for_version(2)


def test_a_registry_that_comes_back_is_found(
    keepers: Keepers, told: Told, registry: SimulatedRegistry
) -> None:
    """Unaided."""
    registry.repository.away = True
    keeper = keepers.new()
    keeper.start()
    registry.repository.away = False
    keeper.ask_again()

    told.wait_for_version(1)
    keeper.stop()


def test_a_program_is_noticed_without_being_told(
    running: ConfigurationKeeper, keepers: Keepers, told: Told
) -> None:
    """The administrator's command only writes a file."""
    told.wait_for_version(1)

    PinnedPrograms(keepers.directory.pinned_programs).add(ProgramId.parse("BJ/GOV/PNS/PORTAIL/web"), "t" * 43)

    told.wait_for_messages(2)
    assert told.versions == [1, 1]


def test_a_malformed_programs_file_leaves_the_programs_in_force(
    running: ConfigurationKeeper, keepers: Keepers, told: Told, registry: SimulatedRegistry
) -> None:
    """An error of the administrator stops neither programs nor configuration."""
    told.wait_for_version(1)
    keepers.directory.state.mkdir(exist_ok=True)
    keepers.directory.pinned_programs.write_bytes(b"{")

    registry.publish({"common.json": b"common", "members/x.json": b"x"})

    told.wait_for_version(2)


def test_peers_that_ask_without_end_do_not_hammer_a_registry_that_is_away(
    keepers: Keepers, registry: SimulatedRegistry
) -> None:
    """A thousand statements that name a newer version wake a few fetches a second, not a thousand."""
    keepers.new().refresh()
    registry.repository.away = True
    registry.repository.requested.clear()
    keeper = keepers.new()
    keeper.start()

    for _ in range(1000):
        keeper.ask_again()
        time.sleep(0.0005)
    asked = len(registry.repository.requested)
    keeper.stop()

    assert 1 <= asked < 100
