"""``adapter.toml``: what the operator of one adapter decides.

Read once, through ``rpc.settings.load_settings``; unknown keys are refused with their place. Paths are
relative to the directory of the file; ``AdapterSettings.resolve`` makes them absolute. Example::

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
        threads: Calls served at once; further ones wait for a thread.
        queue: Calls held in sum, waiting ones included; further ones are refused with ``RESOURCE_EXHAUSTED``.
        message_bytes: Longest message taken or sent.
        reflection: Whether gRPC reflection answers; off in production.
    """

    adapter: Literal["identity"]
    subsystem: str
    gateways: tuple[str, ...]
    database: str
    listen: str = "127.0.0.1:9101"
    anchor: str = "anchor.pem"
    key: str = "adapter.key"
    certificate: str = "adapter.crt"
    lang: Language = DEFAULT_LANGUAGE
    threads: int = 8
    queue: int = 256
    message_bytes: int = 4 * 1024 * 1024
    reflection: bool = False

    def __post_init__(self) -> None:
        member = self.provider.member
        if not self.gateways:
            raise ValueError("gateways: at least one gateway is needed, nobody else may call")
        for gateway in self.pinned_gateways:
            if gateway.member != member:
                raise ValueError(f"gateways: {gateway} is not a gateway of {member}")
        if len(set(self.gateways)) != len(self.gateways):
            raise ValueError("gateways: one is named twice")
        if not 1 <= self.threads <= self.queue:
            raise ValueError("threads must be at least 1 and at most queue")
        if self.message_bytes < 1024:
            raise ValueError("message_bytes must be at least 1024")

    @property
    def provider(self) -> SubsystemId:
        """The subsystem, parsed."""
        return SubsystemId.parse(self.subsystem)

    @property
    def pinned_gateways(self) -> frozenset[GatewayId]:
        """The gateways, parsed."""
        return frozenset(GatewayId.parse(text) for text in self.gateways)

    def resolve(self, directory: Path) -> "AdapterSettings":
        """The same settings with every path absolute, as seen from ``directory``."""
        return msgspec.structs.replace(
            self,
            anchor=str(directory / self.anchor),
            key=str(directory / self.key),
            certificate=str(directory / self.certificate),
            database=_resolve_database(self.database, directory),
        )


def _resolve_database(url: str, directory: Path) -> str:
    path = url.removeprefix(_SQLITE)
    if path == url or path in ("", ":memory:"):
        return url
    return f"{_SQLITE}{(directory / path).absolute()}"
