"""The registry's own log, as an auditor verifies it: with its directory, and the anchor."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from audit.commands import audit
from core.heads import parse_head
from tests.support.registry_country import RegistryCountry


def verified(country: RegistryCountry, *options: object) -> Result:
    arguments = ["verify-log", country.root / "registry", "--anchor", country.root / "registry/anchor.pem"]
    return CliRunner().invoke(audit, [str(one) for one in (*arguments, *options)])


def head_file(country: RegistryCountry) -> Path:
    return country.root / "registry/log/0/head.jws"


def test_the_registry_s_log_is_verified_up_to_the_anchor(populated: RegistryCountry) -> None:
    """``head.jws`` beside it, its seal and the lists that it publishes are all found without an option."""
    populated.registry.close()

    (found,) = json.loads(verified(populated, "--output", "json").output)["logs"]

    head = parse_head(head_file(populated).read_bytes()).unverified
    assert (found["reason"], found["signatures"], found["gateway"]) == (
        None,
        "anchored",
        "BJ/GOV/ASIN/registre",
    )
    assert (found["head"]["size"], found["head"]["root"]) == (head.size, head.root)
    assert verified(populated).output.splitlines()[-1] == "VERDICT : BON (GOOD)"


def test_a_registry_s_head_that_is_none_is_a_fault(populated: RegistryCountry) -> None:
    """Where it stands: a spoilt head is not the same as none."""
    populated.registry.close()
    head_file(populated).write_bytes(b"no head")

    result = verified(populated)

    assert result.exit_code == 1
    assert "FAUTE HEAD_INVALID" in result.output
