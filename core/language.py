"""The two languages that people read: French first, English beside it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Language = Literal["fr", "en"]

DEFAULT_LANGUAGE: Language = "fr"


class Text(NamedTuple):
    """One sentence in both languages; neither may be empty."""

    fr: str
    en: str

    def in_(self, language: Language) -> str:
        """The sentence in ``language``."""
        return self.fr if language == "fr" else self.en
