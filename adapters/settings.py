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
from typing import Literal

import msgspec

from core.identifiers import GatewayId, SubsystemId
from core.language import DEFAULT_LANGUAGE, Language
from rpc.limits import Limits
from rpc.settings import load_settings

_SQLITE = "sqlite:///"


class AdapterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One adapter: one subsystem, one store, one way in.

    Attributes:
        adapter: Which of the adapters this process is.
        subsystem: The provider, ``BJ/GOV/ANIP/RNPP``. Calls for any other are refused.
        gateways: Gateways of the same member that may call; everybody else is refused.
        listen: ``host:port``; port 0 takes a free one.
        database: SQLAlchemy URL of the store; a relative SQLite path is relative to this file.
        anchor: The anchor under which a gateway's auth certificate must stand (PROTOCOL M18).
        key: Private key of the server side, 0600.
        certificate: Certificate of profile ``adapter``, leaf first, issued by the member's own CA for
            programs.
        lang: Language of status messages; details carry both.
        limits: Bounds of the server.
    """

    adapter: Literal["identity"]
    subsystem: str
    gateways: tuple[str, ...]
    database: str
    listen: str = "127.0.0.1:9101"
    anchor: str = "anchor.pem"
    key: str = "identity.key"
    certificate: str = "identity.crt"
    lang: Language = DEFAULT_LANGUAGE
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        member = self.provider.member
        if not self.gateways:
            raise ValueError("gateways: at least one gateway is needed, nobody else may call")
        for gateway in self.pinned_gateways:
            if gateway.member != member:
                raise ValueError(f"gateways: {gateway} is not a gateway of {member}")
        if len(set(self.gateways)) != len(self.gateways):
            raise ValueError("gateways: one is named twice")

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
        database=_resolve_database(settings.database, directory),
    )


def _resolve_database(url: str, directory: Path) -> str:
    path = url.removeprefix(_SQLITE)
    if path == url or path in ("", ":memory:"):
        return url
    return f"{_SQLITE}{directory / path}"
