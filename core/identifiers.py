"""Names of members and of what they own, as they are written on the road.

Grammar: ``docs/protocol/identifiers.md``. Strict ASCII, bounded, no part that a path, a URL or a
look-alike could bend; each written form splits one way only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

from core.reasons import MalformedError, Reason

MAX_IDENTIFIER_LENGTH: Final = 160

_INSTANCE = re.compile(r"[A-Z]{2}")
_CLASS = re.compile(r"[A-Z]{2,5}")
_MEMBER = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,30}[A-Z0-9])?")
# A part neither starts nor ends with a dot or a dash: '..', '.git' and option look-alikes cannot be written.
_CODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,30}[A-Za-z0-9])?")
_SERVICE = re.compile(r"[a-z][a-z0-9_]{0,40}(?:\.[a-z][a-z0-9_]{0,40}){0,7}\.[A-Z][A-Za-z0-9]{0,60}")
_METHOD = re.compile(r"[A-Z][A-Za-z0-9]{0,60}")
_LOG_ID = re.compile(r"[0-9a-f]{64}")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_PURPOSE = re.compile(r"[A-Z][A-Z0-9]{1,7}")
_HANDLE = re.compile(r"[A-Za-z0-9._:/-]{1,64}")

# Codes that would read like a part of the layer itself (RELIABILITY 3h: X-Road let users register them).
RESERVED_CODES: Final = frozenset({"registre", "registry", "passerelle", "metaservices", "management"})

UrnKind = Literal["member", "gateway", "program", "adapter", "operator", "auditor", "registry"]
_URN_KINDS: Final = frozenset({"member", "gateway", "program", "adapter", "operator", "auditor", "registry"})


class MalformedIdentifierError(MalformedError):
    """A text that is no identifier of the kind that was asked for."""

    def __init__(self, text: str, why: str) -> None:
        # What was refused is shown shortened and as ASCII: it may be a peer's bytes.
        super().__init__(Reason.IDENTIFIER_INVALID, f"malformed identifier {text[:80]!a}: {why}")

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


def _split(text: str, parts: int) -> list[str]:
    if len(text) > MAX_IDENTIFIER_LENGTH:
        raise MalformedIdentifierError(text, f"longer than {MAX_IDENTIFIER_LENGTH} characters")
    found = text.split("/")
    if len(found) != parts:
        raise MalformedIdentifierError(text, f"{parts} parts expected, {len(found)} found")
    return found


def _require(pattern: re.Pattern[str], part: str, whole: str, name: str) -> None:
    if not pattern.fullmatch(part):
        raise MalformedIdentifierError(whole, f"invalid {name} {part[:40]!a}")


@dataclass(frozen=True, slots=True, order=True)
class MemberId:
    """One institution on the road, written ``BJ/GOV/ANIP``."""

    instance: str
    member_class: str
    member_code: str

    def __post_init__(self) -> None:
        whole = str(self)
        _require(_INSTANCE, self.instance, whole, "instance")
        _require(_CLASS, self.member_class, whole, "member class")
        _require(_MEMBER, self.member_code, whole, "member code")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form; raises ``MalformedIdentifierError``."""
        return cls(*_split(text, 3))

    def __str__(self) -> str:
        return f"{self.instance}/{self.member_class}/{self.member_code}"


@dataclass(frozen=True, slots=True, order=True)
class _OwnedId:
    """A name with four parts: what it names belongs to the member of the first three."""

    member: MemberId
    code: str

    kind: ClassVar[str] = "code"

    def __post_init__(self) -> None:
        _require(_CODE, self.code, str(self), self.kind)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form; raises ``MalformedIdentifierError``."""
        *member, code = _split(text, 4)
        return cls(MemberId(*member), code)

    def __str__(self) -> str:
        return f"{self.member}/{self.code}"


@dataclass(frozen=True, slots=True, order=True)
class SubsystemId(_OwnedId):
    """One information system of one member, written ``BJ/GOV/ANIP/RNPP``: it consumes and provides."""

    kind: ClassVar[str] = "subsystem code"

    def __post_init__(self) -> None:
        _OwnedId.__post_init__(self)
        if self.code.lower() in RESERVED_CODES:
            raise MalformedIdentifierError(str(self), "reserved subsystem code")


@dataclass(frozen=True, slots=True, order=True)
class GatewayId(_OwnedId):
    """One gateway of one member, written ``BJ/GOV/ANIP/gw1``."""

    kind: ClassVar[str] = "gateway code"


@dataclass(frozen=True, slots=True, order=True)
class RegistryId(_OwnedId):
    """The registry of an instance, written ``BJ/GOV/ASIN/registre``."""

    kind: ClassVar[str] = "registry code"


@dataclass(frozen=True, slots=True, order=True)
class PersonId(_OwnedId):
    """An operator or an auditor, written ``BJ/GOV/ASIN/operateur-1``: a role's name, never a person's."""

    kind: ClassVar[str] = "role name"


@dataclass(frozen=True, slots=True, order=True)
class ProgramId:
    """A member's software with credentials of its own, written ``BJ/GOV/PNS/PORTAIL/web``."""

    subsystem: SubsystemId
    name: str

    def __post_init__(self) -> None:
        _require(_CODE, self.name, str(self), "program name")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form; raises ``MalformedIdentifierError``."""
        *subsystem, name = _split(text, 5)
        return cls(SubsystemId(MemberId(*subsystem[:3]), subsystem[3]), name)

    def __str__(self) -> str:
        return f"{self.subsystem}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ServiceName:
    """The full name of a gRPC service, written ``bj.identity.v1.IdentityService``."""

    name: str

    def __post_init__(self) -> None:
        _require(_SERVICE, self.name, self.name, "service name")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form; raises ``MalformedIdentifierError``."""
        if len(text) > MAX_IDENTIFIER_LENGTH:
            raise MalformedIdentifierError(text, "too long")
        return cls(text)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, order=True)
class MethodName:
    """One method of a service, written ``bj.identity.v1.IdentityService/GetPerson``."""

    service: ServiceName
    method: str

    def __post_init__(self) -> None:
        _require(_METHOD, self.method, str(self), "method name")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form; raises ``MalformedIdentifierError``."""
        service, method = _split(text, 2)
        return cls(ServiceName.parse(service), method)

    @property
    def path(self) -> str:
        """The HTTP/2 ``:path`` of the method."""
        return f"/{self}"

    def __str__(self) -> str:
        return f"{self.service}/{self.method}"


def require_log_id(text: str) -> str:
    """A log id or leaf hash: 64 lower-case hex digits (PROTOCOL M1)."""
    if not _LOG_ID.fullmatch(text):
        raise MalformedIdentifierError(text, "not 64 lower-case hex digits")
    return text


def require_purpose(text: str) -> str:
    """A purpose code such as ``P01``."""
    if not _PURPOSE.fullmatch(text):
        raise MalformedIdentifierError(text, "not a purpose code")
    return text


def require_handle(text: str) -> str:
    """An opaque handle of M13: user, dossier, reference; ``[A-Za-z0-9._:/-]{1,64}``."""
    if not _HANDLE.fullmatch(text):
        raise MalformedIdentifierError(text, "not an opaque handle")
    return text


def require_exchange_id(text: str) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) in lower case."""
    if not _UUID7.fullmatch(text):
        raise MalformedIdentifierError(text, "not a UUIDv7")
    return text


# Of the 80 bits behind the time: four of version 7, two of variant 10.
_UUID7_FIXED_BITS: Final = 0xF << 76 | 0x3 << 62
_UUID7_VERSION_AND_VARIANT: Final = 0x7 << 76 | 0x2 << 62


def new_exchange_id(now_ms: int, random: bytes) -> str:
    """Mint a UUIDv7 from UTC milliseconds and 10 random bytes (RFC 9562, section 5.7)."""
    if len(random) != 10:
        raise ValueError("10 random bytes expected")
    tail = int.from_bytes(random, "big") & ~_UUID7_FIXED_BITS | _UUID7_VERSION_AND_VARIANT
    digits = f"{(now_ms & 0xFFFFFFFFFFFF) << 80 | tail:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def exchange_id_time_ms(exchange_id: str) -> int:
    """The minting time that a UUIDv7 shows, UTC milliseconds."""
    return int(exchange_id[:8] + exchange_id[9:13], 16)


def urn(kind: UrnKind, identifier: object) -> str:
    """The SAN URI of a certificate (PROTOCOL M18), ``urn:passerelle:gateway:BJ/GOV/ANIP/gw1``."""
    return f"urn:passerelle:{kind}:{identifier}"


AnyId = MemberId | SubsystemId | GatewayId | RegistryId | PersonId | ProgramId


def parse_urn(text: str) -> tuple[UrnKind, AnyId]:
    """Read a SAN URI; raises ``MalformedIdentifierError``."""
    prefix, _, rest = text.partition("urn:passerelle:")
    kind, colon, identifier = rest.partition(":")
    if prefix or not colon or kind not in _URN_KINDS:
        raise MalformedIdentifierError(text, "not a urn:passerelle name")
    match kind:
        case "member":
            return "member", MemberId.parse(identifier)
        case "gateway":
            return "gateway", GatewayId.parse(identifier)
        case "program":
            return "program", ProgramId.parse(identifier)
        case "adapter":
            return "adapter", SubsystemId.parse(identifier)
        case "operator":
            return "operator", PersonId.parse(identifier)
        case "auditor":
            return "auditor", PersonId.parse(identifier)
        case _:
            return "registry", RegistryId.parse(identifier)
