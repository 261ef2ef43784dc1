"""``adapter.toml``: what the operator of one adapter decides.

Read once, by ``load_adapter_settings``; unknown keys are refused with their place. Paths are
relative to the directory of the file. Example::

    adapter = "identity"
    subsystem = "BJ/GOV/ANIP/RNPP"
    gateways = ["BJ/GOV/ANIP/gw1"]
    listen = "127.0.0.1:9101"
    database = "sqlite:///rnpp.sqlite"
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec

from core.identifiers import GatewayId, SubsystemId
from core.language import DEFAULT_LANGUAGE, Language
from rpc.limits import Limits
from rpc.settings import load_settings

_SQLITE: Final = "sqlite:///"
# The rule ``idempotency_key`` of bj.common.v1.
_PROMISED_DAYS: Final = 30
# One of ours, or "package.module:NAME".
_ADAPTER: Final = r"^([a-z][a-z0-9_]*|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*)$"


class ProgramSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The adapter as a consumer: a program of its own member (``adapters.kit.road``).

    Attributes:
        gateway: ``host:port`` of the own gateway's door for programs.
        directory: The identity that ``passerelle program add`` wrote: key, certificate, whom to trust.
        gateway_id: The gateway's name, ``BJ/GOV/ANDF/gw1``, which its certificate must bear; empty to trust the address.
        timeout_s: Deadline of a call that is given none.
    """

    gateway: str
    directory: str
    gateway_id: str = ""
    timeout_s: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 600:
            raise ValueError("timeout_s: between 0 and 600 seconds")


class DossierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long dossiers wait for the applicant, in days of the calendar.

    Attributes:
        payment_days: For the fee; then it expires.
        correction_days: For a correction; then it expires.
    """

    payment_days: int = 30
    correction_days: int = 30

    def __post_init__(self) -> None:
        if min(self.payment_days, self.correction_days) < 1:
            raise ValueError("payment_days, correction_days: at least one day")


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How events are told.

    Attributes:
        heartbeat_s: A stream without an event for so long says that it lives.
        streams_per_client: How many streams one subsystem may follow at a time.
        streams: How many all together.
        kept_days: Events of before are dropped.
    """

    heartbeat_s: float = 30.0
    streams_per_client: int = 8
    streams: int = 64
    kept_days: int = 366

    def __post_init__(self) -> None:
        if self.heartbeat_s <= 0:
            raise ValueError("heartbeat_s: more than nothing")
        if not 1 <= self.streams_per_client <= self.streams <= 1000:
            raise ValueError("streams: from streams_per_client to 1000, and at least one each")
        if self.kept_days < 1:
            raise ValueError("kept_days: at least one day")


class AdapterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One adapter: one subsystem, one store, one way in.

    Attributes:
        adapter: Which ministry this process is: one of ours (``land``), or ``package.module:NAME`` of a ``Ministry``
            elsewhere.
        subsystem: The provider, ``BJ/GOV/ANIP/RNPP``. Calls for any other are refused.
        gateways: Gateways of the same member that may call; everybody else is refused.
        listen: ``host:port``; port 0 takes a free one.
        database: SQLAlchemy URL of the store; a relative SQLite path is relative to this file.
        anchor: The anchor under which a gateway's auth certificate must stand (PROTOCOL M18).
        key: Private key of the server side, 0600.
        certificate: Certificate of profile ``adapter``, leaf first, issued by the member's own CA for
            programs.
        document_key: Private key that signs documents, 0600; only of a ministry that issues some.
        document_certificate: Certificate of profile ``document``, leaf first, then its issuer.
        catalogue: A catalogue in place of the ministry's own.
        calendar: Working days in place of the kit's own.
        rules: What law and ministry fix, in place of the ministry's own file, where it has one.
        lang: Language of status messages; details carry both.
        limits: Bounds of the server.
        program: How the adapter calls others; none if it calls nobody.
        dossiers: How long they wait.
        events: How they are told.
        repeat_days: For how many days a write that is sent again under its key gets its first answer; after that it is
            another write.
    """

    adapter: Annotated[str, msgspec.Meta(pattern=_ADAPTER)]
    subsystem: str
    gateways: tuple[str, ...]
    database: str
    listen: str = "127.0.0.1:9101"
    anchor: str = "anchor.pem"
    key: str = "identity.key"
    certificate: str = "identity.crt"
    document_key: str = "document.key"
    document_certificate: str = "document.crt"
    catalogue: str = ""
    calendar: str = ""
    rules: str = ""
    lang: Language = DEFAULT_LANGUAGE
    limits: Limits = Limits()
    program: ProgramSettings | None = None
    dossiers: DossierSettings = DossierSettings()
    events: EventSettings = EventSettings()
    repeat_days: int = 30

    def __post_init__(self) -> None:
        member = self.provider.member
        if not self.gateways:
            raise ValueError("gateways: at least one gateway is needed, nobody else may call")
        for gateway in self.pinned_gateways:
            if gateway.member != member:
                raise ValueError(f"gateways: {gateway} is not a gateway of {member}")
        if len(set(self.gateways)) != len(self.gateways):
            raise ValueError("gateways: one is named twice")
        if self.repeat_days < _PROMISED_DAYS:
            raise ValueError(f"repeat_days: at least {_PROMISED_DAYS}, as consumers are promised")

    @property
    def provider(self) -> SubsystemId:
        """The subsystem, parsed."""
        return SubsystemId.parse(self.subsystem)

    @property
    def pinned_gateways(self) -> frozenset[GatewayId]:
        """The gateways, parsed."""
        return frozenset(GatewayId.parse(text) for text in self.gateways)


def load_adapter_settings(path: Path) -> AdapterSettings:
    """Read ``adapter.toml``; every path comes back absolute.

    Raises:
        SettingsError: The file is missing, malformed, or does not say exactly what is asked for.
    """
    settings = load_settings(path, AdapterSettings)
    directory = path.parent.absolute()
    return msgspec.structs.replace(
        settings,
        anchor=str(directory / settings.anchor),
        key=str(directory / settings.key),
        certificate=str(directory / settings.certificate),
        document_key=str(directory / settings.document_key),
        document_certificate=str(directory / settings.document_certificate),
        catalogue=str(directory / settings.catalogue) if settings.catalogue else "",
        calendar=str(directory / settings.calendar) if settings.calendar else "",
        rules=str(directory / settings.rules) if settings.rules else "",
        program=_resolve_program(settings.program, directory),
        database=_resolve_database(settings.database, directory),
    )


def _resolve_program(program: ProgramSettings | None, directory: Path) -> ProgramSettings | None:
    if program is None:
        return None
    return msgspec.structs.replace(program, directory=str(directory / program.directory))


def _resolve_database(url: str, directory: Path) -> str:
    path = url.removeprefix(_SQLITE)
    if path == url or path in ("", ":memory:"):
        return url
    return f"{_SQLITE}{directory / path}"
