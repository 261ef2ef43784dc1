"""``passerelle.toml`` beside a program's identity: where its gateway is, so that commands need not be told."""

import json
from pathlib import Path
from typing import Final

import msgspec

HINTS_FILE: Final = "passerelle.toml"


class ProgramHints(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a program calls, and as whom.

    Attributes:
        subsystem: The program's subsystem, the value of ``x-road-client``.
        gateway_id: The gateway, which its certificates must name.
        gateway: The programs' port.
        directory: The admin port, for the Directory.
    """

    subsystem: str
    gateway_id: str
    gateway: str
    directory: str

    def write(self, identity: Path) -> None:
        """Write the file into an identity directory."""
        lines = [f"{name} = {toml_text(getattr(self, name))}\n" for name in self.__struct_fields__]
        (identity / HINTS_FILE).write_text("".join(lines), encoding="utf-8")


def toml_text(value: str | list[str]) -> str:
    """A string or list of strings as TOML writes it; JSON's form is the same for text without DEL."""
    return json.dumps(value, ensure_ascii=False)
