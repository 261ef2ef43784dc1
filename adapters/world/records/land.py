"""Land, as the cadastre and the land book (ANDF) hold it; shaped after LADM (ISO 19152)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from adapters.world.records.places import Place


class RightType(StrEnum):
    """Kind of right."""

    PRESUMED = "PRESUMED"
    TITLED = "TITLED"
    STATE = "STATE"
    CUSTOMARY = "CUSTOMARY"


class ParcelNature(StrEnum):
    """Who holds, as a kind."""

    INDIVIDUAL = "INDIVIDUAL"
    COLLECTIVE = "COLLECTIVE"
    STATE = "STATE"
    COMMUNE = "COMMUNE"


class RegisterType(StrEnum):
    """Where a parcel is written."""

    LAND_BOOK = "LAND_BOOK"
    CADASTRE = "CADASTRE"
    RURAL_PLAN = "RURAL_PLAN"


class BaUnitType(StrEnum):
    """LADM's basic administrative unit."""

    PROPERTY = "PROPERTY"
    CO_OWNERSHIP = "CO_OWNERSHIP"
    USE_RIGHT = "USE_RIGHT"


class HolderCapacity(StrEnum):
    """As what somebody holds."""

    OWNER = "OWNER"
    USUFRUCT = "USUFRUCT"
    BARE_OWNER = "BARE_OWNER"
    HEIR = "HEIR"
    LONG_LEASE = "LONG_LEASE"


class PresumptiveDeed(StrEnum):
    """By what a parcel is held before it has a title."""

    SALE = "SALE"
    CUSTOMARY_HOLDING = "CUSTOMARY_HOLDING"
    RESETTLEMENT = "RESETTLEMENT"
    RURAL_CERTIFICATE = "RURAL_CERTIFICATE"
    HABITATION_PERMIT = "HABITATION_PERMIT"
    COURT_DECISION = "COURT_DECISION"


class ParcelEventKind(StrEnum):
    """What happened to a parcel (``ParcelEventType``)."""

    NOTICE_OPENED = "NOTICE_OPENED"
    NOTICE_CLOSED = "NOTICE_CLOSED"
    OPPOSITION = "OPPOSITION"
    TITLE_ISSUED = "TITLE_ISSUED"
    TRANSFERRED = "TRANSFERRED"
    MORTGAGED = "MORTGAGED"
    RELEASED = "RELEASED"
    SPLIT = "SPLIT"
    MERGED = "MERGED"
    DISPUTE_FLAGGED = "DISPUTE_FLAGGED"


class LegacyRef(NamedTuple):
    """How a parcel was known before it had a NUP; one in a hundred names two parcels."""

    commune_code: str
    lotissement: str
    ilot: str
    parcelle: str
    lot: str


class Point(NamedTuple):
    """A point in EPSG:32631, metres, rounded to centimetres."""

    x: float
    y: float


class Parcel(NamedTuple):
    """One parcel. ``ordinal`` ties its rights to it: many have no NUP. Given up numbers have ``successor_nups``."""

    ordinal: int
    nup: str
    legacy: LegacyRef | None
    calculated_area_m2: float
    surveyed_area_m2: float
    nature: ParcelNature
    register_type: RegisterType
    ba_unit_type: BaUnitType
    right_type: RightType
    title_no: str
    place: Place
    centroid: Point
    polygon: tuple[Point, ...]
    """The boundary, the first point not repeated."""
    party_exists: bool
    shortcomings: tuple[str, ...]
    predecessor_nups: tuple[str, ...]
    successor_nups: tuple[str, ...]
    valid_from: str
    valid_to: str


class Title(NamedTuple):
    """A land title: one per titled parcel."""

    parcel: int
    title_no: str
    nup: str
    book: str
    """The land book, « Livre foncier de Cotonou »."""
    origin: str
    issued_on: str


class Holding(NamedTuple):
    """A share in a right on a parcel; those of one parcel sum to the whole, the first ``rank`` is 1.

    Either ``npi`` or ``ifu`` is given: a person, a firm of the trade register, or the State (first digit 4).
    ``name`` is written as people write it.
    """

    parcel: int
    rank: int
    npi: str
    ifu: str
    name: str
    numerator: int
    denominator: int
    capacity: HolderCapacity
    since: str

    def __repr__(self) -> str:
        return "Holding(…)"


class Mortgage(NamedTuple):
    """What is lent on a parcel; ``released_on`` is empty while it stands."""

    parcel: int
    rank: int
    creditor: str
    amount_xof: int
    registered_on: str
    released_on: str


class Restriction(NamedTuple):
    """An easement, a lease or another limit."""

    parcel: int
    text: str
    since: str


class Dispute(NamedTuple):
    """A dispute noted; ``settled_on`` is empty while it goes on."""

    parcel: int
    text: str
    court: str
    noted_on: str
    settled_on: str


class BelongingCertificate(NamedTuple):
    """A certificat d'appartenance: without a title, a parcel can be sold while it holds (one year)."""

    parcel: int
    number: str
    npi: str
    issued_on: str
    valid_until: str

    def __repr__(self) -> str:
        return "BelongingCertificate(…)"


class Notice(NamedTuple):
    """A title asked for, whose notice is open on the world's day: oppositions are taken until it closes."""

    parcel: int
    reference: str
    applicant_npi: str
    deed: PresumptiveDeed
    filed_on: str
    opened_on: str
    closes_on: str

    def __repr__(self) -> str:
        return "Notice(…)"


class Opposition(NamedTuple):
    """Somebody opposes a notice; undecided on the world's day."""

    parcel: int
    reference: str
    opponent_npi: str
    ground: str
    lodged_on: str

    def __repr__(self) -> str:
        return "Opposition(…)"


class ParcelEvent(NamedTuple):
    """Something that happened to a parcel that has a NUP."""

    kind: ParcelEventKind
    nup: str
    commune_code: str
    title_no: str
    occurred_on: str
    changed_fields: tuple[str, ...]
    related_nups: tuple[str, ...]
