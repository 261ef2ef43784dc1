"""``audit dossier``: what two members' real logs tell of one dossier, woven by the leaf hash of each request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from audit.commands import audit
from core.leaves import HEARD, Note, note_leaf, said_leaf
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from core.statements import encode_statement
from ledger.commit import Entry, GroupCommit
from ledger.log import Log, create_log
from ledger.reader import LogReader, StoredLeaf
from tests.support.evidence import EvidenceCountry, Side

DOSSIER = "ACT-202611-0001"


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path / "members")
    yield found
    found.close()


def woven(
    *directories: Path, references: tuple[str, ...] = (DOSSIER,), options: tuple[str, ...] = ()
) -> Result:
    logs = [word for one in directories for word in ("--log", str(one))]
    return CliRunner().invoke(audit, ["dossier", *references, *logs, *options])


def rows(*directories: Path, references: tuple[str, ...] = (DOSSIER,)) -> list[dict[str, Any]]:
    result = woven(*directories, references=references, options=("--output", "json"))
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_an_exchange_of_two_logs_is_one_line(country: EvidenceCountry) -> None:
    """With where it stands in either."""
    exchange = country.exchange()
    country.exchange(issue="ACT-202611-0002")

    (found,) = rows(country.pns.directory, country.anip.directory)

    assert (found["exchange"], found["standing"], found["outcome"]) == (exchange.id, "both", "granted")
    assert found["consumer_log"] == country.pns.log.log_id
    assert found["provider_log"] == country.anip.log.log_id
    assert found["consumer_index"] is not None
    assert found["provider_index"] is not None


def test_a_reference_that_no_request_bears_is_said_to_be_none(country: EvidenceCountry) -> None:
    """A citizen holds the ministry's number: logs that say nothing of it do not agree about it."""
    country.exchange()

    result = woven(country.root, references=("ANDF-202611-0001",))

    assert result.exit_code == 0, result.output
    assert "aucune demande ne porte cette référence" in result.output
    assert "concordent" not in result.output


@pytest.mark.parametrize("options", [(), ("--subject",)])
def test_a_list_below_a_directory_of_gateways_names_them(
    country: EvidenceCountry, options: tuple[str, ...]
) -> None:
    """Before a key or a number is asked for: what is missing is the name of one of them."""
    country.exchange()

    result = CliRunner().invoke(audit, ["list", "--log", str(country.root), *options])

    assert isinstance(result.exception, ExchangeError)
    assert result.exception.reason is Reason.NOT_FOUND
    assert result.exception.remedy is not None
    assert str(country.anip.directory) in result.exception.remedy.fr
    assert "audit dossier" in result.exception.remedy.fr


def test_gateways_are_found_below_a_directory(country: EvidenceCountry) -> None:
    """An auditor is handed one disk with the copies of all members."""
    country.exchange()

    result = woven(country.root)

    assert result.exit_code == 0, result.output
    assert "les journaux concordent" in result.output
    assert [one["standing"] for one in rows(country.root)] == ["both"]


def test_several_references_are_woven_in_the_order_in_which_they_were_asked(country: EvidenceCountry) -> None:
    """A portal's own reference, and the one that a ministry gave."""
    names = [DOSSIER, "RCCM-202611-0001", DOSSIER]
    for name in names:
        country.exchange(issue=name)
        country.clock.advance(timedelta(seconds=1))

    found = rows(country.root, references=(DOSSIER, "RCCM-202611-0001"))

    assert [one["issue"] for one in found] == names


def test_a_refusal_at_home_stays_at_home(country: EvidenceCountry) -> None:
    """Nothing of it is missing anywhere."""
    country.refuse_at_home()

    (found,) = rows(country.root)

    assert (found["standing"], found["reason"]) == ("at_home", "NO_AGREEMENT")


def test_a_log_that_is_not_here_is_said_not_to_have_been_read(country: EvidenceCountry) -> None:
    """From either side."""
    country.exchange()

    assert [one["standing"] for one in rows(country.pns.directory)] == ["provider_not_read"]
    assert [one["standing"] for one in rows(country.anip.directory)] == ["consumer_not_read"]


def test_a_question_that_never_arrived_is_no_contradiction(country: EvidenceCountry) -> None:
    """It was sent into a broken line; the provider's log goes on without it."""
    asked = msgspec.structs.replace(country._request(()), payloads=["ab" * 32])
    leaf = said_leaf(country.pns.log.log_id, encode_statement(asked))
    country.pns.append(leaf)
    ended = msgspec.structs.replace(
        asked,
        kind="abandon",
        payloads=[],
        request=leaf_hash(leaf).hex(),
        reason="PEER_LOST",
        delivery="unknown",
    )
    country.pns.append(said_leaf(country.pns.log.log_id, encode_statement(ended)))
    country.clock.advance(timedelta(seconds=1))
    country.anip.note()

    (found,) = rows(country.root)

    assert (found["standing"], found["outcome"]) == ("not_arrived", "in_doubt")


def test_a_copy_from_before_an_exchange_says_nothing_against_it(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """It is told that the copy is older, not that somebody took something away."""
    country.anip.note()
    shutil.copytree(country.anip.directory, tmp_path / "old")
    country.clock.advance(timedelta(seconds=1))
    country.exchange()

    assert [one["standing"] for one in rows(country.pns.directory, tmp_path / "old")] == ["copy_too_old"]


def test_an_answer_that_the_provider_log_does_not_hold_is_a_contradiction(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """Its log goes on beyond that time without the exchange: it was written anew. Exit 1, and the line says who."""
    other = _copied(country.anip, tmp_path / "anew")
    country.exchange()
    _go_on(other, country)

    result = woven(country.pns.directory, other)

    assert result.exit_code == 1
    assert "1 contradiction" in result.output
    assert [one["standing"] for one in rows(country.pns.directory, other)] == ["missing_at_provider"]


def test_an_answer_that_the_provider_log_leaves_out_is_a_contradiction(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """It holds the question and goes on, as if nothing had been answered; a copy that ends there says nothing."""
    asked = country.anip.log.size
    exchange = country.exchange()
    other = tmp_path / "anew"
    _copy_until_heard(country.anip, other, asked)
    before = [one["standing"] for one in rows(country.pns.directory, other)]
    _go_on(other, country)

    (found,) = rows(country.pns.directory, other)

    assert before == ["copy_too_old"]
    assert (found["exchange"], found["standing"]) == (exchange.id, "missing_at_provider")


def test_a_question_that_the_consumer_log_does_not_hold_is_a_contradiction(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """The provider heard what its asker's log denies."""
    other = _copied(country.pns, tmp_path / "anew")
    country.exchange()
    _go_on(other, country)

    assert [one["standing"] for one in rows(other, country.anip.directory)] == ["missing_at_consumer"]


def _copied(side: Side, to: Path) -> Path:
    side.note()
    shutil.copytree(side.directory, to)
    return to


def _copy_until_heard(side: Side, to: Path, size: int) -> None:
    """A gateway's directory whose log has the first question beyond ``size`` leaves, and nothing behind it."""
    shutil.copytree(side.directory, to, ignore=shutil.ignore_patterns("*.seg", "head.json"))
    (to / "log/0").mkdir(parents=True, exist_ok=True)
    reader = LogReader(side.directory / "log/0")
    kept: list[StoredLeaf] = []
    for stored in reader.follow():
        kept.append(stored)
        if stored.index >= size and stored.leaf.startswith(HEARD):
            break
    create_log(to / "log/0", kept[0].leaf)
    log = Log.open(to / "log/0")
    commit = GroupCommit(log, lambda call: call(), _raise)
    for one in kept[1:]:
        entry = Entry(one.leaf, leaf_hash(one.leaf), tuple(one.attachments), None, "service")
        commit.commit_now([entry], None)
    commit.close()
    log.close()


def _go_on(directory: Path, country: EvidenceCountry) -> None:
    """Write another history, as whoever holds a gateway's disk can."""
    country.clock.advance(timedelta(seconds=1))
    log = Log.open(directory / "log/0")
    commit = GroupCommit(log, lambda call: call(), _raise)
    leaf = note_leaf(log.log_id, Note(1, "f" * 32, country.clock.now_ms(), "test", "", 1))
    commit.commit_now([Entry(leaf, leaf_hash(leaf), (), None, "service")], None)
    commit.close()
    log.close()


def _raise(error: BaseException) -> None:
    raise error


def test_a_damaged_log_is_told_behind_the_rows_and_accuses_nobody(country: EvidenceCountry) -> None:
    """What a log with a gap does not hold may have been in the gap."""
    country.exchange()
    segment = max((country.anip.directory / "log/0").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    at = data.find(b'"kind":"request"')
    data[at] ^= 1
    segment.write_bytes(data)

    result = woven(country.root, options=("--output", "json"))

    assert isinstance(result.exception, ExchangeError)
    assert result.exception.reason is Reason.LOG_DAMAGED
    assert [one["standing"] for one in json.loads(result.stdout)] == ["provider_not_read"]


def test_a_directory_without_any_log_is_told(tmp_path: Path) -> None:
    """Not an empty list, which would read as: nothing ever happened."""
    result = woven(tmp_path)

    assert isinstance(result.exception, ExchangeError)
    assert result.exception.reason is Reason.NOT_FOUND


def test_rows_have_the_same_keys_as_json_and_csv(country: EvidenceCountry) -> None:
    """The reader of one can read the other."""
    country.exchange()

    csv = woven(country.root, options=("--output", "csv")).stdout.splitlines()

    assert csv[0].split(",") == list(rows(country.root)[0])
    assert len(csv) == 2
