"""The words of names by which people are found.

How names are folded is copied from ``adapters.identity.comparison`` as it was: what an old migration does never
changes. A later folding needs a migration of its own, which fills the table anew.
"""

import re
import unicodedata
from functools import lru_cache

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BATCH = 10_000
_LETTERS = str.maketrans({
    "ɖ": "d", "ɗ": "d", "đ": "d", "ɛ": "e", "ǝ": "e", "ə": "e", "ɔ": "o", "ø": "o", "ŋ": "n", "ɲ": "n",
    "ɣ": "g", "ɩ": "i", "ı": "i", "ʋ": "v", "ł": "l", "œ": "oe", "æ": "ae",
})  # fmt: skip
_JOINING = re.compile("['\u2018\u2019\u02bc\u02bb`\u00b4]")
_WORD = re.compile(r"\w+")


def upgrade() -> None:
    """Create the table, and fill it from the persons who are there, a batch at a time."""
    words = op.create_table(
        "person_word",
        sa.Column("word", sa.String(200), nullable=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("word", "npi", name="pk_person_word"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    some = sa.text(
        "SELECT npi, last_name, marital_name, first_names FROM person WHERE npi > :last ORDER BY npi LIMIT :batch"
    )
    last = ""
    while people := connection.execute(some, {"last": last, "batch": _BATCH}).all():
        last = people[-1].npi
        found = sorted({(word, npi) for npi, *names in people for name in names for word in _words(name)})
        if found:
            connection.execute(words.insert(), [{"word": word, "npi": npi} for word, npi in found])


@lru_cache(16_384)
def _words(name: str) -> frozenset[str]:
    text = _JOINING.sub("", name)
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in text if not unicodedata.combining(letter))
    words = _WORD.findall(bare.translate(_LETTERS))
    return frozenset((*words, "".join(words))) - {""}
