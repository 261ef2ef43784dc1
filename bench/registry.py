"""What a question to the register of persons costs: ANIP's adapter beside a bare grpcio server that answers at once.

``make bench ARGS=--registry``, or ``python -m bench.registry --persons 1000000``. Both are processes of their own over
mutual TLS, asked in turn by one client with the entries that a gateway writes; CPU is read from outside. Aims: less than
1 ms of CPU for a record, 99 of 100 searches in less than 20 ms, a million persons seeded in less than two minutes. On a
shared machine only the ratios are firm.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Final

import grpc
from rich.console import Console
from rich.table import Table

from adapters.kit.founding import seed_register
from adapters.world.people import People
from adapters.world.sizes import Sizes
from adapters.world.world import DEFAULT_SEED
from bench.processes import cpu_ns, free_port, wait_for_port
from bj.identity.v1 import identity_pb2, identity_pb2_grpc
from core.reasons import ExchangeError
from pki.keys import certificate_pem
from tests.support.adapter_country import AdapterCountry, metadata

CPU_AIM_MS: Final = 1.0
P99_AIM_MS: Final = 20.0
SEED_AIM_S: Final = 120.0
_GET, _SEARCH, _NEAR, _MOTHER = "GetPerson", "SearchPerson", "… ± 2 years", "… by mother"
_METHOD: Final = "bj.identity.v1.IdentityService"
# A record of the usual size: what a bare server gives back costs as much to write and to read.
_RECORD: Final = identity_pb2.GetPersonResponse(
    npi="0000000001", last_name="ADJOVI", first_names="KOFFI JEAN", birth_date="1987-04-12", birth_place="COTONOU",
    residence=identity_pb2.Residence(
        country="BEN", department="LITTORAL", town="COTONOU", district="4EME ARRONDISSEMENT", village="GARE",
        address="C/1204 M/ADJOVI",
    ),
    phone_cc="+229", phone="0100000001", nationality="BEN",
)  # fmt: skip


Request = identity_pb2.GetPersonRequest | identity_pb2.SearchPersonRequest


@dataclass(frozen=True)
class Seeding:
    """What it took to seed the register."""

    wall_s: float
    cpu_s: float


@dataclass
class Cost:
    """CPU and times of one kind of call at one server, in milliseconds."""

    cpu_ms: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def cpu_per_call_ms(self) -> float:
        """CPU of the server's process for one call."""
        return self.cpu_ms / len(self.times_ms)

    @property
    def p99_ms(self) -> float:
        """99 of 100 calls take less."""
        return quantiles(self.times_ms, n=100)[98]


class Questions:
    """People to ask for, as the register holds them."""

    def __init__(self, persons: int) -> None:
        self._people = People(DEFAULT_SEED, persons - 19)
        self._random = random.Random(1)

    def records(self, count: int) -> list[Request]:
        """So many people's records."""
        return [identity_pb2.GetPersonRequest(npi=self._people.npi(self._somebody())) for _ in range(count)]

    def searches(self, count: int, kind: str = _SEARCH) -> list[Request]:
        """So many searches."""
        return [self._search(kind) for _ in range(count)]

    def _search(self, kind: str) -> identity_pb2.SearchPersonRequest:
        """Somebody by all of his names and his date of birth, as they stand in the register, or his mother."""
        record = self._people.citizen(self._somebody()).record
        return identity_pb2.SearchPersonRequest(
            last_name=record.last_name,
            first_names=record.first_names,
            birth_date="" if kind == _MOTHER else record.birth_date,
            birth_years_around=2 if kind == _NEAR else 0,
            mother_last_name=(record.mother_last_name or "DOSSOU") if kind == _MOTHER else "",
        )

    def _somebody(self) -> int:
        return self._random.randrange(self._people.size)


def ask(
    stub: identity_pb2_grpc.IdentityServiceStub,
    requests: Sequence[Request],
    pid: int,
    cost: Cost,
) -> None:
    """One call after the other."""
    before = cpu_ns(pid)
    for request in requests:
        begun = time.perf_counter()
        try:
            if isinstance(request, identity_pb2.GetPersonRequest):
                stub.GetPerson(request, metadata=metadata(), timeout=30)
            else:
                stub.SearchPerson(request, metadata=metadata(), timeout=30)
        except grpc.RpcError:
            cost.refused += 1  # who died, is locked, or has a name of many: an answer as others
        cost.times_ms.append((time.perf_counter() - begun) * 1_000)
    cost.cpu_ms += (cpu_ns(pid) - before) / 1e6


def measure(persons: int, calls: int, rounds: int, directory: Path) -> tuple[Seeding, dict[str, Cost]]:
    """Seed, start both servers, ask them in turn."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    country = AdapterCountry(directory)
    port = free_port()
    config = directory / "adapter.toml"
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    (directory / "roots.pem").write_bytes(
        certificate_pem(country.root.certificate) + certificate_pem(country.auth.certificate)
    )
    begun = time.perf_counter(), time.process_time()
    seed_register(config, persons, DEFAULT_SEED)
    seeding = Seeding(time.perf_counter() - begun[0], time.process_time() - begun[1])
    bare_port = free_port()
    adapter = [sys.executable, "-m", "cli.main", "adapter", "serve", "--config", str(config)]
    bare = [sys.executable, "-m", "bench.registry", "--bare", str(bare_port), "--directory", str(directory)]
    costs = {name: Cost() for name in ("bare", _GET, _SEARCH, _NEAR, _MOTHER)}
    questions, client = Questions(persons), country.identity()
    with (
        _running(adapter, port) as asked,
        _running(bare, bare_port) as answering,
        country.channel(port, client) as channel,
        country.channel(bare_port, client) as bare_channel,
    ):
        ours, theirs = (identity_pb2_grpc.IdentityServiceStub(one) for one in (channel, bare_channel))
        turns: list[Callable[[dict[str, Cost]], None]] = [
            lambda costs: ask(theirs, questions.records(calls), answering, costs["bare"]),
            lambda costs: ask(ours, questions.records(calls), asked, costs[_GET]),
            *(
                functools.partial(_search_turn, ours, questions, kind, calls, asked)
                for kind in (_SEARCH, _NEAR, _MOTHER)
            ),
        ]
        unseen = {name: Cost() for name in costs}
        for turn in turns:  # connections, caches of the database, lazy imports
            turn(unseen)
        for number in range(rounds):
            random.Random(number).shuffle(turns)
            for turn in turns:
                turn(costs)
    return seeding, costs


def _search_turn(
    stub: identity_pb2_grpc.IdentityServiceStub,
    questions: Questions,
    kind: str,
    calls: int,
    pid: int,
    costs: dict[str, Cost],
) -> None:
    ask(stub, questions.searches(calls, kind), pid, costs[kind])


@contextlib.contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command)
    try:
        wait_for_port(port, 60)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def serve_bare(port: int, directory: Path) -> None:
    """A grpcio server that answers every GetPerson with one record."""
    pair = ((directory / "identity.key").read_bytes(), (directory / "identity.crt").read_bytes())
    roots = (directory / "roots.pem").read_bytes()
    handler = grpc.unary_unary_rpc_method_handler(
        lambda request, context: _RECORD,
        identity_pb2.GetPersonRequest.FromString,
        identity_pb2.GetPersonResponse.SerializeToString,
    )
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_METHOD, {"GetPerson": handler}),))
    server.add_secure_port(
        f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair], roots, require_client_auth=True)
    )
    server.start()
    server.wait_for_termination()


def show(seeding: Seeding, costs: dict[str, Cost], persons: int, console: Console) -> None:
    """A table of costs and ratios, and whether the aims are reached."""
    table = Table(title=f"RNPP, {persons:,} persons", title_justify="left")
    for column in ("call", "calls", "refused", "CPU ms/call", "× bare", "p99 ms", "× bare"):
        table.add_column(column, justify="left" if column == "call" else "right")
    bare = costs["bare"]
    for name, cost in costs.items():
        table.add_row(
            name,
            str(len(cost.times_ms)),
            str(cost.refused),
            f"{cost.cpu_per_call_ms:.3f}",
            f"{cost.cpu_per_call_ms / bare.cpu_per_call_ms:.2f}",
            f"{cost.p99_ms:.2f}",
            f"{cost.p99_ms / bare.p99_ms:.2f}",
        )
    console.print(table)
    console.print(f"seeded in {seeding.wall_s:.0f} s ({seeding.cpu_s:.0f} s of CPU)")
    for aim, held in (
        (f"GetPerson < {CPU_AIM_MS} ms CPU", costs[_GET].cpu_per_call_ms < CPU_AIM_MS),
        (f"SearchPerson p99 < {P99_AIM_MS} ms", costs[_SEARCH].p99_ms < P99_AIM_MS),
        (f"seeded in < {SEED_AIM_S:.0f} s", seeding.wall_s < SEED_AIM_S),
    ):
        console.print(f"{'reached' if held else 'MISSED '}  {aim}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.registry", description=__doc__)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=500, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path("var/bench-registry"), help="emptied first")
    parser.add_argument("--bare", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.bare is not None:
        serve_bare(options.bare, options.directory)
        return 0
    console = Console()
    console.print(f"{Sizes.of(options.persons).persons:,} persons are seeded…")
    try:
        show(
            *measure(options.persons, options.calls, options.rounds, options.directory),
            options.persons,
            console,
        )
    except ExchangeError as error:
        console.print(f"{error.reason}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
