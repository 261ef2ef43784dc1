"""Gathers the evidence of one exchange from a gateway's directory alone (DESIGN section 8, PROTOCOL M10).

Used by ``passerelle audit export`` and by the gateway's own API; works with every process dead. What is gathered is
not judged here: the verifier does that, from the container and the anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.agreements import parse_agreement
from core.configuration import AgreementEntry, CommonDocument, MemberDocument
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
from core.statements import AgreementMark, Statement
from ledger.places import LogPlace, log_places
from ledger.published import TARGETS_FILE, PublishedConfigurations, PublishedVersion
from ledger.trail import OpenBody, ProvenLeaf, Trail

# Opens the bodies of a log: its place and its id in, a function from BODY record to payloads out.
BodyOpener = Callable[[LogPlace, str], OpenBody]

BODY_PURPOSE: Final = "P05"


@dataclass(slots=True)
class _Gathering:
    """What has been found so far."""

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


def gather_evidence(
    gateway: Path,
    exchange: str,
    *,
    open_bodies: BodyOpener | None = None,
) -> Parts:
    """All parts of the evidence of ``exchange``, by path.

    Own leaves go out only under a head that we signed, and nothing is signed that is not durable: so the log may be
    read to its very end, beside a live writer.

    Args:
        gateway: The gateway's directory, or a copy of it.
        exchange: UUIDv7 of the exchange.
        open_bodies: Opens the bodies, if they are to go into the evidence.

    Raises:
        ExchangeError: ``NOT_FOUND``; ``PROOF_INVALID`` if no signed head covers it yet; ``LOG_DAMAGED``.
    """
    require_exchange_id(exchange)
    gathering = _Gathering()
    found: list[ProvenLeaf] = []
    logs = []
    for place in log_places(gateway):
        trail = Trail(place.segments, place.head_file)
        trail.follow(exchange)
        leaves = trail.leaves()
        if not leaves:
            continue
        logs.append(trail.log_id)
        open_body = open_bodies(place, trail.log_id) if open_bodies else None
        for leaf in leaves:
            _add_leaf(gathering, leaf, open_body)
        found += leaves
    if not found:
        raise ExchangeError(Reason.NOT_FOUND, f"exchange {exchange} is not in the logs of this gateway")
    _add_trust(gathering, PublishedConfigurations(gateway / "configuration"), found)
    manifest = Manifest(
        v=1,
        exchange=exchange,
        logs=logs,
        leaves=gathering.leaves,
        registrations=gathering.registrations,
        successors=gathering.successors,
        configurations=gathering.configurations,
        missing=gathering.missing,
    )
    return {MANIFEST: encode(manifest)} | gathering.parts


# --- leaves ---


def _add_leaf(gathering: _Gathering, leaf: ProvenLeaf, open_body: OpenBody | None) -> None:
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
    part = LeafPart(
        path=f"statements/{name}.json",
        label=leaf.label,
        log=leaf.log,
        index=leaf.index,
        proof=f"proofs/{name}.json",
        head=head_path,
        body=_add_body(gathering, leaf, name, open_body),
    )
    gathering.parts |= {part.path: leaf.body, part.proof: encode(proof), head_path: leaf.head}
    gathering.leaves.append(part)


def _name_of(leaf: ProvenLeaf, number: int) -> str:
    if leaf.statement is not None:
        return f"{number}-{leaf.statement.kind}"
    return f"{number}-heard-{leaf.heard.role if leaf.heard else ''}"


def _add_body(gathering: _Gathering, leaf: ProvenLeaf, name: str, open_body: OpenBody | None) -> str | None:
    if open_body is None or leaf.statement is None or not leaf.statement.payloads:
        return None
    if leaf.sealed is None:
        gathering.missing.append(f"body of {name}: not kept")
        return None
    try:
        path = f"bodies/{name}.bin"
        gathering.parts[path] = open_body(leaf.sealed)
    except ExchangeError as error:
        gathering.missing.append(f"body of {name}: {error}")
        return None
    return path


# --- whom to believe ---


def _add_trust(
    gathering: _Gathering, configurations: PublishedConfigurations, leaves: Iterable[ProvenLeaf]
) -> None:
    """Configuration documents, registrations, keys, authorities and the agreement that the statements name."""
    leaves = list(leaves)
    statements = [leaf.statement for leaf in leaves if leaf.statement is not None]
    versions = _versions(gathering, configurations, statements)
    members: dict[str, MemberDocument] = {}
    for log in dict.fromkeys(leaf.log for leaf in leaves):
        member = _add_registration(gathering, versions, log)
        if member is not None:
            members[member.member] = member
    mark = next((one.agreement for one in statements if one.agreement), None)
    provider = next((one.service for one in statements if one.service), None)
    if mark is not None and provider is not None:
        member = _add_agreement(gathering, versions, mark, provider.rpartition("/")[0])
        if member is not None:
            members[member.member] = member
    for member in members.values():
        _add_member(gathering, member)
    for version in versions:
        if version.common is not None:
            _add_authorities(gathering, version.common)


def _versions(
    gathering: _Gathering, configurations: PublishedConfigurations, statements: Iterable[Statement]
) -> list[PublishedVersion]:
    """The versions that statements name, as evidence; then the newest, whose lists of revocations know most."""
    marks = dict.fromkeys(_key(one.configuration) for one in statements if one.configuration)
    found = []
    for version, named in marks:
        published = configurations.named(ConfigurationMark(version, named))
        if published is None:
            gathering.missing.append(f"configuration {version}: not kept here")
            continue
        found.append(published)
        gathering.configurations.append(version)
        gathering.parts[configuration_path(version, TARGETS_FILE)] = published.targets
        for target in _targets_of(published, statements):
            gathering.parts[configuration_path(version, target)] = published.files[target]
    newest = next(configurations.newest_first(), None)
    return found if newest is None else [*found, newest]


def _key(mark: ConfigurationMark) -> tuple[int, str]:
    return mark.version, mark.digest


def _targets_of(version: PublishedVersion, statements: Iterable[Statement]) -> list[str]:
    names = {
        f"members/{file_name(subsystem.rpartition('/')[0])}.json"
        for one in statements
        for subsystem in (one.client, one.service)
        if subsystem
    }
    return [target for target in version.files if target in names or target == "common.json"]


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
