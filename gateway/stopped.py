"""Why a log was stopped, kept beside it: a restart must not forget that its heads were contradicted (PROTOCOL M5).

``state/stopped.json`` holds the newest head of our own and every head that the log could not extend. ``FORKED`` stays
until the operator opens a successor. ``LOG_BEHIND_PEERS`` goes by itself once the original disk is back: the log has
the leaves of every head that stopped it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from core.documents import MalformedDocumentError, decode_strict, encode
from core.heads import TreeHead, parse_head
from core.language import Text
from core.reasons import ExchangeError, Reason
from core.succession import OWN_STATE, REGISTRY, WitnessedHead
from rpc.figures import number
from rpc.files import replace_file

StoppedState = Literal["FORKED", "LOG_BEHIND_PEERS"]

# The highest stay: a disk that has the leaves of those has the leaves of the others.
MAX_WITNESSES: Final = 64


class Tree(Protocol):
    """The leaves that are here."""

    @property
    def size(self) -> int:
        """Number of leaves."""

    def root(self, size: int | None = None) -> bytes:
        """Merkle root over the first ``size`` leaves."""


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head of this log that somebody else holds: who, and the compact JWS."""

    witness: str
    head: str

    @property
    def parsed(self) -> TreeHead:
        """What the head says; raises ``MalformedHeadError``."""
        return parse_head(self.head.encode("ascii")).unverified


class StoppedLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a log signs nothing more.

    Attributes:
        v: Format version, 1.
        log: Its id.
        state: ``FORKED`` or ``LOG_BEHIND_PEERS``.
        since: When it was stopped, UTC milliseconds.
        size: How many leaves it had then.
        own: Its newest signed head then, a compact JWS; empty if it had none.
        shown: The heads that it could not extend, the highest of each witness.
    """

    v: int
    log: str
    state: StoppedState
    since: int
    size: int
    own: str
    shown: list[Shown]

    @property
    def highest(self) -> tuple[str, TreeHead]:
        """Who holds the head of the most leaves, and that head."""
        heads = [(one.witness, one.parsed) for one in self.shown]
        return max(heads, key=lambda found: found[1].size)

    def with_shown(self, state: StoppedState, witness: str, jws: bytes) -> StoppedLog:
        """The same log, shown a further head; a fork is never taken back."""
        kept = {one.witness: one for one in self.shown}
        shown = Shown(witness, jws.decode("ascii"))
        if witness not in kept or kept[witness].parsed.size < shown.parsed.size:
            kept[witness] = shown
        if len(kept) > MAX_WITNESSES:
            del kept[min(reversed(kept), key=lambda name: kept[name].parsed.size)]
        return msgspec.structs.replace(
            self,
            state="FORKED" if "FORKED" in (state, self.state) else state,
            shown=list(kept.values()),
        )


def read_stopped(path: Path, log: str) -> StoppedLog | None:
    """What stopped ``log``; ``None`` if nothing did, or another log was stopped.

    Raises:
        ExchangeError: ``LOG_DAMAGED``: the file cannot be read. It is not taken for absent: that would sign again.
    """
    try:
        found = decode_strict(path.read_bytes(), StoppedLog)
        for one in found.shown:
            parse_head(one.head.encode("ascii"))
    except FileNotFoundError:
        return None
    except (MalformedDocumentError, ValueError, OSError) as error:
        raise ExchangeError(Reason.LOG_DAMAGED, f"{path.name} cannot be read: {error}") from None
    return found if found.log == log and found.shown else None


def write_stopped(path: Path, stopped: StoppedLog) -> None:
    """Keep it, durably."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, encode(stopped), mode=0o600)


def verdict_on(tree: Tree, head: TreeHead) -> StoppedState | None:
    """Whether a log with these leaves can extend a head of it that somebody holds; why not."""
    if head.size > tree.size:
        return "LOG_BEHIND_PEERS"
    return "FORKED" if tree.root(head.size).hex() != head.root else None


def still_stopped(stopped: StoppedLog, tree: Tree) -> StoppedLog | None:
    """What of it holds for the leaves that are here now: an original disk that is back covers every head shown."""
    if stopped.state == "FORKED":
        return stopped
    verdicts = {verdict_on(tree, one.parsed) for one in stopped.shown}
    if "FORKED" in verdicts:
        return msgspec.structs.replace(stopped, state="FORKED")
    return stopped if "LOG_BEHIND_PEERS" in verdicts else None


def witnessed(stopped: StoppedLog, tree: Tree) -> Iterable[WitnessedHead]:
    """The heads that were shown, and the last one of our own, judged against the leaves that are here.

    These may be another copy than the one that was stopped: then our own head is one that they lack or contradict.
    """
    own = [Shown(OWN_STATE, stopped.own)] if stopped.own else []
    for one in (*stopped.shown, *own):
        verdict = verdict_on(tree, one.parsed)
        if verdict is None and one in own:
            continue
        yield WitnessedHead(one.witness, one.head.encode("ascii"), verdict == "FORKED")


def held_by(witness: str) -> Text:
    """Where a head is that somebody else holds."""
    places = {
        REGISTRY: Text("au registre", "at the registry"),
        OWN_STATE: Text("dans state/ de cette machine", "in state/ of this machine"),
    }
    return places.get(witness, Text(f"chez {witness}", f"at {witness}"))


def in_words(state: str, here: int, there: int, witness: str) -> Text:
    """What people are told: sizes here and there, who holds the head, what to do (USERS section 3, row 7)."""
    what, remedy = what_and_remedy(state, here, there, witness)
    return Text(f"{what.fr}. Remède : {remedy.fr}.", f"{what.en}. Remedy: {remedy.en}.")


def what_and_remedy(state: str, here: int, there: int, witness: str) -> tuple[Text, Text]:
    """The same apart: what is so, and what to do."""
    where, mine, theirs = held_by(witness), number(here), number(there)
    if state == "FORKED":
        return (
            Text(
                f"Journal bifurqué : {mine.fr} entrées ici ; une autre racine sur {theirs.fr} entrées {where.fr}. "
                "Cause : deux processus ont écrit la même copie",
                f"Forked log: {mine.en} entries here; another root over {theirs.en} entries {where.en}. "
                "Cause: two processes wrote the same copy",
            ),
            Text(
                "prévenir l'ASIN, garder le disque ; puis, après accord du responsable, "
                '« passerelle log succeed --reason "…" »',
                "tell ASIN, keep the disk; then, with the chief's consent, "
                "'passerelle log succeed --reason \"…\"'",
            ),
        )
    return (
        Text(
            f"Journal ancien : taille {mine.fr} ici, {theirs.fr} {where.fr}. Cause : sauvegarde ou "
            "instantané restauré",
            f"Old log: {mine.en} here, {theirs.en} {where.en}. Cause: restored backup or snapshot",
        ),
        Text(
            "remettre le disque d'origine ; sinon, après accord du responsable, "
            '« passerelle log succeed --reason "…" »',
            "put the original disk back; otherwise, with the chief's consent, "
            "'passerelle log succeed --reason \"…\"'",
        ),
    )
