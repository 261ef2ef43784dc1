"""Worked examples of the documentation: a ``python`` block, then a ``text`` block that holds what it prints.

``python -m tests.support.worked_examples PAGE…`` writes the printed text into the pages.
"""

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

_EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<printed>.*?)```\n", re.DOTALL)


def printed_by(code: str) -> str:
    """What the code of one example prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "<example>", "exec"), {"__name__": "example"})  # the repository's own pages
    return out.getvalue()


def rewritten(page: str, run: Callable[[str], str] = printed_by) -> str:
    """The page with the printed text of each example made anew."""
    return _EXAMPLE.sub(
        lambda found: f"```python\n{found['code']}```\n\n```text\n{run(found['code'])}```\n", page
    )


def count(page: str) -> int:
    """How many examples a page has."""
    return len(_EXAMPLE.findall(page))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewritten(path.read_text()))
