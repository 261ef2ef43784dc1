"""What the registry refuses to write down, whoever signed it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reasons import ExchangeError, Reason
from registry.policy import require_public_address, skeleton

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:80",
        "0.0.0.0:80",
        "169.254.169.254:80",
        "100.100.100.200:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[::1]:80",
        "[::]:80",
        "[fe80::1]:80",
        "[fd00:ec2::254]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::7f00:1]:80",
        "[2002:7f00:1::]:80",
        "[2001:0:7f00:1::]:80",
        "[::127.0.0.1]:80",
        "127.1:80",
        "0x7f.1:80",
        "2130706433:80",
        "localhost:80",
        "db.localhost:80",
        "printer.local:80",
        "metadata.google.internal:80",
        "intranet:80",
        "a..bj:80",
    ],
)
def test_unsafe_addresses_are_refused(address: str) -> None:
    """Addresses that lead peers to their own machine, their own network, or nowhere."""
    with pytest.raises(ExchangeError) as refused:
        require_public_address(address, ())

    assert refused.value.reason is Reason.ADDRESS_NOT_ALLOWED


@pytest.mark.parametrize(
    "address", ["41.79.217.10:7444", "10.12.0.4:7444", "[2c0f:f0f8::1]:7444", "gw1.anip.bj:7444"]
)
def test_addresses_of_a_government_network_pass(address: str) -> None:
    """Public addresses, private networks of the administration, and full host names."""
    require_public_address(address, ())


def test_a_country_in_a_box_may_register_loopback() -> None:
    """Only because its policy says so, and nothing else by that."""
    require_public_address("127.0.0.1:7444", LOOPBACK)
    require_public_address("[::ffff:127.0.0.1]:7444", LOOPBACK)

    with pytest.raises(ExchangeError):
        require_public_address("169.254.169.254:80", LOOPBACK)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", max_size=30))
def test_a_skeleton_is_its_own_skeleton(code: str) -> None:
    """Likeness is an equivalence: no chain of small differences leads around it."""
    assert skeleton(skeleton(code)) == skeleton(code)


@pytest.mark.parametrize("other", ["BJ/GOV/PN5", "bj/gov/pns", "BJ/GOV/P-N-S", "8J/G0V/PNS"])
def test_look_alikes_share_a_skeleton(other: str) -> None:
    """What one reads aloud or sees on a small screen."""
    assert skeleton(other) == skeleton("BJ/GOV/PNS")
