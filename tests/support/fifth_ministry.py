"""The fifth ministry of docs/adapters.md: what its page shows and types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "examples" / "cinquieme_ministere"
PAGE: Final = ROOT / "docs" / "adapters.md"
_TUTORIAL_ENDS: Final = "\n# Référence"


def tutorial() -> str:
    """The page, without its reference."""
    return PAGE.read_text(encoding="utf-8").partition(_TUTORIAL_ENDS)[0]


class Shown(NamedTuple):
    """A block of code of the tutorial.

    Attributes:
        name: The file that it is said to be of.
        excerpt: ``, extrait`` where it is said not to be the whole file.
        code: What is shown.
    """

    name: str
    excerpt: str
    code: str


def shown() -> list[Shown]:
    """Each block of code of the tutorial that is said to be of a file."""
    block = r"^`([^`\n]+)`(, extrait)? :\n\n```\w+\n(.*?\n)```"
    return [Shown(*found) for found in re.findall(block, tutorial(), re.DOTALL | re.MULTILINE)]


def commands(work: Path, base_port: int) -> str:
    """What the tutorial types, in ``work`` in place of its own directory; what it started ends with it."""
    typed = "\n".join(re.findall(r"```sh\n(.*?)```", tutorial(), re.DOTALL))
    typed = typed.replace("var/diplomes", str(work)).replace("42500", str(base_port))
    return f"set -eu\ntrap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n{typed}"
