"""Pages lead where they say: tests that the threat model names exist, and so do linked pages."""

import re
from pathlib import Path

import click
import pytest

from cli.main import passerelle
from core.agreements import parse_agreement
from core.reasons import Reason
from registry.proposals import proposal_payload

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["threat-model.md", "reliability.md", "registres/README.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    """Nothing is called met by a test that nobody runs."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text()))
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


# A command as texts name one: « passerelle program add », 'passerelle program add', `passerelle status`.
NAMED_COMMAND = re.compile(r"[«'`\"]\s?passerelle ((?:[a-z][a-z-]*(?: |(?=[»'`\"])))+)")


def is_command(named: str) -> bool:
    """Whether the words lead to a command of the tree, perhaps with words of its own behind it."""
    found: click.Command | None = passerelle
    for word in named.split():
        if not isinstance(found, click.Group):
            return True
        found = found.get_command(click.Context(found), word)
    return found is not None and not isinstance(found, click.Group)


def test_a_command_that_does_not_exist_is_told_from_one_that_does() -> None:
    """The test below sees what it has to see."""
    text = "« passerelle program add », 'passerelle log repair', la passerelle du fournisseur, `passerelle status`"

    assert {name.strip(): is_command(name) for name in NAMED_COMMAND.findall(text)} == {
        "program add": True,
        "log repair": False,
        "status": True,
    }


@pytest.mark.parametrize("page", ["core/reasons.py", "docs/erreurs.md"])
def test_every_command_that_a_remedy_names_exists(page: str) -> None:
    """Nobody is sent to a command that is still to be written."""
    named = NAMED_COMMAND.findall((ROOT / page).read_text())

    assert named
    assert [name for name in named if not is_command(name)] == []


def test_a_remedy_names_commands_in_quotes_only() -> None:
    """So that the test above finds them all: outside quotes, « passerelle » is the gateway."""
    remedies = [words for reason in Reason for words in (*reason.entry.text, *reason.entry.remedy)]
    areas = passerelle.list_commands(click.Context(passerelle))

    bare = [
        words for words in remedies for area in areas if f"passerelle {area}" in NAMED_COMMAND.sub("", words)
    ]

    assert areas
    assert bare == []


def test_every_long_run_is_in_the_help_and_on_the_page_of_contributors() -> None:
    """Nobody has to read the Makefile to learn that a run exists, or how long it takes."""
    makefile = (ROOT / "Makefile").read_text()
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    (long,) = re.findall(r"^LONG := (.*)$", makefile, re.MULTILINE)

    targets = [*long.split(), "fuzz"]

    assert len(targets) == len(list((ROOT / "tests" / "long").glob("test_*.py"))) + 1
    assert [one for one in targets if f'@echo "make {one} ' not in makefile] == []
    assert [one for one in targets if f"| `make {one}` | " not in contributing] == []


def test_the_agreement_over_health_is_one_that_can_be_proposed(tmp_path: Path) -> None:
    """Whoever publishes health copies these terms; only the thumbprints of the two keys are put in."""
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    (terms,) = (
        block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "consumer_key" in block
    )
    file = tmp_path / "cv-0043.toml"
    file.write_text(re.sub(r"EMPREINTE DE LA CLÉ [^\"]*", "A" * 43, terms), encoding="utf-8")

    agreed = parse_agreement(proposal_payload(file))

    assert (agreed.service, agreed.methods) == ("grpc.health.v1.Health", ["Check", "Watch"])


def test_every_number_of_a_decision_has_its_page_or_is_told_to_have_none() -> None:
    """Who finds a gap between two numbers is told that nothing is missing."""
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    pages = {path.name[:4] for path in (ROOT / "docs" / "adr").glob("0*.md")}
    (unused,) = re.findall(r"^(.*) were never used", index, re.MULTILINE)

    numbered = {*re.findall(r"^\| \[(\d{4})\]", index, re.MULTILINE)}

    assert numbered == pages
    assert {f"{number:04}" for number in range(1, int(max(pages)) + 1)} - pages == {
        *re.findall(r"\d{4}", unused)
    }
