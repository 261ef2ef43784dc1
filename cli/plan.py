"""``country.toml``: what a country consists of, and where on this machine each part of it listens."""

from __future__ import annotations

from pathlib import Path

import msgspec

from adapters.descriptors import STANDARD_SERVICES
from core.identifiers import GatewayId, MemberId, SubsystemId
from core.language import DEFAULT_LANGUAGE, Language
from gateway.settings import HostPort, road_of
from rpc.settings import load_settings

LOOPBACK = "127.0.0.1"
# The country in a box: `make demo`, `make up`.
DEFAULT_PLAN = (Path(__file__).parent / "country.toml").read_text(encoding="utf-8")
# A gateway has ten ports of the country: those that its road ports leave are taken.
MAX_WORKERS = 5


class PurposePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A purpose code and its label in both languages."""

    code: str
    fr: str
    en: str


class AdapterPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a member serves.

    Attributes:
        subsystem: The provider.
        kind: Its adapter, as ``adapter.toml`` names it: ``land``, or ``package.module:NAME``.
        program: The member's program by which the adapter calls others; none if it calls nobody.
        standard: Services of any gRPC server that it publishes beside its own: ``health``, ``reflection``.
    """

    subsystem: str
    kind: str = "identity"
    program: str | None = None
    standard: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted({*self.standard} - {*STANDARD_SERVICES})
        if unknown:
            raise ValueError(
                f"standard must name services among {', '.join(STANDARD_SERVICES)}, not {unknown[0]}"
            )


class MemberPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member with one gateway of one or more workers, its subsystems, programs and at most one adapter."""

    id: str
    fr: str
    en: str
    gateway: str = "gw1"
    subsystems: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    adapter: AdapterPlan | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"workers must be 1 to {MAX_WORKERS}, not {self.workers}")

    @property
    def member_id(self) -> MemberId:
        """The member, parsed."""
        return MemberId.parse(self.id)

    @property
    def gateway_id(self) -> GatewayId:
        """Its gateway."""
        return GatewayId(self.member_id, self.gateway)


class AgreementPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agreement that founding concludes. ``field_mask`` names the fields of a method's answers; without it, all."""

    id: str
    consumer: str
    provider: str
    service: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...]
    legal_basis_fr: str
    legal_basis_en: str
    apdp_decision: str | None = None
    issue_required: bool = True
    field_mask: dict[str, list[str]] | None = None
    years: int = 5


class CountryPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One country in a box.

    Attributes:
        instance: Country code, ``BJ``.
        registry: Id of the registry.
        persons: How many fictitious people its registers know; firms, parcels and contracts go with them.
        lang: Language of its messages.
        operators: Role names of the registry's operators; starting something takes two.
        auditors: Role names of auditors.
        purpose: The purposes that agreements may grant.
        member: The members, in order of founding: ports follow it.
        agreement: The agreements.
    """

    instance: str
    registry: str
    persons: int = 50_000
    lang: Language = DEFAULT_LANGUAGE
    operators: tuple[str, ...] = ()
    auditors: tuple[str, ...] = ()
    purpose: tuple[PurposePlan, ...] = ()
    member: tuple[MemberPlan, ...] = ()
    agreement: tuple[AgreementPlan, ...] = ()

    def member_of(self, subsystem: str) -> MemberPlan:
        """The member that a subsystem belongs to; raises ``KeyError``."""
        wanted = str(SubsystemId.parse(subsystem).member)
        for member in self.member:
            if member.id == wanted:
                return member
        raise KeyError(subsystem)


def load_plan(path: Path) -> CountryPlan:
    """Read ``country.toml``; raises ``SettingsError``."""
    return load_settings(path, CountryPlan)


class Ports:
    """The ports of a country, counted from a base (DESIGN section 3)."""

    def __init__(self, base: int) -> None:
        self.base = base

    @property
    def registry(self) -> str:
        """The registry."""
        return f"{LOOPBACK}:{self.base}"

    def gateway(self, number: int, offset: int) -> str:
        """Gateway ``number`` (from 1, in order of founding): +1 programs, +2 road, +3 admin, +4 HTTP, +5 adapter."""
        return f"{LOOPBACK}:{self.base + 10 * number + offset}"

    def roads(self, number: int, workers: int) -> tuple[str, ...]:
        """Road ports of gateway ``number``: +2 for worker 0, +6 to +9 for the others."""
        first = HostPort.parse(self.gateway(number, 2))
        return tuple(str(road_of(first, worker)) for worker in range(workers))


class Layout:
    """Where the parts of a country lie below its directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.plan = self.root / "country.toml"
        self.ca = self.root / "ca"
        self.registry = self.root / "registry"
        self.anchor = self.root / "anchor.pem"
        self.founded = self.root / "founded.json"
        # Written first: only a directory that has it is ever cleared away.
        self.marker = self.root / ".passerelle-country"
        self.log = self.root / "log"

    def person(self, role: str, name: str) -> Path:
        """Identity directory of an operator or auditor."""
        return self.root / f"{role}s" / name

    def member(self, member: MemberPlan) -> Path:
        """Everything of a member."""
        return self.root / "members" / member.id.replace("/", ".")

    def gateway(self, member: MemberPlan) -> Path:
        """Its gateway's directory."""
        return self.member(member) / member.gateway

    def member_key(self, member: MemberPlan) -> Path:
        """Its member key, which no gateway ever holds."""
        return self.member(member) / "member.key"

    def adapter(self, member: MemberPlan) -> Path:
        """Its adapter's directory."""
        return self.member(member) / "adapter"

    def program(self, program: str) -> Path:
        """Identity directory of a program."""
        return self.root / "programs" / program.replace("/", ".")
