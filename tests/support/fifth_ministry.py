"""The fifth ministry of docs/adapters.md, as its page has it: code generated, a country founded, the portal calling."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.running_country import Running, running_country

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cinquieme_ministere"
PAGE = ROOT / "docs" / "adapters.md"


def blocks(language: str) -> list[str]:
    """The blocks of the page in that language, without its fences."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def protoc(out: Path) -> None:
    """Generate the code by the very command of the page, into ``out``."""
    (command,) = [one for one in blocks("sh") if "grpc_tools.protoc" in one]
    words = command.replace("\\\n", " ").replace("var/diplomes", str(out)).split()
    out.mkdir()
    assert words[:2] == ["mkdir", "-p"]
    arguments = words[words.index("-m") :]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def fifth_ministry(root: Path) -> Iterator[Running]:
    """The portal and the fifth ministry on real processes."""
    generated = root / "generated"
    protoc(generated)
    path = (str(EXAMPLE), str(generated))
    with pytest.MonkeyPatch.context() as patch:
        for one in path:
            patch.syspath_prepend(one)
        patch.setenv("PYTHONPATH", ":".join(path))
        with running_country(root, (EXAMPLE / "pays.toml").read_text(encoding="utf-8")) as country:
            yield country
