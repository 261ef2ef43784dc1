"""gateway.toml: what is accepted, what is refused, what the defaults are."""

import ipaddress
from pathlib import Path

import msgspec
import pytest

from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings, HostPort, SettingsError, is_loopback

MINIMAL = """
gateway = "BJ/GOV/ANIP/gw1"
member_key = "{key}"
[registry]
id = "BJ/GOV/ASIN/registre"
address = "registre.asin.bj:7443"
""".format(key="k" * 43)


def settings(text: str = MINIMAL) -> GatewaySettings:
    return msgspec.toml.decode(text, type=GatewaySettings)


def test_the_defaults_are_those_of_the_design() -> None:
    """Limits, ages and ports that nobody has to write."""
    found = settings()

    assert str(found.member) == "BJ/GOV/ANIP"
    assert found.lang == "fr"
    assert found.limits.message_bytes == 4 * 1024 * 1024
    assert found.limits.member_bytes == 32 * 1024 * 1024
    assert found.limits.worker_bytes == 128 * 1024 * 1024
    assert found.limits.connection_window_bytes == 16 * 1024 * 1024
    assert found.limits.stream_window_bytes == 256 * 1024
    assert (found.limits.reset_burst, found.limits.resets_per_s) == (2000, 500)
    assert found.log.reserve_bytes == 1_000_000_000
    assert (found.configuration.fresh_s, found.configuration.expires_s) == (600, 259_200)
    assert found.configuration.expires.days == 3


def test_all_parts_can_be_written() -> None:
    """A gateway with two workers and an adapter."""
    found = settings(
        'workers = 2\nallowed_networks = ["127.0.0.0/8"]\n'
        + MINIMAL
        + """
[listen]
programs = "127.0.0.1:42011"
road = ["127.0.0.1:42012", "[::1]:42016"]
admin = "127.0.0.1:42013"
http = "127.0.0.1:42014"
[[adapter]]
subsystem = "BJ/GOV/ANIP/RNPP"
address = "127.0.0.1:42015"
"""
    )

    assert found.adapter[0].subsystem_id.code == "RNPP"
    assert found.networks == (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "wrong",
    [
        MINIMAL + "unknown = 1\n",
        "unknown = 1\n" + MINIMAL,
        MINIMAL.replace("gw1", "gw/1"),
        MINIMAL.replace("k" * 43, "short"),
        MINIMAL.replace("BJ/GOV/ASIN/registre", "registre"),
        MINIMAL.replace(":7443", ""),
        MINIMAL.replace(":7443", ":99999"),
        "workers = 0\n" + MINIMAL,
        "workers = 2\n" + MINIMAL,
        'lang = "de"\n' + MINIMAL,
        "hosts = []\n" + MINIMAL,
        'allowed_networks = ["127.0.0.1/8"]\n' + MINIMAL,
        'allowed_networks = ["anything"]\n' + MINIMAL,
        MINIMAL + '[listen]\nhttp = "0.0.0.0:9444"\n',
        MINIMAL + '[listen]\nprograms = "::1:8443"\n',
        MINIMAL + '[listen]\nprograms = ":8443"\n',
        MINIMAL + "[limits]\nmessage_bytes = 0\n",
        MINIMAL + "[limits]\nmessage_bytes = 99999999\n",
        MINIMAL + "[log]\nsegment_bytes = 1\n",
        MINIMAL + "[log]\nreserve_bytes = -1\n",
        MINIMAL + "[configuration]\nexpires_s = 999999\n",
        MINIMAL + "[configuration]\nfresh_s = 10\n",
        MINIMAL + '[[adapter]]\nsubsystem = "BJ/GOV/ANDF/X"\naddress = "h:1"\n',
        MINIMAL + '[[adapter]]\nsubsystem = "nonsense"\naddress = "h:1"\n',
        MINIMAL + 2 * '[[adapter]]\nsubsystem = "BJ/GOV/ANIP/X"\naddress = "h:1"\n',
    ],
)
def test_a_wrong_value_is_refused_when_it_is_read(wrong: str) -> None:
    """Not when it is first used."""
    with pytest.raises(msgspec.ValidationError):
        settings(wrong)


ROUTE = """
[[routes]]
name = "guichet"
listen = "127.0.0.1:8501"
client = "BJ/GOV/ANIP/RNPP"
"""
OPEN = ROUTE + "allow_unauthenticated_loopback = true\n"


def test_routes_can_be_written() -> None:
    """One that asks for certificates and names all it can, one that asks nobody."""
    found = settings(
        MINIMAL
        + ROUTE
        + """
methods = ["bj.identity.v1.", "bj.land.v1.LandService/", "bj.land.v1.LandService/GetParcel"]
service = "BJ/GOV/ANDF/CADASTRE"
purpose = "P01"
issue = "ACT-1"
userid = "self"
represented_party = "entreprise:RB-1"
"""
        + OPEN.replace("guichet", "local").replace("127.0.0.1:8501", "[::1]:8502")
    )

    assert [route.name for route in found.routes] == ["guichet", "local"]
    assert [route.allow_unauthenticated_loopback for route in found.routes] == [False, True]
    assert settings().routes == ()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (OPEN.replace("127.0.0.1", "0.0.0.0"), "loopback address, 127.0.0.1 or [::1], not 0.0.0.0"),
        (OPEN.replace("127.0.0.1", "localhost"), "loopback address, 127.0.0.1 or [::1], not localhost"),
        (OPEN.replace("127.0.0.1", "[::ffff:127.0.0.1]"), "loopback address"),
        (OPEN.replace('client = "BJ/GOV/ANIP/RNPP"\n', ""), "demands a client"),
        (ROUTE.replace("BJ/GOV/ANIP/RNPP", "BJ/GOV/PNS/PORTAIL"), "does not belong to BJ/GOV/ANIP"),
        (ROUTE.replace("guichet", "grpc"), "other than grpc and json"),
        (ROUTE.replace("guichet", "json"), "other than grpc and json"),
        (ROUTE.replace("guichet", "Guichet"), "a name is written"),
        (ROUTE.replace("guichet", "g" * 33), "a name is written"),
        (2 * ROUTE, "a name is given twice"),
        (ROUTE + ROUTE.replace("guichet", "other"), "port 8501 is taken by another address"),
        (ROUTE.replace("8501", "8443"), "port 8443 is taken by another address"),
        (ROUTE.replace("127.0.0.1:8501", "8501"), "host:port"),
        (ROUTE + 'methods = ["bj.identity.v1"]\n', "methods are written"),
        (ROUTE + 'methods = ["/bj.identity.v1.IdentityService/GetPerson"]\n', "methods are written"),
        (ROUTE + 'methods = [""]\n', "methods are written"),
        (ROUTE + 'purpose = "1"\n', "purpose"),
        (ROUTE + 'issue = "two words"\n', "opaque handle"),
        (ROUTE + 'service = "nonsense"\n', "nonsense"),
        (ROUTE + 'puprose = "P01"\n', "unknown field"),
        (
            "".join(
                ROUTE.replace("guichet", f"r{number}").replace("8501", f"{9000 + number}")
                for number in range(33)
            ),
            "at most 32 routes",
        ),
    ],
)
def test_a_wrong_route_is_refused_when_it_is_read(wrong: str, told: str) -> None:
    """By a text that names what is wrong: nobody is let in by mistake."""
    with pytest.raises(msgspec.ValidationError) as error:
        settings(MINIMAL + wrong)

    assert told in str(error.value)


@pytest.mark.parametrize("text", ["127.0.0.1:8443", "[::1]:0", "registre.asin.bj:65535"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    """One written form."""
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize("text", ["", ":", "host", "host:", "host:-1", "host:65536", "::1:80", "host:８０"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Every part must be there."""
    with pytest.raises(SettingsError):
        HostPort.parse(text)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ],
)
def test_this_machine_the_local_link_and_metadata_services_are_not_dialled(address: str) -> None:
    """A registered address must not turn the gateway into a way to them."""
    assert not settings().is_dialable(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.0.1", "197.155.1.1", "2c0f:f000::1", "fd12::1"])
def test_private_and_public_networks_are_dialled(address: str) -> None:
    """Administrations have networks of their own."""
    assert settings().is_dialable(ipaddress.ip_address(address))


def test_loopback_is_dialled_where_the_settings_allow_it() -> None:
    """The country in a box lives there."""
    found = settings('allowed_networks = ["127.0.0.0/8"]\n' + MINIMAL)

    assert found.is_dialable(ipaddress.ip_address("127.0.0.1"))
    assert found.is_dialable(ipaddress.ip_address("::ffff:127.0.0.1"))
    assert not found.is_dialable(ipaddress.ip_address("::1"))


def test_loopback_names() -> None:
    """Only what cannot lead elsewhere."""
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("localhost.example")


def test_the_layout_is_that_of_the_design(tmp_path: Path) -> None:
    """Operators' documents name these files."""
    directory = GatewayDirectory.of(tmp_path / "gateway.toml")

    assert directory.settings == tmp_path / "gateway.toml"
    assert directory.anchor == tmp_path / "anchor.pem"
    assert directory.auth.key == tmp_path / "keys" / "auth.key"
    assert directory.seal.certificate == tmp_path / "keys" / "seal.crt"
    assert directory.programs.key == tmp_path / "keys" / "programs.key"
    assert directory.programs_server.request == tmp_path / "keys" / "programs-server.csr"
    assert directory.log(1) == tmp_path / "log" / "1"
    assert directory.bodies(0) == tmp_path / "bodies" / "0"
    assert directory.index == tmp_path / "index.sqlite"
    assert directory.current == tmp_path / "configuration" / "current.json"
    assert directory.tuf.parent == directory.mirror.parent == directory.configuration
    assert directory.head(0) == tmp_path / "state" / "head.json"
    assert directory.head(2) == tmp_path / "state" / "head-2.json"
    assert directory.worker_pid(2) == tmp_path / "state" / "worker-2.pid"
    assert directory.pinned_programs == tmp_path / "state" / "programs.json"
    assert directory.admin_socket == tmp_path / "admin.sock"
    assert directory.wrapping_key(settings()) == tmp_path / "keys" / "wrapping.key"
    assert directory.wrapping_key(settings(MINIMAL + '[log]\nwrapping_key_file = "/k"\n')) == Path("/k")
