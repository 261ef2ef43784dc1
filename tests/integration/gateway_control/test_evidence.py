"""Evidence as the admin API hands it out is the evidence that the auditor's command gathers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.reasons import ExchangeError, Reason
from gateway.control.evidence import EvidenceOfGateway
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings, Registry
from tests.support.evidence import EvidenceCountry, gather_evidence
from tests.support.published_country import REGISTRY


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path)
    yield found
    found.close()


def gatherer(country: EvidenceCountry) -> EvidenceOfGateway:
    settings = GatewaySettings(
        gateway="BJ/GOV/PNS/gw1",
        member_key=country.pns.member.thumbprint,
        registry=Registry(id=REGISTRY, address="127.0.0.1:1"),
    )
    return EvidenceOfGateway(GatewayDirectory(country.pns.directory), settings, ManualClock())


def test_the_parts_are_the_auditors(country: EvidenceCountry) -> None:
    """Byte for byte, without bodies."""
    wanted = country.exchange()

    parts = dict(gatherer(country)(wanted.id, False, "", ""))

    assert parts == gather_evidence(country.pns.directory, wanted.id)
    assert not any(path.startswith("bodies/") for path in parts)


@pytest.mark.parametrize(("mandate", "purpose"), [("", "P05"), ("PJ-2026-118", "")])
def test_bodies_are_opened_for_p05_or_under_a_mandate(
    mandate: str, purpose: str, country: EvidenceCountry
) -> None:
    """Those of the request and of the answer."""
    wanted = country.exchange()

    parts = dict(gatherer(country)(wanted.id, True, mandate, purpose))

    assert len([path for path in parts if path.startswith("bodies/")]) == 2


def test_bodies_are_not_opened_otherwise(country: EvidenceCountry) -> None:
    """Before any key is read."""
    wanted = country.exchange()

    with pytest.raises(ExchangeError) as refused:
        next(gatherer(country)(wanted.id, True, "", "P08"))

    assert refused.value.reason is Reason.PURPOSE_NOT_ALLOWED
