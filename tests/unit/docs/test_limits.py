"""The page of limits names every bound that can be set, with its default, and tests that exist."""

import re
from pathlib import Path

from adapters.settings import AdapterSettings
from core.reasons import Reason
from gateway.settings import Configuration, Limits, LogSettings
from registry.settings import RegistrySettings
from rpc.limits import Limits as ServerLimits

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operations" / "limits.md").read_text()
ROW = re.compile(r"^\| `([a-z_.]+)` \| `([0-9]+)` \| .* \| ([^|]+) \|$", re.MULTILINE)
# Paths and ages that bound nothing of a peer's.
NO_BOUNDS = {"log.wrapping_key_file"}
# A code of gRPC, and a fault of the readiness page (docs/operations/gateway.md).
NO_REASONS = {"RESOURCE_EXHAUSTED", "DISK_LOW"}


def numbers(prefix: str, settings: object) -> dict[str, int]:
    """The fields of a settings struct and their defaults."""
    fields = settings.__struct_fields__  # type: ignore[attr-defined]  # a msgspec struct
    found = {f"{prefix}.{name}": getattr(settings, name) for name in fields}
    return {name: value for name, value in found.items() if name not in NO_BOUNDS}


def test_every_limit_of_the_settings_stands_on_the_page_with_its_default() -> None:
    """And nothing else does: a bound that was removed is not promised."""
    expected = (
        numbers("limits", Limits())
        | numbers("log", LogSettings())
        | numbers("configuration", Configuration())
        | numbers("admin", ServerLimits())
    )
    registry = RegistrySettings(registry="BJ/GOV/ASIN/registre")
    expected |= {
        name: getattr(registry, name) for name in ("gateway_changes_per_hour", "expires_h", "refresh_s")
    }

    rows = [(name, int(default)) for name, default, _ in ROW.findall(PAGE)]
    assert dict(rows) == expected
    assert len(rows) == len(expected), "a bound stands on the page twice"


def test_every_limit_has_a_test_that_exists() -> None:
    """A bound that no test hits is a hope."""
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    existing = {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}

    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    unnamed = [
        line for line in rows if "at the bound" not in line and "why" not in line and "`test_" not in line
    ]

    assert unnamed == []
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - existing - {"test_limits"} == set()


def test_all_servers_have_the_same_bounds() -> None:
    """One table serves three files."""
    registry = RegistrySettings(registry="BJ/GOV/ASIN/registre")
    adapter = AdapterSettings(
        adapter="identity", subsystem="BJ/GOV/ANIP/RNPP", gateways=("BJ/GOV/ANIP/gw1",), database="sqlite://"
    )

    assert registry.limits == adapter.limits == ServerLimits()


def test_every_reason_that_the_page_names_exists() -> None:
    """An operator who reads it in a log finds it in docs/erreurs.md."""
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", PAGE))

    assert named - {str(reason) for reason in Reason} == NO_REASONS
