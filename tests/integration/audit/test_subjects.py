"""``passerelle audit list --subject``: exchanges about a person, found by pseudonyms in logs that hold no number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from audit.commands import audit
from audit.subjects import MAX_NUMBERS, read_numbers
from core.language import Text
from core.pseudonyms import key_id, pseudonym
from core.reasons import ExchangeError, MalformedError, Reason
from pki.pseudonyms import key_file
from rpc.files import write_private
from tests.support.evidence import EvidenceCountry, Side

PERSON, MERGED, OTHER, STRANGER = (f"499999990{number}" for number in range(1, 5))
YEAR = 2026  # of the clock of the country


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path)
    yield found
    found.close()


def hand_out(side: Side, directory: Path, year: int = YEAR) -> Path:
    """The member's key of a year, as an auditor gets it."""
    directory.mkdir(parents=True, exist_ok=True)
    write_private(key_file(directory, year), side.pseudonym_key.hex().encode() + b"\n")
    return directory


@pytest.fixture
def keys(country: EvidenceCountry) -> EvidenceCountry:
    """Both gateways have their keys where ``gateway init`` puts them."""
    for side in (country.pns, country.anip):
        hand_out(side, side.directory / "keys/pseudonyms")
    return country


def run(side: Side, *numbers: str, code: int = 0, options: tuple[object, ...] = ()) -> Result:
    arguments = ["list", "--log", str(side.directory), "--lang", "en", "--subject", *map(str, options)]
    result = CliRunner().invoke(audit, arguments, input="".join(f"{one}\n" for one in numbers))
    assert result.exit_code == code, result.output
    return result


def rows(side: Side, *numbers: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run(side, *numbers, options=("--output", "json"), **options).stdout
    )
    return found


def test_exchanges_about_a_person_are_found_on_both_sides(keys: EvidenceCountry) -> None:
    """Each in its own log, under its member's own pseudonym."""
    wanted = [keys.exchange(subjects=[PERSON.encode()]) for _ in range(2)]
    keys.exchange(subjects=[OTHER.encode()])
    keys.exchange()

    for side in (keys.pns, keys.anip):
        found = rows(side, PERSON)

        assert [one["exchange"] for one in found] == [one.id for one in wanted]
        assert {one["subject_match"] for one in found} == {"named"}
        assert found[0]["subjects"] == [pseudonym(side.pseudonym_key, PERSON.encode())]
    assert rows(keys.pns, STRANGER) == []


def test_a_person_is_found_under_the_numbers_that_were_merged_into_hers(keys: EvidenceCountry) -> None:
    """They are given on further lines; the layer does not know who was merged."""
    before = keys.exchange(subjects=[MERGED.encode()])
    after = keys.exchange(subjects=[PERSON.encode()])

    assert [one["exchange"] for one in rows(keys.anip, PERSON)] == [after.id]
    assert [one["exchange"] for one in rows(keys.anip, PERSON, MERGED)] == [before.id, after.id]


def test_a_person_is_found_in_every_year_whose_key_is_there(keys: EvidenceCountry, tmp_path: Path) -> None:
    """And a year without one is told, behind the rows: a list must not look complete that is not."""
    first = keys.exchange(subjects=[PERSON.encode()])
    keys.clock.advance(timedelta(days=200))
    second = keys.exchange(subjects=[PERSON.encode()])

    told = run(keys.anip, PERSON, code=1)
    hand_out(keys.anip, keys.anip.directory / "keys/pseudonyms", YEAR + 1)
    found = rows(keys.anip, PERSON)

    assert f"no key of pseudonyms of 2027 ({key_id(keys.anip.pseudonym_key)})" in told.output
    assert isinstance(told.exception, ExchangeError)
    assert told.exception.reason is Reason.KEY_UNREADABLE
    assert {one["exchange"] for one in found} == {first.id, second.id}


def test_years_beside_the_period_need_no_key(keys: EvidenceCountry) -> None:
    """Who has a mandate for one year gets one key."""
    wanted = keys.exchange(subjects=[PERSON.encode()])
    keys.clock.advance(timedelta(days=200))
    keys.exchange(subjects=[PERSON.encode()])

    found = run(keys.anip, PERSON, options=("--until", "2027-01-01", "--output", "json"))

    assert [one["exchange"] for one in json.loads(found.stdout)] == [wanted.id]


def test_an_auditor_with_a_copy_needs_the_keys_that_the_member_hands_out(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """Told what to ask for; several directories count together."""
    wanted = country.exchange(subjects=[PERSON.encode()])

    refused = CliRunner().invoke(
        audit, ["list", "--log", str(country.anip.directory), "--subject", "--lang", "en"], input=PERSON
    )
    handed_out = hand_out(country.anip, tmp_path / "handed-out")
    other = hand_out(country.pns, tmp_path / "other")
    options = ("--pseudonym-keys", str(other), "--pseudonym-keys", str(handed_out), "--output", "json")
    found = run(country.anip, PERSON, options=options)

    assert refused.exit_code == 1
    assert isinstance(refused.exception, ExchangeError)
    assert refused.exception.reason is Reason.KEY_UNREADABLE
    assert "--pseudonym-keys DIR" in (refused.exception.remedy or Text("", "")).en
    assert [one["exchange"] for one in json.loads(found.stdout)] == [wanted.id]


def test_with_another_key_of_the_year_nobody_is_found_and_that_is_told(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """Another member's, or one that was made anew: an empty list must not say that nobody asked."""
    country.exchange(subjects=[PERSON.encode()])
    foreign = hand_out(country.pns, tmp_path / "foreign")

    found = run(country.anip, PERSON, code=1, options=("--pseudonym-keys", str(foreign), "--output", "json"))
    table = run(country.anip, PERSON, code=1, options=("--pseudonym-keys", str(foreign)))

    assert json.loads(found.stdout) == []
    assert isinstance(found.exception, ExchangeError)
    assert found.exception.reason is Reason.KEY_UNREADABLE
    made_by = f"annexes of 2026 made by another key of pseudonyms ({key_id(country.anip.pseudonym_key)})"
    assert made_by in str(found.exception)
    assert f"{made_by}: exchanges noted under it could not be looked for" in table.output


def test_exchanges_about_more_persons_than_are_named_are_possible(keys: EvidenceCountry) -> None:
    """The body alone can tell: they are not left out."""
    crowd = [b"%010d" % one for one in range(300)]
    wanted = keys.exchange(subjects=crowd)

    (found,) = rows(keys.anip, PERSON)
    table = run(keys.anip, PERSON).stdout

    assert (found["exchange"], found["subject_match"]) == (wanted.id, "possible")
    assert (found["subject_count"], found["subjects_complete"], len(found["subjects"])) == (300, False, 256)
    assert "at least 300" in table
    assert "possible" in table


def test_the_list_shows_how_many_persons_an_exchange_is_about(keys: EvidenceCountry) -> None:
    """In every list: number and pseudonyms; nothing where nobody was noted."""
    keys.exchange(subjects=[PERSON.encode(), OTHER.encode()])
    keys.exchange()
    command = ["list", "--log", str(keys.pns.directory), "--lang", "en", "--output"]

    listed = json.loads(CliRunner().invoke(audit, [*command, "json"]).stdout)
    spreadsheet = list(csv.DictReader(io.StringIO(CliRunner().invoke(audit, [*command, "csv"]).stdout)))
    table = CliRunner().invoke(audit, [*command, "table"]).stdout

    names = sorted(pseudonym(keys.pns.pseudonym_key, one.encode()) for one in (PERSON, OTHER))
    assert [one["subject_count"] for one in listed] == [2, None]
    assert (listed[0]["subjects"], listed[0]["subjects_complete"]) == (names, True)
    assert (listed[1]["subjects"], listed[0]["subject_match"]) == (None, None)
    assert spreadsheet[0]["subjects"] == ", ".join(names)
    assert f"2 ({names[0][:12]}…" in table


def test_no_number_is_repeated(keys: EvidenceCountry) -> None:
    """Neither in the list, nor in its foot, nor in an error."""
    keys.exchange(subjects=[PERSON.encode()])

    table = run(keys.anip, PERSON, MERGED)
    typo = run(keys.anip, f"{PERSON}0", code=1)

    assert "one person (2 numbers, keys 2026)" in table.output
    for one in (table, typo):
        assert not [number for number in (PERSON, MERGED) if number in one.output + str(one.exception)]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["", " "],
        ["49999999 1"],
        ["499999990"],
        ["49999999011"],
        ["٤٩٩٩٩٩٩٩٠١"],
        ["x" * 10],
        ["4999999901", "no"],
    ],
)
def test_what_is_no_number_is_refused(lines: list[str]) -> None:
    """Rather than looked for in vain."""
    with pytest.raises(MalformedError) as refused:
        read_numbers(lines)

    assert not [line for line in lines if line.strip() and line in str(refused.value)]


def test_numbers_are_read_one_a_line() -> None:
    """Blank lines and blanks around count for nothing, repetitions once; within a bound."""
    assert read_numbers([f" {PERSON}\n", "\n", MERGED, PERSON]) == [PERSON, MERGED]
    with pytest.raises(MalformedError):
        read_numbers([f"{number:010d}" for number in range(MAX_NUMBERS + 1)])
