"""Whether messages are what a provider's gateway cut its answers from: by its own log and the ministry's records (M11).

A statement names the original by a salted digest, whose salt lies in the provider's log alone, and the gateway keeps no
original. Whoever is shown both has proof of what the adapter answered; beside what was delivered it shows what was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.leaves import SAID, parse_leaf
from core.masks import is_cut_of
from core.reasons import ExchangeError, Reason
from core.statements import Cut, parse_statement
from core.streams import messages_of
from ledger.places import log_places
from ledger.reader import LogReader
from ledger.records import AttachmentKind


@dataclass(frozen=True, slots=True)
class StatedCut:
    """What one answer, or one segment of it, says that it was cut from.

    Attributes:
        index: Index of its leaf.
        cut: What it says.
        messages: How many messages it holds.
        salts: The salts of their originals, one behind the other.
    """

    index: int
    cut: Cut
    messages: int
    salts: bytes


def find_cuts(directory: Path, exchange: str) -> list[StatedCut]:
    """What the logs of a gateway say of the answers to ``exchange``, in the order of its segments.

    Raises:
        ExchangeError: ``NOT_FOUND``: it said of none that it was cut; ``LOG_DAMAGED``.
    """
    wanted = b'"exchange":"%s"' % exchange.encode("ascii")
    found: list[StatedCut] = []
    for place in log_places(directory):
        for stored in LogReader(place.segments, follows_bodies=False).follow():
            if not stored.leaf.startswith(SAID) or wanted not in stored.leaf:
                continue
            statement = parse_statement(parse_leaf(stored.leaf).body)
            if statement.exchange == exchange and statement.cut is not None:
                salts = b"".join(data for kind, data in stored.attachments if kind is AttachmentKind.SALTS)
                found.append(StatedCut(stored.index, statement.cut, messages_of(statement), salts))
    if not found:
        text = (
            f"no log of this gateway says that it cut an answer of exchange {exchange}: the provider's would"
        )
        raise ExchangeError(Reason.NOT_FOUND, text)
    return found


def verify_cuts(cuts: Sequence[StatedCut], originals: Sequence[tuple[int, bytes]]) -> dict[str, Any]:
    """Check that ``originals``, flag and bytes as the adapter sent them, are what ``cuts`` were made from.

    Returns:
        How many messages they are, the digest of the mask, and how many fields were cut from them in sum.

    Raises:
        ExchangeError: ``PROOF_INVALID``: there are more or fewer, or the messages of a leaf are others.
    """
    total = sum(one.messages for one in cuts)
    if total != len(originals):
        raise ExchangeError(
            Reason.PROOF_INVALID, f"{total} messages were cut, and {len(originals)} are given"
        )
    at = 0
    for one in cuts:
        if not is_cut_of(one.cut, one.salts, originals[at : at + one.messages]):
            raise ExchangeError(Reason.PROOF_INVALID, f"leaf {one.index} was cut from other messages")
        at += one.messages
    return {"messages": total, "mask": cuts[0].cut.mask, "fields_cut": sum(one.cut.count for one in cuts)}
