"""Pages lead where they say: tests that the threat model names exist, and so do linked pages."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_that_the_threat_model_names_exists() -> None:
    """A threat is not called met by a test that nobody runs."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "threat-model.md").read_text()))
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    existing = {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}

    assert named - existing == set()


def test_relative_links_of_all_pages_lead_somewhere() -> None:
    """A newcomer who follows a link finds a page."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []
