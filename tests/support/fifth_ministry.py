"""The fifth ministry of docs/adapters.md: what its page shows and types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "examples" / "cinquieme_ministere"
PAGE: Final = ROOT / "docs" / "adapters.md"
_TUTORIAL_ENDS: Final = "\n# Référence"


def tutorial() -> str:
    """The page, without its reference."""
    return PAGE.read_text(encoding="utf-8").partition(_TUTORIAL_ENDS)[0]


def shown() -> list[tuple[str, str]]:
    """Each block of code of the tutorial, after the file that it is said to be of."""
    return re.findall(r"^`([^`\n]+)` :\n\n```\w+\n(.*?)\n```", tutorial(), re.DOTALL | re.MULTILINE)


def commands(work: Path, base_port: int) -> str:
    """What the tutorial types, in ``work`` in place of its own directory; what it started ends with it."""
    typed = "\n".join(re.findall(r"```sh\n(.*?)```", tutorial(), re.DOTALL))
    typed = typed.replace("var/diplomes", str(work)).replace("42500", str(base_port))
    return f"set -eu\ntrap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n{typed}"
