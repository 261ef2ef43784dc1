"""The documents of the global configuration, as the registry publishes and gateways read them.

Trust does not come from these documents alone: what is granted in them is signed by member keys, and every
gateway checks those signatures itself. The registry's own words are state: in force, suspended, revoked.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from core.agreements import Bilingual
from core.documents import MalformedDocumentError, decode_strict, digest, encode
from core.wire import PackedPlan

COMMON_TARGET: Final = "common.json"
MAX_CURRENT_BYTES: Final = 256 * 1024 * 1024

MemberState = Literal["active", "suspended"]
KeyState = Literal["active", "superseded", "revoked"]
GrantState = Literal["active", "suspended", "revoked"]
AgreementState = Literal["active", "suspended", "revoked", "superseded"]


def member_target(member: object) -> str:
    """Name of a member's target, ``members/BJ.GOV.ANIP.json``."""
    return f"members/{str(member).replace('/', '.')}.json"


def descriptors_target(sha256: str) -> str:
    """Name of a FileDescriptorSet's target, ``descriptors/<sha256>.binpb``."""
    return f"descriptors/{sha256}.binpb"


class Purpose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A purpose code and its label."""

    code: str
    label: Bilingual


class RegistryParty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The registry itself: id, its logs, and the certificates its heads are signed with (PEM chains)."""

    id: str
    logs: list[str]
    certificates: list[str]


class Authorities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Certificates of the issuing CAs (PEM) under the anchor's root."""

    auth: list[str]
    seal: list[str]


class CommonDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for all members (target ``common.json``)."""

    v: int
    instance: str
    registry: RegistryParty
    purposes: list[Purpose]
    authorities: Authorities
    crls: list[str]
    personal_number_pattern: str


class MemberKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member key: thumbprint, SubjectPublicKeyInfo as PEM, and its state."""

    thumbprint: str
    public_key: str
    state: KeyState


class RegistrationEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gateway's registration, signed by the member key, with the registry's word on it."""

    jws: str
    state: GrantState


class ServiceMethod(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One method of a service, as its descriptor tells it."""

    name: str
    client_streaming: bool
    server_streaming: bool
    idempotent: bool


class ServiceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gRPC service of a subsystem and the digest of its FileDescriptorSet."""

    subsystem: str
    service: str
    descriptors: str
    methods: list[ServiceMethod]
    state: Literal["active", "retired"]


class AgreementEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agreement with both signatures, and its state, which stands outside the signed bytes.

    ``changed_at`` is when the state last changed, UTC milliseconds: a superseded version is honoured for
    60 s more, a revoked one never (PROTOCOL M2).
    """

    consumer_jws: str
    provider_jws: str
    state: AgreementState
    changed_at: int


class MemberDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member; agreements stand in the provider's document."""

    v: int
    member: str
    name: Bilingual
    state: MemberState
    member_keys: list[MemberKey]
    successors: list[str]
    registrations: list[RegistrationEntry]
    subsystems: list[str]
    services: list[ServiceEntry]
    agreements: list[AgreementEntry]


class ProgramEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One credential of a program of the gateway's own member, admitted by its pinned thumbprint.

    Attributes:
        id: ``BJ/GOV/PNS/PORTAIL/web``; a program may have several entries.
        thumbprint: Of its certificate (x5t#S256), or of its key.
        state: Whether it is admitted.
        public_key: SubjectPublicKeyInfo as PEM of a key that signs caller tokens; absent for a certificate.
    """

    id: str
    thumbprint: str
    state: Literal["active", "removed"]
    public_key: str | None = None


class MaskPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the field mask of an agreement is enforced on one method, compiled from the descriptors of its service.

    Attributes:
        agreement: Digest of the agreement's payload.
        method: The method, without its service.
        tables: The plan, as ``core.wire`` packs it.
        outline: One that lets through whatever a granted message holds: what no descriptors to come can grant is past it.
            Empty, and not written, in what an earlier control left: then ``tables`` is all that is known.
    """

    agreement: str
    method: str
    tables: PackedPlan
    outline: PackedPlan = []


class MarkedMethod(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is noted of the messages of a method, compiled from the descriptors of its service (PROTOCOL M13).

    Attributes:
        subsystem: The provider, ``BJ/GOV/ANIP/RNPP``.
        method: ``bj.identity.v1.IdentityService/GetPerson``.
        asked: Number of the plan that marks the data subjects of its requests; ``None``: they name nobody.
        named: The same of its answers.
        returned: Number of the plan that marks classes and records of its answers; ``None``: of none anything is said.
        names_persons: Whether its messages name somebody, or may.
        is_list: Whether an answer has as many records as the plan marks; else it is one.
    """

    subsystem: str
    method: str
    asked: int | None
    named: int | None
    returned: int | None
    names_persons: bool
    is_list: bool


class Marks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Methods whose messages say something of persons, and their plans, as ``core.wire`` packs them.

    A plan without a table is of messages that cannot be read: of them nobody knows whom they are about.
    """

    methods: list[MarkedMethod]
    plans: list[PackedPlan]


class CurrentConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What control hands to its workers (``configuration/current.json``), verified.

    Every registration and agreement in ``members`` has valid signatures and chains; others were left out.

    Attributes:
        v: Format version, 1.
        version: Version of ``targets.json``.
        digest: SHA-256 of its bytes.
        fresh_at: When a verified timestamp of the registry was last seen, UTC milliseconds.
        expires_at: When exchanges stop without a newer one, UTC milliseconds.
        common: The common document.
        members: All members, in the order of their ids.
        programs: The programs of the gateway's own member.
        masks: The field masks of its agreements that can be enforced; an agreement lacks one if its service does not know
            a field that it grants.
        marks: What is noted of the messages of methods that its agreements name.
        checksum: SHA-256 of the same document with an empty ``checksum``. Signatures were verified before it was
            written; whoever reads it later must not go by what a failing disk made of it.
    """

    v: int
    version: int
    digest: str
    fresh_at: int
    expires_at: int
    common: CommonDocument
    members: list[MemberDocument]
    programs: list[ProgramEntry]
    masks: list[MaskPlan] = []
    marks: Marks = Marks([], [])
    checksum: str = ""


def encode_current(current: CurrentConfiguration) -> bytes:
    """The bytes of ``configuration/current.json``."""
    return encode(msgspec.structs.replace(current, checksum=_checksum(current)))


def decode_current(document: bytes) -> CurrentConfiguration:
    """Read ``configuration/current.json``.

    Raises:
        MalformedDocumentError: It is not exactly such a document, or not as it was written.
    """
    current = decode_strict(document, CurrentConfiguration, max_bytes=MAX_CURRENT_BYTES)
    if current.checksum != _checksum(current):
        raise MalformedDocumentError("its checksum does not hold: it was damaged after it was written")
    return current


def _checksum(current: CurrentConfiguration) -> str:
    return digest(encode(msgspec.structs.replace(current, checksum="")))
