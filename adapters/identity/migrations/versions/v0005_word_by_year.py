"""The words of names by year of birth, so that a search reads the years that it asks for and no others.

Last names at birth and by marriage are found as one word, too. Names are folded as in 0002.
"""

import sqlalchemy as sa
from alembic import op

from adapters.identity.migrations.versions.v0002_person_word import _words as folded

revision = "0005"
down_revision = "0004"

_BATCH = 10_000


def upgrade() -> None:
    """Put the table in the place of the one before, and fill it from the persons who are there, a batch at a time."""
    op.drop_table("person_word")
    words = op.create_table(
        "person_word",
        sa.Column("word", sa.String(400), nullable=False),
        sa.Column("year", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("word", "year", "npi", name="pk_person_word"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    some = sa.text(
        "SELECT npi, birth_date, last_name, marital_name, first_names FROM person"
        " WHERE npi > :last ORDER BY npi LIMIT :batch"
    )
    last = ""
    while people := connection.execute(some, {"last": last, "batch": _BATCH}).all():
        last = people[-1].npi
        found = sorted(
            (word, int(birth_date[:4] or 0), npi)
            for npi, birth_date, *names in people
            for word in _words(*names)
        )
        if found:
            rows = [{"word": word, "year": year, "npi": npi} for word, year, npi in found]
            connection.execute(words.insert(), rows)


def _words(last_name: str, marital_name: str, first_names: str) -> set[str]:
    both = f"{last_name} {marital_name}"
    return {word for name in (both, last_name, marital_name, first_names) for word in folded(name)}
