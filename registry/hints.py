"""Where an operator's or auditor's registry is, beside its identity: ``passerelle.toml`` in the identity directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec

from rpc.files import replace_file
from rpc.settings import load_settings

HINTS_FILE: Final = "passerelle.toml"


class RegistryHints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What spares its holder two options on every command.

    Attributes:
        registry: Id that the registry's certificate must carry.
        address: ``host:port`` of its API.
    """

    registry: str
    address: str

    def write(self, identity: Path) -> None:
        """Put the hints into an identity directory."""
        # A JSON string is a TOML basic string.
        lines = (f"registry = {json.dumps(self.registry)}", f"address = {json.dumps(self.address)}", "")
        replace_file(identity / HINTS_FILE, "\n".join(lines).encode("utf-8"))


def read_hints(identity: Path) -> RegistryHints | None:
    """The hints of an identity directory; None if there are none. Raises ``SettingsError``."""
    file = identity / HINTS_FILE
    return load_settings(file, RegistryHints) if file.exists() else None
