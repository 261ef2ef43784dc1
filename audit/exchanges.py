"""The exchanges of a gateway's logs, read leaf by leaf from the segments, with every process dead.

One row is one request statement, known by its leaf hash, which every answer, ending and record of it names. So an
exchange id that a peer uses twice makes two rows, and neither hides the other. A log may be anybody's: its leaves are
parsed as strictly as a peer's.

Rows wait in a private database, which SQLite holds in memory up to ``CACHE_KIB`` and moves to an unnamed temporary file
beyond: a log of any length is read in bounded memory, and a short one without any room on the disk.
"""

from __future__ import annotations

import itertools
import operator
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from audit.bodies import Bodies, BodyKeys, BodyState, keys_of, parse_purge
from audit.subjects import Subject
from core.heads import ConfigurationMark, TreeHead, parse_head
from core.language import Text
from core.leaves import (
    GENESIS,
    HEARD,
    NOTE,
    SAID,
    MalformedLeafError,
    Succession,
    parse_genesis,
    parse_heard,
    parse_leaf,
    parse_note,
)
from core.merkle import root_of
from core.pseudonyms import MAX_PSEUDONYMS, Annex, annex_beside
from core.reasons import ExchangeError, MalformedError, Reason
from core.statements import AgreementMark, Statement, parse_statement
from core.succession import Gap, read_gap
from core.times import MAX_TIME_MS
from ledger.headfile import read_head_file
from ledger.places import LogPlace
from ledger.reader import LogReader, StoredLeaf
from ledger.records import AttachmentKind
from ledger.rows import COUNTS, HANDED, row_of, tell
from ledger.vault import PurgeKind

CACHE_KIB: Final = 32 * 1024

# A receipt is listed as missing after so long (PROTOCOL M7).
RECEIPT_MS: Final = 60_000

Proof = Literal[
    "both_logs",  # question and answer stand in both logs
    "question_in_both_logs",  # the question does; an answer is not known here
    "own_log",  # refused here or never sent: nobody else has anything of it
    "receipt_awaited",  # the peer's receipt is not here, but the log ends too early to tell
    "receipt_missing",  # the log goes on with this peer for more than 60 s without it
    "late",  # the answer came after the consumer's gateway had given up
    "unsigned",  # no signed head covers all of it
    "gap",  # it begins in no log that was read
]

_ISSUED_AT = re.compile(rb'"issued_at":([0-9]{1,15})[,}]')
_TO = re.compile(rb'"to":"([0-9a-f]{64})"')
_LOG = re.compile(rb'"log":"([0-9a-f]{64})"')
_OUTCOME = b'"kind":"outcome"'
_ENDING = re.compile(rb'"kind":"(?:cancel|deadline|abandon)"')
_NOT_SENT: Final = b'"delivery":"not_sent"'
_MAX_SQL_INTEGER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MissingKey:
    """A key that made annexes, and is not at hand.

    Attributes:
        year: Whose key it is.
        key: Its ``key_id``.
        has_other: Whether another key of the year is at hand: made anew, or another member's.
    """

    year: int
    key: str
    has_other: bool

    @property
    def told(self) -> Text:
        """What is missing, in words."""
        if self.has_other:
            return Text(
                f"annexes de {self.year} faites par une autre clé de pseudonymes ({self.key})",
                f"annexes of {self.year} made by another key of pseudonyms ({self.key})",
            )
        return Text(
            f"aucune clé de pseudonymes de {self.year} ({self.key})",
            f"no key of pseudonyms of {self.year} ({self.key})",
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which exchanges to list; absent values match all. Times are UTC milliseconds, ``until`` excluded.

    Of several ``issues`` (dossier references) any matches.
    Of a ``subject`` also those are listed that may be about more persons than their annexes name.
    """

    exchange: str | None = None
    issues: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    reference: str | None = None
    subject: Subject | None = None

    def may_match(self, stored: StoredLeaf) -> bool:
        """Whether a leaf may tell of what is wanted: statements are canonical, and repeat what the request names."""
        wanted = []
        if self.exchange is not None:
            wanted.append(b'"exchange":"%s"' % self.exchange.encode())
        if self.reference is not None:
            wanted.append(b'"reference":"%s"' % self.reference.encode())
        texts = [data for kind, data in stored.attachments if kind is AttachmentKind.STATEMENT]
        if any(_OUTCOME in text for text in texts):
            return True  # what a peer says became of a request names that request alone
        if not texts and stored.leaf.startswith(HEARD):
            return True  # whose statement is not there
        texts.append(stored.leaf)
        issues = [b'"issue":"%s"' % one.encode() for one in self.issues]
        return any(
            all(one in text for one in wanted) and (not issues or any(one in text for one in issues))
            for text in texts
        )


class Found(msgspec.Struct):
    """What one log tells of one request. Times are as statements declare them, each by its own gateway's clock.

    Attributes:
        log: Number of the log among those that were read.
        exchange: The exchange it is part of.
        role: On which side this log stands.
        peer: Log id of the other side.
        configuration: What this gateway's own statement names; the peer's, until there is one.
        is_own_configuration: Which of both it is.
        begins_here: Whether the statement that begins it is in this log.
        last: Highest index of its leaves here.
        awaits_ms: When the statement was said whose receipt is due.
        asked_segments: Segments of the question that were said or taken here; so for messages, bytes of payloads, and
            for the answer, as ``ledger.index`` counts them.
        asked_handed: Segments of it that were handed to the adapter; of the answer, to the program; ``None``: unsaid.
        asked_uncertain: 1 if nobody knows whether more of it were, as its gateway says; of the answer likewise.
        receipts_due: Segments of our question, or of our answer with its end, whose receipt is not here.
        receipts: Those whose receipt is.
        is_answered: Whether the end of an answer was said or heard.
        is_late: Whether the answer came too late.
        stays_here: Whether nothing of it was sent.
        bodies: What became of its bodies, each state once; ``none`` for one that was not kept.
        destroyed_ms: When the last of these was, as the log says; ``None`` if it does not say so of each.
        is_noted: Whether records of it say whom they are about.
        subject_count: How many persons the record with the most of them is about.
        subjects_complete: Whether all of them are named.
        subjects: Their pseudonyms, those of all records, up to ``MAX_PSEUDONYMS``.
        match: Whether the person that is wanted is named, or may be among those who are not; ``None``: nobody is wanted.
    """

    log: int
    exchange: str
    role: Literal["consumer", "provider"]
    peer: str | None
    client: str | None
    service: str | None
    method: str | None
    represented: str | None
    purpose: str | None
    issue: str | None
    user: str | None
    user_basis: str | None
    door: str
    agreement: AgreementMark | None
    configuration: ConfigurationMark | None = None
    is_own_configuration: bool = False
    begins_here: bool = False
    begun_ms: int | None = None
    ended_ms: int | None = None
    outcome: str = "open"
    reason: str | None = None
    status: int | None = None
    said: int | None = None
    heard: int | None = None
    last: int = 0
    awaits_ms: int | None = None
    asked_segments: int = 0
    asked_messages: int = 0
    asked_bytes: int = 0
    asked_handed: int | None = None
    answered_segments: int = 0
    answered_messages: int = 0
    answered_bytes: int = 0
    answered_handed: int | None = None
    asked_uncertain: int | None = None
    answered_uncertain: int | None = None
    receipts_due: int = 0
    receipts: int = 0
    is_answered: bool = False
    is_late: bool = False
    stays_here: bool = False
    bodies: set[BodyState | Literal["none"]] = set()
    destroyed_ms: int | None = None
    response: Response | None = None
    is_noted: bool = False
    subject_count: int = 0
    subjects_complete: bool = True
    subjects: list[str] = []
    match: Literal["named", "possible"] | None = None

    @property
    def time_ms(self) -> int:
        """When it began; when it ended, if its begin is not here."""
        return self.begun_ms or self.ended_ms or 0

    def proofs(self, log: ReadLog) -> list[Proof]:
        """What this log proves of it."""
        found: list[Proof] = [self._standing(log)]
        if self.is_late:
            found.append("late")
        if self.last >= log.covered:
            found.append("unsigned")
        if not self.begins_here:
            found.append("gap")
        return found

    def _standing(self, log: ReadLog) -> Proof:
        if self.stays_here:
            return "own_log"
        has_all_receipts = self.receipts > 0 and not self.receipts_due
        if self.is_answered and (self.role == "consumer" or has_all_receipts):
            return "both_logs"
        if (has_all_receipts and self.role == "consumer") or (
            self.role == "provider" and not self.is_answered
        ):
            return "question_in_both_logs"
        # What a peer's receipt says becomes durable with the next leaf that concerns this peer.
        seen = log.seen_ms.get(self.peer or "", 0)
        is_due = self.awaits_ms is not None and seen - self.awaits_ms > RECEIPT_MS
        return "receipt_missing" if is_due else "receipt_awaited"


class Response(msgspec.Struct, frozen=True):
    """What an answer of the provider says of itself."""

    records: int | None
    sensitivity: str | None
    fields_cut: int


@dataclass(slots=True)
class ReadLog:
    """A log that was read for a list, as far as it could be.

    Attributes:
        log: Its id.
        size: Leaves that were read.
        first_ms: When it began.
        last_ms: The last time that its gateway declared in it.
        head: Its newest signed head, if there is one whose root these leaves have. Its signature is not checked.
        succeeds: The log that it goes on from.
        declared: What its gateway says is missing between the two.
        gap: What is missing or damaged, in words.
        seen_ms: By peer's log, the last time in this log when something of that peer was written.
    """

    log: str = ""
    size: int = 0
    first_ms: int = 0
    last_ms: int = 0
    head: TreeHead | None = None
    succeeds: Succession | None = None
    declared: Gap | None = None
    gap: str = ""
    seen_ms: dict[str, int] = field(default_factory=dict)

    @property
    def covered(self) -> int:
        """Leaves that a signed head covers."""
        return self.head.size if self.head is not None else 0


class Exchanges:
    """The rows of all logs that were read."""

    def __init__(self) -> None:
        self.logs: list[ReadLog] = []
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            f"""
            PRAGMA cache_size = -{CACHE_KIB};
            PRAGMA journal_mode = OFF;
            CREATE TABLE rows (
                request BLOB, log INTEGER, exchange TEXT, time INTEGER, outcome TEXT, data BLOB,
                UNIQUE (request, log)
            );
            CREATE TABLE said (log INTEGER, leaf INTEGER, request BLOB, kind TEXT, PRIMARY KEY (log, leaf))
                WITHOUT ROWID;
            CREATE TABLE purged (log INTEGER, kind INTEGER, number INTEGER, time INTEGER,
                PRIMARY KEY (log, kind, number)) WITHOUT ROWID;
            CREATE TABLE destroyed (request BLOB, log INTEGER, slot INTEGER, day_key INTEGER,
                PRIMARY KEY (request, log, slot, day_key)) WITHOUT ROWID;
            CREATE TABLE subjects (request BLOB, log INTEGER, pseudonym TEXT, year INTEGER, key TEXT,
                PRIMARY KEY (request, log, pseudonym, year, key)) WITHOUT ROWID;
            CREATE TABLE wanted (pseudonym TEXT PRIMARY KEY) WITHOUT ROWID;
            BEGIN;
            """
        )
        self._is_subject_kept = False

    def read(self, place: LogPlace, wanted: Wanted) -> None:
        """Read one log; what is damaged or missing in it is told by ``ReadLog.gap``, behind the rows before."""
        self._keep_subject(wanted)
        read = ReadLog()
        self.logs.append(read)
        # Read before the leaves: a head covers only what was durable, so all of it must be found then.
        newest = read_head_file(place.head_file)
        number = len(self.logs) - 1
        reader = LogReader(place.segments, lambda record: self._take_purge(number, record))
        with Bodies(place.bodies) as kept:
            reading = _Reading(self._db, number, read, kept, wanted)
            taken = 0
            try:
                for stored in reader.follow():
                    reading.take(stored, reader.node(0, stored.index))
                    taken += 1
            except ExchangeError as error:
                read.gap = f"{error} (read up to leaf {taken})"
        read.log, read.size = reader.log_id, reader.size
        _cover(read, reader, newest)

    def rows(self, wanted: Wanted) -> Iterator[Found]:
        """Those that are wanted, oldest first."""
        query = f"SELECT request, data FROM rows {_where(wanted)} ORDER BY time, exchange, log"  # noqa: S608  # constants
        for request, data in self._db.execute(query, _period(wanted)):
            found = msgspec.msgpack.decode(data, type=Found)
            if found.is_noted:
                self._tell_subjects(request, found, wanted)
            if "destroyed" in found.bodies:
                found.destroyed_ms = self._destroyed_ms(request, found.log)
            yield found

    def by_request(self, wanted: Wanted) -> Iterator[list[Found]]:
        """What all logs that were read tell of each request that is wanted, oldest first."""
        query = f"SELECT request, data FROM rows {_PERIOD} ORDER BY MIN(time) OVER (PARTITION BY request), request, log"  # noqa: S608  # a constant
        told = self._db.execute(query, _period(wanted))
        for _, group in itertools.groupby(told, operator.itemgetter(0)):
            yield [msgspec.msgpack.decode(data, type=Found) for _, data in group]

    def _keep_subject(self, wanted: Wanted) -> None:
        if wanted.subject is not None and not self._is_subject_kept:
            names = [(one,) for one in sorted(wanted.subject.pseudonyms)]
            self._db.executemany("INSERT INTO wanted VALUES (?)", names)
            self._is_subject_kept = True

    def _tell_subjects(self, request: bytes, found: Found, wanted: Wanted) -> None:
        """Whom the records of a request are about, and whether the person that is wanted is one of them."""
        query = "SELECT DISTINCT pseudonym FROM subjects WHERE request = ? AND log = ? AND pseudonym <> ''"
        named = [name for (name,) in self._db.execute(query, (request, found.log))]
        found.subject_count = max(found.subject_count, len(named))
        found.subjects = named[:MAX_PSEUDONYMS]
        if wanted.subject is not None:
            found.match = "named" if wanted.subject.pseudonyms.intersection(named) else "possible"

    def missing_keys(self, wanted: Wanted) -> list[MissingKey]:
        """The keys that made annexes in the period and are not at hand: who is in those is not known."""
        if wanted.subject is None:
            return []
        query = f"""
            SELECT DISTINCT subjects.year, subjects.key FROM subjects JOIN rows USING (request, log) {_PERIOD}
            AND pseudonym <> ''
        """  # noqa: S608  # a constant
        made_by = set(self._db.execute(query, _period(wanted)))
        years = {year for year, _ in wanted.subject.keys}
        return [
            MissingKey(year, key, has_other=year in years)
            for year, key in sorted(made_by.difference(wanted.subject.keys))
        ]

    def _destroyed_ms(self, request: bytes, log: int) -> int | None:
        """When the last body of a request was destroyed, if the log says so of each."""
        query = "SELECT slot, day_key FROM destroyed WHERE request = ? AND log = ?"
        last = None
        for slot, day_key in self._db.execute(query, (request, log)):
            time_ms = self._purged_ms(log, BodyKeys(slot, day_key))
            if time_ms is None:
                return None
            last = time_ms if last is None else max(last, time_ms)
        return last

    def _take_purge(self, log: int, record: bytes) -> None:
        """What is erased again was gone before: the first time counts."""
        purge = parse_purge(record)
        if purge is not None:
            self._db.execute("INSERT OR IGNORE INTO purged VALUES (?, ?, ?, ?)", (log, *purge))

    def _purged_ms(self, log: int, keys: BodyKeys) -> int | None:
        query = "SELECT MIN(time) FROM purged WHERE log = ? AND (kind = ? AND number = ? OR kind = ? AND number = ?)"
        values = (log, PurgeKind.BODY, keys.slot, PurgeKind.DAY_KEY, keys.day_key)
        (time_ms,) = self._db.execute(query, values).fetchone()
        return None if time_ms is None else int(time_ms)

    def outcomes(self, wanted: Wanted) -> dict[str, int]:
        """How many ended how."""
        query = f"SELECT outcome, COUNT(*) FROM rows {_where(wanted)} GROUP BY outcome"  # noqa: S608  # constants
        return dict(self._db.execute(query, _period(wanted)))

    def period_ms(self, wanted: Wanted) -> tuple[int, int] | None:
        """Times of the first and the last row."""
        query = f"SELECT MIN(time), MAX(time) FROM rows {_where(wanted)}"  # noqa: S608  # constants
        first, last = self._db.execute(query, _period(wanted)).fetchone()
        return None if first is None else (first, last)

    def close(self) -> None:
        """Forget the rows."""
        self._db.close()


_STORE: Final = """
    INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET time = excluded.time, outcome = excluded.outcome, data = excluded.data
"""
_PERIOD: Final = "WHERE time >= ? AND time < ?"
# An empty pseudonym: there are, or may be, more persons than are named.
_ABOUT: Final = """ AND EXISTS (
    SELECT 1 FROM subjects WHERE subjects.request = rows.request AND subjects.log = rows.log
    AND (pseudonym = '' OR pseudonym IN (SELECT pseudonym FROM wanted))
)"""


def _where(wanted: Wanted) -> str:
    return _PERIOD if wanted.subject is None else _PERIOD + _ABOUT


def _period(wanted: Wanted) -> tuple[int, int]:
    return wanted.since_ms or 0, _MAX_SQL_INTEGER if wanted.until_ms is None else wanted.until_ms


class _Reading:
    """One pass over one log."""

    def __init__(
        self, db: sqlite3.Connection, number: int, read: ReadLog, bodies: Bodies, wanted: Wanted
    ) -> None:
        self._db = db
        self._number = number
        self._read = read
        self._bodies = bodies
        self._wanted = wanted

    def take(self, stored: StoredLeaf, hashed: bytes) -> None:
        """Take in the next leaf; raises ``MalformedError``."""
        leaf = stored.leaf
        if leaf.startswith((GENESIS, NOTE)):
            self._take_own(leaf)
        elif leaf.startswith((SAID, HEARD)):
            self._keep_time(leaf)
            if self._wanted.may_match(stored):
                self._take_statement(stored, hashed)
        for kind, data in stored.attachments:
            if kind is AttachmentKind.RECEIPT:
                self._take_receipt(data, stored.index)

    def _take_own(self, leaf: bytes) -> None:
        parsed = parse_leaf(leaf)
        if parsed.label == GENESIS:
            genesis = parse_genesis(parsed.body)
            self._read.first_ms = self._read.last_ms = genesis.time
            self._read.succeeds = genesis.succeeds
        else:
            note = parse_note(parsed.body)
            self._read.last_ms = max(self._read.last_ms, note.time)
            self._read.declared = self._read.declared or read_gap(note)

    def _keep_time(self, leaf: bytes) -> None:
        """The log's time goes on by what its own gateway says; a peer's leaf is as old as what stands before it."""
        read = self._read
        if leaf.startswith(HEARD):
            peer = _LOG.search(leaf)
        else:
            said_at = _ISSUED_AT.search(leaf)
            said_ms = int(said_at[1]) if said_at else 0
            if said_ms <= MAX_TIME_MS:  # the log may be anybody's, and this leaf was not parsed
                read.last_ms = max(read.last_ms, said_ms)
            # An ending of what was never sent concerns no peer: nothing learnt of it becomes durable beside.
            stays_here = _NOT_SENT in leaf and _ENDING.search(leaf)
            peer = None if stays_here else _TO.search(leaf)
        if peer:
            read.seen_ms[peer[1].decode()] = read.last_ms

    def _take_statement(self, stored: StoredLeaf, hashed: bytes) -> None:
        leaf = parse_leaf(stored.leaf)
        if leaf.label == SAID:
            statement = parse_statement(leaf.body)
            annex = _annex(stored, None)
            is_own = statement.request is None or (statement.kind == "refusal" and statement.to is None)
            request = hashed if is_own else bytes.fromhex(statement.request or "")
            verdict = "said"
        else:
            heard = parse_heard(leaf.body)
            annex = _annex(stored, heard.annex)
            body = next((data for kind, data in stored.attachments if kind is AttachmentKind.STATEMENT), None)
            if body is None:
                # Of whichever exchange it is, about whomever: nobody must be missed without a word.
                raise MalformedLeafError("a record without the bytes of the statement it is about")
            statement = parse_statement(body)
            request = bytes.fromhex(statement.request or heard.leaf)
            verdict = heard.verdict
        is_said = leaf.label == SAID
        found = self._load(request)
        if found is None and statement.exchange is not None:
            found = _begun(self._number, statement, is_said=is_said)
        if found is None:
            return
        _tell(found, statement, verdict)
        if annex is not None:
            self._take_annex(request, found, annex)
        told = row_of(stored)
        if told is not None:
            row = msgspec.structs.asdict(found)
            tell(row, told)
            for name in _TOLD:
                setattr(found, name, row[name])
        found.last = max(found.last, stored.index)
        if statement.payloads:
            state = "none" if stored.body is None else self._bodies.state(stored.body)
            found.bodies.add(state)
            if state == "destroyed" and stored.body is not None:
                destroyed = (request, self._number, *keys_of(stored.body))
                self._db.execute("INSERT OR IGNORE INTO destroyed VALUES (?, ?, ?, ?)", destroyed)
        if is_said and statement.to is not None and statement.kind in _RECEIPTED:
            found.receipts_due += 1
            values = (self._number, stored.index, request, statement.kind)
            self._db.execute("INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?)", values)
        self._store(request, found)

    def _take_annex(self, request: bytes, found: Found, annex: Annex) -> None:
        found.is_noted = True
        found.subject_count = max(found.subject_count, annex.count)
        found.subjects_complete = found.subjects_complete and annex.complete
        names = [*annex.pseudonyms, *([] if annex.complete else [""])]
        rows = [(request, self._number, name, annex.year, annex.key) for name in names]
        self._db.executemany("INSERT OR IGNORE INTO subjects VALUES (?, ?, ?, ?, ?)", rows)

    def _take_receipt(self, data: bytes, at: int) -> None:
        """RECEIPT: u64 index of our leaf | u64 index of the peer's | 32 bytes head digest | body of its leaf."""
        index = int.from_bytes(data[:8], "little")
        if index >= at:
            return  # a receipt stands beside a later leaf than the one it is about
        query = "DELETE FROM said WHERE log = ? AND leaf = ? RETURNING request, kind"
        row = self._db.execute(query, (self._number, index)).fetchone()
        found = self._load(row[0]) if row else None
        if found is None:
            return
        found.receipts_due -= 1
        found.receipts += 1
        if row[1] != "request":
            found.is_late = found.is_late or parse_heard(data[48:]).verdict == "late"
        self._store(row[0], found)

    def _load(self, request: bytes) -> Found | None:
        query = "SELECT data FROM rows WHERE request = ? AND log = ?"
        row = self._db.execute(query, (request, self._number)).fetchone()
        return msgspec.msgpack.decode(row[0], type=Found) if row else None

    def _store(self, request: bytes, found: Found) -> None:
        data = msgspec.msgpack.encode(found)
        values = (request, self._number, found.exchange, found.time_ms, found.outcome, data)
        self._db.execute(_STORE, values)


# What the index of a gateway tells of an exchange, told here by the same rule.
_TOLD: Final = ("begun_ms", "ended_ms", "outcome", "reason", "status", "said", "heard", *COUNTS, *HANDED)
# Statements whose receipt is waited for.
_RECEIPTED: Final = ("request", "response", "refusal")


def _annex(stored: StoredLeaf, digest: str | None) -> Annex | None:
    """What a record says of whom it is about; raises ``MalformedAnnexError``, as ``verify-log`` does."""
    return annex_beside(digest, [data for kind, data in stored.attachments if kind is AttachmentKind.ANNEX])


def _begun(log: int, s: Statement, *, is_said: bool) -> Found:
    """A row from the first statement of it in this log; every statement repeats what the request said."""
    is_answer = s.kind in ("response", "refusal") and s.to is not None
    return Found(
        log=log,
        exchange=s.exchange or "",
        role="consumer" if is_said != is_answer else "provider",
        peer=s.to if is_said else s.from_,
        client=s.client,
        service=s.service,
        method=s.method,
        represented=s.represented,
        purpose=s.purpose,
        issue=s.issue,
        user=s.user.id if s.user else None,
        user_basis=s.user.basis if s.user else None,
        door=s.door,
        agreement=s.agreement,
        bodies=set(),
    )


def _tell(found: Found, s: Statement, verdict: str) -> None:
    """What a statement tells beyond the index; ``verdict`` is our record's, or ``said`` where it is our own word."""
    is_said = verdict == "said"
    is_home_refusal = s.kind == "refusal" and s.to is None
    if (s.kind == "request" and s.sequence == 0) or is_home_refusal:
        found.begins_here = True
    if s.configuration is not None and is_said and not found.is_own_configuration:
        found.configuration, found.is_own_configuration = s.configuration, True
    found.configuration = found.configuration or s.configuration
    if is_home_refusal:
        found.stays_here = True
    elif s.kind in ("response", "refusal"):
        found.is_answered = found.is_answered or s.kind == "refusal" or s.final
        found.is_late = found.is_late or verdict == "late"
        if s.kind == "response" and verdict in ("said", "taken"):
            found.response = _added(found.response if s.sequence else None, s)
    elif s.kind != "request" and is_said:
        found.stays_here = s.delivery == "not_sent"
    if is_said and not found.stays_here and s.kind in ("request", "response", "refusal"):
        found.awaits_ms = s.issued_at


def _added(before: Response | None, s: Statement) -> Response:
    """What an answer says of itself, segment by segment: records and cut fields in sum, the highest class."""
    cut = s.cut.count if s.cut else 0
    if before is None:
        return Response(s.records, s.sensitivity, cut)
    records = [one for one in (before.records, s.records) if one is not None]
    classes = [one for one in (before.sensitivity, s.sensitivity) if one is not None]
    return Response(sum(records) if records else None, max(classes, default=None), before.fields_cut + cut)


def _cover(read: ReadLog, reader: LogReader, newest: bytes | None) -> None:
    """Compare the newest head with the leaves; a log that ends before it, or has another root, has a gap."""
    for jws in (newest, reader.last_head):
        try:
            head = parse_head(jws).unverified if jws else None
        except MalformedError:
            continue
        if head is None or head.log != reader.log_id:
            continue
        if head.size > reader.size:
            read.gap = read.gap or f"its signed head covers {head.size} leaves, {reader.size} are here"
        elif root_of(reader.node, head.size).hex() != head.root:
            read.gap = read.gap or f"its signed head of {head.size} leaves has another root"
        else:
            read.head = head
            return


def require_whole(logs: list[ReadLog]) -> None:
    """Raise ``LOG_DAMAGED`` if any log has a gap."""
    for read in logs:
        if read.gap:
            raise ExchangeError(Reason.LOG_DAMAGED, f"log {read.log[:16]}: {read.gap}")


def require_keys(missing: list[MissingKey]) -> None:
    """Raise ``KEY_UNREADABLE`` if a person could not be looked for under some key."""
    if missing:
        told = "; ".join(one.told.en for one in missing)
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{told}: the list may lack exchanges")
