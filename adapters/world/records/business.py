"""Firms, as the trade register (RCCM, APIEx) holds them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from adapters.world.records.places import Place


class LegalForm(StrEnum):
    """Legal form."""

    ENTREPRENANT = "ENTREPRENANT"
    EI = "EI"
    SARL = "SARL"
    SARLU = "SARLU"
    SA = "SA"
    SAS = "SAS"
    SNC = "SNC"
    GIE = "GIE"
    COOP = "COOP"
    BRANCH = "BRANCH"


class BusinessStatus(StrEnum):
    """Whether a firm is alive."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    LIQUIDATION = "LIQUIDATION"
    STRUCK_OFF = "STRUCK_OFF"


class RelationRole(StrEnum):
    """What somebody is in a firm."""

    MANAGER = "MANAGER"
    PARTNER = "PARTNER"
    DIRECTOR = "DIRECTOR"
    AUDITOR = "AUDITOR"
    OWNER = "OWNER"


class TaxRegime(StrEnum):
    """How a firm is taxed."""

    TPS = "TPS"
    REAL = "REAL"


class RegistryEventKind(StrEnum):
    """What happened in the trade register (``RegistryEventType``)."""

    REGISTERED = "REGISTERED"
    MODIFIED = "MODIFIED"
    MANAGER_CHANGED = "MANAGER_CHANGED"
    STRUCK_OFF = "STRUCK_OFF"
    SECURITY_FILED = "SECURITY_FILED"


class Firm(NamedTuple):
    """One entry. ``ifu`` is empty for one in fifty; sole traders have their owner's birth data, others none."""

    ordinal: int
    rccm: str
    ifu: str
    name: str
    trade_name: str
    sign: str
    legal_form: LegalForm
    status: BusinessStatus
    capital_xof: int
    activity: str
    seat: Place
    seat_line: str
    seat_nup: str
    """A parcel of the cadastre, for some."""
    registered_on: str
    struck_off_on: str
    court: str
    cnss_employer_no: str
    """Empty without workers."""
    regime: TaxRegime
    on_paper: bool
    """Whether the entry is of before the digital register: its extracts take 48 h."""
    phone: str
    """``+2290100xxxxxx``, or empty."""
    email: str
    owner_birth_date: str
    owner_birth_place: str

    def __repr__(self) -> str:
        return f"Firm({self.rccm})"  # the name of a sole trade is a person's


class Relation(NamedTuple):
    """Somebody's role in a firm: a person (``npi`` and names, with accents) or a firm (``ifu``, ``firm_name``).

    The shares of the partners of a firm sum to its capital; ``to_date`` is empty while the role lasts.
    """

    firm: int
    rccm: str
    role: RelationRole
    npi: str
    last_name: str
    first_names: str
    marital_name: str
    ifu: str
    firm_name: str
    share_xof: int
    from_date: str
    to_date: str

    def __repr__(self) -> str:
        return "Relation(…)"


class RegistryEvent(NamedTuple):
    """Something that happened to an entry."""

    kind: RegistryEventKind
    rccm: str
    legal_form: LegalForm
    commune_code: str
    occurred_on: str
    changed_fields: tuple[str, ...]
