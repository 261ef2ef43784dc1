"""Gathers the evidence of one exchange from a gateway's directory alone (DESIGN section 8, PROTOCOL M10).

Used by ``passerelle audit export`` and by the gateway's own API; works with every process dead. What is gathered is
not judged here: the verifier does that, from the container and the anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.agreements import parse_agreement
from core.configuration import AgreementEntry, CommonDocument, MemberDocument, member_target
from core.documents import digest, encode
from core.evidence import (
    CONSUMER_AGREEMENT,
    MANIFEST,
    PROVIDER_AGREEMENT,
    InclusionProof,
    LeafPart,
    Manifest,
    Parts,
    configuration_path,
    file_name,
    member_key_path,
)
from core.heads import ConfigurationMark, head_digest, parse_head
from core.identifiers import require_exchange_id
from core.jws import DocumentKind, parse_document
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from core.registrations import Registration, parse_registration
from core.statements import AgreementMark
from core.streams import is_segment
from ledger.places import LogPlace, log_places
from ledger.published import TARGETS_FILE, PublishedConfigurations, PublishedVersion
from ledger.trail import OpenBody, ProvenLeaf, Trail

# Opens the bodies of a log: its place and its id in, a function from BODY record to payloads out.
BodyOpener = Callable[[LogPlace, str], OpenBody]

BODY_PURPOSE: Final = "P05"


@dataclass(slots=True)
class _Named:
    """What the leaves name, and what is needed to believe them."""

    logs: dict[str, None] = field(default_factory=dict)
    marks: dict[tuple[int, str], None] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    agreement: AgreementMark | None = None
    provider: str | None = None

    def add(self, leaf: ProvenLeaf) -> None:
        """Take note of one more."""
        self.logs[leaf.log] = None
        statement = leaf.statement
        if statement is None:
            return
        if statement.configuration is not None:
            self.marks[statement.configuration.version, statement.configuration.digest] = None
        self.members |= {_member_of(one) for one in (statement.client, statement.service) if one is not None}
        self.agreement = self.agreement or statement.agreement
        self.provider = self.provider or statement.service


@dataclass(slots=True)
class _Gathering:
    """What has been found so far; ``parts`` are those that are named by several leaves, or by the manifest."""

    parts: Parts = field(default_factory=dict)
    leaves: list[LeafPart] = field(default_factory=list)
    registrations: list[str] = field(default_factory=list)
    successors: list[str] = field(default_factory=list)
    configurations: list[int] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def require_bodies_allowed(purpose: str, mandate: str) -> None:
    """Bodies open for purpose P05 or under a mandate, never otherwise (DESIGN section 2).

    Raises:
        ExchangeError: ``PURPOSE_NOT_ALLOWED``.
    """
    if purpose != BODY_PURPOSE and not mandate.strip():
        raise ExchangeError(
            Reason.PURPOSE_NOT_ALLOWED, f"bodies are opened for {BODY_PURPOSE} or under a mandate only"
        )


class Evidence:
    """What the logs of a gateway hold of one exchange: found at once, read part by part.

    Own leaves go out only under a head that we signed, and nothing is signed that is not durable: so the log may be
    read to its very end, beside a live writer.
    """

    def __init__(self, gateway: Path, exchange: str, *, partial: bool = False) -> None:
        """Find ``exchange``.

        Args:
            gateway: The gateway's directory, or a copy of it.
            exchange: UUIDv7 of the exchange.
            partial: Whether to leave out what no signed head covers yet; ``missing`` says how much.

        Raises:
            ExchangeError: ``NOT_FOUND``; ``PROOF_INVALID`` if no signed head covers it yet; ``LOG_DAMAGED``.
        """
        require_exchange_id(exchange)
        self._gateway = gateway
        self._exchange = exchange
        self._found: list[tuple[LogPlace, Trail]] = []
        self._left_out: list[str] = []
        self.leaves = 0
        for place in log_places(gateway):
            trail = Trail(place.segments, place.head_file)
            if trail.follow(exchange, partial=partial):
                self._found.append((place, trail))
            if trail.left_out:
                self._left_out.append(
                    f"{trail.left_out} leaves of log {trail.log_id[:16]}: not covered by a signed head yet"
                )
        self.missing = self._left_out
        if not self._found:
            raise ExchangeError(Reason.NOT_FOUND, f"exchange {exchange} is not in the logs of this gateway")

    def parts(self, open_bodies: BodyOpener | None = None) -> Iterator[tuple[str, bytes]]:
        """Each part once with its path: leaf by leaf, then whom to believe, the manifest last.

        No more is held than the manifest will say: a stream of any length goes out as it is read. ``leaves`` and
        ``missing`` are known behind the last part. Whoever asks again is told the same.

        Args:
            open_bodies: Opens the bodies, if they are to go into the evidence.

        Raises:
            ExchangeError: ``PROOF_INVALID``: the log keeps what does not prove a leaf; ``LOG_DAMAGED``.
        """
        gathering, named = _Gathering(missing=list(self._left_out)), _Named()
        heads: set[str] = set()
        for place, trail in self._found:
            open_body = open_bodies(place, trail.log_id) if open_bodies else None
            for leaf in trail.leaves():
                named.add(leaf)
                for path, data in _leaf_parts(gathering, leaf, open_body):
                    if path.startswith("heads/"):
                        if path in heads:
                            continue
                        heads.add(path)
                    yield path, data
        _add_trust(gathering, PublishedConfigurations(self._gateway / "configuration"), named)
        yield from sorted(gathering.parts.items())
        self.leaves, self.missing = len(gathering.leaves), gathering.missing
        manifest = Manifest(
            v=1,
            exchange=self._exchange,
            logs=[trail.log_id for _, trail in self._found],
            leaves=gathering.leaves,
            registrations=gathering.registrations,
            successors=gathering.successors,
            configurations=gathering.configurations,
            missing=gathering.missing,
        )
        yield MANIFEST, encode(manifest)


# --- leaves ---


def _leaf_parts(
    gathering: _Gathering, leaf: ProvenLeaf, open_body: OpenBody | None
) -> Iterator[tuple[str, bytes]]:
    name = _name_of(leaf, len(gathering.leaves) + 1)
    head = parse_head(leaf.head).unverified
    head_path = f"heads/{head_digest(leaf.head)[:16]}.jws"
    proof = InclusionProof(
        leaf_hash=leaf_hash(leaf.leaf).hex(),
        index=leaf.index,
        size=head.size,
        proof=[one.hex() for one in leaf.path],
        root=head.root,
    )
    body = _body_of(gathering, leaf, name, open_body)
    part = LeafPart(
        path=f"statements/{name}.json",
        label=leaf.label,
        log=leaf.log,
        index=leaf.index,
        proof=f"proofs/{name}.json",
        head=head_path,
        body=f"bodies/{name}.bin" if body is not None else None,
    )
    gathering.leaves.append(part)
    yield part.path, leaf.body
    yield part.proof, encode(proof)
    yield head_path, leaf.head
    if part.body is not None and body is not None:
        yield part.body, body


def _name_of(leaf: ProvenLeaf, number: int) -> str:
    """Names sort as the log does; of a stream, each tells its segment."""
    if leaf.statement is None:
        return f"{number:06d}-heard-{leaf.heard.role if leaf.heard else ''}"
    segment = f"-{leaf.statement.sequence}" if is_segment(leaf.statement) else ""
    return f"{number:06d}-{leaf.statement.kind}{segment}"


def _body_of(gathering: _Gathering, leaf: ProvenLeaf, name: str, open_body: OpenBody | None) -> bytes | None:
    if open_body is None or leaf.statement is None or not leaf.statement.payloads:
        return None
    if leaf.sealed is None:
        gathering.missing.append(f"body of {name}: not kept")
        return None
    try:
        return open_body(leaf.sealed)
    except ExchangeError as error:
        gathering.missing.append(f"body of {name}: {error}")
        return None


# --- whom to believe ---


def _add_trust(gathering: _Gathering, configurations: PublishedConfigurations, named: _Named) -> None:
    """Configuration documents, registrations, keys, authorities and the agreement that the statements name."""
    versions = _versions(gathering, configurations, named)
    members: dict[str, MemberDocument] = {}
    for log in named.logs:
        member = _add_registration(gathering, versions, log)
        if member is not None:
            members[member.member] = member
    if named.agreement is not None and named.provider is not None:
        member = _add_agreement(gathering, versions, named.agreement, _member_of(named.provider))
        if member is not None:
            members[member.member] = member
    for member in members.values():
        _add_member(gathering, member)
    for version in versions:
        if version.common is not None:
            _add_authorities(gathering, version.common)


def _versions(
    gathering: _Gathering, configurations: PublishedConfigurations, named: _Named
) -> list[PublishedVersion]:
    """The versions that statements name, as evidence; then the newest, whose lists of revocations know most."""
    targets = {"common.json", *map(member_target, named.members)}
    found = []
    for version, named_digest in named.marks:
        published = configurations.named(ConfigurationMark(version, named_digest))
        if published is None:
            gathering.missing.append(f"configuration {version}: not kept here")
            continue
        found.append(published)
        gathering.configurations.append(version)
        gathering.parts[configuration_path(version, TARGETS_FILE)] = published.targets
        for target in published.files:
            if target in targets:
                gathering.parts[configuration_path(version, target)] = published.files[target]
    newest = next(configurations.newest_first(), None)
    return found if newest is None else [*found, newest]


def _member_of(subsystem: str) -> str:
    return subsystem.rpartition("/")[0]


def _add_registration(
    gathering: _Gathering, versions: Iterable[PublishedVersion], log: str
) -> MemberDocument | None:
    for version in versions:
        for member in _members(version):
            for entry in member.registrations:
                registration = _registration(entry.jws)
                if log in registration.all_logs:
                    _keep_registration(gathering, registration, entry.jws)
                    return member
    gathering.missing.append(f"registration of log {log}: not kept here")
    return None


def _keep_registration(gathering: _Gathering, registration: Registration, jws: str) -> None:
    """Of one gateway there are two where an exchange began in one log and ended in its successor."""
    name, number = file_name(registration.gateway), 1
    path = f"registrations/{name}.jwt"
    while path in gathering.parts and gathering.parts[path] != jws.encode("ascii"):
        number += 1
        path = f"registrations/{name}.{number}.jwt"
    if path in gathering.parts:
        return
    gathering.registrations.append(path)
    gathering.parts[path] = jws.encode("ascii")
    beside = name if number == 1 else f"{name}.{number}"
    for position, seal in enumerate(registration.seal, 1):
        gathering.parts[f"certificates/{beside}.seal-{position}.pem"] = seal.chain.encode("ascii")


def _members(version: PublishedVersion) -> list[MemberDocument]:
    found = (version.member(name.removeprefix("members/")[:-5].replace(".", "/")) for name in version.files)
    return [one for one in found if one is not None]


def _registration(jws: str) -> Registration:
    return parse_registration(parse_document(DocumentKind.REGISTRATION, jws).unverified_payload)


def _add_agreement(
    gathering: _Gathering, versions: Iterable[PublishedVersion], mark: AgreementMark, provider: str
) -> MemberDocument | None:
    """The agreement with the digest that is named, and the consumer's member document for its key."""
    for version in versions:
        document = version.member(provider)
        for entry in document.agreements if document else ():
            payload = parse_document(DocumentKind.AGREEMENT, entry.provider_jws).unverified_payload
            if digest(payload) == mark.digest:
                return _keep_agreement(gathering, version, entry, payload)
    gathering.missing.append(f"agreement {mark.id}/{mark.version}: not kept here")
    return None


def _keep_agreement(
    gathering: _Gathering, version: PublishedVersion, entry: AgreementEntry, payload: bytes
) -> MemberDocument | None:
    gathering.parts[CONSUMER_AGREEMENT] = entry.consumer_jws.encode("ascii")
    gathering.parts[PROVIDER_AGREEMENT] = entry.provider_jws.encode("ascii")
    terms = parse_agreement(payload)
    provider = version.member(terms.provider.subsystem.rpartition("/")[0])
    if provider is not None:
        _add_member(gathering, provider)
    return version.member(terms.consumer.subsystem.rpartition("/")[0])


def _add_member(gathering: _Gathering, member: MemberDocument) -> None:
    for key in member.member_keys:
        gathering.parts[member_key_path(key.thumbprint)] = key.public_key.encode("ascii")
    for number, jws in enumerate(member.successors, 1):
        path = f"registrations/{file_name(member.member)}.successor-{number}.jwt"
        if path not in gathering.successors:
            gathering.successors.append(path)
            gathering.parts[path] = jws.encode("ascii")


def _add_authorities(gathering: _Gathering, common: CommonDocument) -> None:
    # All of them: whoever verifies must be able to tell who signed each list of revocations.
    for pem in (*common.authorities.seal, *common.authorities.auth):
        gathering.parts[f"certificates/ca-{digest(pem.encode())[:16]}.pem"] = pem.encode("ascii")
    for pem in common.crls:
        gathering.parts[f"certificates/crl-{digest(pem.encode())[:16]}.pem"] = pem.encode("ascii")
