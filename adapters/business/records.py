"""Firms and who is behind them, as the store holds them and the services read them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from adapters.business.forms import FORMS, LegalForm
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import formality_pb2


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a firm is: the narrowest code that is known, and the names of what it lies in."""

    code: str = ""
    department: str = ""
    commune: str = ""
    arrondissement: str = ""
    quarter: str = ""

    @property
    def commune_code(self) -> str:
        """``LI-COT``; empty if no commune is known."""
        return self.code[:6] if len(self.code) >= len("LI-COT") else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firm:
    """One entry of the register; what is unknown is empty. Columns of the store carry the same names."""

    rccm: str
    name: str
    legal_form: LegalForm
    registered_on: str
    court: str
    trade_name: str = ""
    sign: str = ""
    status: pb.BusinessStatus.ValueType = pb.BUSINESS_STATUS_ACTIVE
    capital_xof: int = 0
    activity: str = ""
    seat: Seat = field(default_factory=Seat)
    seat_line: str = ""
    seat_nup: str = ""
    struck_off_on: str = ""
    ifu: str = ""
    cnss_employer_no: str = ""
    regime: formality_pb2.TaxRegime.ValueType = formality_pb2.TAX_REGIME_UNSPECIFIED
    on_paper: bool = False
    owner_birth_date: str = ""
    owner_birth_place: str = ""
    created_by: str = ""

    def __repr__(self) -> str:
        return f"Firm({self.rccm})"  # the name of a sole trade is a person's

    @property
    def names_in_use(self) -> tuple[str, ...]:
        """The names that nobody else may take. A sole trader who trades under another name does not keep his own."""
        if FORMS[self.legal_form].is_person and self.trade_name:
            return (self.trade_name,)
        return tuple(dict.fromkeys(name for name in (self.name, self.trade_name) if name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Somebody's role in a firm: a person (``npi``) or a firm (``ifu``); ``to_date`` is empty while it lasts."""

    rccm: str
    role: pb.RelationRole.ValueType
    npi: str = ""
    last_name: str = ""
    first_names: str = ""
    marital_name: str = ""
    ifu: str = ""
    firm_name: str = ""
    share_xof: int = 0
    from_date: str = ""
    to_date: str = ""

    def __repr__(self) -> str:
        return "Relation(…)"


_SEAT: Final = tuple(part.name for part in fields(Seat))
_FIRM: Final = tuple(part.name for part in fields(Firm) if part.name != "seat")
_RELATION: Final = tuple(part.name for part in fields(Relation))


def firm_row(firm: Firm) -> dict[str, object]:
    """The columns of ``firm``."""
    seat = {f"seat_{name}": getattr(firm.seat, name) for name in _SEAT}
    return {name: getattr(firm, name) for name in _FIRM} | seat


def firm_of(row: object) -> Firm:
    """The firm of a row of its table."""
    seat = Seat(**{name: getattr(row, f"seat_{name}") for name in _SEAT})
    return Firm(seat=seat, **{name: getattr(row, name) for name in _FIRM})


def relation_row(relation: Relation, rank: int) -> dict[str, object]:
    """The columns of ``relation``."""
    return {name: getattr(relation, name) for name in _RELATION} | {"rank": rank}


def relation_of(row: object) -> Relation:
    """The relation of a row of its table."""
    return Relation(**{name: getattr(row, name) for name in _RELATION})
