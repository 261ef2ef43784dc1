"""Whether messages are what a provider's gateway cut its answers from: by its own log and the ministry's records (M11).

A statement names the original by a salted digest, whose salt lies in the provider's log alone, and the gateway keeps no
original. Whoever is shown both has proof of what the adapter answered; beside what was delivered it shows what was cut.

Of the log nothing is judged here: whoever keeps it could write other leaves and other salts. Its leaves count for what
evidence that is ``VALID`` bears out; without any, they are shown to be compared with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audit.container import read_container
from audit.report import Verdict
from audit.verify import verify_evidence
from core.language import Text
from core.leaves import SAID, parse_leaf
from core.masks import is_cut_of
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from core.statements import Cut, parse_statement
from core.streams import messages_of
from ledger.places import log_places
from ledger.reader import LogReader
from ledger.records import AttachmentKind
from pki.anchor import Anchor

_CHOOSE: Final = Text("donner --request avec une des empreintes", "give --request with one of the hashes")
_RANGE: Final = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class StatedCut:
    """What one answer, or one segment of it, says that it was cut from.

    Attributes:
        log: The log of its leaf.
        index: Index of its leaf.
        leaf: Hash of its leaf, hex.
        request: That of the request that it answers.
        cut: What it says.
        messages: How many messages it holds.
        salts: The salts of their originals, one behind the other.
    """

    log: str
    index: int
    leaf: str
    request: str
    cut: Cut
    messages: int
    salts: bytes


def find_cuts(directory: Path, exchange: str, request: str | None = None) -> list[StatedCut]:
    """What the logs of a gateway say of the answers to a request, in the order of its segments.

    Args:
        directory: The gateway's directory, or a copy.
        exchange: The exchange; its consumer chose the name, and may have given it to several requests.
        request: Leaf hash of the request; ``None``: there must be only one whose answers were cut.

    Raises:
        ExchangeError: ``NOT_FOUND``: of none it is said that it was cut; ``STATE_CONFLICT``: of several; ``LOG_DAMAGED``.
    """
    wanted = b'"exchange":"%s"' % exchange.encode("ascii")
    found: dict[str, list[StatedCut]] = {}
    for place in log_places(directory):
        for stored in LogReader(place.segments, follows_bodies=False).follow():
            if not stored.leaf.startswith(SAID) or wanted not in stored.leaf:
                continue
            leaf = parse_leaf(stored.leaf)
            statement = parse_statement(leaf.body)
            request_of = statement.request
            if statement.exchange == exchange and statement.cut is not None and request_of is not None:
                salts = b"".join(data for kind, data in stored.attachments if kind is AttachmentKind.SALTS)
                hashed = leaf_hash(stored.leaf).hex()
                messages = messages_of(statement)
                cut = StatedCut(leaf.log, stored.index, hashed, request_of, statement.cut, messages, salts)
                found.setdefault(request_of, []).append(cut)
    if request is None and len(found) > 1:
        text = f"exchange {exchange} has several requests, choose one (--request): {', '.join(found)}"
        raise ExchangeError(Reason.STATE_CONFLICT, text, remedy=_CHOOSE)
    if not found or (request is not None and request not in found):
        which = f"exchange {exchange}" if request is None else f"request {request!a} of exchange {exchange}"
        text = f"no log of this gateway says that it cut an answer of {which}: the provider's would"
        raise ExchangeError(Reason.NOT_FOUND, text)
    return found[request] if request is not None else next(iter(found.values()))


def compressed_among(numbers: str, messages: int) -> frozenset[int]:
    """Which of so many messages are compressed, ``2,5-9``, counted from 1; raises ``ValueError`` where it names none."""
    found: set[int] = set()
    for part in numbers.split(",") if numbers else ():
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= messages:
            raise ValueError(f"{part!a} names none of {messages} messages")
        found.update(range(first, last + 1))
    return frozenset(found)


def proven_cuts(evidence: Path, anchor: Path) -> Mapping[str, Set[str]]:
    """By request, both as leaf hashes, the answers of which evidence proves that they say what they were cut from.

    Raises:
        ExchangeError: The anchor cannot be read, or the file is no evidence; ``PROOF_INVALID``: it is not ``VALID``.
    """
    report = verify_evidence(read_container(evidence), Anchor.read(anchor).certificate)
    if report.verdict is not Verdict.VALID:
        why = f"the evidence is {report.verdict}, as 'passerelle audit verify' tells step by step"
        raise ExchangeError(Reason.PROOF_INVALID, why)
    return report.cuts


def verify_cuts(
    cuts: Sequence[StatedCut],
    originals: Sequence[tuple[int, bytes]],
    proven: Mapping[str, Set[str]] | None = None,
) -> dict[str, Any]:
    """Check that ``originals``, flag and bytes as the adapter sent them, are what ``cuts`` were made from.

    Args:
        cuts: What the log says.
        originals: The messages.
        proven: What evidence proves, as ``proven_cuts`` gives it; ``None``: the log is believed.

    Returns:
        How many messages they are, and the leaves that say so; mask and number of fields cut, as these say.

    Raises:
        ExchangeError: ``PROOF_INVALID``: there are more or fewer, the messages of a leaf are others, or the evidence has
            other leaves of this answer than the log, fewer or more.
    """
    if proven is not None and proven.get(cuts[0].request) != {one.leaf for one in cuts}:
        text = "log and evidence have other leaves of this answer: one was written anew, or is of another exchange"
        raise ExchangeError(Reason.PROOF_INVALID, text)
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
    return {
        "messages": total,
        "mask": cuts[0].cut.mask,
        "fields_cut": sum(one.cut.count for one in cuts),
        "leaves": [f"{one.log} {one.index} {one.leaf}" for one in cuts],
        "signatures": "unchecked" if proven is None else "anchored",
    }
