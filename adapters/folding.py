"""What writing adds to a name and a register must not mind: case, accents, punctuation.

Registers keep names in capitals without accents, people write them as they like. Every comparison of names, of persons
and of firms, starts from the words that this module leaves.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Letters of Fon, Yoruba, Bariba and French that have no decomposition into a base letter and a mark.
_LETTERS: Final = str.maketrans({
    "ɖ": "d", "ɗ": "d", "đ": "d", "ɛ": "e", "ǝ": "e", "ə": "e", "ɔ": "o", "ø": "o", "ŋ": "n", "ɲ": "n",
    "ɣ": "g", "ɩ": "i", "ı": "i", "ʋ": "v", "ł": "l", "œ": "oe", "æ": "ae",
})  # fmt: skip
# N'TCHA is also written NTCHA and N’Tcha: an apostrophe joins, every other mark separates.
_JOINING: Final = re.compile("['\u2018\u2019\u02bc\u02bb`\u00b4]")
_WORD: Final = re.compile(r"\w+")


def fold(name: str) -> tuple[str, ...]:
    """Take from ``name`` what writing adds, case, accents and punctuation; its words stay in their order."""
    # Case is folded on both sides of the decomposition: some capitals only decompose once they are small,
    # some small letters only show their base once they are decomposed.
    text = _JOINING.sub("", name)
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in text if not unicodedata.combining(letter))
    return tuple(_WORD.findall(bare.translate(_LETTERS)))
