"""``kill -9`` of a process that writes a log: every acknowledged commit is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from core.clock import SystemClock
from core.leaves import Genesis, genesis_leaf
from core.merkle import inclusion_proof, leaf_hash, root_of, verify_inclusion
from ledger.log import Log, create_log
from ledger.reader import LogReader
from ledger.vault import BodyVault

KILLS = 5


def _write_until_killed(directory: Path, seconds: float) -> list[tuple[int, bytes]]:
    """Sizes and roots that the writer said were durable before it was killed."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.ledger.writer", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(seconds)
    writer.kill()
    lines = [first, *writer.stdout.read().splitlines(keepends=True)]
    writer.wait()
    writer.stdout.close()
    # The last line may have been torn by the kill: then nobody read it.
    said = [line.split() for line in lines if line.endswith("\n")]
    return [(int(size), bytes.fromhex(root)) for size, root in said]


def test_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    create_log(
        tmp_path / "log", genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_790_000_000_000, "0" * 32, None))
    )
    chance = random.Random(20261123)
    acknowledged: list[tuple[int, bytes]] = []

    for _ in range(KILLS):
        acknowledged += _write_until_killed(tmp_path, chance.uniform(0, 0.4))
        log = Log.open(tmp_path / "log")

        assert log.size >= acknowledged[-1][0]
        assert all(log.root(size) == root for size, root in acknowledged)
        log.close()

    reader = LogReader(tmp_path / "log")
    reader.read_all()
    vault = BodyVault(tmp_path / "bodies", reader.log_id, b"k" * 32, SystemClock())
    root = root_of(reader.node, reader.size)
    slots = set()
    for stored in reader:
        if stored.index:
            assert stored.body is not None
            assert vault.open(stored.body).startswith(b"body")
            slots.add(stored.body[9:13])
    assert len(slots) == reader.size - 1
    for index in range(0, reader.size, 1 + reader.size // 20):
        path = inclusion_proof(reader.node, index, reader.size)
        verify_inclusion(
            leaf_hash(reader.at(index).leaf), index=index, size=reader.size, path=path, root=root
        )
