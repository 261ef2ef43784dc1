"""How a gateway comes to be: directory, keys, logs; then certificates, registration, programs.

The order of ``docs/operations/gateway.md``: ``init`` makes everything that needs nobody else, so that the log ids
can stand in the registration; the CAs answer the two requests; the member key, which never comes here, signs the
registration; the registry's operators approve it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.identifiers import GatewayId, RegistryId, SubsystemId
from core.language import Language
from gateway.settings import HostPort, Listen


@dataclass(frozen=True, slots=True)
class Plan:
    """What the administrator decides when a gateway is founded.

    Attributes:
        gateway: Its identifier, ``BJ/GOV/ANIP/gw1``.
        member_key: Thumbprint of the member's key.
        registry: The registry it will follow.
        registry_address: Where that is reached.
        hosts: Names and addresses under which peers and programs reach the gateway; the first is registered.
        listen: What it listens on; the number of road addresses is the number of workers.
        adapters: Address of the adapter of each subsystem that provides services.
        allowed_networks: See ``gateway.settings``.
        lang: Language of status messages.
        wrapping_key: Where the key that wraps day keys lies; ``None`` for ``keys/wrapping.key``.
        reserve_bytes: Free space that new exchanges must leave; ``None`` for the default.
    """

    gateway: GatewayId
    member_key: str
    registry: RegistryId
    registry_address: HostPort
    hosts: Sequence[str] = ("127.0.0.1",)
    listen: Listen = field(default_factory=Listen)
    adapters: Mapping[SubsystemId, HostPort] = field(default_factory=dict)
    allowed_networks: Sequence[str] = ()
    lang: Language = "fr"
    wrapping_key: Path | None = None
    reserve_bytes: int | None = None


def settings_text(plan: Plan) -> str:
    """``gateway.toml`` for a plan; whatever it does not name keeps its default."""
    lines = [
        "# Passerelle : réglages de cette passerelle / settings of this gateway (docs/operations/gateway.md)",
        f"gateway = {_toml(str(plan.gateway))}",
        "# Empreinte de la clé du membre / thumbprint of the member key: compared by voice",
        f"member_key = {_toml(plan.member_key)}",
        f"workers = {len(plan.listen.road)}",
        f"lang = {_toml(plan.lang)}",
        f"hosts = {_toml(list(plan.hosts))}",
        f"allowed_networks = {_toml(list(plan.allowed_networks))}",
        "",
        "[registry]",
        f"id = {_toml(str(plan.registry))}",
        f"address = {_toml(str(plan.registry_address))}",
        "",
        "[listen]",
        f"programs = {_toml(plan.listen.programs)}",
        f"road = {_toml(list(plan.listen.road))}",
        f"admin = {_toml(plan.listen.admin)}",
        f"http = {_toml(plan.listen.http)}",
    ]
    log = []
    if plan.wrapping_key is not None:
        log.append(f"wrapping_key_file = {_toml(str(plan.wrapping_key.absolute()))}")
    if plan.reserve_bytes is not None:
        log.append(f"reserve_bytes = {plan.reserve_bytes}")
    if log:
        lines += ["", "[log]", *log]
    for subsystem, address in plan.adapters.items():
        lines += [
            "",
            "[[adapter]]",
            f"subsystem = {_toml(str(subsystem))}",
            f"address = {_toml(str(address))}",
        ]
    return "\n".join(lines) + "\n"


def _toml(value: str | list[str]) -> str:
    # A JSON string or list of strings is a TOML one, for text without DEL: identifiers and paths.
    return json.dumps(value, ensure_ascii=False)
