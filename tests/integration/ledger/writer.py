"""A process that commits without end and says what was acknowledged, until it is killed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from core.clock import SystemClock
from core.leaves import said_leaf
from core.merkle import leaf_hash
from ledger.commit import Committed, Entry, GroupCommit
from ledger.log import Log
from ledger.records import AttachmentKind
from ledger.vault import BodyVault


def main(directory: Path) -> None:
    """Commit after commit, some small and some large; one line per acknowledged size."""
    log = Log.open(directory / "log", segment_bytes=200_000)
    vault = BodyVault(directory / "bodies", log.log_id, b"k" * 32, SystemClock())
    vault.prepare()
    done = threading.Event()
    commit = GroupCommit(log, lambda callback: callback(), lambda error: sys.exit(str(error)), vault=vault)

    def acknowledge(committed: Committed) -> None:
        sys.stdout.write(f"{committed.size} {log.root(committed.size).hex()}\n")
        sys.stdout.flush()
        done.set()

    while True:
        entries = []
        for number in range(1 + log.size % 17):
            leaf = said_leaf(log.log_id, b"statement %d" % (log.size + number))
            beside = ((AttachmentKind.STATEMENT, leaf),)
            entries.append(Entry(leaf, leaf_hash(leaf), beside, b"body" * (1 + log.size % 300), "service"))
        done.clear()
        commit.submit(entries, acknowledge)
        done.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
