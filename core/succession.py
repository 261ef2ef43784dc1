"""What a log that succeeds another says first: the last head here, the heads that others hold, the gap (PROTOCOL M5).

The genesis leaf names the log before, how much of it is here, and why. The notes behind it name the heads; each head's
JWS lies beside its note as a document, so that whoever reads the log can verify it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.heads import TreeHead, head_digest, parse_head
from core.leaves import Note
from core.reasons import ExchangeError, Reason

MAX_REASON_CHARS: Final = 200

LAST_HEAD: Final = "last-head"
HEAD_ELSEWHERE: Final = "head-elsewhere"
GAP: Final = "gap-declared"
# Who holds a head when it is this gateway itself, in ``state/head.json``.
OWN_STATE: Final = "state"
REGISTRY: Final = "registry"

_GAP: Final = re.compile(r"from=([0-9]{1,16}) to=([0-9]{1,16}) certain=(yes|no)")
# Characters that a JSON string writes as they are; the leaf holds no others (PROTOCOL M15).
_REASON: Final = re.compile(r"[ !#-\[\]-~]+")


@dataclass(frozen=True, slots=True)
class WitnessedHead:
    """A head of a log of ours that somebody else holds.

    Attributes:
        witness: Who: a gateway's id, ``registry``, or ``state`` for our own disk.
        jws: The head.
        contradicts: Whether its root is another than that of our leaves: the log was forked.
        head: What it says.

    Raises:
        MalformedHeadError: ``jws`` is no head; so whoever has a witnessed head can read it.
    """

    witness: str
    jws: bytes
    contradicts: bool
    head: TreeHead = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the head."""
        object.__setattr__(self, "head", parse_head(self.jws).unverified)


@dataclass(frozen=True, slots=True)
class Gap:
    """Leaves of the log before that its gateway does not have.

    Attributes:
        begin: The first, which is how many are here.
        end: One behind the last that anybody was shown a head of.
        is_certain: Whether that is all: the log was whole, nobody holds a head of other leaves, the registry was asked.
    """

    begin: int
    end: int
    is_certain: bool

    @property
    def is_empty(self) -> bool:
        """Whether it is certain that nothing is missing."""
        return self.end <= self.begin and self.is_certain


def written_reason(text: str) -> str:
    """The reason as a leaf can hold it: ASCII without quotation marks and backslashes; accents are taken off.

    Raises:
        ExchangeError: ``DOCUMENT_INVALID``: it is empty, too long, or has other characters.
    """
    spaced = text.replace("\u2019", "'").replace("\u0153", "oe").replace("\u0152", "OE").strip()
    folded = "".join(one for one in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(one))
    if not _REASON.fullmatch(folded) or len(folded) > MAX_REASON_CHARS:
        raise ExchangeError(
            Reason.DOCUMENT_INVALID,
            f'a reason is 1 to {MAX_REASON_CHARS} letters, digits and signs on one line, without " and \\',
        )
    return folded


def gap_between(size: int, elsewhere: Iterable[WitnessedHead], *, is_certain: bool) -> Gap:
    """What is missing of a log of which ``size`` leaves are here, by the heads that others hold."""
    held = list(elsewhere)
    highest = max((one.head.size for one in held), default=0)
    return Gap(size, max(size, highest), is_certain and not any(one.contradicts for one in held))


def first_notes(
    last: bytes | None, elsewhere: Sequence[WitnessedHead], gap: Gap, now_ms: int, nonces: Iterable[str]
) -> list[tuple[Note, bytes | None]]:
    """The notes behind the genesis leaf, each with the document that lies beside it.

    Args:
        last: The newest signed head that is here, if there is one.
        elsewhere: The heads that others hold.
        gap: What is missing.
        now_ms: UTC milliseconds.
        nonces: One for each note.
    """
    nonce = iter(nonces)

    def note(event: str, detail: str, count: int, document: bytes | None) -> tuple[Note, bytes | None]:
        return Note(1, next(nonce), now_ms, event, detail, count), document

    certain = "yes" if gap.is_certain else "no"
    return [
        *([note(LAST_HEAD, _named("here", last), 1, last)] if last is not None else []),
        *(note(HEAD_ELSEWHERE, _named(one.witness, one.jws), 1, one.jws) for one in elsewhere),
        note(GAP, f"from={gap.begin} to={gap.end} certain={certain}", gap.end - gap.begin, None),
    ]


def read_gap(note: Note) -> Gap | None:
    """The gap that a note declares; ``None`` if it is another note."""
    found = _GAP.fullmatch(note.detail) if note.event == GAP else None
    return Gap(int(found[1]), int(found[2]), found[3] == "yes") if found else None


def _named(witness: str, jws: bytes) -> str:
    head = parse_head(jws).unverified
    return f"witness={witness} size={head.size} root={head.root} jws={head_digest(jws)}"
