"""Two real gateways between clients and servers that we did not write (issue "the gateways become invisible").

``InteropCountry`` founds a country, publishes the services of gRPC's official test server and of a stock server with
health and reflection, concludes agreements over them, opens fixed routes, and runs everything as processes. What it
needs lies in ``var/interop``, put there by ``make setup-interop``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from adapters.descriptors import STANDARD_SERVICES, standard_set
from cli.commands import found_country
from cli.plan import MemberPlan
from cli.processes import Country, free_base, hold_port, listens
from core.agreements import Agreement, Bilingual, Party
from core.clock import SystemClock
from core.documents import encode
from core.identifiers import SubsystemId
from core.jws import DocumentKind
from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.merkle import leaf_hash
from core.reasons import Code
from core.statements import Statement, parse_statement
from gateway.founding import add_adapter
from gateway.layout import GatewayDirectory
from ledger.reader import LogReader
from ledger.records import AttachmentKind
from pki.documents import sign_document
from pki.keys import key_thumbprint, read_key
from registry.client import RegistryClient
from rpc.identity import Identity
from tests.support.programs import end_without
from tests.support.waiting import until

ROOT: Final = Path(__file__).parents[2]
OFFICIAL: Final = ROOT / "var" / "interop" / "python"
NODE_MODULES: Final = ROOT / "var" / "interop" / "node" / "node_modules"
SERVER: Final = ROOT / "tests" / "support" / "official_server.py"
SMOKE: Final = ROOT / "tests" / "support" / "node" / "smoke.js"

# ``python -m tests.interop.client``, which leaves as soon as it is done: with nothing between it and their server, too,
# 1 of 400 hangs while its interpreter is taken down, in a finaliser of grpcio that waits for a thread which is gone.
RUN_CLIENT: Final = """
import os, runpy, sys
runpy.run_module("tests.interop.client", run_name="__main__", alter_sys=True)
sys.stdout.flush()
os._exit(0)
"""

CLIENT: Final = "BJ/GOV/PNS/PORTAIL"
OFFICIAL_SERVER: Final = "BJ/GOV/ANIP/INTEROP"
STOCK_SERVER: Final = "BJ/GOV/ANIP/DIVERS"
TESTING: Final = "grpc.testing.TestService"
UNIMPLEMENTED: Final = "grpc.testing.UnimplementedService"
HEALTH: Final = STANDARD_SERVICES["health"]
REFLECTION: Final = STANDARD_SERVICES["reflection"]

# The official cases that must pass, and how the calls of each may end in the logs: by the provider's status, or given up
# by the client. One that is given up before it was committed leaves no leaf; ``ping_pong`` may go before its status.
CASES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "empty_unary": (("0",),),
    "large_unary": (("0",),),
    "client_streaming": (("0",),),
    "server_streaming": (("0",),),
    "ping_pong": (("0",), ("cancel",)),
    "empty_stream": (("0",),),
    "cancel_after_begin": ((), ("cancel",)),
    "cancel_after_first_response": (("cancel",),),
    "timeout_on_sleeping_server": ((), ("deadline",), ("cancel",)),
    "status_code_and_message": (("2", "2"),),
    "special_status_message": (("2",),),
    "unimplemented_method": (("12",),),
    "unimplemented_service": (("12",),),
    "custom_metadata": (("0", "0"),),
}

PLAN: Final = """\
instance = "BJ"
registry = "BJ/GOV/ASIN/registre"
lang = "en"
operators = ["operateur-1", "operateur-2"]
[[purpose]]
code = "P01"
fr = "essai"
en = "test"
[[purpose]]
code = "P02"
fr = "autre essai"
en = "another test"
[[member]]
id = "BJ/GOV/PNS"
fr = "Portail"
en = "Portal"
subsystems = ["BJ/GOV/PNS/PORTAIL"]
programs = ["BJ/GOV/PNS/PORTAIL/portail"]
[[member]]
id = "BJ/GOV/ANIP"
fr = "Fournisseur"
en = "Provider"
subsystems = ["BJ/GOV/ANIP/INTEROP", "BJ/GOV/ANIP/DIVERS"]
"""


def require_official_cases() -> None:
    """End the test where the official cases could not be had."""
    if not OFFICIAL.is_dir():
        end_without("interop", "the official cases of gRPC are not there (make setup-interop)")


def require_grpc_js() -> None:
    """End the test where the client in JavaScript could not be had."""
    if not (NODE_MODULES / "@grpc" / "grpc-js").is_dir():
        end_without("grpc-js", "@grpc/grpc-js is not there (make setup-interop)")


# --- what each gateway recorded ---


@dataclass(slots=True)
class Trail:
    """What both logs hold of one call, by the leaf hash of its first statement.

    Attributes:
        request: The request statement, as the consumer said it.
        consumer_end: How it ended there: the last response or refusal that was heard, or the ending that was said.
        provider_end: How it ended there: the last response, or the refusal, that was said; ``None`` if it was not told.
    """

    request: Statement
    consumer_end: Statement | None = None
    provider_end: Statement | None = None

    @property
    def is_whole(self) -> bool:
        """Whether both gateways are done with it: each has recorded an end, or the call never left the first."""
        if self.consumer_end is None:
            return False
        never_left = (
            self.consumer_end.delivery == "not_sent" and self.consumer_end.from_ == self.request.from_
        )
        return self.provider_end is not None or never_left


def read_trails(consumer: Path, provider: Path) -> dict[str, Trail]:
    """Both logs, joined call by call."""
    trails: dict[str, Trail] = {}
    for hashed, statement, is_said in _statements(consumer):
        if is_said and statement.kind == "request" and statement.request is None:
            trails[hashed] = Trail(statement)
            continue
        trail = trails.get(statement.request or "")
        if trail is not None and _is_end(statement) and trail.consumer_end is None:
            trail.consumer_end = statement
    for _, statement, is_said in _statements(provider):
        trail = trails.get(statement.request or "")
        if trail is not None and is_said and _is_end(statement):
            trail.provider_end = statement
    return trails


def _is_end(statement: Statement) -> bool:
    return statement.kind not in ("request", "response") or (statement.kind == "response" and statement.final)


def _statements(log: Path) -> Iterable[tuple[str, Statement, bool]]:
    """Leaf hash at its author, statement, and whether this log said it; what was refused is left out."""
    reader = LogReader(log)
    for stored in reader.follow():
        leaf = parse_leaf(stored.leaf)
        if leaf.label == SAID:
            yield leaf_hash(stored.leaf).hex(), parse_statement(leaf.body), True
        elif leaf.label == HEARD:
            heard = parse_heard(leaf.body)
            if heard.verdict.startswith("refused"):
                continue
            for kind, data in stored.attachments:
                if kind is AttachmentKind.STATEMENT:
                    yield heard.leaf, parse_statement(data), False


# --- servers behind the provider's gateway ---


def adapter_credentials(directory: Path) -> grpc.ServerCredentials:
    """Mutual TLS of a server behind a gateway, from what ``gateway adapter`` wrote."""
    key, certificate, root = (
        (directory / name).read_bytes() for name in ("adapter.key", "adapter.crt", "root.crt")
    )
    return grpc.ssl_server_credentials([(key, certificate)], root, require_client_auth=True)


class StockServer:
    """A stock grpcio server of a ministry with ``grpc.health.v1`` and reflection, and nothing of ours.

    grpcio's reflection speaks ``v1alpha``; ``v1`` has the same bytes under another name.
    """

    def __init__(self, address: str, credentials: grpc.ServerCredentials) -> None:
        self.health = health.HealthServicer()
        options = [("grpc.so_reuseport", 0)]
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=options)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        names = (HEALTH, REFLECTION)
        serve = grpc.stream_stream_rpc_method_handler(
            reflection.ReflectionServicer(names).ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler(REFLECTION, {"ServerReflectionInfo": serve})
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_secure_port(address, credentials)
        self._server.start()

    def stop(self) -> None:
        """Stop at once."""
        self._server.stop(None).wait()


# --- the country ---


class InteropCountry:
    """The country, its processes and its fixed routes; ``with`` starts and stops it."""

    def __init__(self, root: Path) -> None:
        require_official_cases()
        plan_file = root / "plan.toml"
        plan_file.write_text(PLAN, encoding="utf-8")
        self.plan, self.layout, self.ports = found_country(plan_file, root / "bj", free_base())
        self.consumer, self.provider = self.plan.member
        self._country = Country(self.plan, self.layout, self.ports)
        self._official: subprocess.Popen[bytes] | None = None
        self.stock: StockServer | None = None
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        try:
            with self._country.hold_ports(), contextlib.ExitStack() as held:
                for address in (self.open_route, self._adapter(0), self._adapter(1)):
                    held.enter_context(hold_port(address))
                self._configure()
                self._country.start_registry()
                self._publish()
                self._start_servers()
                self._country.start_members()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._country.stop()
        if self.stock is not None:
            self.stock.stop()
        if self._official is not None:
            self._official.kill()
            self._official.wait()

    def gateway(self, member: MemberPlan) -> GatewayDirectory:
        """A member's gateway."""
        return GatewayDirectory(self.layout.gateway(member))

    @property
    def open_route(self) -> str:
        """The route that asks nobody who calls, for clients that can add no metadata."""
        return self.ports.gateway(1, 5)

    @property
    def programs(self) -> str:
        """The programs' port of the consumer's gateway."""
        return self.ports.gateway(1, 1)

    @property
    def identity(self) -> Path:
        """What ``program add`` wrote for the portal."""
        return self.layout.program(f"{CLIENT}/portail")

    # --- founding ---

    def _configure(self) -> None:
        registry = self.layout.registry / "registry.toml"
        text = registry.read_text(encoding="utf-8")
        registry.write_text(f'allowed_packages = ["grpc.testing"]\n{text}', encoding="utf-8")
        with self.gateway(self.provider).settings.open("a", encoding="utf-8") as settings:
            for number, subsystem in enumerate((OFFICIAL_SERVER, STOCK_SERVER)):
                settings.write(
                    f'\n[[adapter]]\nsubsystem = "{subsystem}"\naddress = "{self._adapter(number)}"\n'
                )
        with self.gateway(self.consumer).settings.open("a", encoding="utf-8") as settings:
            settings.write(
                f'\n[[routes]]\nname = "interop"\nlisten = "{self.open_route}"\n'
                f'allow_unauthenticated_loopback = true\nclient = "{CLIENT}"\nservice = "{OFFICIAL_SERVER}"\n'
                'methods = ["grpc.testing."]\npurpose = "P01"\n'
            )

    def _adapter(self, number: int) -> str:
        return self.ports.gateway(2, 5 + number)

    def _publish(self) -> None:
        directory = self.gateway(self.provider)
        roots = self.layout.ca / "root.crt"
        gateway = Identity.from_files(directory.auth.key, directory.auth.certificate, roots)
        testing = (OFFICIAL / "testing.binpb").read_bytes()
        with RegistryClient(self.ports.registry, gateway, self.plan.registry) as client:
            client.publish_services(OFFICIAL_SERVER, testing, (TESTING, UNIMPLEMENTED))
            client.publish_services(STOCK_SERVER, standard_set("health"), (HEALTH,))
            client.publish_services(STOCK_SERVER, standard_set("reflection"), (REFLECTION,))
        methods = {
            TESTING: (
                *(
                    "EmptyCall",
                    "UnaryCall",
                    "CacheableUnaryCall",
                    "StreamingOutputCall",
                    "StreamingInputCall",
                ),
                *("FullDuplexCall", "HalfDuplexCall", "UnimplementedCall"),
            ),
            UNIMPLEMENTED: ("UnimplementedCall",),
            HEALTH: ("Check", "Watch"),
            REFLECTION: ("ServerReflectionInfo",),
        }
        operators = [Identity.read(self.layout.person("operator", name)) for name in self.plan.operators]
        with (
            RegistryClient(self.ports.registry, operators[0], self.plan.registry) as first,
            RegistryClient(self.ports.registry, operators[1], self.plan.registry) as second,
        ):
            for number, (service, names) in enumerate(methods.items()):
                request = first.conclude_agreement(*self._agreement(f"CV-010{number}", service, names))
                first.approve(request)
                second.approve(request)

    def _agreement(self, name: str, service: str, methods: Sequence[str]) -> tuple[str, str]:
        """Signed by both members. Loopback is allowed for the test services only."""
        keys = [read_key(self.layout.member_key(member)) for member in (self.consumer, self.provider)]
        is_test = service.startswith("grpc.testing.")
        provider = OFFICIAL_SERVER if is_test else STOCK_SERVER
        terms = Agreement(
            v=1,
            id=name,
            version=1,
            supersedes=None,
            consumer=Party(CLIENT, key_thumbprint(keys[0].public_key())),
            provider=Party(provider, key_thumbprint(keys[1].public_key())),
            service=service,
            methods=list(methods),
            purposes=["P01"],
            issue_required=False,
            field_mask=None,
            quota=None,
            represented_parties=None,
            allow_loopback=is_test,
            max_configuration_age_s=None,
            not_before="2026-01-01T00:00:00Z",
            not_after="2036-01-01T00:00:00Z",
            legal_basis=Bilingual("essai", "test"),
            apdp_decision=None,
        )
        payload = encode(terms)
        first, second = (sign_document(DocumentKind.AGREEMENT, payload, key) for key in keys)
        return first, second

    def _start_servers(self) -> None:
        directories = [self._admit(number, one) for number, one in enumerate((OFFICIAL_SERVER, STOCK_SERVER))]
        with (self.layout.log / "official-server.log").open("ab") as log:
            self._official = subprocess.Popen(
                [sys.executable, "-P", str(SERVER), self._adapter(0), str(directories[0])],
                cwd=OFFICIAL,
                env=official_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.stock = StockServer(self._adapter(1), adapter_credentials(directories[1]))
        until(lambda: listens(self._adapter(0)))

    def _admit(self, number: int, subsystem: str) -> Path:
        """``gateway adapter``: what a server behind the provider's gateway shows; and the root that it demands."""
        out = self.layout.member(self.provider) / f"adapter-{number}"
        gateway = self.gateway(self.provider)
        add_adapter(gateway, SubsystemId.parse(subsystem), ("127.0.0.1", "localhost"), out, SystemClock())
        shutil.copy(self.layout.ca / "root.crt", out)
        return out

    # --- calling ---

    def run_case(self, name: str) -> subprocess.CompletedProcess[str]:
        """One official case by the official client, as its page has it."""
        host, _, port = self.open_route.rpartition(":")
        arguments = (f"--server_host={host}", f"--server_port={port}", f"--test_case={name}")
        return subprocess.run(
            [sys.executable, "-c", RUN_CLIENT, *arguments],
            cwd=OFFICIAL,
            env=official_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def by_hand(self, case: str) -> tuple[str, str, str]:
        """What a person types in the repository for the same: the client, the auditor's list, the whole log."""
        host, _, port = self.open_route.rpartition(":")
        path = official_environment().get("PYTHONPATH", "")
        python, log = shlex.quote(sys.executable), shlex.quote(str(self.gateway(self.consumer).root))
        return (
            f"(cd {shlex.quote(str(OFFICIAL))} && PYTHONPATH={shlex.quote(path)} {python} -m tests.interop.client "
            f"--server_host={host} --server_port={port} --test_case={case})",
            f"{python} -m cli audit list --log {log}",
            f"{python} -m cli audit verify-log {log} --anchor {shlex.quote(str(self.layout.anchor))}",
        )

    def run_grpc_js(self, case: str, message: str = "") -> dict[str, Any]:
        """One call by ``@grpc/grpc-js`` at the programs' port, with the portal's certificate; what the program saw."""
        config = self.layout.root / "smoke.json"
        values = {
            "address": self.programs.replace("127.0.0.1", "localhost"),
            "identity": str(self.identity),
            "protos": str(OFFICIAL / "protos"),
            "metadata": {"x-road-client": CLIENT, "x-road-service": OFFICIAL_SERVER, "x-road-purpose": "P01"},
            "message": message,
        }
        config.write_text(json.dumps(values), encoding="utf-8")
        done = subprocess.run(
            ["node", str(SMOKE), case, str(config)],
            env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def run_buf(
        self, *arguments: str, provider: str = OFFICIAL_SERVER, method: str = "", data: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """``buf curl`` at the programs' port, with the portal's certificate."""
        told = {"x-road-client": CLIENT, "x-road-service": provider, "x-road-purpose": "P01"}
        return subprocess.run(
            [
                str(Path(sys.executable).with_name("buf")),
                "curl",
                *("--protocol", "grpc", "--http2-prior-knowledge", "--cacert", str(self.identity / "ca.pem")),
                *(
                    "--cert",
                    str(self.identity / "identity.crt"),
                    "--key",
                    str(self.identity / "identity.key"),
                ),
                *(part for name, value in told.items() for part in ("--header", f"{name}: {value}")),
                *(("--data", "@-") if data else ()),
                *arguments,
                f"https://{self.programs}/{method}",
            ],
            input=data,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    # --- evidence ---

    def new_trails(self) -> list[Trail]:
        """What both gateways recorded since the last time it was asked; waits until both are done with all of it.

        A call of our own comes behind all that came before: what its gateway stated of them stands in front of it.
        """
        last = f"last-{len(self._seen)}"
        with grpc.insecure_channel(self.open_route) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                f"/{TESTING}/EmptyCall", None, None
            )
            call(b"", metadata=(("x-road-id", last),), timeout=30, wait_for_ready=True)
        logs = [self.gateway(member).log(0) for member in (self.consumer, self.provider)]
        found: list[Trail] = []

        def are_whole() -> bool:
            trails = {name: one for name, one in read_trails(*logs).items() if name not in self._seen}
            found[:] = trails.values()
            if not (found and all(one.is_whole for one in found)):
                return False
            self._seen |= set(trails)
            return True

        until(are_whole)
        return [one for one in found if one.request.reference != last]

    def audit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``passerelle audit``, with the country's anchor."""
        return subprocess.run(
            [sys.executable, "-m", "cli", "audit", *arguments, "--lang", "en"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def verify_logs(self) -> list[str]:
        """What an auditor finds wrong with either log, told leaf by leaf from the files alone."""
        faults = []
        for member in (self.consumer, self.provider):
            directory = str(self.gateway(member).root)
            done = self.audit("verify-log", directory, "--anchor", str(self.layout.anchor))
            if done.returncode:
                faults.append(f"{member.id}: {done.stdout}{done.stderr}")
        return faults


def ends(trails: Iterable[Trail]) -> tuple[str, ...]:
    """How calls ended, by the consumer's log: the status that the provider answered with, or what the consumer said.

    A deadline runs out at both gateways and at the server: whoever's word comes first, it is ``deadline``.
    """
    return tuple(sorted(_end(one.consumer_end) for one in trails if one.consumer_end is not None))


def _end(last: Statement) -> str:
    if last.status == Code.DEADLINE_EXCEEDED:
        return "deadline"
    return str(last.status) if last.kind == "response" else last.kind


def official_environment() -> dict[str, str]:
    """An environment in which ``tests`` is theirs, not ours."""
    return {**os.environ, "PYTHONPATH": str(OFFICIAL), "PYTHONDONTWRITEBYTECODE": "1"}
