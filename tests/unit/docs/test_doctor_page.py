"""``docs/operations/doctor.md`` and the texts of doctor: every code has its line, every command that is named exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cli.main import passerelle
from gateway.doctor.examination import CHECKS
from gateway.doctor.findings import CODES
from gateway.remains import GATEWAY_DOWN
from tests.unit.docs.test_pages import is_command

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operations" / "doctor.md").read_text()
SOURCES = sorted((ROOT / "gateway" / "doctor").glob("*.py"))
# The ten of USERS section 3, two of them with a second code.
TEN = (
    *(
        "CLOCK_SKEW",
        "CONFIG_STALE",
        "CONFIG_EXPIRED",
        "REGISTRY_UNREACHABLE",
        "CERT_EXPIRED",
        "CERT_EXPIRING",
    ),
    *("DISK_RESERVE", "DISK_LOW", "LOG_WRITE_FAILED", "LOG_BEHIND_PEERS", "FORKED", "PEER_UNREACHABLE"),
    *("ADAPTER_DOWN", "KEY_UNREADABLE"),
)
# `passerelle doctor CODE …`, 'passerelle ca issue', « passerelle gateway init »: words up to the first that is no name.
NAMED = re.compile(r"[`'«]\s?passerelle ((?:[a-z][a-z-]* ?)+)")


def test_every_code_has_its_line_on_the_page() -> None:
    """And the page has no code that is gone."""
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)

    assert {code for row in rows for code in re.findall(r"`(\w+)`", row)} == set(CODES)


def test_codes_are_stable_and_each_has_a_check() -> None:
    """A code that no check can find could not be asked for."""
    found = {code for check in CHECKS for code in check.codes}

    assert tuple(CODES)[: len(TEN)] == TEN
    assert found | {"CONFIG_FILE_INVALID"} == set(CODES)
    assert GATEWAY_DOWN in CODES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_command_that_a_remedy_of_doctor_names_exists(source: Path) -> None:
    """At 2 a.m. nobody wants to type a command that is still to be written."""
    named = [words.strip() for words in NAMED.findall(source.read_text())]

    assert [words for words in named if not is_command(words)] == []


def test_commands_are_found_in_the_texts() -> None:
    """The test above sees what it has to see."""
    named = {words.strip() for path in SOURCES for words in NAMED.findall(path.read_text())}

    assert {"gateway serve", "doctor", "gateway install", "pki list", "anchor show"} <= named
    assert not is_command("doctors")
    assert isinstance(passerelle.get_command(click.Context(passerelle), "doctor"), click.Command)
