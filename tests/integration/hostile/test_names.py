"""Path tricks and look-alikes in identifiers, and addresses that lead inward: refused at registry and gateway alike."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from core.reasons import ExchangeError, Reason
from core.registrations import RegisteredLog
from gateway.settings import GatewaySettings, Registry
from gateway.worker.dialling import PolicyDialler
from gateway.worker.link import LinkDialler
from tests.support.federation import CLIENT, METHOD, PROVIDER, SERVICE, Federation, metadata
from tests.support.hostile import said
from tests.support.intruder import road_tls
from tests.support.rawprogram import RawProgram
from tests.support.registry_country import ANIP, RegistryCountry
from tests.support.waiting import until

TRICKS = (
    "BJ/GOV/../PORTAIL",
    "BJ/GOV/PNS/..",
    "BJ/GOV/PNS/.",
    "BJ/GOV/PNS/%2e%2e",
    "BJ/GOV//PORTAIL",
    "/BJ/GOV/PNS/PORTAIL",
    "BJ/GOV/PNS/PORTAIL/",
    "BJ/GOV/PNS/PORTAIL.",
    "BJ/GOV/PNS/PORTAIL\\..",
    "BJ\\GOV\\PNS\\PORTAIL",
    "BJ/GOV/PNS/registre",
    "BJ/GOV/PNS/REGISTRY",
    "BJ/GOV/PNS/passerelle",
    "BJ/GOV/PNS/management",
    "BJ/GOV/PNS/" + "A" * 200,
    "BJ/GOV/PNS/~root",
    "BJ/GOV/PNS/$(id)",
    "BJ/GOV/PNS/a;b",
    "BJ/GOV/PNS/PORTAIL?x=1",
    "BJ/GOV/PNS/PORTAIL#x",
    "../../etc/passwd",
)
# Not ASCII: they cannot even stand in metadata as text.
LOOK_ALIKES = (
    "BJ/GOV/PNS/РORTAIL",
    "BJ/GOV/PNS/PORTAIL\u200b",
    "BJ/GOV/PNS/ＰＯＲＴＡＩＬ",
    "BJ/GOV/PNS/PORTAIL\u202e",
    "BJ/GOV/PNS/PORTA\u0130L",
    "BJ／GOV／PNS／PORTAIL",
)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("names")) as found:
        yield found


HONEST = {name.encode(): str(value).encode() for name, value in metadata()}


@pytest.mark.parametrize("name", [*TRICKS, *LOOK_ALIKES])
@pytest.mark.parametrize("place", ["x-road-client", "x-road-service"])
def test_path_traversal_and_look_alikes_are_refused_at_the_gateway(
    federation: Federation, place: str, name: str
) -> None:
    """As client and as service: malformed, not logged as a name, nothing delivered under it.

    What is not even a header value is dropped by HTTP/2: the call goes on as one that does not name it.
    """
    federation.adapter.calls.clear()

    with RawProgram(federation) as program:
        found = program.call(*(HONEST | {place.encode(): name.encode()}).items())

    if name.isascii() or place == "x-road-client":
        assert found.get(b"grpc-status") in (b"3", None)
        assert federation.adapter.calls == []
    for _, _, told in federation.adapter.calls:
        assert (told["x-road-client"], told["x-road-service"]) == (CLIENT, PROVIDER)
        assert name not in told.values()
    assert name not in {value for one in said(federation.pns) for value in (one.client, one.service)}


@pytest.mark.parametrize(
    "path",
    [
        "/../" + METHOD[1:],
        METHOD + "/..",
        METHOD + "/",
        METHOD.replace("/", "//"),
        METHOD.replace(SERVICE, SERVICE + "."),
        "/" + SERVICE + "/%47etPerson",
        "/" + SERVICE.upper() + "/GetPerson",
        "/passerelle.gateway.v1.RoadService/Exchange",
        "/passerelle.gateway.v1.LogService/Search",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
        "*",
    ],
)
def test_path_traversal_in_a_method_is_refused_at_the_gateway(federation: Federation, path: str) -> None:
    """As if there were no agreement: what exists is nobody's business. The layer's own services are not served here."""
    federation.adapter.calls.clear()

    with RawProgram(federation) as program:
        stream = program.begin(*HONEST.items(), path=path)
        program.h2.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        program.flush()
        program.read_until_closed(stream)

        assert program.status_of(stream) in (b"7", b"3", None)
    assert federation.adapter.calls == []


@pytest.mark.parametrize("name", [*TRICKS, *LOOK_ALIKES])
def test_path_traversal_and_look_alikes_are_refused_at_the_registry(
    registry: RegistryCountry, name: str
) -> None:
    """As a subsystem, and as a member; nothing of it is published."""
    before = registry.version

    for attempt in (
        lambda: registry.office.add_subsystem(registry.operator(), name),
        lambda: registry.office.propose_member(registry.operator(), registry.member_document(name)),
    ):
        with pytest.raises(ExchangeError) as refused:
            attempt()
        assert refused.value.reason in (Reason.IDENTIFIER_INVALID, Reason.DOCUMENT_INVALID)

    assert registry.version == before
    assert [one.name for one in registry.root.parent.rglob("*") if "passwd" in one.name] == []


INWARD = (
    "169.254.169.254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.1",
    "127.0.0.1",
    "0.0.0.0",
    "::1",
    "::",
    "localhost",
    "unix:/run/adapter.sock",
    "xds:///gateway",
    "dns:///localhost",
    "file:///etc/passwd",
    "user@127.0.0.1",
    "100.100.100.200",
    "fd00:ec2::254",
)


class Canary:
    """A port on this machine that counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def came(self) -> int:
        found = 0
        while True:
            try:
                self._socket.accept()[0].close()
            except BlockingIOError:
                return found
            found += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    found = Canary()
    yield found
    found.close()


@pytest.fixture(scope="module")
def dial(
    federation: Federation, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int, tuple[str, ...]], list[str]]:
    """Dials as a gateway in production does; why it was not done, or nothing if it was."""
    tls = road_tls(federation, federation.pns.auth, tmp_path_factory.mktemp("dial"))

    def go(host: str, port: int, allowed: tuple[str, ...]) -> list[str]:
        settings = GatewaySettings(
            gateway="BJ/GOV/PNS/gw1",
            member_key="k" * 43,
            registry=Registry(id="BJ/GOV/ASIN/registre", address="127.0.0.1:1"),
            allowed_networks=allowed,
        )
        failed: list[str] = []
        opened: list[object] = []

        async def start() -> None:
            PolicyDialler(settings, LinkDialler(tls)).dial(host, port, opened.append, failed.append)

        federation.do(start())
        if not allowed:
            until(lambda: bool(failed or opened))
        return failed

    return go


@pytest.mark.parametrize("host", INWARD)
def test_ssrf_address_is_refused_at_the_gateway(
    canary: Canary, dial: Callable[[str, int, tuple[str, ...]], list[str]], host: str
) -> None:
    """Whatever its member registered and whatever it resolves to: no byte goes to this machine or its metadata."""
    (why,) = dial(host, canary.port, ())

    assert why.startswith(("ADDRESS_NOT_ALLOWED", "name not found"))
    assert canary.came() == 0


def test_ssrf_by_a_name_that_resolves_inward_is_refused_at_the_gateway(
    canary: Canary,
    dial: Callable[[str, int, tuple[str, ...]], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Resolved once, judged, and dialled as the address that was judged: a second answer of the resolver is not asked."""
    answers = iter(["127.0.0.1", "41.79.217.10"])

    async def rebinding(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), canary.port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", rebinding)

    (why,) = dial("gw1.anip.bj", canary.port, ())

    assert why.startswith("ADDRESS_NOT_ALLOWED")
    assert next(answers) == "41.79.217.10"
    assert canary.came() == 0


def test_the_canary_counts_who_is_allowed(
    canary: Canary, dial: Callable[[str, int, tuple[str, ...]], list[str]]
) -> None:
    """Else the tests above would show nothing."""
    dial("127.0.0.1", canary.port, ("127.0.0.0/8",))

    until(lambda: canary.came() == 1)


# This registry is that of a country in a box, whose policy allows loopback by name.
@pytest.mark.parametrize("host", sorted({*INWARD} - {"127.0.0.1", "::1", "::ffff:127.0.0.1"}))
def test_ssrf_address_is_refused_at_the_registry(registry: RegistryCountry, host: str) -> None:
    """No member can register it, whatever it signs."""
    address = f"[{host}]:80" if ":" in host and "/" not in host else f"{host}:80"
    log = RegisteredLog(id="0" * 64, worker=0, address=address)
    registration = registry.registration(f"{ANIP}/gw9", logs=[log])

    with pytest.raises(ExchangeError) as refused:
        registry.office.submit_registration(registry.operator(), registry.sign_registration(registration))

    assert refused.value.reason in (Reason.ADDRESS_NOT_ALLOWED, Reason.DOCUMENT_INVALID)
