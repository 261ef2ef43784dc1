"""The tables of the registry.

The database is where the registry thinks; what it says is the published configuration, and what it did is its tree
log. Rows are never deleted: what ended has a state.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_ID = String(160)
_THUMBPRINT = String(43)
_DIGEST = String(64)
_STATE = String(16)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can find them on SQLite and PostgreSQL alike."""

    # Milliseconds do not fit PostgreSQL's INTEGER; SQLite numbers rows by itself only in an INTEGER.
    type_annotation_map: ClassVar = {int: BigInteger().with_variant(Integer, "sqlite")}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Purpose(Base):
    """A purpose code and what people read for it."""

    __tablename__ = "purposes"

    code: Mapped[str] = mapped_column(String(8), primary_key=True)
    label_fr: Mapped[str] = mapped_column(String(200))
    label_en: Mapped[str] = mapped_column(String(200))


class Authority(Base):
    """An issuing CA's certificate, or its newest list of revoked certificates, as PEM."""

    __tablename__ = "authorities"
    __table_args__ = (_one_of("kind", "auth", "seal", "crl"),)

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    pem: Mapped[str]


class Member(Base):
    """An institution. ``skeleton`` is equal for codes that look alike (policy)."""

    __tablename__ = "members"
    __table_args__ = (_one_of("state", "active", "suspended"),)

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    skeleton: Mapped[str] = mapped_column(_ID, unique=True)
    name_fr: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(_STATE)
    changed_at: Mapped[int]

    keys: Mapped[list[MemberKey]] = relationship(order_by="(MemberKey.added_at, MemberKey.thumbprint)")
    subsystems: Mapped[list[Subsystem]] = relationship(order_by="Subsystem.id")
    gateways: Mapped[list[Gateway]] = relationship(order_by="Gateway.id")


class MemberKey(Base):
    """A public key with which a member signs its agreements and registrations."""

    __tablename__ = "member_keys"
    __table_args__ = (_one_of("state", "active", "superseded", "revoked"),)

    thumbprint: Mapped[str] = mapped_column(_THUMBPRINT, primary_key=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), index=True)
    public_key: Mapped[str]
    state: Mapped[str] = mapped_column(_STATE)
    added_at: Mapped[int]


class Subsystem(Base):
    """An information system of a member."""

    __tablename__ = "subsystems"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    skeleton: Mapped[str] = mapped_column(_ID, unique=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), index=True)
    added_at: Mapped[int]

    services: Mapped[list[Service]] = relationship(order_by="Service.name")


class Gateway(Base):
    """A gateway of a member."""

    __tablename__ = "gateways"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    skeleton: Mapped[str] = mapped_column(_ID, unique=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), index=True)

    registrations: Mapped[list[Registration]] = relationship(order_by="Registration.serial")


class Registration(Base):
    """A gateway's registration as its member signed it. Of one gateway the highest serial counts."""

    __tablename__ = "registrations"
    __table_args__ = (_one_of("state", "active", "suspended", "revoked", "superseded"),)

    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id"), primary_key=True)
    serial: Mapped[int] = mapped_column(primary_key=True)
    jws: Mapped[str]
    state: Mapped[str] = mapped_column(_STATE)
    changed_at: Mapped[int]
    reason: Mapped[str] = mapped_column(String(500), default="")


class RegisteredLog(Base):
    """A log belongs to one gateway for ever: another that registers it is refused."""

    __tablename__ = "registered_logs"

    log_id: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id"), index=True)


class NewestHead(Base):
    """Of each log, the newest head that its gateway reported."""

    __tablename__ = "newest_heads"

    log_id: Mapped[str] = mapped_column(ForeignKey("registered_logs.log_id"), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id"), index=True)
    size: Mapped[int]
    root: Mapped[str] = mapped_column(_DIGEST)
    iat: Mapped[int]
    jws: Mapped[str]
    reported_at: Mapped[int]


class HeadAlarm(Base):
    """A head that could not follow the one that was held: the two of them are proof. The same one counts once."""

    __tablename__ = "head_alarms"
    __table_args__ = (
        _one_of("kind", "behind", "forked"),
        UniqueConstraint("log_id", "size", "root"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    log_id: Mapped[str] = mapped_column(ForeignKey("registered_logs.log_id"))
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id"))
    kind: Mapped[str] = mapped_column(_STATE)
    size: Mapped[int]
    root: Mapped[str] = mapped_column(_DIGEST)
    held: Mapped[str]
    shown: Mapped[str]
    at: Mapped[int]


class DescriptorSet(Base):
    """A serialized FileDescriptorSet, byte for byte as it was published."""

    __tablename__ = "descriptor_sets"

    digest: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Service(Base):
    """A gRPC service of a subsystem."""

    __tablename__ = "services"
    __table_args__ = (_one_of("state", "active", "retired"),)

    subsystem_id: Mapped[str] = mapped_column(ForeignKey("subsystems.id"), primary_key=True)
    name: Mapped[str] = mapped_column(_ID, primary_key=True)
    descriptors: Mapped[str] = mapped_column(ForeignKey("descriptor_sets.digest"))
    state: Mapped[str] = mapped_column(_STATE)
    changed_at: Mapped[int]

    methods: Mapped[list[Method]] = relationship(order_by="Method.position", cascade="all, delete-orphan")


class Method(Base):
    """A method of a service, in the order of its proto."""

    __tablename__ = "methods"
    __table_args__ = (
        ForeignKeyConstraint(["subsystem_id", "service"], ["services.subsystem_id", "services.name"]),
    )

    subsystem_id: Mapped[str] = mapped_column(_ID, primary_key=True)
    service: Mapped[str] = mapped_column(_ID, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    client_streaming: Mapped[bool]
    server_streaming: Mapped[bool]
    idempotent: Mapped[bool]


class Agreement(Base):
    """One version of an agreement, with both signatures and the registry's word on it."""

    __tablename__ = "agreements"
    __table_args__ = (_one_of("state", "active", "suspended", "revoked", "superseded"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(_DIGEST, unique=True)
    consumer_id: Mapped[str] = mapped_column(ForeignKey("subsystems.id"), index=True)
    provider_id: Mapped[str] = mapped_column(ForeignKey("subsystems.id"), index=True)
    service: Mapped[str] = mapped_column(_ID)
    not_after: Mapped[int]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    consumer_jws: Mapped[str]
    provider_jws: Mapped[str]
    state: Mapped[str] = mapped_column(_STATE)
    changed_at: Mapped[int]
    reason: Mapped[str] = mapped_column(String(500), default="")


class Request(Base):
    """Something that starts only when enough operators approved it."""

    __tablename__ = "requests"
    __table_args__ = (
        _one_of("state", "pending", "approved", "refused"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(_ID)
    state: Mapped[str] = mapped_column(_STATE, index=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    submitted_by: Mapped[str] = mapped_column(String(200))
    submitted_at: Mapped[int]
    refusal_reason: Mapped[str] = mapped_column(String(500), default="")

    approvals: Mapped[list[Approval]] = relationship(order_by="(Approval.at, Approval.operator)")


class Approval(Base):
    """One operator's approval of one request; the key lets nobody count twice."""

    __tablename__ = "approvals"

    request: Mapped[int] = mapped_column(ForeignKey("requests.number"), primary_key=True)
    operator: Mapped[str] = mapped_column(_ID, primary_key=True)
    at: Mapped[int]


class Change(Base):
    """An entry of the registry's tree log: change *n* is leaf *n* of the log (the genesis leaf is leaf 0).

    It is committed together with the rows it tells of; the log follows before anything is published, so that after
    a crash the missing leaves are known and their bytes are these.
    """

    __tablename__ = "changes"
    __table_args__ = (UniqueConstraint("nonce"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    nonce: Mapped[str] = mapped_column(String(32))
    body: Mapped[bytes] = mapped_column(LargeBinary)
