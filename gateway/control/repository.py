"""The global configuration as signed files: fetched and verified by python-tuf, one refresh at a time.

What this module guarantees: a :class:`TrustedVersion` was reached from the root in the anchor through
signatures alone, its metadata had not expired, and none of its versions is below what was seen before (TUF
specification 1.0.34,
section 5). What the documents *say* is not judged here.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from securesystemslib.exceptions import StorageError
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from core.reasons import ExchangeError, Reason
from gateway.control.mirror import Mirror, UnsafeNameError

# Where raw files come from: path -> pieces. Raises FileMissingError or RegistryAwayError.
FileSource = Callable[[str], Iterator[bytes]]


class FileMissingError(Exception):
    """The source is there, the file is not."""


class RegistryAwayError(ExchangeError):
    """The registry could not be asked; what was trusted before stays so until it expires."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.REGISTRY_UNREACHABLE, text)


class UntrustedConfigurationError(ExchangeError):
    """What the registry served does not verify; what was trusted before stays in force."""

    def __init__(self, text: str, reason: Reason = Reason.SIGNATURE_INVALID) -> None:
        super().__init__(reason, text)


@dataclass(frozen=True, slots=True)
class TrustedVersion:
    """One version of the global configuration whose signatures hold.

    Attributes:
        version: Version of ``targets.json``.
        digest: SHA-256 of its bytes, hex.
        expires_at: When the first of its metadata files expires, UTC milliseconds.
        renewed: The timestamp is newer than the one held before. A registry, or whoever stands in its place,
            that serves the same timestamp again and again confirms nothing: the configuration grows old
            (freeze attack).
        targets: Its files, by target path.
    """

    version: int
    digest: str
    expires_at: int
    renewed: bool
    targets: Mapping[str, TargetFile]


class Repository:
    """The TUF client of one gateway.

    The mirror always holds one whole version: metadata is put there once every document of it is at hand (``keep``),
    the timestamp last. An answer that breaks off half-way, or a version that is refused for what it says, leaves there
    what a restart without registry needs.

    Args:
        anchor_root: Root metadata from the anchor file.
        metadata: Directory that python-tuf keeps its trusted metadata in.
        mirror: Where verified raw files are kept.
    """

    def __init__(self, anchor_root: bytes, metadata: Path, mirror: Mirror) -> None:
        self._anchor_root = anchor_root
        self._metadata = metadata
        self._mirror = mirror

    def refresh(self, source: FileSource) -> TrustedVersion:
        """Bring the trusted metadata up to what ``source`` has.

        Raises:
            RegistryAwayError: ``source`` could not be read.
            UntrustedConfigurationError: Something does not verify, goes backwards or has expired.
            OSError: The trusted metadata cannot be written.
        """
        self._metadata.mkdir(parents=True, exist_ok=True)
        held = self._timestamp_version()
        try:
            updater = Updater(
                metadata_dir=str(self._metadata),
                metadata_base_url="metadata/",
                fetcher=_Fetcher(source),
                bootstrap=self._anchor_root,
            )
            updater.refresh()
        except DownloadLengthMismatchError as error:
            raise UntrustedConfigurationError(f"the configuration does not verify: {error}") from error
        except DownloadError as error:
            raise RegistryAwayError(f"the configuration could not be fetched: {error}") from error
        except ExpiredMetadataError as error:
            raise UntrustedConfigurationError(str(error), Reason.CONFIG_EXPIRED) from error
        except RepositoryError as error:
            raise UntrustedConfigurationError(f"the configuration does not verify: {error}") from error
        return self._trusted(held)

    def refresh_from_mirror(self) -> TrustedVersion:
        """Do the same from the mirror alone: what a start without registry needs. It renews nothing.

        The trusted metadata may be ahead of the mirror, after an answer that broke off; then the mirror is verified for
        itself, from the anchor. That it does not lead back is the caller's to check.
        """
        try:
            trusted = self.refresh(self._mirrored)
        except UntrustedConfigurationError:
            with tempfile.TemporaryDirectory(dir=self._metadata.parent) as apart:
                trusted = Repository(self._anchor_root, Path(apart), self._mirror).refresh(self._mirrored)
        return replace(trusted, renewed=False)

    def keep(self) -> None:
        """Put the metadata of the version that ``refresh`` returned last into the mirror.

        Raises:
            OSError: The mirror cannot be written.
        """
        for path in (self._metadata / "root_history").glob("*.root.json"):
            self._keep(path.name, path)
        snapshot, targets = self._metadata / "snapshot.json", self._metadata / "targets.json"
        newest = f"{Metadata[Snapshot].from_file(str(snapshot)).signed.version}.snapshot.json"
        self._keep(newest, snapshot)
        self._keep(f"{Metadata[Targets].from_file(str(targets)).signed.version}.targets.json", targets)
        self._keep("timestamp.json", self._metadata / "timestamp.json")
        # A registry signs one every few minutes: kept, they would be a hundred thousand files a year.
        self._mirror.remove_others(f"metadata/{newest}", "*.snapshot.json")

    def _keep(self, name: str, path: Path) -> None:
        data = path.read_bytes()
        if self._mirror.get(f"metadata/{name}") != data:
            self._mirror.put(f"metadata/{name}", data)

    def read(self, version: TrustedVersion, target: str, source: FileSource) -> bytes:
        """The bytes of one target of a trusted version: from the mirror if they are there, else fetched.

        Raises:
            RegistryAwayError: It is not in the mirror and ``source`` could not be read.
            UntrustedConfigurationError: The bytes have another length or hash than the signed ones.
        """
        expected = version.targets[target]
        name = _mirror_name(target, expected)
        try:
            data = self._mirror.get(name)
            if data is not None and _matches(expected, data):
                return data
            data = _Fetcher(source).download_bytes(name, expected.length)
            expected.verify_length_and_hashes(data)
            self._mirror.put(name, data)
        except (DownloadLengthMismatchError, LengthOrHashMismatchError, UnsafeNameError) as error:
            raise UntrustedConfigurationError(f"{target} is not what was signed: {error}") from error
        except DownloadError as error:
            raise RegistryAwayError(f"{target} could not be fetched: {error}") from error
        return data

    def read_mirrored(self, version: TrustedVersion, target: str) -> bytes:
        """The bytes of one target, from the mirror alone."""
        return self.read(version, target, self._mirrored)

    def _mirrored(self, path: str) -> Iterator[bytes]:
        data = self._mirror.get(path)
        if data is None:
            raise FileMissingError(path)
        yield data

    def _timestamp_version(self) -> int:
        try:
            return Metadata[Timestamp].from_file(str(self._metadata / "timestamp.json")).signed.version
        except (StorageError, RepositoryError):
            return 0

    def _trusted(self, held_timestamp: int) -> TrustedVersion:
        # python-tuf has no public way to list targets; what it persisted is what it verified a moment ago.
        raw = (self._metadata / "targets.json").read_bytes()
        targets = Metadata[Targets].from_bytes(raw).signed
        snapshot = Metadata[Snapshot].from_file(str(self._metadata / "snapshot.json")).signed
        if "sha256" not in (snapshot.meta["targets.json"].hashes or {}):
            # Signatures hold over a canonical form: without its hash one targets.json could have several digests.
            raise UntrustedConfigurationError("the snapshot does not name the hash of targets.json")
        expiries = (
            targets.expires,
            Metadata[Root].from_file(str(self._metadata / "root.json")).signed.expires,
            Metadata[Timestamp].from_file(str(self._metadata / "timestamp.json")).signed.expires,
            snapshot.expires,
        )
        return TrustedVersion(
            version=targets.version,
            digest=hashlib.sha256(raw).hexdigest(),
            expires_at=int(min(expiries).timestamp() * 1000),
            renewed=self._timestamp_version() > held_timestamp,
            targets=targets.targets,
        )


class _Fetcher(FetcherInterface):
    """Hands python-tuf the files of a source."""

    def __init__(self, source: FileSource) -> None:
        self._source = source

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._source(url)
        except FileMissingError as error:
            raise DownloadHTTPError(f"{url} is not there", 404) from error
        except RegistryAwayError as error:
            raise DownloadError(str(error)) from error


def _mirror_name(target: str, expected: TargetFile) -> str:
    directory, slash, base = target.rpartition("/")
    digest = next(iter(expected.hashes.values()))
    return f"targets/{directory}{slash}{digest}.{base}"


def _matches(expected: TargetFile, data: bytes) -> bool:
    try:
        expected.verify_length_and_hashes(data)
    except LengthOrHashMismatchError:
        return False
    return True
