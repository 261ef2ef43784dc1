"""The cadastre and the land book, beside the kit's tables."""

import sqlalchemy as sa
from alembic import op

from adapters.kit.migrations import create_v1, drop_v1

revision = "0001"
down_revision = None

# As they are dropped: what refers to another goes first.
_TABLES = (
    "title_state",
    "opposition",
    "transfer",
    "title_request",
    "title",
    "restriction",
    "mortgage",
    "holding",
    "dispute",
    "claim",
    "belonging_certificate",
    "parcel_succession",
    "parcel",
    "npi_alias",
    "notary",
    "consent",
)


def upgrade() -> None:
    """Create the tables."""
    create_v1(op)
    op.create_table(
        "consent",
        sa.Column("consent_ref", sa.String(64), nullable=False),
        sa.Column("party_kind", sa.String(3), nullable=False),
        sa.Column("party_number", sa.String(13), nullable=False),
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("consent_ref", name="pk_consent"),
    )
    op.create_table(
        "notary",
        sa.Column("notary_ref", sa.String(64), nullable=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("office", sa.String(100), nullable=False),
        sa.Column("in_office", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("notary_ref", name="pk_notary"),
    )
    op.create_index("ix_notary_npi", "notary", ["npi"])
    op.create_table(
        "npi_alias",
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("standing_npi", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("npi", name="pk_npi_alias"),
    )
    op.create_table(
        "parcel",
        sa.Column("parcel_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("nup", sa.String(9)),
        sa.Column("commune_code", sa.String(6), nullable=False),
        sa.Column("legacy", sa.Text, nullable=False),
        sa.Column("lotissement", sa.String(60), nullable=False),
        sa.Column("ilot", sa.String(20), nullable=False),
        sa.Column("parcelle", sa.String(20), nullable=False),
        sa.Column("lot", sa.String(20), nullable=False),
        sa.Column("calculated_area_m2", sa.Float, nullable=False),
        sa.Column("surveyed_area_m2", sa.Float, nullable=False),
        sa.Column("nature", sa.String(20), nullable=False),
        sa.Column("register_type", sa.String(20), nullable=False),
        sa.Column("ba_unit_type", sa.String(20), nullable=False),
        sa.Column("right_type", sa.String(20), nullable=False),
        sa.Column("unit_code", sa.String(13), nullable=False),
        sa.Column("department", sa.String(60), nullable=False),
        sa.Column("commune", sa.String(60), nullable=False),
        sa.Column("arrondissement", sa.String(60), nullable=False),
        sa.Column("quarter", sa.String(60), nullable=False),
        sa.Column("x", sa.Float, nullable=False),
        sa.Column("y", sa.Float, nullable=False),
        sa.Column("polygon", sa.Text, nullable=False),
        sa.Column("shortcomings", sa.Text, nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger, nullable=False),
        sa.Column("valid_to_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("parcel_id", name="pk_parcel"),
        sa.UniqueConstraint("nup", name="uq_parcel_nup"),
    )
    op.create_index("ix_parcel_legacy", "parcel", ["commune_code", "lotissement", "ilot", "parcelle", "lot"])
    op.create_table(
        "parcel_succession",
        sa.Column("from_nup", sa.String(9), nullable=False),
        sa.Column("to_nup", sa.String(9), nullable=False),
        sa.PrimaryKeyConstraint("from_nup", "to_nup", name="pk_parcel_succession"),
    )
    op.create_index("ix_parcel_succession_to_nup", "parcel_succession", ["to_nup"])
    op.create_table(
        "belonging_certificate",
        sa.Column("number", sa.String(40), nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("party_kind", sa.String(3), nullable=False),
        sa.Column("party_number", sa.String(13), nullable=False),
        sa.Column("issued_on", sa.String(10), nullable=False),
        sa.Column("valid_until", sa.String(10), nullable=False),
        sa.Column("used_by", sa.String(24), nullable=False),
        sa.ForeignKeyConstraint(
            ["parcel_id"], ["parcel.parcel_id"], name="fk_belonging_certificate_parcel_id"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_belonging_certificate"),
    )
    op.create_index("ix_belonging_certificate_parcel_id", "belonging_certificate", ["parcel_id"])
    op.create_table(
        "claim",
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.CheckConstraint("kind IN ('transfer', 'title_request')", name="ck_claim_kind"),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_claim_parcel_id"),
        sa.PrimaryKeyConstraint("parcel_id", name="pk_claim"),
        sa.UniqueConstraint("reference", name="uq_claim_reference"),
    )
    op.create_table(
        "dispute",
        sa.Column("dispute_id", sa.Integer, nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("court", sa.String(100), nullable=False),
        sa.Column("noted_on", sa.String(10), nullable=False),
        sa.Column("settled_on", sa.String(10), nullable=False),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_dispute_parcel_id"),
        sa.PrimaryKeyConstraint("dispute_id", name="pk_dispute"),
    )
    op.create_index("ix_dispute_parcel_id", "dispute", ["parcel_id"])
    op.create_table(
        "holding",
        sa.Column("holding_id", sa.Integer, nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("party_kind", sa.String(3), nullable=False),
        sa.Column("party_number", sa.String(13), nullable=False),
        sa.Column("party_name", sa.String(300), nullable=False),
        sa.Column("numerator", sa.Integer, nullable=False),
        sa.Column("denominator", sa.Integer, nullable=False),
        sa.Column("capacity", sa.String(20), nullable=False),
        sa.Column("is_deceased", sa.Boolean, nullable=False),
        sa.Column("from_ms", sa.BigInteger, nullable=False),
        sa.Column("to_ms", sa.BigInteger),
        sa.Column("by_reference", sa.String(24), nullable=False),
        sa.Column("ended_by", sa.String(24), nullable=False),
        sa.CheckConstraint("party_kind IN ('npi', 'ifu')", name="ck_holding_party_kind"),
        sa.CheckConstraint("numerator > 0 AND numerator <= denominator", name="ck_holding_share"),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_holding_parcel_id"),
        sa.PrimaryKeyConstraint("holding_id", name="pk_holding"),
    )
    op.create_index("ix_holding_parcel_id", "holding", ["parcel_id"])
    op.create_index("ix_holding_party", "holding", ["party_number", "party_kind"])
    op.create_table(
        "mortgage",
        sa.Column("mortgage_id", sa.Integer, nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("creditor", sa.String(200), nullable=False),
        sa.Column("amount_xof", sa.BigInteger, nullable=False),
        sa.Column("registered_on", sa.String(10), nullable=False),
        sa.Column("released_on", sa.String(10), nullable=False),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_mortgage_parcel_id"),
        sa.PrimaryKeyConstraint("mortgage_id", name="pk_mortgage"),
    )
    op.create_index("ix_mortgage_parcel_id", "mortgage", ["parcel_id"])
    op.create_table(
        "restriction",
        sa.Column("restriction_id", sa.Integer, nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("since", sa.String(10), nullable=False),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_restriction_parcel_id"),
        sa.PrimaryKeyConstraint("restriction_id", name="pk_restriction"),
    )
    op.create_index("ix_restriction_parcel_id", "restriction", ["parcel_id"])
    op.create_table(
        "title",
        sa.Column("title_no", sa.String(13), nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("book", sa.String(60), nullable=False),
        sa.Column("origin", sa.String(500), nullable=False),
        sa.Column("issued_on", sa.String(10), nullable=False),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_title_parcel_id"),
        sa.PrimaryKeyConstraint("title_no", name="pk_title"),
        sa.UniqueConstraint("parcel_id", name="uq_title_parcel_id"),
    )
    op.create_table(
        "title_request",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("holder_kind", sa.String(3), nullable=False),
        sa.Column("holder_number", sa.String(13), nullable=False),
        sa.Column("holder_name", sa.String(300), nullable=False),
        sa.Column("deed", sa.String(30), nullable=False),
        sa.Column("deed_sha256", sa.String(64), nullable=False),
        sa.Column("survey_plan_sha256", sa.String(64), nullable=False),
        sa.Column("surveyor_ref", sa.String(64), nullable=False),
        sa.Column("notice_opened_ms", sa.BigInteger),
        sa.Column("notice_until_ms", sa.BigInteger),
        sa.Column("notice_closed_ms", sa.BigInteger),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_title_request_parcel_id"),
        sa.PrimaryKeyConstraint("reference", name="pk_title_request"),
    )
    op.create_table(
        "transfer",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("parcel_id", sa.Integer, nullable=False),
        sa.Column("seller_kind", sa.String(3), nullable=False),
        sa.Column("seller_number", sa.String(13), nullable=False),
        sa.Column("seller_name", sa.String(300), nullable=False),
        sa.Column("buyer_kind", sa.String(3), nullable=False),
        sa.Column("buyer_number", sa.String(13), nullable=False),
        sa.Column("buyer_name", sa.String(300), nullable=False),
        sa.Column("numerator", sa.Integer, nullable=False),
        sa.Column("denominator", sa.Integer, nullable=False),
        sa.Column("price_xof", sa.BigInteger, nullable=False),
        sa.Column("deed_sha256", sa.String(64), nullable=False),
        sa.Column("notary_ref", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.parcel_id"], name="fk_transfer_parcel_id"),
        sa.PrimaryKeyConstraint("reference", name="pk_transfer"),
    )
    op.create_table(
        "opposition",
        sa.Column("opposition_ref", sa.String(24), nullable=False),
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("party_kind", sa.String(3), nullable=False),
        sa.Column("party_number", sa.String(13), nullable=False),
        sa.Column("ground", sa.String(2000), nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("lodged_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["reference"], ["title_request.reference"], name="fk_opposition_reference"),
        sa.PrimaryKeyConstraint("opposition_ref", name="pk_opposition"),
    )
    op.create_index("ix_opposition_reference", "opposition", ["reference"])
    op.create_table(
        "title_state",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("title_no", sa.String(13), nullable=False),
        sa.Column("requester_npi", sa.String(10), nullable=False),
        sa.Column("consent_ref", sa.String(64), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["title_no"], ["title.title_no"], name="fk_title_state_title_no"),
        sa.PrimaryKeyConstraint("reference", name="pk_title_state"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.drop_table(table)
    drop_v1(op)
