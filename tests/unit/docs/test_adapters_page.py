"""What the tutorial of docs/adapters.md shows is what stands in examples/cinquieme_ministere."""

from __future__ import annotations

import re

import msgspec
import pytest

from adapters.settings import (
    AdapterSettings,
    DossierSettings,
    EventSettings,
    ProgramSettings,
    load_adapter_settings,
)
from tests.support.fifth_ministry import EXAMPLE, PAGE, Shown, shown

NOT_SHOWN = {"diplomes/__init__.py"}


@pytest.mark.parametrize("block", shown(), ids=lambda block: block.name)
def test_a_block_is_what_its_file_says(block: Shown) -> None:
    """A reader who copies the page has the file, whole; where something is left out, the page says so."""
    file = (EXAMPLE / block.name).read_text(encoding="utf-8")

    assert f"\n{block.code}" in f"\n{file}"
    assert (block.code == file) is not bool(block.excerpt)


def test_no_file_of_the_example_is_left_out() -> None:
    """Whoever follows the page has met every file."""
    files = {
        str(path.relative_to(EXAMPLE))
        for path in EXAMPLE.rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {block.name for block in shown()} == files - NOT_SHOWN


def test_the_adapters_settings_of_the_page_are_read() -> None:
    """Every key of its ``adapter.toml`` is one that there is."""
    settings = load_adapter_settings(EXAMPLE / "adapter.toml")

    assert settings.adapter == "diplomes.adapter:MINISTRY"


def test_the_page_names_every_setting_with_its_default() -> None:
    """But those of ``[limits]``, which stand on a page of their own (``test_limits``)."""
    told = re.findall(r"^\| `([a-z_.]+)` \| (?:`(.*?)` )?\|", PAGE.read_text("utf-8"), re.MULTILINE)

    assert dict(told) == (
        keys("", AdapterSettings)
        | keys("program.", ProgramSettings)
        | keys("dossiers.", DossierSettings)
        | keys("events.", EventSettings)
    )


def keys(table: str, settings: type[msgspec.Struct]) -> dict[str, str]:
    """Each key of a table, with its default as the page writes it; tables within it have keys of their own."""
    tables = {"limits", "program", "dossiers", "events"}
    fields = [one for one in msgspec.structs.fields(settings) if one.name not in tables]
    return {
        f"{table}{one.name}": "" if one.required else f"{one.default}".removesuffix(".0") for one in fields
    }
