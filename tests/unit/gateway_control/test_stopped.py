"""Why a log was stopped: kept, judged again at each start, told to people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from core.reasons import ExchangeError, Reason
from gateway.stopped import (
    MAX_WITNESSES,
    StoppedLog,
    StoppedState,
    in_words,
    read_stopped,
    still_stopped,
    write_stopped,
)
from tests.unit.core.test_succession import LOG, head


@dataclass
class Leaves:
    """A log of so many leaves, of which each size has one root."""

    size: int
    byte: str = "cd"

    def root(self, size: int | None = None) -> bytes:
        return bytes.fromhex(self.byte * 32)


def stopped(state: StoppedState = "LOG_BEHIND_PEERS", size: int = 9) -> StoppedLog:
    empty = StoppedLog(1, LOG, state, 1_790_000_000_000, 5, "", [])
    return empty.with_shown(state, "BJ/GOV/PNS/gw1", head(size))


def test_it_is_read_back_for_its_own_log_only(tmp_path: Path) -> None:
    """A successor is not stopped by what stopped the log before."""
    path = tmp_path / "state/stopped.json"
    assert read_stopped(path, LOG) is None
    write_stopped(path, stopped())

    assert read_stopped(path, LOG) == stopped()
    assert read_stopped(path, "99" * 32) is None


@pytest.mark.parametrize("spoilt", [b"", b"{}", b'{"v":1', b"null", b"\xff"])
def test_a_file_that_cannot_be_read_is_not_taken_for_absent(tmp_path: Path, spoilt: bytes) -> None:
    """Else a log that was stopped would sign again."""
    path = tmp_path / "stopped.json"
    path.write_bytes(spoilt)

    with pytest.raises(ExchangeError) as refused:
        read_stopped(path, LOG)

    assert refused.value.reason is Reason.LOG_DAMAGED


@pytest.mark.parametrize(
    ("leaves", "state"),
    [(Leaves(9), None), (Leaves(20), None), (Leaves(8), "LOG_BEHIND_PEERS"), (Leaves(9, "ee"), "FORKED")],
)
def test_a_log_behind_its_peers_goes_on_once_it_has_all_their_leaves(
    leaves: Leaves, state: str | None
) -> None:
    """All of them, and the same."""
    found = still_stopped(stopped(), leaves)

    assert (found.state if found else None) == state


def test_a_fork_is_for_ever() -> None:
    """Whatever leaves are here: two heads that contradict each other were signed."""
    assert still_stopped(stopped("FORKED"), Leaves(20)) == stopped("FORKED")


def test_the_highest_head_of_each_witness_is_kept_and_a_fork_is_not_taken_back() -> None:
    """One for each, a bounded number of them."""
    found = stopped("FORKED").with_shown("LOG_BEHIND_PEERS", "BJ/GOV/PNS/gw1", head(7))
    found = found.with_shown("LOG_BEHIND_PEERS", "registry", head(12))
    for number in range(2 * MAX_WITNESSES):
        found = found.with_shown("LOG_BEHIND_PEERS", f"BJ/GOV/M{number}/gw1", head(6))

    assert found.state == "FORKED"
    assert (found.highest[0], found.highest[1].size) == ("registry", 12)
    assert found.shown[0].head == head(9).decode()
    assert len(found.shown) == MAX_WITNESSES


def test_past_the_bound_the_highest_heads_are_kept() -> None:
    """Else the log would go on once it has the leaves of the lower ones."""
    found = stopped()
    for number in range(MAX_WITNESSES):
        found = found.with_shown("LOG_BEHIND_PEERS", f"BJ/GOV/M{number}/gw1", head(9))
    more = found.with_shown("LOG_BEHIND_PEERS", "registry", head(12))

    assert len(found.shown) == len(more.shown) == MAX_WITNESSES
    assert found.with_shown("LOG_BEHIND_PEERS", "BJ/GOV/X/gw1", head(9)) == found
    assert more.highest[0] == "registry"
    assert still_stopped(more, Leaves(11)) == more


def test_people_are_told_both_sizes_and_who_holds_what() -> None:
    """In both languages, with the remedy (USERS section 3, row 7)."""
    behind = in_words("LOG_BEHIND_PEERS", 90_210, 90_877, "BJ/GOV/ANIP/gw1")
    forked = in_words("FORKED", 12, 9, "registry")

    assert "taille 90\N{NO-BREAK SPACE}210 ici, 90\N{NO-BREAK SPACE}877 chez BJ/GOV/ANIP/gw1" in behind.fr
    assert "90,210 here, 90,877 at BJ/GOV/ANIP/gw1" in behind.en
    assert "au registre" in forked.fr
    assert "at the registry" in forked.en
    for words in (*behind, *forked):
        assert "passerelle log succeed --reason" in words
