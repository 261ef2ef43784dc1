"""``gateway.toml``: what the operator of one gateway decides.

Both kinds of process read the file once, through ``rpc.settings.load_settings``, into the frozen structs
below; unknown keys are refused with their place. Nothing here imports grpcio, SQLAlchemy or tuf, so that
workers can use it.

Paths are relative to the directory of ``gateway.toml``; ``gateway.layout`` resolves them.
"""

import ipaddress
import re
from datetime import timedelta
from functools import cached_property
from typing import Literal

import msgspec

from core.identifiers import GatewayId, MemberId, RegistryId, SubsystemId, require_handle, require_purpose
from rpc.limits import Limits as AdminLimits

KIB = 1024
MIB = 1024 * KIB

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# The same in every JWS header: SHA-256, base64url, unpadded (PROTOCOL M8).
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")

# A route's name stands in statements as their ``door`` (docs/protocol/statement.md); these two are doors of all gateways.
_ROUTE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_OTHER_DOORS = frozenset({"grpc", "json"})
MAX_ROUTES = 32

# Whole names and whole parts only: ``bj.identity.v1`` without its dot would open ``bj.identity.v10``, too.
_METHOD_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(?:\.|/[A-Za-z_][A-Za-z0-9_]*|/)")

# Never dialled unless ``allowed_networks`` names them: a registered address must not turn a gateway into a
# way to its own machine, to the cloud's metadata service or to the local link (RELIABILITY, threat "SSRF").
_FORBIDDEN_NETWORKS: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "::/96",  # IPv4 written as IPv6, the old way
        "fe80::/10",
        # IPv4 behind a translator or a tunnel: whatever it leads to is not what it looks like.
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        # Metadata services of clouds that are not link-local.
        "100.100.100.200/32",
        "fd00:ec2::/32",
        "ff00::/8",
    )
)


class SettingsError(ValueError):
    """A value of ``gateway.toml`` cannot be used; the text names it."""


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` is a loopback address; names other than ``localhost`` are not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_loopback_address(host: str) -> bool:
    """The same without names: what a name stands for is decided elsewhere, and may change."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_network(text: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise SettingsError(f"allowed_networks: {error}") from error


class HostPort(msgspec.Struct, frozen=True):
    """Where something listens or is reached, written ``127.0.0.1:8443`` or ``[::1]:8443``."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Read the written form.

        Raises:
            SettingsError: There is no port, or it is not in 0-65535, or the host is empty.
        """
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise SettingsError(f"an IPv6 host is written in brackets, not {text!r}")
        if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise SettingsError(f"an address is written host:port, not {text!r}")
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def road_of(first: HostPort, worker: int) -> HostPort:
    """Where a worker's road port is by default: the first at ``first``, the others from +4 on (DESIGN section 3)."""
    return HostPort(first.host, first.port + (worker + 3 if worker else 0))


class Registry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the global configuration comes from.

    Attributes:
        id: Identifier that the registry's certificate must carry, ``BJ/GOV/ASIN/registre``.
        address: ``host:port`` of its gRPC API.
        heads_s: How often it is told the newest heads of the logs, when they changed; 1 to 60 s.
    """

    id: str
    address: str
    heads_s: int = 60

    def __post_init__(self) -> None:
        RegistryId.parse(self.id)
        HostPort.parse(self.address)
        if not 1 <= self.heads_s <= 60:
            raise SettingsError(
                "registry.heads_s must be 1 to 60: heads leave the machine at least each minute"
            )


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The addresses this gateway listens on.

    Attributes:
        programs: Port of the ministry's programs, shared by all workers.
        road: One road port per worker, in order of their numbers.
        admin: Admin API and Directory, mutual TLS.
        http: Metrics, health and ``/etat``; loopback only.
    """

    programs: str = "0.0.0.0:8443"
    road: tuple[str, ...] = ("0.0.0.0:7444",)
    admin: str = "0.0.0.0:7445"
    http: str = "127.0.0.1:9444"

    def __post_init__(self) -> None:
        for address in (self.programs, self.admin, *self.road):
            HostPort.parse(address)
        host = HostPort.parse(self.http).host
        if not is_loopback(host):
            raise SettingsError(f"listen.http serves without authentication and must be loopback, not {host}")

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them."""
        return self.programs, *self.road, self.admin, self.http


class Adapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The one way in to a subsystem of this member.

    Attributes:
        subsystem: ``BJ/GOV/ANIP/RNPP``.
        address: ``host:port`` of its adapter; mutual TLS under the member's programs CA.
    """

    subsystem: str
    address: str

    def __post_init__(self) -> None:
        SubsystemId.parse(self.subsystem)
        HostPort.parse(self.address)

    @property
    def subsystem_id(self) -> SubsystemId:
        """``subsystem``, parsed."""
        return SubsystemId.parse(self.subsystem)


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fixed route (PROTOCOL M14): a port for programs that cannot add metadata; it fills in what it names.

    It never replaces authentication: on its port, too, a program shows its certificate or a caller token, and ``client``
    must be its own. The one exception is said aloud, by ``allow_unauthenticated_loopback``.

    Attributes:
        name: Stands in statements as their ``door``.
        listen: ``host:port`` of its own, shared by all workers.
        allow_unauthenticated_loopback: Nobody is asked who calls: plain HTTP/2, on a loopback address only, always as
            ``client``; statements say ``caller: loopback``, which agreements refuse unless they allow it.
        methods: What may be called through it: ``bj.identity.v1.``, ``bj.identity.v1.IdentityService/`` or a whole
            method; anything if empty.
        client: ``x-road-client``.
        service: ``x-road-service``.
        purpose: ``x-road-purpose``.
        issue: ``x-road-issue``.
        userid: ``x-road-userid``.
        represented_party: ``x-road-represented-party``.
    """

    name: str
    listen: str
    allow_unauthenticated_loopback: bool = False
    methods: tuple[str, ...] = ()
    client: str | None = None
    service: str | None = None
    purpose: str | None = None
    issue: str | None = None
    userid: str | None = None
    represented_party: str | None = None

    def __post_init__(self) -> None:
        if not _ROUTE_NAME.fullmatch(self.name) or self.name in _OTHER_DOORS:
            raise SettingsError(
                f"routes: a name is written {_ROUTE_NAME.pattern}, other than grpc and json, not {self.name!r}"
            )
        host = HostPort.parse(self.listen).host
        if self.allow_unauthenticated_loopback and not _is_loopback_address(host):
            raise SettingsError(
                f"route {self.name}: allow_unauthenticated_loopback asks nobody who calls and demands a loopback "
                f"address, 127.0.0.1 or [::1], not {host}"
            )
        if self.allow_unauthenticated_loopback and self.client is None:
            raise SettingsError(f"route {self.name}: allow_unauthenticated_loopback demands a client")
        for prefix in self.methods:
            if not _METHOD_PREFIX.fullmatch(prefix):
                raise SettingsError(
                    f"route {self.name}: methods are written package., package.Service/ or package.Service/Method, "
                    f"not {prefix!r}"
                )
        for subsystem in (self.client, self.service):
            if subsystem is not None:
                SubsystemId.parse(subsystem)
        if self.purpose is not None:
            require_purpose(self.purpose)
        for handle in (self.issue, self.userid, self.represented_party):
            if handle is not None:
                require_handle(handle)


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every bound of the data plane (DESIGN sections 4 and 5, invariant 9). Bytes, counts, milliseconds.

    ``docs/operations/limits.md`` says of each what happens at it, and which bounds are fixed and why.

    Attributes:
        message_bytes: Longest message, as it travels.
        member_bytes: Bytes held for one member, in sum over its exchanges.
        worker_bytes: Bytes held by one worker, in sum.
        connection_window_bytes: HTTP/2 window of a connection.
        stream_window_bytes: HTTP/2 window of a stream.
        header_bytes: Header list of one request or response.
        program_calls: Calls in flight on one connection of a program.
        member_calls: Calls in flight of one member on one worker; as many of one program may be incomplete.
        worker_calls: Calls in flight on one worker.
        connections: Connections of programs on one worker.
        anonymous_connections: Those among them without a client certificate: of programs with tokens, and of
            strangers; ``program_connections`` at most from one address.
        cached_tokens: Verified caller tokens that one worker remembers.
        program_connections: Connections of one program on one worker.
        handshakes: Connections in their TLS handshake, on each port of a worker.
        reset_burst: Streams that a program may reset at once.
        resets_per_s: Streams that a program may reset each second after that.
        handshake_ms: TLS handshake, and first frame of a connection.
        request_ms: From the headers of a request to its end.
        idle_ms: A connection of a program without a call.
        write_stall_ms: A program that takes no byte.
        peer_wait_ms: How long a call waits for a stream to its provider, at most.
        drain_ms: How long a stopping worker lets calls in flight finish.
        entries_per_s: Refusals that one member may make us log each second (PROTOCOL M17).
        entries_burst: The same at once; past both, refusals are summed in one note.
        adapter_connections: Connections to one adapter.
        adapter_waiting: Calls that wait for a free stream to one adapter.
        road_connections: Connections of peers on one worker.
        road_peer_connections: Connections of one peer gateway on one worker.
        road_sending_bytes: Frames and bodies that wait for one peer's credit before its exchanges wait too.
        road_unreceipted: Statements to one peer that are kept for sending again until it gives a receipt.
        road_unreceipted_bytes: The same, with their bodies.
    """

    message_bytes: int = 4 * MIB
    member_bytes: int = 32 * MIB
    worker_bytes: int = 128 * MIB
    connection_window_bytes: int = 16 * MIB
    stream_window_bytes: int = 256 * KIB
    header_bytes: int = 16 * KIB
    program_calls: int = 1000
    member_calls: int = 4000
    worker_calls: int = 8000
    connections: int = 1024
    anonymous_connections: int = 256
    cached_tokens: int = 4096
    program_connections: int = 64
    handshakes: int = 256
    reset_burst: int = 2000
    resets_per_s: int = 500
    handshake_ms: int = 3000
    request_ms: int = 60_000
    idle_ms: int = 600_000
    write_stall_ms: int = 20_000
    peer_wait_ms: int = 3000
    drain_ms: int = 10_000
    entries_per_s: int = 100
    entries_burst: int = 1000
    adapter_connections: int = 2
    adapter_waiting: int = 1024
    road_connections: int = 1024
    road_peer_connections: int = 128
    road_sending_bytes: int = 64 * MIB
    road_unreceipted: int = 65_536
    road_unreceipted_bytes: int = 64 * MIB

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise SettingsError(f"limits.{name} must be at least 1")
        if not self.message_bytes <= self.member_bytes <= self.worker_bytes:
            raise SettingsError("limits: message_bytes <= member_bytes <= worker_bytes does not hold")


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The append-only log and the bodies beside it.

    Attributes:
        segment_bytes: Size at which a segment file closes.
        reserve_bytes: Free space below which new exchanges are refused, before a write can fail.
        low_days: Fewer days than these until the reserve is reached are told as ``DISK_LOW``; 0 tells nothing.
        wrapping_key_file: Key that wraps the day keys of bodies; refused inside the log directory.
        head_ms: Age of the oldest unsigned commit at which a head is signed without a frame.
    """

    segment_bytes: int = 64 * MIB
    reserve_bytes: int = 1_000_000_000
    low_days: int = 30
    wrapping_key_file: str = "keys/wrapping.key"
    head_ms: int = 1000

    def __post_init__(self) -> None:
        if self.segment_bytes < MIB:
            raise SettingsError("log.segment_bytes must be at least 1 MiB")
        if self.reserve_bytes < 0 or self.low_days < 0 or not 1 <= self.head_ms <= 1000:
            raise SettingsError("log: reserve_bytes >= 0, low_days >= 0 and 1 <= head_ms <= 1000 must hold")


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How old the global configuration may be (DESIGN section 6). Seconds.

    Attributes:
        fresh_s: Up to this age the configuration is fresh.
        expires_s: From this age on every exchange is refused; between the two it is stale and counted down.
        refresh_s: How often it is fetched although ``Watch`` is silent.
    """

    fresh_s: int = 600
    expires_s: int = 72 * 3600
    refresh_s: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.refresh_s <= self.fresh_s <= self.expires_s <= 72 * 3600:
            raise SettingsError("configuration: 0 < refresh_s <= fresh_s <= expires_s <= 72 h does not hold")

    @property
    def expires(self) -> timedelta:
        """Age at which the configuration no longer lets anything through."""
        return timedelta(seconds=self.expires_s)


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """One ``gateway.toml``.

    Attributes:
        gateway: This gateway, ``BJ/GOV/ANIP/gw1``.
        member_key: Thumbprint of its own member's key, read out of band; trust starts here (PROTOCOL M8).
        workers: Number of worker processes; each has a road address and a log of its own.
        lang: Language of status messages and pages.
        hosts: Names and addresses under which peers and programs reach this gateway; they stand in its
            certificates, and the first stands in its registration.
        allowed_networks: Networks that peers and adapters may be dialled in although they are loopback,
            link-local or metadata addresses. Empty in production; the demo sets ``127.0.0.0/8``.
        registry: Where the global configuration comes from.
        listen: What this gateway listens on.
        adapter: Subsystems of this member that provide services.
        routes: Further ports for programs, each filling in metadata.
        limits: Bounds of the data plane.
        log: The log and the bodies.
        configuration: Ages of the global configuration.
        admin: Bounds of the admin API.
    """

    gateway: str
    member_key: str
    registry: Registry
    workers: int = 1
    lang: Literal["fr", "en"] = "fr"
    hosts: tuple[str, ...] = ("127.0.0.1",)
    allowed_networks: tuple[str, ...] = ()
    listen: Listen = Listen()
    adapter: tuple[Adapter, ...] = ()
    routes: tuple[Route, ...] = ()
    limits: Limits = Limits()
    log: LogSettings = LogSettings()
    configuration: Configuration = Configuration()
    admin: AdminLimits = AdminLimits()

    def __post_init__(self) -> None:
        GatewayId.parse(self.gateway)
        if not _THUMBPRINT.fullmatch(self.member_key):
            raise SettingsError("member_key is a thumbprint of 43 base64url characters")
        if not 1 <= self.workers <= 64:
            raise SettingsError(f"workers must be 1 to 64, not {self.workers}")
        if len(self.listen.road) != self.workers:
            raise SettingsError(
                f"listen.road has {len(self.listen.road)} addresses for {self.workers} workers"
            )
        if not self.hosts:
            raise SettingsError("hosts must name at least one host")
        for text in self.allowed_networks:
            _parse_network(text)
        subsystems = [adapter.subsystem_id for adapter in self.adapter]
        for subsystem in subsystems:
            if subsystem.member != self.member:
                raise SettingsError(f"adapter {subsystem} does not belong to {self.member}")
        if len(set(subsystems)) != len(subsystems):
            raise SettingsError("adapter: a subsystem is named twice")
        self._require_routes()

    def _require_routes(self) -> None:
        if len(self.routes) > MAX_ROUTES:
            raise SettingsError(f"there are at most {MAX_ROUTES} routes, not {len(self.routes)}")
        if len({route.name for route in self.routes}) != len(self.routes):
            raise SettingsError("routes: a name is given twice")
        ports = [HostPort.parse(address).port for address in self.listen.addresses]
        for route in self.routes:
            port = HostPort.parse(route.listen).port
            if port and port in ports:
                raise SettingsError(
                    f"route {route.name}: port {port} is taken by another address of this gateway"
                )
            ports.append(port)
            if route.client is not None and SubsystemId.parse(route.client).member != self.member:
                raise SettingsError(
                    f"route {route.name}: client {route.client} does not belong to {self.member}"
                )

    @property
    def gateway_id(self) -> GatewayId:
        """``gateway``, parsed."""
        return GatewayId.parse(self.gateway)

    @property
    def member(self) -> MemberId:
        """The member this gateway works for, ``BJ/GOV/ANIP``."""
        return self.gateway_id.member

    @cached_property
    def networks(self) -> tuple[IPNetwork, ...]:
        """``allowed_networks``, parsed."""
        return tuple(_parse_network(text) for text in self.allowed_networks)

    def is_dialable(self, address: IPAddress) -> bool:
        """Tell whether peers and adapters may be reached at this resolved address."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self.networks):
            return True
        return not any(address in network for network in _FORBIDDEN_NETWORKS)
