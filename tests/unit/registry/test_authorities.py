"""The CAs' certificates and lists: taken over as soon as they change, never if they cannot be trusted."""

import base64
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.configuration import CommonDocument
from core.documents import decode_strict
from core.identifiers import urn
from core.reasons import ExchangeError, Reason
from pki.authority import found
from pki.keys import load_chain
from pki.profiles import AuthorityKind, Profile
from registry.authorities import read_authorities
from registry.budget import ChangeBudget
from tests.support.registry_country import ANIP, RegistryCountry


def lists(country: RegistryCountry) -> list[str]:
    """The revocation lists as they are published."""
    with country.office.sessions() as session:
        data = country.office.documents(session)["common.json"]
    return decode_strict(data, CommonDocument).crls


def revoke(country: RegistryCountry) -> None:
    """Put some certificate on the auth CA's list."""
    chain = country.registered(Profile.AUTH, f"{ANIP}/gw9").chain
    auth = country.authorities[AuthorityKind.AUTH]
    auth.revoke(load_chain(chain)[0], "key-compromise", now_ms=country.clock.now_ms())


def test_a_revocation_reaches_the_configuration_with_the_next_tick(country: RegistryCountry) -> None:
    """Within a second, without any command to the registry."""
    before = country.version
    revoke(country)

    country.registry.tick()

    assert country.version == before + 1
    assert lists(country)[1] == (country.root / "ca" / "auth.crl").read_text(encoding="ascii")


def test_an_old_list_never_comes_back(country: RegistryCountry) -> None:
    """Whoever restores the CA's directory brings no revoked certificate back."""
    file = country.root / "ca" / "auth.crl"
    old = file.read_bytes()
    revoke(country)
    country.registry.tick()
    published = lists(country)

    file.write_bytes(old)
    country.registry.tick()

    assert lists(country) == published


def _of_unknown_version(pem: bytes) -> bytes:
    """The same certificate or list, which says that it is of version 8."""
    label, *body, end = pem.splitlines()
    data = base64.b64decode(b"".join(body))
    is_list = b"CRL" in label
    old, new = (b"\2\1\1", b"\2\1\7") if is_list else (b"\xa0\3\2\1\2", b"\xa0\3\2\1\7")
    return b"\n".join([label, base64.encodebytes(data.replace(old, new, 1)).strip(), end, b""])


@pytest.mark.parametrize("name", ["auth.crl", "seal.crl", "root.crl", "auth.crt"])
@pytest.mark.parametrize("kind", ["truncated", "foreign", "missing", "binary", "version"])
def test_files_that_cannot_be_trusted_change_nothing(
    country: RegistryCountry, tmp_path: Path, clock: ManualClock, name: str, kind: str
) -> None:
    """What is published stays, and goes on being signed anew."""
    file = country.root / "ca" / name
    published, before = lists(country), country.office.publisher.current
    match kind:
        case "truncated":
            file.write_bytes(file.read_bytes()[:80])
        case "foreign":
            found(tmp_path / "foreign", "BJ", now_ms=clock.now_ms())
            shutil.copy(tmp_path / "foreign" / name, file)
        case "missing":
            file.unlink()
        case "version":
            file.write_bytes(_of_unknown_version(file.read_bytes()))
        case _:
            file.write_bytes(b"\xff\x00")

    with pytest.raises(ExchangeError) as refused:
        read_authorities(country.root / "ca", country.anchor.certificate)
    clock.advance(timedelta(minutes=6))
    country.registry.tick()

    assert refused.value.reason is Reason.CERTIFICATE_INVALID
    assert lists(country) == published
    assert country.office.publisher.current.mark == before.mark
    assert country.office.publisher.current.expires_at_ms > before.expires_at_ms


def test_a_gateway_cannot_fill_the_registry(populated: RegistryCountry) -> None:
    """Each change is kept for ever; past its hour's share a gateway waits, and nobody else does."""
    gateway = populated.gateway(f"{ANIP}/gw1")
    budget = ChangeBudget(3, populated.clock)
    for _ in range(3):
        budget.take(gateway.urn)

    with pytest.raises(ExchangeError) as refused:
        budget.take(gateway.urn)

    assert refused.value.reason is Reason.LIMIT_EXCEEDED
    budget.take(urn("gateway", "BJ/GOV/PNS/gw1"))


def test_the_share_comes_back_with_time(clock: ManualClock) -> None:
    """An hour later the same caller may go on."""
    budget = ChangeBudget(1, clock)
    budget.take("one")
    clock.advance(timedelta(hours=1))

    budget.take("one")
