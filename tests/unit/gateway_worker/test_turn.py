"""A turn plans leaves; under which key their bodies are kept is not for a peer to choose."""

from __future__ import annotations

from collections import deque

import pytest

from core.statements import Kind
from gateway.worker.budget import Budget, BudgetLimits
from gateway.worker.leaves import Leaves
from gateway.worker.peerlog import PeerLog, VerifiedEntry
from gateway.worker.road import Road
from gateway.worker.turn import BATCH, MAX_TURN_BYTES, Turn
from tests.support.worker_country import HASH, NOW_MS, OWN_LOG, PROVIDER, statement


@pytest.mark.parametrize(
    ("kind", "verdict", "service"),
    [
        ("request", "taken", PROVIDER),
        ("response", "taken", PROVIDER),
        ("request", "refused:NO_AGREEMENT", ""),
        ("response", "late", ""),
        ("cancel", "taken", ""),
    ],
)
def test_only_an_admitted_service_gets_a_day_key(kind: Kind, verdict: str, service: str) -> None:
    """Else a peer fills the file of day keys with names that it makes up, one sync of the disk each."""
    budget = Budget(BudgetLimits(1024, 1024, 1, 1))
    road = Road(
        PeerLog(HASH),
        "BJ/GOV/PNS",
        OWN_LOG,
        max_message=1024,
        budget=budget,
        on_sent=lambda _: None,
    )
    turn = Turn(Leaves(OWN_LOG), NOW_MS, 0)
    said = statement(kind=kind, request=HASH)
    entry = VerifiedEntry(1, b"h" * 32, HASH, b"{}", said, None, b"payloads", [(0, b"body")])

    turn.hear(road, entry, "request", verdict)

    (planned,) = turn.in_order()
    assert planned.service == service
    assert planned.secret is not None


def test_what_goes_through_a_step_together_is_bounded_in_count_and_bytes() -> None:
    """One long message may pass the bound, many never do: a commit holds them all in memory."""
    turn = Turn(Leaves(OWN_LOG), NOW_MS, 0)

    assert len(turn.batch(deque([1] * 1000), int)) == BATCH
    assert len(turn.batch(deque([MAX_TURN_BYTES // 2] * 10), int)) == 2
    assert len(turn.batch(deque([MAX_TURN_BYTES * 2] * 10), int)) == 1
    turn.planned_bytes = MAX_TURN_BYTES
    assert turn.batch(deque([1]), int) == []
