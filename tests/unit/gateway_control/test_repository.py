"""The TUF client: what it accepts, what it refuses, what it keeps."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.reasons import Reason
from gateway.control.mirror import Mirror
from gateway.control.repository import RegistryAwayError, Repository, UntrustedConfigurationError
from tests.support.tuf_repository import TufRepository


@pytest.fixture
def registry() -> TufRepository:
    repository = TufRepository()
    repository.publish({"common.json": b"common", "members/BJ.GOV.ANIP.json": b"anip"})
    return repository


@pytest.fixture
def client(registry: TufRepository, tmp_path: Path) -> Repository:
    return Repository(registry.root, tmp_path / "tuf", Mirror(tmp_path / "mirror"))


def test_a_published_version_is_trusted_with_its_version_and_digest(
    registry: TufRepository, client: Repository
) -> None:
    """Version and digest are those of targets.json."""
    version = client.refresh(registry.source)

    assert (version.version, version.digest) == (1, registry.targets_digest)
    assert version.renewed
    assert client.read(version, "members/BJ.GOV.ANIP.json", registry.source) == b"anip"


def test_a_file_is_fetched_once(registry: TufRepository, client: Repository) -> None:
    """A change of one member downloads one member."""
    version = client.refresh(registry.source)
    client.read(version, "common.json", registry.source)
    registry.requested.clear()

    assert client.read(version, "common.json", registry.source) == b"common"

    assert registry.requested == []


def test_a_restart_needs_no_registry(registry: TufRepository, client: Repository, tmp_path: Path) -> None:
    """The mirror holds everything that the last version needs, and verifies in the same way."""
    first = client.refresh(registry.source)
    client.read(first, "common.json", registry.source)
    client.keep()

    restarted = Repository(registry.root, tmp_path / "tuf", Mirror(tmp_path / "mirror"))
    again = restarted.refresh_from_mirror()

    assert (again.version, again.digest) == (first.version, first.digest)
    assert not again.renewed
    assert restarted.read_mirrored(again, "common.json") == b"common"


def test_the_mirror_alone_is_enough_when_trusted_metadata_is_lost(
    registry: TufRepository, client: Repository, tmp_path: Path
) -> None:
    """Root, timestamp, snapshot and targets are all in the mirror."""
    client.refresh(registry.source)
    client.keep()

    elsewhere = Repository(registry.root, tmp_path / "other", Mirror(tmp_path / "mirror"))

    assert elsewhere.refresh_from_mirror().version == 1


def test_the_mirror_does_not_grow_with_each_renewal(
    registry: TufRepository, client: Repository, tmp_path: Path
) -> None:
    """Of snapshots the newest stays; the targets of every version do, for evidence."""
    for number in range(5):
        registry.publish({"common.json": b"%d" % number})
        client.refresh(registry.source)
        client.keep()

    kept = sorted(path.name for path in (tmp_path / "mirror" / "metadata").iterdir())

    assert sum(name.endswith(".snapshot.json") for name in kept) == 1
    assert sum(name.endswith(".targets.json") for name in kept) == 5
    assert (
        Repository(registry.root, tmp_path / "other", Mirror(tmp_path / "mirror"))
        .refresh_from_mirror()
        .version
        == 6
    )


def test_a_registry_that_is_away_is_told_apart_from_one_that_lies(
    registry: TufRepository, client: Repository
) -> None:
    """The first goes on with what is trusted; the second is an alarm."""
    registry.away = True

    with pytest.raises(RegistryAwayError) as refused:
        client.refresh(registry.source)

    assert refused.value.reason is Reason.REGISTRY_UNREACHABLE


def test_rollback_is_refused_and_the_mirror_keeps_the_newer_files(
    registry: TufRepository, client: Repository
) -> None:
    """A registry that serves yesterday's metadata is refused; a restart still finds today's."""
    yesterday = dict(registry.files)
    registry.publish({"common.json": b"newer"})
    client.refresh(registry.source)
    client.keep()
    registry.files = yesterday

    with pytest.raises(UntrustedConfigurationError):
        client.refresh(registry.source)

    assert client.refresh_from_mirror().version == 2


def test_expired_metadata_is_refused(tmp_path: Path) -> None:
    """A timestamp past its time lets nothing in."""
    registry = TufRepository(now=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=73))
    registry.publish({})
    client = Repository(registry.root, tmp_path / "tuf", Mirror(tmp_path / "mirror"))

    with pytest.raises(UntrustedConfigurationError) as refused:
        client.refresh(registry.source)

    assert refused.value.reason is Reason.CONFIG_EXPIRED


def test_metadata_signed_by_another_key_is_refused(registry: TufRepository, client: Repository) -> None:
    """Only keys that the root names count."""
    impostor = TufRepository()
    impostor.publish({})
    registry.files["metadata/timestamp.json"] = impostor.files["metadata/timestamp.json"]

    with pytest.raises(UntrustedConfigurationError) as refused:
        client.refresh(registry.source)

    assert refused.value.reason is Reason.SIGNATURE_INVALID


def test_a_changed_byte_that_no_signature_covers_is_refused(
    registry: TufRepository, client: Repository
) -> None:
    """A blank more leaves the canonical form as it is and would give one version two digests."""
    registry.files["metadata/1.targets.json"] += b" "

    with pytest.raises(UntrustedConfigurationError):
        client.refresh(registry.source)


def test_a_snapshot_that_names_no_hash_is_refused(registry: TufRepository, client: Repository) -> None:
    """Whoever publishes must pin the very bytes of targets.json."""
    registry.pins_targets = False
    registry.publish({"common.json": b"common"})

    with pytest.raises(UntrustedConfigurationError):
        client.refresh(registry.source)


def test_a_changed_document_is_refused(registry: TufRepository, client: Repository) -> None:
    """A document is what targets.json says, byte for byte."""
    version = client.refresh(registry.source)
    name = next(name for name in registry.files if name.endswith(".common.json"))
    registry.files[name] = b"c0mmon"

    with pytest.raises(UntrustedConfigurationError):
        client.read(version, "common.json", registry.source)


def test_a_document_spoilt_on_the_disk_is_fetched_again(
    registry: TufRepository, client: Repository, tmp_path: Path
) -> None:
    """The mirror is a cache with hashes, not a source of truth."""
    version = client.refresh(registry.source)
    client.read(version, "common.json", registry.source)
    (mirrored,) = (tmp_path / "mirror" / "targets").glob("*.common.json")
    mirrored.write_bytes(b"spoilt")

    assert client.read(version, "common.json", registry.source) == b"common"
    assert mirrored.read_bytes() == b"common"


def test_a_document_missing_everywhere_is_a_missing_registry(
    registry: TufRepository, client: Repository
) -> None:
    """What cannot be read now may be readable later; nothing is concluded from it."""
    version = client.refresh(registry.source)

    with pytest.raises(RegistryAwayError):
        client.read_mirrored(version, "common.json")


def test_the_same_timestamp_again_confirms_nothing(registry: TufRepository, client: Repository) -> None:
    """Whoever replays the newest signed files freezes the configuration; its age must show it."""
    client.refresh(registry.source)

    frozen = client.refresh(registry.source)
    registry.renew()
    renewed = client.refresh(registry.source)

    assert not frozen.renewed
    assert renewed.renewed
    assert renewed.version == frozen.version


@pytest.mark.parametrize("target", ["../escape.json", "a/../../b.json", "/etc/passwd", "x/.hidden/y", "a\nb"])
def test_a_target_with_an_unsafe_name_never_reaches_the_disk(target: str, tmp_path: Path) -> None:
    """A signed name is still only a name."""
    registry = TufRepository()
    registry.publish({target: b"data"})
    client = Repository(registry.root, tmp_path / "gw" / "tuf", Mirror(tmp_path / "gw" / "mirror"))
    version = client.refresh(registry.source)

    with pytest.raises(UntrustedConfigurationError):
        client.read(version, target, registry.source)
