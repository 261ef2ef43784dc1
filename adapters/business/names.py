"""Names of firms: which are one name, which are too near, which nobody may take.

A name is judged by its words. Case, accents, punctuation (``adapters.folding``), the words that stand for a legal form,
those that link others and the order of words make no difference; letters spelt singly are one word (``B.T.P.`` is
``BTP``). Two names are in conflict if these words are the same, if they are the same letters divided otherwise, or if
one letter more, less or other would make them so; one letter says nothing in a short name, so there it must be the
same.

Lists of words are data (``names.toml``). What this module finds near is found in the store without reading all names:
two texts one letter apart share one of their ``traces``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from adapters.business.forms import FORMS, LegalForm
from adapters.folding import fold

_LISTS: Final = Path(__file__).with_name("names.toml")
# As many as CheckNameResponse.similar holds.
MAX_SIMILAR: Final = 10
# One letter of five is another word: SODJI and SODJA are two families.
_SHORTEST_NEAR: Final = 8


@dataclass(frozen=True, slots=True)
class NameRules:
    """The lists, read.

    Attributes:
        ignored: Words that make no difference.
        forbidden: Phrases that nobody may carry.
        licensed: Phrases, and the abbreviations of the forms that may carry them.
    """

    ignored: frozenset[str]
    forbidden: tuple[tuple[str, ...], ...]
    licensed: tuple[tuple[tuple[str, ...], frozenset[str]], ...]

    @classmethod
    def load(cls, path: Path = _LISTS) -> NameRules:
        """Read the lists.

        Raises:
            ValueError: A word is not folded, or a form is unknown: it would never be met.
        """
        with path.open("rb") as file:
            lists = tomllib.load(file)
        abbreviations = {form.abbreviation for form in FORMS.values()}
        licensed = []
        for entry in lists["licensed"]:
            forms = frozenset(entry["forms"])
            if not forms <= abbreviations:
                raise ValueError(f"{path.name}: unknown legal form")
            licensed += [(phrase, forms) for phrase in _phrases(entry["phrases"], path)]
        ignored = (word for words in _phrases([*lists["forms"], *lists["links"]], path) for word in words)
        return cls(frozenset(ignored), _phrases(lists["forbidden"], path), tuple(licensed))

    def words(self, name: str) -> tuple[str, ...]:
        """The words of ``name`` that make a difference, in their order; none if there is no such word."""
        return tuple(word for word in _words(name) if word not in self.ignored)

    def may_carry(self, name: str, legal_form: LegalForm) -> bool:
        """Whether a firm of that form may have ``name``, were it free."""
        if not self.words(name):
            return False
        words = _words(name)
        if any(_contains(words, phrase) for phrase in self.forbidden):
            return False
        own = FORMS[legal_form].abbreviation
        return all(own in forms for phrase, forms in self.licensed if _contains(words, phrase))


@cache
def name_rules() -> NameRules:
    """The lists that the register goes by."""
    return NameRules.load()


def name_key(words: Sequence[str]) -> str:
    """What names are told apart by: the words in one order. Names with one key are one name."""
    return " ".join(sorted(words))


def distance(one: Sequence[str], other: Sequence[str]) -> int | None:
    """How near two names are: 0 the same, 1 the same but for a letter, None if they are not in conflict."""
    spellings = list(zip(_spellings(one), _spellings(other), strict=True))
    if any(mine == theirs for mine, theirs in spellings):
        return 0
    if any(_is_one_letter_apart(mine, theirs) for mine, theirs in spellings):
        return 1
    return None


def traces(words: Sequence[str]) -> frozenset[str]:
    """Texts by which a name in conflict with this one is found: names in conflict have one of them in common."""
    found = set()
    for spelling in _spellings(words):
        found.add(spelling)
        if len(spelling) >= _SHORTEST_NEAR:
            found.update(spelling[:place] + spelling[place + 1 :] for place in range(len(spelling)))
    return frozenset(found)


def nearest(
    words: Sequence[str], others: Iterable[tuple[str, Sequence[str]]], limit: int = MAX_SIMILAR
) -> list[str]:
    """Of ``others`` (name, words), the names in conflict with ``words``, the nearest first, each once."""
    found = {(near, name) for name, theirs in others if (near := distance(words, theirs)) is not None}
    return list(dict.fromkeys(name for _, name in sorted(found)))[:limit]


def _words(name: str) -> tuple[str, ...]:
    """The folded words of a name; letters that stand singly side by side are one word."""
    joined: list[str] = []
    singles = ""
    for word in (*fold(name), ""):
        if len(word) == 1:
            singles += word
            continue
        if singles:
            joined.append(singles)
            singles = ""
        if word:
            joined.append(word)
    return tuple(joined)


def _spellings(words: Sequence[str]) -> tuple[str, str]:
    """The letters as written, and in the order of the sorted words."""
    return "".join(words), "".join(sorted(words))


def _is_one_letter_apart(one: str, other: str) -> bool:
    if min(len(one), len(other)) < _SHORTEST_NEAR or abs(len(one) - len(other)) > 1:
        return False
    short, long = sorted((one, other), key=len)
    start = next((place for place, letter in enumerate(short) if letter != long[place]), len(short))
    rest = short[start:] if len(short) < len(long) else short[start + 1 :]
    return rest == long[start + 1 :]


def _contains(words: Sequence[str], phrase: Sequence[str]) -> bool:
    size = len(phrase)
    return any(tuple(words[place : place + size]) == tuple(phrase) for place in range(len(words) - size + 1))


def _phrases(texts: Collection[str], path: Path) -> tuple[tuple[str, ...], ...]:
    phrases = []
    for text in texts:
        words = fold(text)
        if " ".join(words) != text:
            raise ValueError(f"{path.name}: {text!r} is not written folded")
        phrases.append(words)
    return tuple(phrases)
