"""The global configuration as a gateway's directory keeps it: raw files of every version, read for evidence.

Nothing here is believed. A document is found by the digest that names it, and whoever gets it verifies the signatures
of member keys in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.configuration import COMMON_TARGET, CommonDocument, MemberDocument, decode_current
from core.configuration import member_target as target_of
from core.documents import MAX_DOCUMENT_BYTES, MalformedDocumentError, decode_strict, digest, encode
from core.heads import ConfigurationMark

_TARGETS = re.compile(r"([1-9][0-9]{0,17})\.targets\.json")
_TARGET_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200})?")
_HASH = re.compile(r"[0-9a-f]{64}")
TARGETS_FILE: Final = "targets.json"


@dataclass(slots=True)
class PublishedVersion:
    """One version of the global configuration, as far as its files are here.

    Attributes:
        mark: Version and digest, as statements name them.
        targets: Bytes of ``targets.json``; empty if only the documents in force are at hand.
        files: Documents by target name.
    """

    mark: ConfigurationMark
    targets: bytes
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def common(self) -> CommonDocument | None:
        """The common document."""
        data = self.files.get(COMMON_TARGET)
        return decode_strict(data, CommonDocument) if data is not None else None

    def member(self, member: str) -> MemberDocument | None:
        """A member's document."""
        data = self.files.get(target_of(member))
        return decode_strict(data, MemberDocument) if data is not None else None


def target_hashes(targets: bytes) -> dict[str, str]:
    """SHA-256 of each target that ``targets.json`` names; raises ``ValueError``. Its signatures are not checked."""
    if len(targets) > MAX_DOCUMENT_BYTES:
        raise ValueError("targets.json is too long")
    try:
        found: Any = json.loads(targets)["signed"]["targets"]
        hashes = {str(name): str(one["hashes"]["sha256"]) for name, one in found.items()}
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("not the targets of a configuration") from None
    if not all(_TARGET_NAME.fullmatch(name) and _HASH.fullmatch(one) for name, one in hashes.items()):
        raise ValueError("targets of the configuration have unsafe names")
    return hashes


class PublishedConfigurations:
    """All versions below a gateway's ``configuration`` directory.

    Args:
        directory: That directory, or the registry's ``published``.
        mirror: Where below it the repository lies, with its ``metadata`` and ``targets``.
    """

    def __init__(self, directory: Path, mirror: str = "mirror") -> None:
        self._directory = directory
        self._repository = directory / mirror

    def named(self, mark: ConfigurationMark) -> PublishedVersion | None:
        """The version that a statement names, if its files are here."""
        try:
            targets = (self._metadata / f"{mark.version}.{TARGETS_FILE}").read_bytes()
        except OSError:
            return None
        return self._load(mark.version, targets) if digest(targets) == mark.digest else None

    def newest_first(self) -> Iterator[PublishedVersion]:
        """Every version, then what the workers were given: for what the named one does not hold."""
        numbers = [int(found[1]) for path in self._listed() if (found := _TARGETS.fullmatch(path.name))]
        for number in sorted(numbers, reverse=True):
            yield self._load(number, (self._metadata / f"{number}.{TARGETS_FILE}").read_bytes())
        in_force = self._in_force()
        if in_force is not None:
            yield in_force

    @property
    def _metadata(self) -> Path:
        return self._repository / "metadata"

    def _listed(self) -> list[Path]:
        return list(self._metadata.iterdir()) if self._metadata.is_dir() else []

    def _load(self, version: int, targets: bytes) -> PublishedVersion:
        found = PublishedVersion(ConfigurationMark(version, digest(targets)), targets)
        for name, expected in target_hashes(targets).items():
            folder, slash, base = name.rpartition("/")
            path = self._repository / "targets" / f"{folder}{slash}{expected}.{base}"
            if name.endswith(".json") and path.is_file():
                found.files[name] = path.read_bytes()
        return found

    def _in_force(self) -> PublishedVersion | None:
        try:
            current = decode_current((self._directory / "current.json").read_bytes())
        except (OSError, MalformedDocumentError):
            return None  # of another time, or damaged: the versions that it was made from are looked at without it
        files = {COMMON_TARGET: encode(current.common)}
        files |= {target_of(member.member): encode(member) for member in current.members}
        return PublishedVersion(ConfigurationMark(current.version, current.digest), b"", files)
