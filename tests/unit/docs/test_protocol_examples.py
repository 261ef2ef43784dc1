"""The pages of the protocol show what the code does: each example is run and compared with what the page prints."""

from pathlib import Path

import pytest

from tests.support.worked_examples import count, rewritten

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol"
PAGES = sorted(path.name for path in PROTOCOL.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("name", PAGES)
def test_example_prints_what_the_page_says(name: str) -> None:
    """A page whose example is out of date, or missing, fails."""
    page = (PROTOCOL / name).read_text()

    assert count(page) >= 1
    assert rewritten(page) == page


def test_every_page_is_in_the_table_of_contents() -> None:
    """``docs/protocol/README.md`` names each page."""
    contents = (PROTOCOL / "README.md").read_text()

    assert [name for name in PAGES if f"({name})" not in contents] == []
