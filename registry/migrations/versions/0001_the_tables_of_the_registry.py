"""The tables of the registry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "authorities",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pem", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('auth', 'seal', 'crl')", name=op.f("ck_authorities_kind")),
        sa.PrimaryKeyConstraint("kind", "position", name=op.f("pk_authorities")),
    )
    op.create_table(
        "changes",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_changes")),
        sa.UniqueConstraint("nonce", name=op.f("uq_changes_nonce")),
    )
    op.create_table(
        "descriptor_sets",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_descriptor_sets")),
    )
    op.create_table(
        "members",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("skeleton", sa.String(length=160), nullable=False),
        sa.Column("name_fr", sa.String(length=200), nullable=False),
        sa.Column("name_en", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("changed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_members_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
        sa.UniqueConstraint("skeleton", name=op.f("uq_members_skeleton")),
    )
    op.create_table(
        "purposes",
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("label_fr", sa.String(length=200), nullable=False),
        sa.Column("label_en", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_purposes")),
    )
    op.create_table(
        "requests",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("submitted_by", sa.String(length=200), nullable=False),
        sa.Column("submitted_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("refusal_reason", sa.String(length=500), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'approved', 'refused')", name=op.f("ck_requests_state")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_requests")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_requests_state"), ["state"], unique=False)

    op.create_table(
        "approvals",
        sa.Column("request", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("operator", sa.String(length=160), nullable=False),
        sa.Column("at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["requests.number"], name=op.f("fk_approvals_request_requests")),
        sa.PrimaryKeyConstraint("request", "operator", name=op.f("pk_approvals")),
    )
    op.create_table(
        "gateways",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("skeleton", sa.String(length=160), nullable=False),
        sa.Column("member_id", sa.String(length=160), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_gateways_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
        sa.UniqueConstraint("skeleton", name=op.f("uq_gateways_skeleton")),
    )
    with op.batch_alter_table("gateways", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gateways_member_id"), ["member_id"], unique=False)

    op.create_table(
        "member_keys",
        sa.Column("thumbprint", sa.String(length=43), nullable=False),
        sa.Column("member_id", sa.String(length=160), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("added_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("state IN ('active', 'superseded', 'revoked')", name=op.f("ck_member_keys_state")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_member_keys_member_id_members")),
        sa.PrimaryKeyConstraint("thumbprint", name=op.f("pk_member_keys")),
    )
    with op.batch_alter_table("member_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_member_keys_member_id"), ["member_id"], unique=False)

    op.create_table(
        "subsystems",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("skeleton", sa.String(length=160), nullable=False),
        sa.Column("member_id", sa.String(length=160), nullable=False),
        sa.Column("added_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_subsystems_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subsystems")),
        sa.UniqueConstraint("skeleton", name=op.f("uq_subsystems_skeleton")),
    )
    with op.batch_alter_table("subsystems", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subsystems_member_id"), ["member_id"], unique=False)

    op.create_table(
        "agreements",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("consumer_id", sa.String(length=160), nullable=False),
        sa.Column("provider_id", sa.String(length=160), nullable=False),
        sa.Column("service", sa.String(length=160), nullable=False),
        sa.Column("not_after", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("consumer_jws", sa.String(), nullable=False),
        sa.Column("provider_jws", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("changed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'suspended', 'revoked', 'superseded')", name=op.f("ck_agreements_state")
        ),
        sa.ForeignKeyConstraint(
            ["consumer_id"], ["subsystems.id"], name=op.f("fk_agreements_consumer_id_subsystems")
        ),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["subsystems.id"], name=op.f("fk_agreements_provider_id_subsystems")
        ),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_agreements")),
        sa.UniqueConstraint("digest", name=op.f("uq_agreements_digest")),
    )
    with op.batch_alter_table("agreements", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agreements_consumer_id"), ["consumer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_agreements_provider_id"), ["provider_id"], unique=False)

    op.create_table(
        "registered_logs",
        sa.Column("log_id", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=160), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_registered_logs_gateway_id_gateways")
        ),
        sa.PrimaryKeyConstraint("log_id", name=op.f("pk_registered_logs")),
    )
    with op.batch_alter_table("registered_logs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_registered_logs_gateway_id"), ["gateway_id"], unique=False)

    op.create_table(
        "registrations",
        sa.Column("gateway_id", sa.String(length=160), nullable=False),
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("jws", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("changed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'suspended', 'revoked', 'superseded')", name=op.f("ck_registrations_state")
        ),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_registrations_gateway_id_gateways")
        ),
        sa.PrimaryKeyConstraint("gateway_id", "serial", name=op.f("pk_registrations")),
    )
    op.create_table(
        "services",
        sa.Column("subsystem_id", sa.String(length=160), nullable=False),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("descriptors", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("changed_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("state IN ('active', 'retired')", name=op.f("ck_services_state")),
        sa.ForeignKeyConstraint(
            ["descriptors"], ["descriptor_sets.digest"], name=op.f("fk_services_descriptors_descriptor_sets")
        ),
        sa.ForeignKeyConstraint(
            ["subsystem_id"], ["subsystems.id"], name=op.f("fk_services_subsystem_id_subsystems")
        ),
        sa.PrimaryKeyConstraint("subsystem_id", "name", name=op.f("pk_services")),
    )
    op.create_table(
        "methods",
        sa.Column("subsystem_id", sa.String(length=160), nullable=False),
        sa.Column("service", sa.String(length=160), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("client_streaming", sa.Boolean(), nullable=False),
        sa.Column("server_streaming", sa.Boolean(), nullable=False),
        sa.Column("idempotent", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subsystem_id", "service"],
            ["services.subsystem_id", "services.name"],
            name=op.f("fk_methods_subsystem_id_service_services"),
        ),
        sa.PrimaryKeyConstraint("subsystem_id", "service", "position", name=op.f("pk_methods")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("methods")
    op.drop_table("services")
    op.drop_table("registrations")
    with op.batch_alter_table("registered_logs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_registered_logs_gateway_id"))

    op.drop_table("registered_logs")
    with op.batch_alter_table("agreements", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_agreements_provider_id"))
        batch_op.drop_index(batch_op.f("ix_agreements_consumer_id"))

    op.drop_table("agreements")
    with op.batch_alter_table("subsystems", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_subsystems_member_id"))

    op.drop_table("subsystems")
    with op.batch_alter_table("member_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_member_keys_member_id"))

    op.drop_table("member_keys")
    with op.batch_alter_table("gateways", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateways_member_id"))

    op.drop_table("gateways")
    op.drop_table("approvals")
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_requests_state"))

    op.drop_table("requests")
    op.drop_table("purposes")
    op.drop_table("members")
    op.drop_table("descriptor_sets")
    op.drop_table("changes")
    op.drop_table("authorities")
