"""The cadastre and the land book on disk, shaped after LADM (ISO 19152).

A parcel is known by ``parcel_id`` inside: six in ten have no NUP yet. Rights, mortgages and disputes are never
deleted: what ended has ``to_ms``, ``released_on``, ``settled_on``, and so the history of a parcel stays. What is unknown
is the empty text. Times are UTC milliseconds, days are written ``2026-11-28``.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.kit.aliases import alias_table
from adapters.kit.consents import consent_table
from adapters.kit.inscriptions import inscription_table
from adapters.kit.store import naming
from adapters.kit.tables import kit_tables

METADATA: Final = naming()
KIT: Final = kit_tables(METADATA)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _parcel(name: str = "parcel_id", *, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.ForeignKey("parcel.parcel_id"), nullable=False, primary_key=primary_key)


PARCELS: Final = sa.Table(
    "parcel",
    METADATA,
    sa.Column("parcel_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("nup", sa.String(9), unique=True),
    _text("commune_code", 6),
    # What the parcel was called before the NUP: as it is written, JSON [lotissement, ilot, parcelle, lot], empty if it
    # was never called anything; then folded (``parcels.fold``).
    sa.Column("legacy", sa.Text, nullable=False),
    _text("lotissement", 60),
    _text("ilot", 20),
    _text("parcelle", 20),
    _text("lot", 20),
    sa.Column("calculated_area_m2", sa.Float, nullable=False),
    sa.Column("surveyed_area_m2", sa.Float, nullable=False),
    _text("nature", 20),
    _text("register_type", 20),
    _text("ba_unit_type", 20),
    _text("right_type", 20),
    _text("unit_code", 13),
    _text("department", 60),
    _text("commune", 60),
    _text("arrondissement", 60),
    _text("quarter", 60),
    sa.Column("x", sa.Float, nullable=False),
    sa.Column("y", sa.Float, nullable=False),
    # JSON: [[x, y], …], the first point not repeated, and [text, …].
    sa.Column("polygon", sa.Text, nullable=False),
    sa.Column("shortcomings", sa.Text, nullable=False),
    sa.Column("valid_from_ms", sa.BigInteger, nullable=False),
    sa.Column("valid_to_ms", sa.BigInteger),
    sa.Index("ix_parcel_legacy", "commune_code", "lotissement", "ilot", "parcelle", "lot"),
)

# By splits and mergers; numbers that the register no longer knows stay readable here.
SUCCESSIONS: Final = sa.Table(
    "parcel_succession",
    METADATA,
    sa.Column("from_nup", sa.String(9), primary_key=True),
    sa.Column("to_nup", sa.String(9), primary_key=True),
    sa.Index("ix_parcel_succession_to_nup", "to_nup"),
)

TITLES: Final = sa.Table(
    "title",
    METADATA,
    sa.Column("title_no", sa.String(13), primary_key=True),
    sa.Column("parcel_id", sa.ForeignKey("parcel.parcel_id"), nullable=False, unique=True),
    _text("book", 60),
    _text("origin", 500),
    _text("issued_on", 10),
)

HOLDINGS: Final = sa.Table(
    "holding",
    METADATA,
    sa.Column("holding_id", sa.Integer, primary_key=True),
    _parcel(),
    _text("party_kind", 3),
    _text("party_number", 13),
    # As the deed has it; for the documents of those who may know the holders.
    _text("party_name", 300),
    sa.Column("numerator", sa.Integer, nullable=False),
    sa.Column("denominator", sa.Integer, nullable=False),
    _text("capacity", 20),
    # ANIP told the register that the holder died; his heirs are not written in.
    sa.Column("is_deceased", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("from_ms", sa.BigInteger, nullable=False),
    sa.Column("to_ms", sa.BigInteger),
    # Dossiers that wrote this holding in, and that ended it.
    _text("by_reference", 24),
    _text("ended_by", 24),
    sa.CheckConstraint("party_kind IN ('npi', 'ifu')", name="party_kind"),
    sa.CheckConstraint("numerator > 0 AND numerator <= denominator", name="share"),
    sa.Index("ix_holding_party", "party_number", "party_kind"),
    sa.Index("ix_holding_parcel_id", "parcel_id"),
)

MORTGAGES: Final = sa.Table(
    "mortgage",
    METADATA,
    sa.Column("mortgage_id", sa.Integer, primary_key=True),
    _parcel(),
    sa.Column("rank", sa.Integer, nullable=False),
    _text("creditor", 200),
    sa.Column("amount_xof", sa.BigInteger, nullable=False),
    _text("registered_on", 10),
    _text("released_on", 10),
    sa.Index("ix_mortgage_parcel_id", "parcel_id"),
)

RESTRICTIONS: Final = sa.Table(
    "restriction",
    METADATA,
    sa.Column("restriction_id", sa.Integer, primary_key=True),
    _parcel(),
    _text("text", 500),
    _text("since", 10),
    sa.Index("ix_restriction_parcel_id", "parcel_id"),
)

DISPUTES: Final = sa.Table(
    "dispute",
    METADATA,
    sa.Column("dispute_id", sa.Integer, primary_key=True),
    _parcel(),
    _text("text", 500),
    _text("court", 100),
    _text("noted_on", 10),
    _text("settled_on", 10),
    sa.Index("ix_dispute_parcel_id", "parcel_id"),
)

# Certificats d'appartenance: while one holds, a parcel may be sold without title, once.
CERTIFICATES: Final = sa.Table(
    "belonging_certificate",
    METADATA,
    sa.Column("number", sa.String(40), primary_key=True),
    _parcel(),
    _text("party_kind", 3),
    _text("party_number", 13),
    _text("issued_on", 10),
    _text("valid_until", 10),
    # The sale it was used for; then it is in force no more.
    _text("used_by", 24),
    sa.Index("ix_belonging_certificate_parcel_id", "parcel_id"),
)

NOTARIES: Final = sa.Table(
    "notary",
    METADATA,
    sa.Column("notary_ref", sa.String(64), primary_key=True),
    _text("npi", 10),
    _text("office", 100),
    sa.Column("in_office", sa.Boolean(create_constraint=False), nullable=False),
    sa.Index("ix_notary_npi", "npi"),
)

CONSENTS: Final = consent_table(METADATA)

ALIASES: Final = alias_table(METADATA)

# What is under way on a parcel. Its key is the promise that no two are: whoever comes second breaks it.
CLAIMS: Final = sa.Table(
    "claim",
    METADATA,
    sa.Column("parcel_id", sa.ForeignKey("parcel.parcel_id"), primary_key=True),
    sa.Column("reference", sa.String(24), nullable=False, unique=True),
    _text("kind", 20),
    sa.CheckConstraint("kind IN ('transfer', 'title_request')", name="kind"),
)

TRANSFERS: Final = sa.Table(
    "transfer",
    METADATA,
    sa.Column("reference", sa.String(24), primary_key=True),
    _parcel(),
    _text("seller_kind", 3),
    _text("seller_number", 13),
    # Names: learnt from ANIP by the step ``identity``; a firm's is its number.
    _text("seller_name", 300),
    _text("buyer_kind", 3),
    _text("buyer_number", 13),
    _text("buyer_name", 300),
    # 0/0: all that the seller holds.
    sa.Column("numerator", sa.Integer, nullable=False),
    sa.Column("denominator", sa.Integer, nullable=False),
    sa.Column("price_xof", sa.BigInteger, nullable=False),
    _text("deed_sha256", 64),
    _text("notary_ref", 64),
)

TITLE_REQUESTS: Final = sa.Table(
    "title_request",
    METADATA,
    sa.Column("reference", sa.String(24), primary_key=True),
    _parcel(),
    _text("holder_kind", 3),
    _text("holder_number", 13),
    _text("holder_name", 300),
    _text("deed", 30),
    _text("deed_sha256", 64),
    _text("survey_plan_sha256", 64),
    _text("surveyor_ref", 64),
    sa.Column("notice_opened_ms", sa.BigInteger),
    sa.Column("notice_until_ms", sa.BigInteger),
    sa.Column("notice_closed_ms", sa.BigInteger),
)

OPPOSITIONS: Final = sa.Table(
    "opposition",
    METADATA,
    sa.Column("opposition_ref", sa.String(24), primary_key=True),
    sa.Column("reference", sa.ForeignKey("title_request.reference"), nullable=False),
    _text("party_kind", 3),
    _text("party_number", 13),
    _text("ground", 2000),
    # JSON: [hash, …].
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("lodged_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_opposition_reference", "reference"),
)

# What was signed for one dossier; ``answer`` is the GetTitleResponse as it was given then, empty before. With a
# ``consent_ref``, it may be read only while that consent holds.
TITLE_STATES: Final = sa.Table(
    "title_state",
    METADATA,
    sa.Column("reference", sa.String(24), primary_key=True),
    sa.Column("title_no", sa.ForeignKey("title.title_no"), nullable=False),
    _text("requester_npi", 10),
    _text("consent_ref", 64),
    sa.Column("answer", sa.LargeBinary, nullable=False),
)

TRAIL: Final = inscription_table(METADATA)
