"""What the global configuration said when a statement was made, from the copies in a gateway's directory.

A statement names its configuration by version and digest and its agreement by digest: what is found under these is what
was meant. What is not found is not known; nothing is taken from another version, but for the text of an agreement, which
its digest fixes in whatever version it stands.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from core.agreements import Agreement, parse_agreement
from core.configuration import COMMON_TARGET, AgreementState, CommonDocument, MemberDocument, member_target
from core.documents import decode_strict, digest
from core.heads import ConfigurationMark
from core.jws import DocumentKind, parse_document
from core.language import Text
from core.reasons import MalformedError
from core.statements import AgreementMark
from ledger.published import PublishedConfigurations, PublishedVersion, target_hashes

_MAX_VERSIONS: Final = 4
_MAX_DOCUMENTS: Final = 256
_MAX_AGREEMENTS: Final = 4096

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Document = TypeVar("_Document", CommonDocument, MemberDocument)


class ListedAgreement(NamedTuple):
    """An agreement as a member's document lists it: the registry's word on it, and the bytes that were signed."""

    state: AgreementState
    payload: bytes


class _Member(NamedTuple):
    name: Text
    agreements: dict[str, ListedAgreement]


class Version:
    """One version of the configuration, each document of it proved by the digests that lead to it."""

    def __init__(self, published: PublishedVersion, documents: _Kept[str, _Member | None]) -> None:
        self._files = published.files
        self._hashes = target_hashes(published.targets)
        self._documents = documents
        self.purposes = self._purposes()

    def member_name(self, member: str) -> Text | None:
        """A member's name."""
        found = self._member(member)
        return found.name if found else None

    def agreement_state(
        self, mark: AgreementMark, provider: str
    ) -> AgreementState | Literal["not_listed"] | None:
        """How an agreement stood; ``None`` if the provider's document is not here."""
        found = self._member(provider)
        if found is None:
            return None
        listed = found.agreements.get(mark.digest)
        return listed.state if listed else "not_listed"

    def _purposes(self) -> dict[str, Text]:
        data = self._proved(COMMON_TARGET)
        common = _decoded(data, CommonDocument) if data is not None else None
        return {one.code: Text(one.label.fr, one.label.en) for one in common.purposes} if common else {}

    def _member(self, member: str) -> _Member | None:
        data = self._proved(member_target(member))
        if data is None:
            return None
        return self._documents.of(self._hashes[member_target(member)], lambda: _member(data))

    def _proved(self, target: str) -> bytes | None:
        data = self._files.get(target)
        return data if data is not None and digest(data) == self._hashes[target] else None


class Configurations:
    """All versions that a gateway's directory still has."""

    def __init__(self, directory: Path) -> None:
        self._published = PublishedConfigurations(directory)
        self._versions: _Kept[ConfigurationMark, Version | None] = _Kept(_MAX_VERSIONS)
        self._documents: _Kept[str, _Member | None] = _Kept(_MAX_DOCUMENTS)
        self._terms: _Kept[str, Agreement | None] = _Kept(_MAX_AGREEMENTS)

    def named(self, mark: ConfigurationMark) -> Version | None:
        """The version that a statement names, if it is here."""
        return self._versions.of(mark, lambda: self._read(mark))

    def terms(self, mark: AgreementMark, provider: str) -> Agreement | None:
        """The text of an agreement, from any version; ``None`` if none has it."""
        found = self._terms.of(mark.digest, lambda: self._find_terms(mark.digest, provider))
        # The digest fixes the text; a peer that names it by another id or version does not get its reference shown.
        return found if found and (found.id, found.version) == (mark.id, mark.version) else None

    def newest_members(self) -> list[MemberDocument]:
        """The members of the newest version, as far as they can be read; not proved by anything."""
        for version in self._newest_first():
            names = (name.removeprefix("members/")[:-5].replace(".", "/") for name in version.files)
            return [one for name in names if (one := _read_member(version, name)) is not None]
        return []

    def _read(self, mark: ConfigurationMark) -> Version | None:
        try:
            published = self._published.named(mark)
            return Version(published, self._documents) if published is not None else None
        except (ValueError, OSError):
            return None

    def _find_terms(self, wanted: str, provider: str) -> Agreement | None:
        for version in self._newest_first():
            document = _read_member(version, provider)
            listed = _agreements(document).get(wanted) if document else None
            if listed is not None:
                return _parsed(listed.payload)
        return None

    def _newest_first(self) -> Iterator[PublishedVersion]:
        try:
            yield from self._published.newest_first()
        except (ValueError, OSError):
            return  # a version that cannot be read ends what is known


class _Kept(Generic[_Key, _Value]):
    """Values that are made when they are first asked for; those used last are kept, at most ``size``."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[_Key, _Value] = OrderedDict()

    def of(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


def _member(data: bytes) -> _Member | None:
    document = _decoded(data, MemberDocument)
    if document is None:
        return None
    return _Member(Text(document.name.fr, document.name.en), _agreements(document))


def _agreements(document: MemberDocument) -> dict[str, ListedAgreement]:
    found = {}
    for entry in document.agreements:
        try:
            payload = parse_document(DocumentKind.AGREEMENT, entry.provider_jws).unverified_payload
        except MalformedError:
            continue
        found[digest(payload)] = ListedAgreement(entry.state, payload)
    return found


def _read_member(version: PublishedVersion, member: str) -> MemberDocument | None:
    data = version.files.get(member_target(member))
    return _decoded(data, MemberDocument) if data is not None else None


def _parsed(payload: bytes) -> Agreement | None:
    try:
        return parse_agreement(payload)
    except MalformedError:
        return None


def _decoded(data: bytes, kind: type[_Document]) -> _Document | None:
    try:
        return decode_strict(data, kind)
    except MalformedError:
        return None
