"""The words of names by which people are found."""

import sqlalchemy as sa
from alembic import op

from adapters.identity.comparison import search_words

revision = "0002"
down_revision = "0001"

_BATCH = 10_000


def upgrade() -> None:
    """Create the table, and fill it from the persons who are there."""
    words = op.create_table(
        "person_word",
        sa.Column("word", sa.String(200), nullable=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("word", "npi", name="pk_person_word"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    names = sa.text("SELECT npi, last_name, marital_name, first_names FROM person")
    found = sorted(
        {
            (word, npi)
            for npi, *own in connection.execute(names)
            for name in own
            for word in search_words(name)
        }
    )
    for begin in range(0, len(found), _BATCH):
        rows = [{"word": word, "npi": npi} for word, npi in found[begin : begin + _BATCH]]
        connection.execute(words.insert(), rows)
