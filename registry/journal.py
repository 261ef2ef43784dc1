"""The registry's own tree log: change *n* of the database is leaf *n*, and it is there before anything is published.

The database commits a change together with the bytes of its leaf; the log is brought up to it afterwards. A crash
between the two leaves a log that is behind, and the missing leaves are known byte for byte. A log that is *ahead*
means that somebody restored an old database: the registry then refuses to serve.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import Clock
from core.heads import ConfigurationMark, TreeHead, parse_head
from core.leaves import (
    REGISTRY,
    Genesis,
    RegistryChange,
    genesis_leaf,
    prefix,
    registry_leaf,
)
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from ledger.commit import Entry, GroupCommit
from ledger.log import Log, create_log
from pki.heads import HeadSigner
from registry.models import Change
from rpc.files import replace_file

# M19: how far the own clock may fall behind the last head before nothing is signed any more.
MAX_CLOCK_STEP_S: Final = 60


def create_journal(directory: Path, registry: str, clock: Clock) -> str:
    """Begin the log of a registry; returns its id."""
    genesis = Genesis(
        v=1,
        gateway=registry,
        worker=0,
        time=clock.now_ms(),
        random=secrets.token_bytes(16).hex(),
        succeeds=None,
    )
    return create_log(directory, genesis_leaf(genesis))


def note_change(
    session: Session, clock: Clock, change: str, actors: list[str], subject: str, digest: str | None
) -> None:
    """Put a change on record, in the transaction that makes it."""
    number = session.scalar(select(func.coalesce(func.max(Change.number), 0))) or 0
    nonce = secrets.token_bytes(16).hex()
    leaf = registry_leaf(
        "0" * 64,
        RegistryChange(
            v=1,
            nonce=nonce,
            time=clock.now_ms(),
            change=change,
            actors=actors,
            object=subject,
            digest=digest,
        ),
    )
    body = leaf.split(b"\n", 2)[2]
    session.add(Change(number=number + 1, nonce=nonce, body=body))
    session.flush()


class Journal:
    """The open log; ``catch_up`` is its only way to grow."""

    def __init__(self, directory: Path, registry: str, signer: HeadSigner, clock: Clock) -> None:
        self._registry = registry
        self._signer = signer
        self._clock = clock
        self._log = Log.open(directory)
        self._commit = GroupCommit(self._log, lambda call: call(), _fail)
        self._head_file = directory / "head.jws"
        self._head = b""
        self._iat = 0
        self._go_on_from_last_head()

    @property
    def log_id(self) -> str:
        """The log's id."""
        return self._log.log_id

    @property
    def head(self) -> bytes:
        """The newest signed head; empty before the first ``sign``."""
        return self._head

    def require_alive(self) -> None:
        """Refuse before anything is committed that could not be logged; raises ``RECORDING_FAILED``."""
        if self._commit.failure is not None:
            raise ExchangeError(
                Reason.RECORDING_FAILED, "the registry's log is dead until it is opened again"
            )

    def catch_up(self, session: Session) -> int:
        """Append every committed change that the log does not hold; returns how many.

        Raises:
            ExchangeError: ``LOG_DAMAGED``: log and database do not belong together.
        """
        known = session.scalar(select(func.coalesce(func.max(Change.number), 0))) or 0
        logged = self._log.size - 1
        if logged > known:
            raise ExchangeError(
                Reason.LOG_DAMAGED,
                f"the log holds {logged} changes and the database {known}: it is an old one",
            )
        self._require_same(session, logged)
        missing = session.scalars(select(Change).where(Change.number > logged).order_by(Change.number)).all()
        if missing:
            self._commit.commit_now([self._entry(row) for row in missing])
        return len(missing)

    def sign(self, mark: ConfigurationMark) -> bytes:
        """Sign the head of what is durable, under the configuration that is being published."""
        now = self._clock.now_ms() // 1000
        if self._iat - now > MAX_CLOCK_STEP_S:
            raise ExchangeError(
                Reason.CLOCK_SKEW, f"the clock is {self._iat - now} s behind the last head that was signed"
            )
        self._iat = max(self._iat, now)
        head = self._signer.sign(
            TreeHead(
                v=1,
                log=self.log_id,
                gateway=self._registry,
                size=self._log.size,
                root=self._log.root().hex(),
                iat=self._iat,
                cfg=mark,
            )
        )
        # On disk before anybody sees it: a log that is shorter than its own head was taken from somewhere else.
        replace_file(self._head_file, head)
        self._head = head
        return head

    def _go_on_from_last_head(self) -> None:
        """Refuse a log that is not the one whose head was signed last; times of heads never fall."""
        try:
            last = parse_head(self._head_file.read_bytes()).unverified
        except FileNotFoundError:
            return
        if last.size > self._log.size or self._log.root(last.size).hex() != last.root:
            self.close()
            raise ExchangeError(
                Reason.LOG_DAMAGED,
                f"the log holds {self._log.size} leaves and its last head says {last.size}",
            )
        self._iat = last.iat

    def close(self) -> None:
        """Let go of the log."""
        self._commit.close()
        self._log.close()

    def _entry(self, row: Change) -> Entry:
        leaf = prefix(REGISTRY, self.log_id) + row.body
        return Entry(leaf=leaf, leaf_hash=leaf_hash(leaf))

    def _require_same(self, session: Session, number: int) -> None:
        """The newest change that both hold must be the same: two histories are never mixed."""
        row = session.get(Change, number) if number else None
        if row is not None and self._entry(row).leaf_hash != self._log.node(0, number):
            raise ExchangeError(Reason.LOG_DAMAGED, f"change {number} differs between log and database")


def _fail(error: BaseException) -> None:
    raise ExchangeError(Reason.LOG_WRITE_FAILED, "the registry's log cannot be written") from error
