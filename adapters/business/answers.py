"""What the register's records look like on the wire."""

from __future__ import annotations

from adapters.business.numbers import euid
from adapters.business.records import Firm, Relation, Seat
from adapters.kit.npi import mask_npi
from bj.business.v1 import business_pb2 as pb
from bj.common.v1 import person_pb2


def business(firm: Firm, *, with_birth_data: bool) -> pb.GetBusinessResponse:
    """What everybody may know of a firm; the birth data of a sole trader if the purpose allows it."""
    return pb.GetBusinessResponse(
        rccm=firm.rccm,
        name=firm.name,
        trade_name=firm.trade_name,
        sign=firm.sign,
        legal_form=firm.legal_form,
        status=firm.status,
        capital_xof=firm.capital_xof,
        activity=firm.activity,
        seat=unit(firm.seat),
        seat_line=firm.seat_line,
        registered_on=firm.registered_on,
        court=firm.court,
        ifu=firm.ifu,
        cnss_employer_no=firm.cnss_employer_no,
        euid=euid(firm.rccm),
        owner_birth_date=firm.owner_birth_date if with_birth_data else "",
        owner_birth_place=firm.owner_birth_place if with_birth_data else "",
    )


def relation(one: Relation, *, with_number: bool) -> pb.Relation:
    """Somebody's role; his personal number if the purpose allows it, else its last three digits."""
    name = person_pb2.PersonName(
        last_name=one.last_name, first_names=one.first_names, marital_name=one.marital_name
    )
    return pb.Relation(
        role=one.role,
        name=name if one.npi else None,
        firm_name=one.firm_name,
        npi=one.npi if with_number else "",
        npi_masked="" if with_number else mask_npi(one.npi),
        ifu=one.ifu,
        from_date=one.from_date,
        to_date=one.to_date,
    )


def registration(one: Relation, firm: Firm) -> pb.PersonRegistration:
    """A firm in which somebody has a role."""
    return pb.PersonRegistration(
        rccm=firm.rccm,
        name=firm.name,
        role=one.role,
        status=firm.status,
        from_date=one.from_date,
        to_date=one.to_date,
    )


def unit(seat: Seat) -> person_pb2.AdministrativeUnit:
    """Where a firm is."""
    return person_pb2.AdministrativeUnit(
        code=seat.code,
        department=seat.department,
        commune=seat.commune,
        arrondissement=seat.arrondissement,
        quarter=seat.quarter,
    )
