"""``docs/erreurs.md`` has an entry for every reason: cause, remedy, who acts, in French and in English."""

import re
from pathlib import Path

import pytest

from core.reasons import Reason

PAGE = (Path(__file__).parents[3] / "docs" / "erreurs.md").read_text()
ENTRIES = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_reason_has_its_entry(reason: Reason) -> None:
    """The page says what the program is told, and who has to act."""
    entry = ENTRIES.get(str(reason), "")
    known = reason.entry

    assert f"`{known.code.name}`" in entry
    assert f"**Cause** : {known.text.fr}." in entry
    assert f"**Cause**: {known.text.en}." in entry
    assert f"**Remède** : {known.remedy.fr}." in entry
    assert f"**Remedy**: {known.remedy.en}." in entry
    assert re.search(r"\*\*Qui agit\*\* : \S+", entry)
    assert re.search(r"\*\*Who acts\*\*: \S+", entry)


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_reason_has_texts_in_both_languages(reason: Reason) -> None:
    """No text is empty, and the two languages are not the same sentence."""
    known = reason.entry

    assert all((known.text.fr, known.text.en, known.remedy.fr, known.remedy.en))
    assert known.text.fr != known.text.en


def test_page_has_no_reason_that_is_gone() -> None:
    """Reasons are never renamed, so an unknown one is a mistake of the page."""
    assert set(ENTRIES) == {str(reason) for reason in Reason}
