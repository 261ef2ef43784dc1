"""The programs of a member, pinned by certificate."""

import threading
from pathlib import Path

import pytest

from core.identifiers import ProgramId
from core.reasons import ExchangeError
from gateway.control.programs import PinnedPrograms

WEB = ProgramId.parse("BJ/GOV/PNS/PORTAIL/web")
BATCH = ProgramId.parse("BJ/GOV/PNS/PORTAIL/nuit")
THUMBPRINTS = [letter * 43 for letter in "abcdefghij"]


@pytest.fixture
def programs(tmp_path: Path) -> PinnedPrograms:
    return PinnedPrograms(tmp_path / "state" / "programs.json")


def test_nobody_is_admitted_before_the_first_program(programs: PinnedPrograms) -> None:
    """No file, no program."""
    assert programs.entries() == []


def test_a_program_that_was_added_is_admitted(programs: PinnedPrograms) -> None:
    """Under its own certificate."""
    programs.add(WEB, THUMBPRINTS[0])

    (entry,) = programs.entries()
    assert (entry.id, entry.thumbprint, entry.state) == (str(WEB), THUMBPRINTS[0], "active")


def test_a_renewed_program_keeps_its_old_certificate_until_it_is_removed(programs: PinnedPrograms) -> None:
    """So that a renewal loses no call."""
    programs.add(WEB, THUMBPRINTS[0])
    programs.add(WEB, THUMBPRINTS[1])

    assert len(programs.entries()) == 2
    assert programs.remove(WEB) == 2


def test_a_removed_program_is_kept_as_removed(programs: PinnedPrograms) -> None:
    """Who was admitted once can still be told; the others are untouched."""
    programs.add(WEB, THUMBPRINTS[0])
    programs.add(BATCH, THUMBPRINTS[1])

    programs.remove(WEB)

    assert [(entry.id, entry.state) for entry in programs.entries()] == [
        (str(BATCH), "active"),
        (str(WEB), "removed"),
    ]


def test_a_program_that_is_not_there_cannot_be_removed(programs: PinnedPrograms) -> None:
    """Nor can one be removed twice."""
    programs.add(WEB, THUMBPRINTS[0])
    programs.remove(WEB)

    for program in (WEB, BATCH):
        with pytest.raises(ExchangeError):
            programs.remove(program)


def test_two_administrators_do_not_lose_each_others_programs(
    programs: PinnedPrograms, tmp_path: Path
) -> None:
    """Writers take turns."""
    others = [PinnedPrograms(tmp_path / "state" / "programs.json") for _ in THUMBPRINTS]
    threads = [
        threading.Thread(target=other.add, args=(WEB, thumbprint))
        for other, thumbprint in zip(others, THUMBPRINTS, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert [entry.thumbprint for entry in programs.entries()] == THUMBPRINTS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"v":1}',
        b'{"v":2,"programs":[]}',
        b'{"v":1,"programs":[],"more":1}',
        b'{"v":1,"v":1,"programs":[]}',
        b'{"v":1,"programs":[{"id":"x"}]}',
    ],
)
def test_a_malformed_file_admits_nobody(content: bytes, programs: PinnedPrograms, tmp_path: Path) -> None:
    """It is refused, never guessed at."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "programs.json").write_bytes(content)

    with pytest.raises(ExchangeError):
        programs.entries()
