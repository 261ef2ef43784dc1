"""The segments of each call in a container: that they follow each other, and how far each side got (PROTOCOL M2, M7).

A stream that broke midway is evidence like any other, of exactly what was delivered. What the receiver refused is no
part of the stream, whoever shows it; what came late counts for nobody. Everything else must be there from the first
segment on, each once and in the order of its log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from msgspec import structs

from core.language import Text
from core.reasons import Code
from core.statements import Statement
from core.streams import Direction, SegmentError, is_handing_unknown, named
from rpc.figures import plural

_TAKEN: Final = "taken"
_LATE: Final = "late"
_ENDINGS: Final = ("cancel", "deadline", "abandon")
_END_WORDS: Final = {
    "cancel": Text("annulé par le consommateur", "cancelled by the consumer"),
    "deadline": Text("délai du consommateur échu", "the consumer's deadline passed"),
    "abandon": Text("abandonné par le consommateur", "given up by the consumer"),
    "refusal": Text("terminé par une passerelle", "ended by a gateway"),
    "response": Text("statut du fournisseur", "status of the provider"),
}


class BrokenOrderError(Exception):
    """Segments that do not follow each other, or say what the others do not bear out; names the part."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A statement of the container, where it stands, and what its receiver's log says of it.

    Attributes:
        path: The part.
        index: Its index in the log of who says it.
        hash: Its leaf hash.
        statement: The statement.
        verdict: ``taken``, ``late`` or ``refused:REASON``; ``None`` if no record of it is here.
        heard_at: Index of that record in the receiver's log.
        is_peers: Whether the other side said it, not the gateway whose evidence this is.
    """

    path: str
    index: int
    hash: str
    statement: Statement
    verdict: str | None
    heard_at: int | None
    is_peers: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether its receiver would not have it."""
        return self.verdict is not None and self.verdict.startswith("refused:")

    @property
    def counts(self) -> bool:
        """Whether it may have reached anybody: neither refused nor late."""
        return self.verdict is None or self.verdict == _TAKEN

    @property
    def binds_nobody_else(self) -> bool:
        """Whether it is the peer's alone: it ended the call, or came when nobody waited, and was not checked then.

        What it claims against the rest is the peer's lie and changes nothing of what was said before.
        """
        return self.is_peers and (self.verdict == _LATE or self.statement.kind in _ENDINGS)


class Untrue(NamedTuple):
    """A statement of the peer that the others do not bear out, and that counts for nothing."""

    said: Saying
    why: str


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a call, as far as the container shows it.

    Attributes:
        segments: Segments that were said.
        messages: Messages in them.
        taken: Segments that the receiving gateway says, or by its answers implies, that it took.
        handed: Segments that it says it handed to its program; ``None``: it has not said so.
        is_uncertain: Nobody knows whether more of them were, as it says itself: it was stopped in between.
        is_final: Whether the last one is among them.
    """

    segments: int
    messages: int
    taken: int
    handed: int | None
    is_uncertain: bool
    is_final: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call of several segments came.

    Attributes:
        request: Leaf hash of its first request segment.
        asked: From the consumer's program to the provider's.
        answered: The way back.
        ends: What ended it, in the order of the container, each as statement kind and reason or status.
    """

    request: str
    asked: Way
    answered: Way
    ends: tuple[tuple[str, str], ...]

    @property
    def is_stream(self) -> bool:
        """Whether it is more than one segment each way, or not even that."""
        return (
            self.asked.segments > 1
            or not self.asked.is_final
            or self.answered.segments > 1
            or (self.answered.segments == 1 and not self.answered.is_final)
        )

    def lines(self) -> list[Text]:
        """The same for people."""
        asked = _way_words(
            self.asked,
            Text("la passerelle du fournisseur", "the provider's gateway"),
            Text("l'adaptateur", "the adapter"),
        )
        answered = _way_words(
            self.answered,
            Text("la passerelle du consommateur", "the consumer's gateway"),
            Text("son programme", "its program"),
        )
        ends = [
            Text(f"{_END_WORDS[kind].fr} ({why})", f"{_END_WORDS[kind].en} ({why})")
            for kind, why in self.ends
        ]
        ends = ends or [Text("aucune dans cette preuve", "none in this evidence")]
        return [
            Text(f"flux {self.request[:16]}…", f"stream {self.request[:16]}…"),
            Text(f"  demandé : {asked.fr}", f"  asked: {asked.en}"),
            Text(f"  répondu : {answered.fr}", f"  answered: {answered.en}"),
            Text(
                f"  fin : {' ; '.join(one.fr for one in ends)}",
                f"  end: {'; '.join(one.en for one in ends)}",
            ),
        ]


def _way_words(way: Way, taker: Text, receiver: Text) -> Text:
    segments, messages = plural(way.segments, "segment"), plural(way.messages, "message")
    handed = _handed_words(way, receiver)
    return Text(
        f"{segments.fr}, {messages.fr} ; {way.taken} pris par {taker.fr}, {handed.fr}",
        f"{segments.en}, {messages.en}; {way.taken} taken by {taker.en}, {handed.en}",
    )


def _handed_words(way: Way, receiver: Text) -> Text:
    to = Text(f"à {receiver.fr}", f"to {receiver.en}")
    if way.is_uncertain and way.handed:
        return Text(
            f"au moins {way.handed} remis {to.fr}, nul ne sait si davantage",
            f"at least {way.handed} handed {to.en}, nobody knows whether more",
        )
    if way.is_uncertain:
        return Text(f"nul ne sait combien furent remis {to.fr}", f"nobody knows how many were handed {to.en}")
    if way.handed is None:
        return Text("remise non indiquée ici", "handing on not said here")
    return Text(f"{way.handed} remis {to.fr}", f"{way.handed} handed {to.en}")


@dataclass(slots=True)
class _Call:
    """What the container has of one call."""

    first: Saying
    asked: list[Saying] = field(default_factory=list)
    answered: list[Saying] = field(default_factory=list)
    refusals: list[Saying] = field(default_factory=list)
    endings: list[Saying] = field(default_factory=list)
    # The consumer's log may hold the same bytes twice (ADR 0013): then one of the two is refused, and answered.
    is_asked_again: bool = False

    def leave_out(self, lies: Iterable[Untrue]) -> None:
        """Forget what is untrue, so that nothing is told on its word; that it ended the call stays."""
        paths = {one.said.path for one in lies}
        self.answered = [one for one in self.answered if one.path not in paths]
        self.refusals = [one for one in self.refusals if one.path not in paths]
        self.endings = [_without_claim(one) if one.path in paths else one for one in self.endings]


def _without_claim(one: Saying) -> Saying:
    return replace(one, statement=structs.replace(one.statement, heard=None, delivery="unknown"))


def judge_calls(sayings: Sequence[Saying]) -> tuple[list[Progress], list[Untrue]]:
    """Judge the segments of every call; how far each came, in the order of the container, and what is the peer's lie.

    Raises:
        BrokenOrderError: One is missing, doubled, out of order, of another call, or contradicts the others.
    """
    untrue: list[Untrue] = []
    return [_judge(call, untrue) for call in _calls(sayings).values()], untrue


def _calls(sayings: Iterable[Saying]) -> dict[str, _Call]:
    calls: dict[str, _Call] = {}
    others: dict[str, list[Saying]] = defaultdict(list)
    for one in sayings:
        s = one.statement
        if s.kind == "request" and s.request is None:
            held = calls.setdefault(one.hash, _Call(one))
            if held.first is one:
                held.asked.append(one)
            else:
                held.is_asked_again = True
        elif s.request is not None:
            others[s.request].append(one)
    for name, some in others.items():
        call = calls.get(name)
        for one in some:
            if call is None:
                if one.statement.kind == "request":
                    raise BrokenOrderError(f"{one.path} belongs to a call whose first segment is not here")
                continue  # of a request that is not here: the step before has told
            _list_for(call, one.statement.kind).append(one)
    return calls


def _list_for(call: _Call, kind: str) -> list[Saying]:
    match kind:
        case "request":
            return call.asked
        case "response":
            return call.answered
        case "refusal":
            return call.refusals
        case _:
            return call.endings


def _judge(call: _Call, untrue: list[Untrue]) -> Progress:
    lies: list[Untrue] = []
    asked = _in_order(call.asked, lies)
    _in_order(call.answered, lies)
    asked_count = _count(call.asked)
    _require_handed(call.answered + call.refusals, asked_count, "request", lies)
    endings = [one for one in call.endings if one.statement.kind in _ENDINGS]
    _require_handed(endings, _count(call.answered), "response", lies)
    _require_nothing_behind(call, lies)
    call.leave_out(lies)
    # Once more, without them: what came behind a late lie follows nothing now, and another may stand in its place.
    answered = _in_order(call.answered, lies)
    call.leave_out(lies)
    untrue += lies
    return Progress(
        call.first.hash,
        _way(asked, call.asked, _handed_to_adapter(call)),
        _way(answered, call.answered, _handed_to_program(call)),
        tuple(_ends(call)),
    )


def _in_order(segments: list[Saying], lies: list[Untrue]) -> Direction:
    """Those that count, each once and in the order of both logs; then what came late, as far as it follows."""
    direction = Direction()
    before: Saying | None = None
    for one in sorted((one for one in segments if one.counts), key=_sequence):
        _take(direction, one)
        if before is not None:
            _require_later(before, one)
        before = one
    for one in sorted((one for one in segments if one.verdict == _LATE), key=_sequence):
        if one.statement.sequence == direction.segments and not direction.is_final:
            try:
                _take(direction, one)
            except BrokenOrderError as error:
                _lay_on(one, str(error), lies)
    return direction


def _sequence(one: Saying) -> tuple[int, int]:
    return one.statement.sequence, one.index


def _take(direction: Direction, one: Saying) -> None:
    try:
        direction.take(one.statement)
    except SegmentError as error:
        raise BrokenOrderError(f"{one.path}: {error}") from None


def _require_later(before: Saying, one: Saying) -> None:
    """Segments stand in the order of their numbers in the log of who says them, and in that of who takes them."""
    is_heard_before = (
        one.heard_at is not None and before.heard_at is not None and one.heard_at < before.heard_at
    )
    if one.index < before.index or is_heard_before:
        raise BrokenOrderError(f"{one.path} stands before {before.path}, which it follows")


def _count(segments: Iterable[Saying]) -> int:
    """How many segments may have been handed on."""
    return sum(one.counts for one in segments)


def _lay_on(one: Saying, why: str, lies: list[Untrue]) -> None:
    """It contradicts the rest: the peer's own where it binds nobody else, else the fault of the evidence."""
    if not one.binds_nobody_else:
        raise BrokenOrderError(why)
    lies.append(Untrue(one, why))


def _require_handed(
    sayings: list[Saying], said: int, way: Literal["request", "response"], lies: list[Untrue]
) -> None:
    """Nobody hands on what is not here, nor takes back what it said it handed on."""
    most = -1
    for one in sorted(sayings, key=lambda one: one.index):
        heard = one.statement.heard
        if heard is None or one.is_refused or one.statement.delivery == "not_sent":
            continue
        if heard >= said:
            why = f"{one.path} says that {way} segment {heard} was handed on, which is not here or was not taken"
            _lay_on(one, why, lies)
        elif heard < most:
            _lay_on(one, f"{one.path} says that {way} segment {heard} was handed on, and {most} before", lies)
        else:
            most = heard


def _require_nothing_behind(call: _Call, lies: list[Untrue]) -> None:
    """A refusal ends the call: whoever said it says no segment behind it."""
    ended = min(
        (one.index for one in call.refusals if one.statement.from_ == call.first.statement.to), default=None
    )
    if ended is None or call.is_asked_again:
        return
    for one in call.answered:
        if one.statement.from_ == call.first.statement.to and one.index > ended and not one.is_refused:
            why = f"{one.path}: {named(one.statement)} stands behind the refusal that ended the call"
            _lay_on(one, why, lies)


def _way(direction: Direction, segments: Iterable[Saying], handed: _Handed) -> Way:
    taken = sum(one.verdict == _TAKEN for one in segments)
    number = handed.number
    if handed.is_uncertain and not direction.segments:
        number = 0  # there was nothing to hand on
    return Way(
        direction.segments,
        direction.messages,
        max(taken, number or 0),
        number,
        handed.is_uncertain and (number or 0) < direction.segments,
        direction.is_final,
    )


class _Handed(NamedTuple):
    """How many segments were handed on, ``None`` if nobody said so; and whether nobody knows if it was more."""

    number: int | None
    is_uncertain: bool


def _handed_to_adapter(call: _Call) -> _Handed:
    """What the provider's answers and refusals say; their highest, and 0 if it says that nothing was delivered."""
    sayings = [one.statement for one in (*call.answered, *call.refusals) if not one.is_refused]
    found = [
        0 if s.delivery == "not_sent" or s.heard is None else s.heard + 1
        for s in sayings
        if s.heard is not None or s.delivery == "not_sent"
    ]
    return _Handed(max(found, default=None), any(map(_is_unknown, sayings)))


def _handed_to_program(call: _Call) -> _Handed:
    """What the consumer says where it ended the call; else all that it took, once it took the end."""
    said = [one.statement for one in call.endings if one.statement.kind in _ENDINGS]
    if said:
        known = [0 if s.heard is None else s.heard + 1 for s in said if not _is_unknown(s)]
        return _Handed(max(known, default=None), any(map(_is_unknown, said)))
    ends = [one for one in call.answered if one.statement.final] + call.refusals
    if any(one.verdict == _TAKEN for one in ends):
        return _Handed(sum(one.verdict == _TAKEN for one in call.answered), is_uncertain=False)
    return _Handed(None, is_uncertain=False)


def _is_unknown(s: Statement) -> bool:
    return is_handing_unknown(s.kind, s.reason, s.heard, s.delivery)


def _ends(call: _Call) -> Iterable[tuple[str, str]]:
    for one in call.endings:
        if one.statement.kind in _ENDINGS:
            yield one.statement.kind, one.statement.reason or one.statement.kind
    for one in call.refusals:
        if not one.is_refused:
            yield "refusal", one.statement.reason or ""
    for one in call.answered:
        if one.statement.final and not one.is_refused:
            yield "response", Code(one.statement.status or 0).name
