"""The TUF repository: what a client that starts from the anchor accepts, and what it refuses."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import BadVersionNumberError, DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater

from core.clock import Clock, ManualClock, SystemClock
from core.reasons import ExchangeError, Reason
from pki.keys import generate_key, write_key
from registry.publisher import ONLINE_ROLES, Publisher, root_metadata, signer_of

DOCUMENTS = {"common.json": b"{}", "members/BJ.GOV.ANIP.json": b'{"v":1}'}


class _Fetcher(FetcherInterface):
    """Reads from a publisher as a gateway does over gRPC."""

    def __init__(self, read: Callable[[str], Iterator[bytes]]) -> None:
        self._read = read

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._read(url.removeprefix("registry:///"))
        except ExchangeError as error:
            raise DownloadHTTPError(str(error), 404) from error


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Three root keys and one key per online role."""
    directory = tmp_path / "keys"
    directory.mkdir()
    for name in ("root-1", "root-2", "root-3", *ONLINE_ROLES):
        write_key(directory / f"{name}.key", generate_key())
    return directory


def publisher(
    directory: Path, keys: Path, clock: Clock, *, lifetime: timedelta = timedelta(hours=72)
) -> Publisher:
    """A publisher on ``directory`` with these keys."""
    signers = {role: signer_of(keys / f"{role}.key") for role in ONLINE_ROLES}
    return Publisher(directory, signers, lifetime=lifetime, clock=clock)


def anchor(keys: Path, clock: Clock) -> bytes:
    """A root that needs two of three keys."""
    return root_metadata(
        [signer_of(keys / f"root-{number}.key") for number in (1, 2, 3)],
        2,
        {role: signer_of(keys / f"{role}.key") for role in ONLINE_ROLES},
        spki_digest="0" * 64,
        clock=clock,
    )


def client(directory: Path, root: bytes, source: Publisher) -> Updater:
    """A TUF client that keeps its state in ``directory``."""
    directory.mkdir(exist_ok=True)
    (directory / "targets").mkdir(exist_ok=True)
    return Updater(
        metadata_dir=str(directory),
        metadata_base_url="registry:///metadata/",
        target_dir=str(directory / "targets"),
        target_base_url="registry:///targets/",
        fetcher=_Fetcher(source.read),
        bootstrap=root,
    )


def downloaded(updater: Updater, names: Mapping[str, bytes]) -> dict[str, bytes]:
    """The targets as the client accepts them."""
    found = {}
    for name in names:
        info = updater.get_targetinfo(name)
        assert info is not None
        path = Path(updater.download_target(info, filepath=str(Path(updater._dir) / "one")))
        found[name] = path.read_bytes()
    return found


def test_a_client_that_starts_from_the_anchor_gets_every_target(tmp_path: Path, keys: Path) -> None:
    """python-tuf's own client accepts what is published."""
    published = publisher(tmp_path / "repository", keys, SystemClock())
    published.publish(DOCUMENTS)

    updater = client(tmp_path / "client", anchor(keys, SystemClock()), published)

    assert downloaded(updater, DOCUMENTS) == DOCUMENTS


def test_renewal_changes_neither_version_nor_digest(tmp_path: Path, keys: Path) -> None:
    """Timestamps are signed anew every few minutes; statements name the same configuration."""
    clock = ManualClock()
    published = publisher(tmp_path, keys, clock)
    before = published.publish(DOCUMENTS)
    clock.advance(timedelta(minutes=5))

    after = published.renew()

    assert after.mark == before.mark
    assert after.expires_at_ms - before.expires_at_ms == 300_000


def test_the_same_documents_make_no_new_version(tmp_path: Path, keys: Path) -> None:
    """Publishing again, or after a restart, is a renewal."""
    clock = ManualClock()
    first = publisher(tmp_path, keys, clock).publish(DOCUMENTS)

    again = publisher(tmp_path, keys, clock).publish(DOCUMENTS)

    assert again.mark == first.mark


def test_versions_rise_by_one_across_restarts(tmp_path: Path, keys: Path) -> None:
    """Version and digest go on from what is on disk."""
    clock = ManualClock()
    versions = []
    for number in range(4):
        published = publisher(tmp_path, keys, clock)
        versions.append(published.publish({**DOCUMENTS, "common.json": b'{"n":%d}' % number}).mark.version)

    assert versions == [1, 2, 3, 4]


def test_a_half_written_version_was_never_published(tmp_path: Path, keys: Path) -> None:
    """A crash before the timestamp leaves the old version in force; its number is used again, unseen."""
    repository = tmp_path / "repository"
    published = publisher(repository, keys, SystemClock())
    published.publish(DOCUMENTS)
    timestamp = (repository / "metadata" / "timestamp.json").read_bytes()
    published.publish({**DOCUMENTS, "common.json": b'{"lost":1}'})
    (repository / "metadata" / "timestamp.json").write_bytes(timestamp)

    recovered = publisher(repository, keys, SystemClock())
    assert recovered.current.mark.version == 1
    recovered.publish({**DOCUMENTS, "common.json": b'{"kept":1}'})

    updater = client(tmp_path / "client", anchor(keys, SystemClock()), recovered)
    assert downloaded(updater, {"common.json": b""}) == {"common.json": b'{"kept":1}'}


def test_a_rollback_is_refused_by_the_client(tmp_path: Path, keys: Path) -> None:
    """Whoever restores an old repository is caught by every client that saw a newer one."""
    repository = tmp_path / "repository"
    published = publisher(repository, keys, SystemClock())
    published.publish(DOCUMENTS)
    shutil.copytree(repository, tmp_path / "old")
    published.publish({**DOCUMENTS, "common.json": b'{"v":2}'})
    root = anchor(keys, SystemClock())
    client(tmp_path / "client", root, published).refresh()

    old = publisher(tmp_path / "old", keys, SystemClock())

    with pytest.raises(BadVersionNumberError):
        client(tmp_path / "client", root, old).refresh()


def test_a_frozen_repository_expires(tmp_path: Path, keys: Path) -> None:
    """Nobody can hold a client at an old version for longer than the timestamp's life."""
    long_ago = ManualClock(SystemClock().now_ms() - 73 * 3600 * 1000)
    published = publisher(tmp_path / "repository", keys, long_ago)
    published.publish(DOCUMENTS)

    with pytest.raises(ExpiredMetadataError):
        client(tmp_path / "client", anchor(keys, SystemClock()), published).refresh()


def test_targets_signed_by_another_key_are_refused(tmp_path: Path, keys: Path) -> None:
    """The client takes the roles' keys from the anchor, never from what it downloads."""
    root = anchor(keys, SystemClock())
    (keys / "targets.key").unlink()
    write_key(keys / "targets.key", generate_key())
    forged = publisher(tmp_path / "repository", keys, SystemClock())
    forged.publish(DOCUMENTS)

    with pytest.raises(RepositoryError):
        client(tmp_path / "client", root, forged).refresh()


def test_a_changed_byte_in_a_target_is_refused(tmp_path: Path, keys: Path) -> None:
    """Hashes stand in the signed targets."""
    repository = tmp_path / "repository"
    published = publisher(repository, keys, SystemClock())
    published.publish(DOCUMENTS)
    (file,) = (repository / "targets").glob("*.common.json")
    file.write_bytes(b"[]")

    updater = client(tmp_path / "client", anchor(keys, SystemClock()), published)

    with pytest.raises(RepositoryError):
        downloaded(updater, {"common.json": b""})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "metadata/../../keys/auth.key",
        "metadata/./timestamp.json",
        "targets/.hidden",
        "metadata/x\0",
        "metadata",
        "metadata/7.root.json",
        "x" * 600,
        "keys/auth.key",
        "metadata/a/b/c/d",
    ],
)
def test_only_published_files_are_served(tmp_path: Path, keys: Path, path: str) -> None:
    """No path leads out of the repository; what is not there is not found."""
    published = publisher(tmp_path, keys, SystemClock())
    published.publish(DOCUMENTS)

    with pytest.raises(ExchangeError) as refused:
        list(published.read(path))

    assert refused.value.reason is Reason.NOT_FOUND


def test_old_snapshots_are_cleared_away(tmp_path: Path, keys: Path) -> None:
    """A timestamp every five minutes must not fill the disk in a year."""
    published = publisher(tmp_path, keys, ManualClock())
    published.publish(DOCUMENTS)

    for _ in range(70):
        published.renew()

    assert len(list((tmp_path / "metadata").glob("*.snapshot.json"))) == 64


def test_targets_are_signed_anew_long_before_they_expire(tmp_path: Path, keys: Path) -> None:
    """A country where nothing changes for half a year keeps going."""
    clock = ManualClock()
    published = publisher(tmp_path, keys, clock)
    published.publish(DOCUMENTS)
    clock.advance(timedelta(days=200))

    mark = published.publish(DOCUMENTS).mark

    assert mark.version == 2
    data = (tmp_path / "metadata" / "2.targets.json").read_bytes()
    assert Metadata[Targets].from_bytes(data).signed.targets.keys() == DOCUMENTS.keys()
