"""What ``audit list`` shows of real logs: each cell is what the logs and the named configuration say, or unknown."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from audit.commands import audit
from core.agreements import Bilingual
from core.clock import SystemClock
from core.configuration import COMMON_TARGET, CommonDocument, CurrentConfiguration, Purpose, encode_current
from core.documents import decode_strict, digest, encode
from core.frames import FrameRecord
from core.leaves import (
    HEARD,
    NOTE,
    Genesis,
    Succession,
    genesis_leaf,
    heard_leaf,
    parse_heard,
    parse_leaf,
    said_leaf,
)
from core.masks import mask_digest
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from core.registrations import RegisteredLog
from core.statements import Cut, Statement, encode_statement
from ledger.log import create_log
from ledger.reader import LogReader
from ledger.records import AttachmentKind
from ledger.vault import BodyVault, read_wrapping_key
from pki.anchor import Anchor, spoken
from rpc.figures import local_time
from tests.support.evidence import NOW_MS, EvidenceCountry, Side


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path)
    yield found
    found.close()


def listed(side: Side, *options: str) -> Result:
    return CliRunner().invoke(audit, ["list", "--log", str(side.directory), *options])


def rows(side: Side, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(listed(side, "--output", "json", *options).stdout)
    return found


def row(side: Side) -> dict[str, Any]:
    (found,) = rows(side)
    return found


def cells(found: dict[str, Any], *names: str) -> tuple[object, ...]:
    return tuple(found[name] for name in names)


# --- the agreement, and what the configuration said ---


def test_an_agreement_is_shown_as_it_stood_then(country: EvidenceCountry) -> None:
    """With its APDP reference; that it was suspended later changes no earlier row."""
    terms = msgspec.structs.replace(country.agreement, apdp_decision="APDP 2026-041")
    country.conclude(terms)
    country.exchange()
    country.conclude(terms, state="suspended")
    country.exchange()

    found = rows(country.pns)

    assert [cells(one, "agreement", "apdp", "agreement_state") for one in found] == [
        ("CV-0042/1", "APDP 2026-041", "active"),
        ("CV-0042/1", "APDP 2026-041", "suspended"),
    ]


def test_an_agreement_without_decision_is_not_one_whose_decision_is_unknown(country: EvidenceCountry) -> None:
    """None is needed, says the agreement; and a refusal without any agreement has neither."""
    country.exchange()
    country.refuse_at_home()

    agreed, refused = sorted(rows(country.pns), key=lambda one: str(one["outcome"]))

    assert cells(agreed, "apdp", "agreement_state") == ("none", "active")
    assert cells(refused, "agreement", "apdp", "agreement_state") == (None, None, None)


def test_what_the_directory_has_lost_is_unknown(country: EvidenceCountry) -> None:
    """Names, label, decision and state: nothing is guessed; tables say it in words."""
    country.exchange()
    shutil.rmtree(country.pns.directory / "configuration")

    found = row(country.pns)
    table = listed(country.pns).output

    unknown = ("client_name", "service_name", "purpose_label", "apdp", "agreement_state")
    assert cells(found, *unknown) == ("unknown",) * 5
    assert cells(found, "agreement", "purpose", "client") == ("CV-0042/1", "P01", "BJ/GOV/PNS/PORTAIL")
    assert table.count("inconnu") >= 5


def test_the_digest_finds_an_agreement_in_another_version_but_not_its_state(country: EvidenceCountry) -> None:
    """The text is fixed by its digest; how it stood then only the named version can tell."""
    country.conclude(msgspec.structs.replace(country.agreement, apdp_decision="APDP 2026-041"))
    country.exchange()
    configuration = country.pns.directory / "configuration"
    shutil.rmtree(configuration / "mirror")
    current = CurrentConfiguration(
        v=1,
        version=country.mark.version,
        digest=country.mark.digest,
        fresh_at=0,
        expires_at=0,
        common=decode_strict(country.country.documents()[COMMON_TARGET], CommonDocument),
        members=country.member_documents(),
        programs=[],
    )
    (configuration / "current.json").write_bytes(encode_current(current))

    assert cells(row(country.pns), "apdp", "agreement_state") == ("APDP 2026-041", "unknown")


def test_a_document_that_is_not_what_its_name_says_tells_nothing(country: EvidenceCountry) -> None:
    """Who changes a member's document in a copy cannot change what the list shows of the agreement."""
    country.exchange()
    for path in (country.pns.directory / "configuration/mirror/targets/members").iterdir():
        path.write_bytes(path.read_bytes().replace(b'"state":"active"', b'"state":"revoked"'))

    assert cells(row(country.pns), "agreement_state", "client_name") == ("unknown", "unknown")


def test_names_and_labels_are_those_of_the_named_version(country: EvidenceCountry) -> None:
    """In the reader's language; a label that changed later changes no earlier row."""
    for label in (Bilingual("acte de naissance", "birth certificate"), Bilingual("autre", "other")):
        country.country.files.pop(COMMON_TARGET, None)
        common = decode_strict(country.country.documents()[COMMON_TARGET], CommonDocument)
        labelled = msgspec.structs.replace(common, purposes=[Purpose("P01", label)])
        country.country.files[COMMON_TARGET] = encode(labelled)
        country.publish()
        country.exchange()

    found = rows(country.pns, "--lang", "en")

    assert [one["purpose_label"] for one in found] == ["birth certificate", "other"]
    assert cells(found[0], "purpose", "client_name", "service_name") == ("P01", "name", "name")


def test_a_digest_under_another_name_shows_no_decision(country: EvidenceCountry) -> None:
    """A peer may claim any id beside a digest: what does not belong together is not shown together."""
    country.conclude(msgspec.structs.replace(country.agreement, apdp_decision="APDP 2026-041"))
    wanted = country.exchange().request.agreement
    assert wanted is not None
    country.exchange(agreement=msgspec.structs.replace(wanted, id="CV-0099"))

    assert [one["apdp"] for one in rows(country.anip)] == ["APDP 2026-041", "unknown"]


# --- proof ---


def test_an_answer_that_was_heard_is_in_both_logs(country: EvidenceCountry) -> None:
    """At the consumer by the answer, at the provider by the receipt."""
    country.exchange()

    assert row(country.pns)["proof"] == ["both_logs"]
    assert row(country.anip)["proof"] == ["both_logs"]


def test_a_receipt_is_missing_once_the_log_goes_on_for_a_minute(country: EvidenceCountry) -> None:
    """Before that nobody can tell: it becomes durable with the next leaf that concerns this peer."""
    country.exchange(receipts=False)
    early = row(country.anip)["proof"]
    country.clock.advance(timedelta(seconds=61))
    country.anip.note()
    country.anip.sign(country.mark)
    beside = row(country.anip)["proof"]
    country.exchange(receipts=False)

    first, second = rows(country.anip)

    assert early == ["receipt_awaited"]
    assert beside == ["receipt_awaited"], "a note concerns no peer"
    assert first["proof"] == ["receipt_missing"]
    assert second["proof"] == ["receipt_awaited"]


def test_a_refused_question_counts_as_a_sign_of_the_peer(country: EvidenceCountry) -> None:
    """The provider's refusal goes to the peer although the adapter got nothing: its receipt is due like any other."""
    refusal = {"kind": "refusal", "reason": "ADAPTER_DOWN", "status": 14, "delivery": "not_sent"}
    country.exchange(refusal, receipts=False)
    country.clock.advance(timedelta(seconds=61))
    country.exchange(refusal, receipts=False)

    assert [one["proof"] for one in rows(country.anip)] == [["receipt_missing"], ["receipt_awaited"]]


def test_what_was_given_up_before_it_was_sent_is_in_one_log(country: EvidenceCountry) -> None:
    """Cancelled while its commit ran: logged, never sent."""
    asked = msgspec.structs.replace(country._request(()), payloads=["ab" * 32])
    leaf = said_leaf(country.pns.log.log_id, encode_statement(asked))
    country.pns.append(leaf)
    ended = msgspec.structs.replace(
        asked,
        kind="cancel",
        payloads=[],
        request=leaf_hash(leaf).hex(),
        reason="CANCELLED",
        delivery="not_sent",
        issued_at=NOW_MS + 40,
    )
    country.pns.append(said_leaf(country.pns.log.log_id, encode_statement(ended)))
    country.pns.sign(country.mark)

    assert cells(row(country.pns), "outcome", "proof", "duration_ms") == ("cancelled", ["own_log"], 40)


def test_a_refusal_at_home_is_in_one_log(country: EvidenceCountry) -> None:
    """It was never sent; it has one moment and no body."""
    country.refuse_at_home()

    found = row(country.pns)

    assert cells(found, "proof", "body", "duration_ms") == (["own_log"], "none", None)
    assert cells(found, "outcome", "reason") == ("refused", "NO_AGREEMENT")


def test_an_answer_that_came_too_late_is_told(country: EvidenceCountry) -> None:
    """Its program never got it; its gateway has the provider's word all the same, and nothing is in doubt."""
    _answered_late(country)

    found = row(country.pns)

    assert cells(found, "outcome", "proof") == ("granted", ["both_logs", "late"])
    assert found["records"] is None


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({"delivery": "not_sent"}, "not_taken"),
        ({"delivery": "unknown", "heard": 0}, "taken"),
        ({"delivery": "unknown"}, "lost"),
    ],
)
def test_what_the_peer_says_became_of_a_request_is_told(
    country: EvidenceCountry, told: dict[str, Any], outcome: str
) -> None:
    """It names the request alone; a search for the dossier finds it all the same."""
    asked, request = _abandoned(country)
    values: dict[str, Any] = dict.fromkeys(Statement.__struct_fields__)
    for name in ("v", "attempt", "sequence", "final", "door", "nonce"):
        values[name] = getattr(asked, name)
    values |= {"kind": "outcome", "from_": asked.to, "to": asked.from_, "request": request, "payloads": []}
    word = Statement(**values | {"issued_at": asked.issued_at + 50} | told)
    _heard_from_anip(country, word, "taken")

    (found,) = rows(country.pns, "--dossier", asked.issue or "")

    assert found["outcome"] == outcome


def test_what_no_head_covers_is_not_signed_yet(country: EvidenceCountry) -> None:
    """And the foot tells the head that the log itself holds, which is older."""
    country.exchange()
    (country.pns.directory / "state/head.json").unlink()

    assert row(country.pns)["proof"] == ["both_logs", "unsigned"]
    assert "signed head: 3 " in listed(country.pns, "--lang", "en").output


def test_an_exchange_id_used_twice_makes_two_rows(country: EvidenceCountry) -> None:
    """Else a peer could have a refusal cover what it was granted before."""
    first = country.exchange()
    country.exchange({"kind": "refusal", "reason": "REPLAYED", "status": 6}, exchange=first.id)

    found = rows(country.anip, "--exchange", first.id)

    assert [one["outcome"] for one in found] == ["granted", "refused"]


def test_a_request_logged_twice_by_its_signer_keeps_its_answer(country: EvidenceCountry) -> None:
    """One request with two records (ADR 0013): that it was refused the second time covers nothing."""
    first = country.exchange()
    anip = country.anip
    leaves = [one for one in LogReader(anip.directory / "log/0").follow() if not one.leaf.startswith(NOTE)]
    (heard,) = [one for one in leaves if one.leaf.startswith(HEARD)]
    record = parse_heard(parse_leaf(heard.leaf).body)
    again = msgspec.structs.replace(record, index=record.index + 9, verdict="refused:REPLAYED")
    anip.append(heard_leaf(anip.log.log_id, again), *heard.attachments)
    refusal = msgspec.structs.replace(
        first.answer, kind="refusal", reason="REPLAYED", status=6, heard=None, payloads=[]
    )
    anip.append(said_leaf(anip.log.log_id, encode_statement(refusal)))
    anip.sign(country.mark)

    found = row(anip)

    assert cells(found, "exchange", "outcome", "reason", "index") == (first.id, "granted", None, heard.index)


# --- gaps ---


def test_a_log_that_ends_before_its_head_has_a_gap(country: EvidenceCountry, tmp_path: Path) -> None:
    """The rows are shown, the foot says what is missing, exit 1."""
    first = country.exchange()
    before = tmp_path / "before"
    shutil.copytree(country.pns.directory / "log", before)
    country.exchange()
    shutil.rmtree(country.pns.directory / "log")
    shutil.copytree(before, country.pns.directory / "log")

    result = listed(country.pns)

    assert _refusal(result) is Reason.LOG_DAMAGED
    assert first.id in result.output
    assert "lacune : its signed head covers" in result.output
    assert [one["proof"] for one in rows(country.pns)] == [["both_logs", "unsigned"]]


def test_a_head_with_another_root_is_a_gap(country: EvidenceCountry) -> None:
    """Two histories of one log cannot both be whole."""
    country.exchange()
    state = country.pns.directory / "state/head.json"
    other = EvidenceCountry(country.root / "other")
    other.exchange(purpose="P02")
    assert other.pns.log.log_id == country.pns.log.log_id
    shutil.copy(other.pns.directory / "state/head.json", state)

    result = listed(country.pns)

    assert _refusal(result) is Reason.LOG_DAMAGED
    assert "has another root" in result.output


def test_a_damaged_log_is_listed_up_to_its_damage(country: EvidenceCountry) -> None:
    """What stands before is shown, and that it is not all."""
    first = country.exchange()
    country.exchange()
    segment = max((country.pns.directory / "log/0").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[data.rindex(b'"kind":"request"')] ^= 1
    segment.write_bytes(data)

    result = listed(country.pns, "--output", "json")

    assert _refusal(result) is Reason.LOG_DAMAGED
    assert [one["exchange"] for one in json.loads(result.stdout)] == [first.id]


def test_a_leaf_that_is_not_canonical_ends_the_list(country: EvidenceCountry) -> None:
    """The log may be anybody's: its leaves are held to the same form as a peer's."""
    wanted = country.exchange()
    body = encode_statement(wanted.request).replace(b'"v":1,', b'"v": 1,')
    country.pns.append(said_leaf(country.pns.log.log_id, body))
    country.pns.sign(country.mark)

    result = listed(country.pns, "--lang", "en")

    assert _refusal(result) is Reason.LOG_DAMAGED
    assert "statement is not canonical" in result.output


def test_times_and_places_that_no_log_has_are_passed_over(country: EvidenceCountry) -> None:
    """In leaves that the filter passes by, and in receipts: the log may be anybody's, and the list ends well."""
    wanted = country.exchange()
    far = msgspec.structs.replace(wanted.request, exchange=wanted.id.replace("-7", "-70", 1)[:36])
    body = encode_statement(far).replace(b'"issued_at":', b'"issued_at":99999')
    receipt = (2**63).to_bytes(8, "little") + bytes(40) + b"{}"
    country.pns.append(said_leaf(country.pns.log.log_id, body), (AttachmentKind.RECEIPT, receipt))
    country.pns.sign(country.mark)

    result = listed(country.pns, "--exchange", wanted.id)

    assert result.exit_code == 0, result.output
    assert wanted.id in result.output


def test_a_log_whose_predecessor_is_not_here_has_a_gap(country: EvidenceCountry) -> None:
    """What was begun there is shown as such."""
    country.exchange()
    log = country.pns.directory / "log/1"
    succession = Succession("ab" * 32, 12, "cd" * 32, "lost")
    create_log(log, genesis_leaf(Genesis(1, country.pns.gateway, 1, NOW_MS, "00" * 16, succession)))

    told = listed(country.pns).output
    assert f"succède au journal {'ab' * 8}…, qui n'est pas ici (lost)" in told
    assert "lacune déclarée, d'étendue inconnue" in told


def test_a_registered_log_that_was_not_read_is_named(country: EvidenceCountry) -> None:
    """An auditor who got one disk of two must know."""
    country.exchange()
    registration = country.pns.registration(country.country)
    logs = [*registration.logs, RegisteredLog("ef" * 32, 1, "127.0.0.1:7445")]
    more = msgspec.structs.replace(registration, serial=2, logs=logs)
    country.country.register(country.pns.member, more)
    country.publish()

    assert f"log not read: {'ef' * 8}…" in listed(country.pns, "--lang", "en").output


# --- bodies ---


def _zero_slots(side: Side) -> None:
    slots = side.directory / "bodies/0/slots"
    slots.write_bytes(bytes(slots.stat().st_size))


def _destroy_day_key(side: Side) -> None:
    key = read_wrapping_key(side.directory / "keys/wrapping.key", side.directory / "log")
    BodyVault(side.directory / "bodies/0", side.log.log_id, key, SystemClock()).destroy_day_key(0)


def _erase_one(side: Side) -> None:
    key = read_wrapping_key(side.directory / "keys/wrapping.key", side.directory / "log")
    reader = LogReader(side.directory / "log/0")
    record = next(one.body for one in reader.follow() if one.body is not None)
    BodyVault(side.directory / "bodies/0", side.log.log_id, key, SystemClock()).erase(record)


def _lose_bodies(side: Side) -> None:
    shutil.rmtree(side.directory / "bodies")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda side: None, "kept"),
        (_zero_slots, "destroyed"),
        (_destroy_day_key, "destroyed"),
        (_erase_one, "partly_destroyed"),
        (_lose_bodies, "unknown"),
    ],
)
def test_a_body_is_kept_destroyed_or_unknown(
    country: EvidenceCountry, change: Callable[[Side], None], state: str
) -> None:
    """No key is needed to tell; a copy without the bodies' files tells nothing."""
    country.exchange()

    change(country.pns)

    assert row(country.pns)["body"] == state


def _when(at_ms: int) -> str:
    local = datetime.fromtimestamp(at_ms / 1000).astimezone()
    return local.isoformat(" ", "seconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("zone", "written"), [("UTC0", "1970-01-01 00:00:01Z"), ("WAT-1", "1970-01-01 01:00:01+01:00")]
)
def test_times_are_local_with_their_offset(zone: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An offset as ISO 8601 writes it, and ``Z`` in UTC as in every other command."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        assert local_time(1_999) == written
    time.tzset()


def test_a_destroyed_body_has_the_date_that_the_log_gives(country: EvidenceCountry) -> None:
    """Of each body the first erasure counts, of several bodies the last; without a record the date is unknown."""
    side = country.pns
    country.exchange()
    key = read_wrapping_key(side.directory / "keys/wrapping.key", side.directory / "log")
    vault = BodyVault(side.directory / "bodies/0", side.log.log_id, key, country.clock)
    records = [one.body for one in LogReader(side.directory / "log/0").follow() if one.body is not None]
    shown = [cells(row(side), "body", "destroyed_on")]

    country.clock.advance(timedelta(days=1))
    purges = [vault.erase(records[0])]
    shown.append(cells(row(side), "body", "destroyed_on"))
    first_ms = country.clock.now_ms()
    side.commit.record_purge(purges[0])
    shown.append(cells(row(side), "body", "destroyed_on"))
    country.clock.advance(timedelta(days=1))
    side.commit.record_purge(vault.destroy_day_key(0))
    shown.append(cells(row(side), "body", "destroyed_on"))

    assert len(records) == 2
    assert shown == [
        ("kept", None),
        ("partly_destroyed", "unknown"),
        ("partly_destroyed", _when(first_ms)),
        ("destroyed", _when(country.clock.now_ms())),
    ]
    assert f"détruit ({_when(country.clock.now_ms())})" in listed(side, "--lang", "fr").output
    assert "kept (" not in listed(country.anip, "--lang", "en").output


def test_a_record_of_an_erasure_that_cannot_be_read_gives_no_date(country: EvidenceCountry) -> None:
    """The log may be anybody's: of another kind, cut short, or of a time that no calendar has."""
    country.exchange()
    for purge in (
        b"",
        bytes(21),
        struct.pack("<BQIQ", 2, 0, 0, 2**63),
        struct.pack("<BQIQ", 9, 0, 0, NOW_MS),
    ):
        country.pns.commit.record_purge(purge)
    _destroy_day_key(country.pns)

    assert cells(row(country.pns), "body", "destroyed_on") == ("destroyed", "unknown")


# --- further cells, and the foot ---


def test_clocks_that_disagree_give_no_duration(country: EvidenceCountry) -> None:
    """Question and answer are dated by two gateways."""
    country.exchange({"issued_at": NOW_MS - 5})
    country.exchange({"issued_at": NOW_MS + 12})

    assert [one["duration_ms"] for one in rows(country.pns)] == ["unknown", 12]


def test_what_the_answer_says_of_itself_is_shown(country: EvidenceCountry) -> None:
    """Records and class are the service's to tell; what it did not tell is unknown, not zero."""
    country.exchange({"records": 3, "sensitivity": "S2"})
    country.exchange()

    shown = [cells(one, "records", "sensitivity", "fields_cut") for one in rows(country.pns)]

    assert shown == [(3, "S2", 0), ("unknown", "unknown", 0)]


def test_what_was_granted_and_what_was_cut_is_shown(country: EvidenceCountry) -> None:
    """The one by the agreement, the other by the provider's word."""
    country.exchange()
    paths = ["last_name", "residence.town"]
    terms = country.country.agreement(
        country.pns.member,
        country.anip.member,
        version=2,
        supersedes=digest(encode(country.agreement)),
        field_mask={"GetPerson": paths},
    )
    country.conclude(terms)
    country.exchange({"cut": Cut(mask_digest(paths), 3, "5e" * 32)})

    for side in (country.pns, country.anip):
        shown = [cells(one, "fields_granted", "fields_cut") for one in rows(side)]
        assert shown == [("all", 0), ("last_name, residence.town", 3)]


def test_who_acts_is_claimed_and_for_whom_is_shown(country: EvidenceCountry) -> None:
    """A program's word for its user is not the gateway's."""
    country.exchange(represented="BJ/GOV/MTFP")

    assert cells(row(country.anip), "user", "user_basis", "represented") == (
        "agent-7",
        "claimed",
        "BJ/GOV/MTFP",
    )


def test_a_user_called_unknown_is_not_translated(country: EvidenceCountry) -> None:
    """Words stand for codes of their own column only."""
    country.exchange(issue="unknown")

    assert " unknown " in listed(country.pns).output.splitlines()[3]


def test_the_foot_says_who_made_the_list_of_what_under_which_anchor(
    country: EvidenceCountry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts by outcome, filter, period, whole logs, maker, fingerprint."""
    monkeypatch.setenv("LOGNAME", "somebody-else")  # anybody can set it
    country.exchange()
    country.exchange({"status": 5})
    shutil.copy(country.anchor(), country.pns.directory / "anchor.pem")
    fingerprint = spoken(Anchor.read(country.pns.directory / "anchor.pem").fingerprint)

    lines = listed(country.pns, "--dossier", "ACT-202611-0001").output.splitlines()[-4:]

    assert lines[0].startswith("2 échanges (1 accordé, 1 erreur) · dossier ACT-202611-0001 · du 2026-")
    assert f"{country.pns.log.size} feuilles, du 2026-" in lines[1]
    assert f"aucune lacune · tête signée : {country.pns.log.size}" in lines[1]
    assert lines[2].startswith("établi le ")
    assert " par " in lines[2]
    assert pwd.getpwuid(os.getuid()).pw_name in lines[2]
    assert lines[3] == f"ancre de ce répertoire : {fingerprint}"


def test_a_program_finds_its_call_by_its_own_reference(country: EvidenceCountry) -> None:
    """What it gave as ``x-road-id``: of a call that it cancelled it knows nothing else."""
    country.exchange()
    wanted = country.exchange(reference="LOT-7-0042")

    found = json.loads(listed(country.pns, "--reference", "LOT-7-0042", "--output", "json").stdout)
    table = listed(country.pns, "--reference", "LOT-7-0042", "--lang", "fr").output
    nothing = json.loads(listed(country.pns, "--reference", "LOT-7", "--output", "json").stdout)

    assert [one["exchange"] for one in found] == [wanted.id]
    assert found[0]["outcome"] == "granted"
    assert "référence LOT-7-0042" in table
    assert nothing == []


def test_csv_has_the_fields_of_json(country: EvidenceCountry) -> None:
    """The same keys, never translated."""
    country.exchange()

    head, line = listed(country.pns, "--output", "csv", "--lang", "fr").stdout.splitlines()

    assert head.split(",") == list(row(country.pns))
    assert "both_logs" in line


def _abandoned(country: EvidenceCountry) -> tuple[Statement, str]:
    """PNS asks and gives up; returns the request and its leaf hash."""
    pns = country.pns
    asked = msgspec.structs.replace(country._request(()), payloads=["ab" * 32])
    leaf = said_leaf(pns.log.log_id, encode_statement(asked))
    pns.append(leaf)
    request = leaf_hash(leaf).hex()
    ended = msgspec.structs.replace(
        asked, kind="abandon", payloads=[], request=request, reason="PEER_LOST", delivery="unknown"
    )
    pns.append(said_leaf(pns.log.log_id, encode_statement(ended)))
    return asked, request


def _heard_from_anip(country: EvidenceCountry, statement: Statement, verdict: str) -> None:
    """ANIP says it, PNS hears it."""
    pns, anip = country.pns, country.anip
    said = encode_statement(statement)
    leaf = said_leaf(anip.log.log_id, said)
    at = anip.append(leaf)
    head = anip.sign(country.mark)
    frame: FrameRecord = pns.frame(anip, head, at, [leaf])
    heard = msgspec.structs.replace(country._heard("response", anip, at, leaf, head), verdict=verdict)
    pns.append(
        heard_leaf(pns.log.log_id, heard),
        (AttachmentKind.STATEMENT, said),
        (AttachmentKind.FRAME, frame.encode()),
    )
    pns.sign(country.mark)


def _answered_late(country: EvidenceCountry) -> None:
    """PNS asks, gives up, and hears the answer afterwards."""
    asked, request = _abandoned(country)
    _heard_from_anip(country, country._answer(asked, request, ((b"s" * 16, 0, b""),)), "late")


def _refusal(result: Result) -> Reason:
    assert isinstance(result.exception, ExchangeError), result.output
    return result.exception.reason


# --- streams ---

_WAYS = ("asked_messages", "asked_segments", "asked_handed", "answered_messages", "answered_segments")


def rows_of(side: Side) -> list[dict[str, Any]]:
    result = listed(side, "--output", "json")
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_a_stream_is_one_row_on_either_side(country: EvidenceCountry) -> None:
    """Counted as each side says or takes it, whole in both logs."""
    talk = country.stream()
    talk.ask(3)
    talk.answer(2)
    talk.ask(0, final=True)
    talk.answer(4, final=True)
    talk.settle()

    for side in (country.pns, country.anip):
        (row,) = rows_of(side)
        assert [row[name] for name in _WAYS] == [4, 3, 3, 6, 2]
        assert (row["outcome"], row["proof"]) == ("granted", ["both_logs"])
        assert row["asked_bytes"] == len("asked 0 0") * 4
        assert row["answered_bytes"] == len("answered 0 0") * 6
    table = listed(country.pns, "--lang", "en").output
    assert "4 (handed on: 3 of 3 segments)" in table


def test_a_broken_stream_shows_how_far_each_side_got(country: EvidenceCountry) -> None:
    """What the consumer took and handed to its program; what the provider says of its adapter."""
    talk = country.stream()
    talk.answer(2, heard=None)
    talk.ask(1)
    talk.end("abandon", reason="PEER_LOST", heard=None, delivery="unknown")
    talk.settle()

    (mine,), (theirs,) = rows_of(country.pns), rows_of(country.anip)

    assert [mine[name] for name in _WAYS] == [2, 2, None, 0, 0]
    assert (mine["outcome"], mine["reason"], mine["answered_handed"]) == ("in_doubt", "PEER_LOST", 0)
    assert [theirs[name] for name in _WAYS] == [2, 2, 1, 2, 1]
    assert theirs["outcome"] == "open"
    assert mine["proof"] == ["question_in_both_logs"]


def test_a_list_says_what_nobody_knows(country: EvidenceCountry) -> None:
    """A consumer's gateway was stopped midway, and then the provider's."""
    talk = country.stream()
    talk.ask(1)
    talk.answer(2, handed=0)
    talk.end("abandon", reason="INTERRUPTED", is_unknown=True)
    talk.refuse(delivery="unknown", heard="late", is_unknown=True)
    talk.settle()

    for side in (country.pns, country.anip):
        (row,) = rows_of(side)
        assert [row[f"{way}_handed"] for way in ("asked", "answered")] == [1, None]
        assert [row[f"{way}_uncertain"] for way in ("asked", "answered")] == [True, True]
    french, english = (listed(country.pns, "--lang", language).output for language in ("fr", "en"))
    assert "2 (remis : au moins 1 sur 2 segments)" in french
    assert "2 (remis : nul ne sait combien sur 1 segment)" in french
    assert "2 (handed on: at least 1 of 2 segments)" in english
    assert "2 (handed on: nobody knows how many of 1 segment)" in english


def test_receipts_of_every_segment_are_waited_for(country: EvidenceCountry) -> None:
    """One that is missing in the middle is as good as none."""
    talk = country.stream()
    talk.ask(1, heard=None)
    talk.ask(1, final=True)
    talk.settle()

    (row,) = rows_of(country.pns)

    assert row["proof"] == ["receipt_awaited"]


def test_bodies_of_a_stream_are_destroyed_in_part_and_in_whole(country: EvidenceCountry) -> None:
    """However many there are, the row tells when the last one went."""
    talk = country.stream()
    for _ in range(5):
        talk.ask(1)
    talk.settle()
    sealed = [stored.body for stored in LogReader(country.pns.log.directory).follow() if stored.body]

    def erase(some: list[bytes]) -> None:
        for body in some:
            country.pns.commit.record_purge(country.pns.vault.erase(body))

    erase(sealed[:2])
    partly = rows_of(country.pns)[0]
    country.clock.advance(timedelta(seconds=5))
    erase(sealed[2:])
    wholly = rows_of(country.pns)[0]

    assert (len(sealed), partly["body"], wholly["body"]) == (6, "partly_destroyed", "destroyed")
    assert partly["destroyed_on"] == local_time(NOW_MS)
    assert wholly["destroyed_on"] == local_time(NOW_MS + 5_000)
