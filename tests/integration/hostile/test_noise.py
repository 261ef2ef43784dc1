"""A noisy member fills the log: it is stopped first, the others go on until the reserve (RELIABILITY, section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings import Limits, LogSettings
from ledger.log import SystemDisk
from tests.support.calls import worker_of
from tests.support.federation import STRANGER, Federation, calling, metadata
from tests.support.hostile import outcome_of, reason_of, said
from tests.support.waiting import until

RESERVE = 1_000_000


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    limits = Limits(entries_per_s=1, entries_burst=20)
    with Federation(tmp_path, limits=limits, log=LogSettings(reserve_bytes=RESERVE)) as found:
        yield found


def test_a_noisy_member_leaves_the_reserve_to_others(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused calls of one program cost as many entries as its budget has; at the reserve all are refused by name."""
    federation.admit(federation.pns, f"{STRANGER}/noise")
    with federation.channel(federation.stats) as noisy, federation.channel() as honest:
        calling(honest)(b"first", metadata=metadata(), timeout=10)
        before = worker_of(federation.pns).station.durable_size
        stranger = metadata(x_road_client=STRANGER)

        flood = [calling(noisy).future(b"x" * 1000, metadata=stranger, timeout=20) for _ in range(300)]
        answers = [
            outcome_of(lambda: calling(honest)(b"mine", metadata=metadata(), timeout=10)) for _ in range(20)
        ]
        reasons = {outcome_of(one.result) for one in flood}

        assert answers == ["OK"] * 20
        assert reasons <= {"NO_AGREEMENT", "LIMIT_EXCEEDED"}
        refusals = [one for one in said(federation.pns) if one.kind == "refusal"]
        assert 1 <= len(refusals) <= 30
        grown = worker_of(federation.pns).station.durable_size - before
        assert (
            grown <= 30 + 20 * 2 + 5
        )  # refusals in the budget; request and receipt of each honest call; notes

        monkeypatch.setattr(SystemDisk, "free_bytes", staticmethod(lambda _: RESERVE - 1))
        until(lambda: outcome_of(lambda: calling(honest)(b"", metadata=metadata(), timeout=10)) != "OK")
        delivered = len(federation.adapter.calls)
        assert reason_of(honest) == "DISK_RESERVE"
        assert len(federation.adapter.calls) == delivered

        monkeypatch.undo()
        until(lambda: outcome_of(lambda: calling(honest)(b"", metadata=metadata(), timeout=10)) == "OK")
