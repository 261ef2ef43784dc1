"""The register on disk: one table, read by number, and the words of names by which people are found.

Schema changes are Alembic migrations in ``migrations/``. SQLite by default (write-ahead log, so that reads go on while a
seed is written).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from adapters.identity.comparison import divided, record_words
from adapters.identity.person import COLUMNS, Person, RecordState, as_row
from adapters.kit import store as kit
from adapters.kit.tables import kit_tables
from adapters.reasons import ProviderError, ProviderReason
from adapters.world.reserved import NPI_PREFIX
from core.reasons import ExchangeError, Reason

MIGRATIONS: Final = Path(__file__).parent / "migrations"
METADATA: Final = kit.naming()
KIT: Final = kit_tables(METADATA)
_BATCH: Final = 10_000
_SEED_CACHE_KIB: Final = 256 * 1024


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


# Same names and order as ``Person``; what is unknown is the empty text, never NULL.
PERSONS: Final = sa.Table(
    "person",
    METADATA,
    sa.Column("npi", sa.String(10), primary_key=True),
    _text("last_name", 100),
    _text("first_names", 200),
    _text("marital_name", 100),
    _text("birth_date", 10),
    _text("birth_country", 3),
    _text("birth_place", 100),
    _text("residence_country", 3),
    _text("residence_department", 40),
    _text("residence_town", 60),
    _text("residence_district", 80),
    _text("residence_village", 80),
    _text("residence_address", 200),
    _text("phone_cc", 5),
    _text("phone", 15),
    _text("email", 120),
    _text("nationality", 3),
    _text("sex", 1),
    _text("death_date", 10),
    _text("father_last_name", 100),
    _text("father_first_names", 200),
    _text("mother_last_name", 100),
    _text("mother_first_names", 200),
    _text("state", 10),
    _text("merged_into", 10),
    sa.Column("record_version", sa.Integer, nullable=False),
    sa.CheckConstraint("state IN ('active', 'locked', 'merged')", name="state"),
    sa.CheckConstraint("(state = 'merged') = (merged_into <> '')", name="merged_into"),
    sa.Index(
        "ix_person_merged_into",
        "merged_into",
        sqlite_where=sa.text("merged_into <> ''"),
        postgresql_where=sa.text("merged_into <> ''"),
    ),
    # The rows are found by their key, all but a few: without row ids SQLite keeps one tree instead of two.
    sqlite_with_rowid=False,
)

# Under which words of their names people are found (``comparison.record_words``), by year of birth: 0 is not known.
WORDS: Final = sa.Table(
    "person_word",
    METADATA,
    sa.Column("word", sa.String(400), primary_key=True),
    sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("npi", sa.String(10), primary_key=True),
    sqlite_with_rowid=False,
)

Row = tuple[Any, ...]
Name = tuple[tuple[str, ...], str]
"""The words of a name, and all of them in one."""
_LAST, _MARITAL, _FIRST, _BORN = (
    COLUMNS.index(name) for name in ("last_name", "marital_name", "first_names", "birth_date")
)

_FIND: Final = sa.select(PERSONS).where(PERSONS.c.npi == sa.bindparam("npi"))

# So many rows of the rarest word are looked at: 0.1 s at most.
MAX_WALKED: Final = 50_000
# Of each name, to find the rarest: more than people have, and no work for a claim of a hundred.
_COUNTED_WORDS: Final = 6
_ALL_YEARS: Final = (1, 9999)
_WALKED: Final = WORDS.alias("walked")
_PROBED: Final = WORDS.alias("probed")
# What is not known speaks against nobody: whoever has this one is found by any.
_UNKNOWN_YEAR: Final = 0


def _walked() -> sa.CompoundSelect[Any]:
    """Rows of a word, or of all of its name in one, of the years that are asked for and of the unknown one."""
    words = sa.select(_WALKED.c.year, _WALKED.c.npi).where(
        _WALKED.c.word.in_([sa.bindparam("word"), sa.bindparam("whole")])
    )
    # Two walks: in one with an alternative, SQLite reads all years of the word.
    years = _WALKED.c.year.between(sa.bindparam("first_year"), sa.bindparam("last_year"))
    return words.where(years).union_all(words.where(_WALKED.c.year == _UNKNOWN_YEAR))


_COUNT: Final = sa.select(sa.func.count()).select_from(_walked().limit(sa.bindparam("limit")).subquery())


def _meant(walked_name: int, *sizes: int) -> sa.Select[Any]:
    """Records whose persons have all words of each name or all of a name in one, so many words as ``sizes`` say.

    Args:
        walked_name: The name of which a word is walked; if it has no other, nothing is left to look up.
        sizes: How many words each name has.
    """
    walked = _walked().subquery()

    def has(name: int, word: int | None) -> sa.ColumnElement[bool]:
        same = _PROBED.c.year == walked.c.year, _PROBED.c.npi == walked.c.npi
        return sa.exists().where(_PROBED.c.word == sa.bindparam(_mark(name, word)), *same)

    def is_named(name: int, size: int) -> sa.ColumnElement[bool]:
        whole = has(name, None)
        return whole if size == 1 else sa.or_(sa.and_(*(has(name, word) for word in range(size))), whole)

    left = [is_named(name, size) for name, size in enumerate(sizes) if (name, size) != (walked_name, 1)]
    found = sa.select(walked.c.npi).distinct().where(*left).subquery()
    query = sa.select(PERSONS).join_from(found, PERSONS, PERSONS.c.npi == found.c.npi)
    query = query.where(PERSONS.c.state == RecordState.ACTIVE.value, PERSONS.c.death_date == "")
    return query.limit(sa.bindparam("limit"))


def _mark(name: int, word: int | None) -> str:
    return f"name_{name}_{'whole' if word is None else word}"


class PersonStore:
    """Finds records by number; safe to use from several threads."""

    def __init__(self, store: kit.Store) -> None:
        self._store = store
        self._by_number = store.prepare(_FIND)
        self._count = store.prepare(_COUNT)
        # A query for each number of words that a last and a first name have.
        self._by_words = lru_cache(64)(lambda *shape: store.prepare(_meant(*shape)))

    def find(self, npi: str) -> Person | None:
        """The record of that number, whatever its state.

        Raises:
            ProviderError: The database does not answer (UPSTREAM_UNAVAILABLE).
        """
        found = self._by_number(npi=npi)
        return Person(*found[0]) if found else None

    def search(
        self, last_name: str, first_names: str, years: tuple[int, int] | None, limit: int
    ) -> list[Person]:
        """Records that may be meant, for ``comparison.compare`` to judge, by number; of more than ``limit`` any.

        Only those that searches may see: neither locked nor merged, of living people. All of them have all the words that
        are asked for, or those of a name in one.

        Args:
            last_name: At birth or by marriage; it may also stand among the first names.
            first_names: Some of them.
            years: First and last year of birth, from 1; whoever's is unknown may be meant, too.
            limit: How many.

        Raises:
            ProviderError: The database does not answer (UPSTREAM_UNAVAILABLE); even the rarest of the words is too many
                people's (TOO_MANY_RECORDS).
        """
        names = divided(last_name), divided(first_names)
        if not all(words for words, _ in names):
            return []
        born = dict(zip(("first_year", "last_year"), years or _ALL_YEARS, strict=True))
        asked = {
            _mark(place, rank): word
            for place, (words, whole) in enumerate(names)
            for rank, word in [*enumerate(words), (None, whole)]
        }
        walked, either = self._rarest(names, born)
        rows = self._by_words(walked, *(len(words) for words, _ in names))
        found = rows(**asked, **either, **born, limit=limit)
        return sorted((Person(*row) for row in found), key=lambda person: person.npi)

    def _rarest(self, names: Iterable[Name], born: dict[str, int]) -> tuple[int, dict[str, str]]:
        """Which name, and a word of it or all in one: who is meant has one of the two, and the fewest others do."""
        rarest, fewest = None, MAX_WALKED + 1
        for place, (words, whole) in enumerate(names):
            for word in words[:_COUNTED_WORDS]:
                either = {"word": word, "whole": whole}
                count = self._count(**either, **born, limit=fewest)[0][0]
                if count < fewest:
                    rarest, fewest = (place, either), count
        if rarest is None:
            raise ProviderError(ProviderReason.TOO_MANY_RECORDS)
        return rarest

    def count(self) -> int:
        """How many records there are."""
        with self._store.reading() as tx:
            return tx.execute(sa.select(sa.func.count()).select_from(PERSONS)).scalar_one()

    def replace_all(self, persons: Iterable[Person], written: Callable[[int], None] = lambda _: None) -> int:
        """Put ``persons`` in the place of whatever seed is there, all or nothing; return their number.

        ``written`` is told after each batch how many went in with it.

        Raises:
            ExchangeError: The store holds somebody outside the reserved ranges: it is no sandbox
                (STATE_CONFLICT).
        """
        return self.replace_rows(map(as_row, persons), written)

    def replace_rows(
        self,
        rows: Iterable[Row],
        written: Callable[[int], None] = lambda _: None,
        more: Callable[[sa.Connection], None] = lambda _: None,
    ) -> int:
        """As ``replace_all``, of records that are given as their values in the order of ``COLUMNS``.

        ``more`` writes what goes with them, in the same transaction.
        """
        total, left = 0, iter(rows)
        with self._store.writing() as tx, _room(tx):
            _empty(tx)
            while batch := list(itertools.islice(left, _BATCH)):
                _insert(tx, batch)
                total += len(batch)
                written(len(batch))
            more(tx)
        return total

    def close(self) -> None:
        """Give all connections back."""
        self._store.close()


def is_merged_into(npi: str) -> sa.ColumnElement[bool]:
    """Records that were merged into that one; found by their index, which holds no others."""
    return sa.and_(PERSONS.c.merged_into != sa.literal_column("''"), PERSONS.c.merged_into == npi)


def replace_values(tx: sa.Connection, person: Person, values: dict[str, str]) -> None:
    """Write some values of a record whose row is locked: one version more, found under its new names and year."""
    version = person.record_version + 1
    row = PERSONS.c.npi == person.npi
    tx.execute(PERSONS.update().where(row).values(**values, record_version=version))
    now = dataclasses.replace(person, **values)  # type: ignore[arg-type]  # texts, all of them
    known, wanted = (set(_words_of(as_row(one))) for one in (person, now))
    # By their whole key: words are in no index by number.
    for word, year, npi in known - wanted:
        tx.execute(WORDS.delete().where(WORDS.c.word == word, WORDS.c.year == year, WORDS.c.npi == npi))
    if new := sorted(wanted - known):
        tx.execute(WORDS.insert(), [dict(zip(WORDS.c.keys(), one, strict=True)) for one in new])


def _words_of(row: Row) -> list[tuple[str, int, str]]:
    words, year = record_words(row[_LAST], row[_MARITAL], row[_FIRST]), _year(row[_BORN])
    return [(word, year, row[0]) for word in words]


def _year(birth_date: str) -> int:
    return int(birth_date[:4] or _UNKNOWN_YEAR)


@contextmanager
def _room(tx: sa.Connection) -> Iterator[None]:
    """Memory for a whole seed: each batch touches all of the words, which SQLite would write out and read in again."""
    if tx.dialect.name != "sqlite":
        yield
        return
    usual = tx.exec_driver_sql("PRAGMA cache_size").scalar_one()
    tx.exec_driver_sql(f"PRAGMA cache_size=-{_SEED_CACHE_KIB}")
    try:
        yield
    finally:
        tx.exec_driver_sql(f"PRAGMA cache_size={usual}")


def _empty(tx: sa.Connection) -> None:
    real = sa.select(PERSONS.c.npi).where(PERSONS.c.npi.not_like(f"{NPI_PREFIX}%")).limit(1)
    if tx.execute(real).first():
        raise ExchangeError(Reason.STATE_CONFLICT, "this register holds real persons; no seed may touch it")
    tx.execute(WORDS.delete())
    tx.execute(PERSONS.delete())


def _insert(tx: sa.Connection, batch: list[Row]) -> None:
    """In order of their keys, a batch goes into few pages instead of all; rows go to the driver as they are."""
    batch.sort()
    words = [one for row in batch for one in _words_of(row)]
    words.sort()
    for table, rows in ((PERSONS, batch), (WORDS, words)):
        if rows:
            mark = "?" if tx.dialect.name == "sqlite" else "%s"
            marks = ", ".join([mark] * len(table.columns))
            tx.exec_driver_sql(f"INSERT INTO {table.name} VALUES ({marks})", rows)  # noqa: S608 - of constants


def open_store(url: str) -> PersonStore:
    """Open the register at ``url``; raises as ``adapters.kit.store.open_store`` does."""
    return PersonStore(kit.open_store(url, MIGRATIONS))


def migrate(url: str) -> None:
    """Create the register at ``url``, or bring its schema to this version's."""
    kit.migrate(url, MIGRATIONS)
