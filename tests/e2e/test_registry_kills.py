"""``kill -9`` of the registry at random moments: what was answered is kept, logged, and never published twice."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp

from core.clock import SystemClock
from core.leaves import parse_leaf, parse_registry_change
from ledger.reader import LogReader
from pki.profiles import Profile
from registry.client import RegistryClient
from rpc.remote import RemoteError
from tests.support.ports import held_port
from tests.support.registry_country import (
    ANIP,
    REGISTRY,
    RegistryCountry,
    found_registry_country,
    open_registry_country,
)

KILLS = 6


@pytest.fixture
def country(tmp_path: Path) -> RegistryCountry:
    """A founded registry with one member; closed, so that a process can open it."""
    found_registry_country(tmp_path, SystemClock())
    made = open_registry_country(tmp_path, SystemClock(), {})
    made.add_member(ANIP)
    made.registry.close()
    return made


def start(root: Path, port: int) -> subprocess.Popen[bytes]:
    """The registry as a process of its own."""
    config = root / "registry" / "registry.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{port}"), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "registry", "serve", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=(root / "registry.log").open("ab"),
    )


class Operator(threading.Thread):
    """Adds subsystems without end and writes down what was answered."""

    def __init__(self, client: RegistryClient, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.answered: dict[str, int] = {}
        self._client = client
        self._ending = stop

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            # Letters without look-alikes, so that no code is taken for another.
            name = f"{ANIP}/S" + "".join("ACDEFGHJKM"[int(digit)] for digit in f"{number:05d}")
            try:
                self.answered[name] = self._client.add_subsystem(name)
            except RemoteError:
                time.sleep(0.05)


def published(root: Path) -> tuple[int, int]:
    """Versions of targets and timestamp that the files on disk lead to."""
    metadata = root / "registry" / "published" / "metadata"
    timestamp = Metadata[Timestamp].from_bytes((metadata / "timestamp.json").read_bytes()).signed
    snapshot_file = metadata / f"{timestamp.snapshot_meta.version}.snapshot.json"
    snapshot = Metadata[Snapshot].from_bytes(snapshot_file.read_bytes()).signed
    version = snapshot.meta["targets.json"].version
    targets = Metadata[Targets].from_bytes((metadata / f"{version}.targets.json").read_bytes()).signed
    assert targets.version == version
    return version, timestamp.version


@pytest.fixture
def port() -> Iterator[int]:
    """The registry's, also while it is dead."""
    with held_port() as port:
        yield port


def test_killed_at_any_moment_the_registry_forgets_nothing(country: RegistryCountry, port: int) -> None:
    """Each answered change is in the database, is one leaf of the log, and versions only rise."""
    stop, rng = threading.Event(), random.Random(20261123)
    identity = country.identity("operator", "BJ/GOV/ASIN/operateur-1", Profile.OPERATOR)
    client = RegistryClient(f"127.0.0.1:{port}", identity, str(REGISTRY))
    operator = Operator(client, stop)
    process = start(country.root, port)
    operator.start()
    seen = [published(country.root)]
    for _ in range(KILLS):
        before = len(operator.answered)
        deadline = time.monotonic() + 30
        while len(operator.answered) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.1)
        process.kill()
        process.wait()
        seen.append(published(country.root))
        process = start(country.root, port)
    stop.set()
    operator.join(30)
    process.terminate()
    process.wait(30)
    client.close()

    recovered = open_registry_country(country.root, SystemClock(), country.keys)
    with recovered.office.sessions() as session:
        document = recovered.office.documents(session)[f"members/{ANIP.replace('/', '.')}.json"]
    recovered.require_documents_as_from_scratch()
    recovered.registry.close()

    reader = LogReader(country.root / "registry" / "log" / "0")
    leaves = [parse_leaf(stored.leaf) for stored in reader.follow()][1:]
    logged = [parse_registry_change(leaf.body).object for leaf in leaves]
    assert len(operator.answered) >= 3 * KILLS
    for name in operator.answered:
        assert logged.count(name) == 1
        assert f'"{name.rpartition("/")[2]}"'.encode() in document
    versions = list(operator.answered.values())
    assert versions == sorted(versions)
    assert seen == sorted(seen)
