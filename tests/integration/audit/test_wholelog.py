"""``passerelle audit verify-log``: a log on files alone, and every way it can be wrong told with its place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from audit import opencalls
from audit.commands import audit
from core.frames import FrameRecord
from core.heads import TreeHead, parse_head
from core.leaves import Genesis, Succession, genesis_leaf, note_leaf, parse_leaf
from core.merkle import leaf_hash
from core.pseudonyms import PseudonymKey, annex_of, keep_annex
from core.reasons import ExchangeError, Reason
from core.statements import Cut, encode_statement, parse_statement
from core.streams import SegmentError
from core.succession import WitnessedHead, first_notes, gap_between
from ledger.commit import GroupCommit
from ledger.log import Log, create_log, segments
from ledger.reader import LogReader, StoredLeaf
from ledger.records import COMMIT_END, AttachmentKind, RecordType, RecordWriter, SegmentHeader
from pki.heads import HeadSigner
from pki.keys import chain_pem, generate_key
from pki.profiles import Profile, issue
from tests.support.evidence import EvidenceCountry, Side, Talk
from tests.unit.core.test_statements import REQUEST


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path)
    for _ in range(3):
        found.exchange()
    yield found
    found.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit, ["verify-log", *map(str, arguments)])


def told(*arguments: object) -> Any:
    result = run(*arguments, "--output", "json")
    assert result.stderr == "", result.stderr
    document = json.loads(result.output)
    assert result.exit_code == (0 if document["verdict"] == "GOOD" else 1)
    return document


def fault(*arguments: object) -> tuple[str, str]:
    """Reason and detail of the one log that is refused."""
    document = told(*arguments)
    assert document["verdict"] == "REFUSED"
    (log,) = [one for one in document["logs"] if one["reason"]]
    return log["reason"], log["detail"]


def where_the_list_ends(directory: Path, leaf: int, *options: str) -> str:
    """Why ``audit list`` reads the log no further than to ``leaf``."""
    listed = CliRunner().invoke(audit, ["list", "--log", str(directory), *options])
    assert isinstance(listed.exception, ExchangeError), listed.output
    why, at, _ = str(listed.exception).partition(f" (read up to leaf {leaf})")
    assert (listed.exception.reason, bool(at)) == (Reason.LOG_DAMAGED, True)
    return why


def ill_posed(*arguments: object) -> str:
    """What is told of a question that cannot be judged: exit 2, and no verdict."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


def options(country: EvidenceCountry, side: Side) -> list[object]:
    """What an auditor adds to have signatures judged: anchor, chain, lists of revocation."""
    published = country.country
    chain = country.root / f"{side.member.id.replace('/', '.')}.seal.pem"
    chain.write_bytes(chain_pem([side.certificate, published.seal.certificate]))
    lists = []
    for number, issuer in enumerate((published.root, published.seal)):
        path = country.root / f"{number}.crl"
        path.write_text(published.crl(issuer))
        lists += ["--crl", path]
    return ["--anchor", country.anchor(), "--certificate", chain, *lists]


# --- good logs ---


def test_whole_logs_are_good_up_to_the_anchor(country: EvidenceCountry) -> None:
    """Both sides: size, root, newest head, signatures judged; and nothing in the directory is touched."""
    for side in (country.pns, country.anip):
        before = contents(side.directory)

        (found,) = told(side.directory, *options(country, side))["logs"]

        assert (found["log"], found["gateway"]) == (side.log.log_id, side.gateway)
        assert (found["size"], found["root"]) == (side.log.size, side.log.root().hex())
        assert found["signatures"] == "anchored"
        assert found["head"]["size"] == side.log.size
        assert found["heads"] >= 3
        assert (found["torn"], found["succeeds"], found["unrecorded"]) == ([], None, 0)
        assert contents(side.directory) == before


def test_a_log_is_told_in_words(country: EvidenceCountry) -> None:
    """The verdict is the last line, and what was not judged is said."""
    french = run(country.pns.directory)
    english = run(country.pns.directory, "--lang", "en")

    assert french.exit_code == 0
    assert "signatures non vérifiées, donnez --anchor ou --certificate" in french.output
    assert french.output.splitlines()[-1] == "VERDICT : BON (GOOD), SIGNATURES NON VÉRIFIÉES"
    assert f"{country.pns.log.size} leaves in 2 segments" in english.output
    assert english.output.splitlines()[-1] == "VERDICT: GOOD, SIGNATURES NOT CHECKED"


def test_a_verdict_stands_alone_only_when_all_was_judged(country: EvidenceCountry) -> None:
    """Up to the anchor: nothing is added; one log whose signatures nobody checked, and the last line says it."""
    side = country.pns
    judged = options(country, side)

    assert run(side.directory, *judged).output.splitlines()[-1] == "VERDICT : BON (GOOD)"
    assert told(side.directory, *judged)["signatures"] == "anchored"
    lone = genesis_leaf(Genesis(1, side.gateway, 1, 1, "11" * 16, None))
    create_log(side.directory / "log/1", lone)
    result = run(side.directory, *judged)
    assert result.output.splitlines()[-1] == "VERDICT : BON (GOOD), SIGNATURES NON VÉRIFIÉES"
    assert told(side.directory, *judged)["signatures"] == "unchecked"


def test_a_bare_directory_of_segments_is_a_log(country: EvidenceCountry) -> None:
    """What an archive keeps: no state, no configuration."""
    (found,) = told(country.pns.directory / "log/0")["logs"]

    assert found["size"] == country.pns.log.size
    assert found["head"]["size"] < found["size"]  # the newest one only lies in state/


def test_the_gateway_s_own_directory_has_all_that_an_anchor_needs(country: EvidenceCountry) -> None:
    """``keys/seal.crt`` and the lists of the configuration are taken, since both must lead to the anchor."""
    side = country.pns
    chain = chain_pem([side.certificate, country.country.seal.certificate])
    (side.directory / "keys/seal.crt").write_bytes(chain)

    (found,) = told(side.directory, "--anchor", country.anchor())["logs"]

    assert found["signatures"] == "anchored"


def test_several_workers_are_each_told(country: EvidenceCountry) -> None:
    """One fault refuses the whole, and the others are still verified."""
    directory = country.pns.directory
    shutil.copytree(directory / "log/0", directory / "log/1")
    damage(segments(directory / "log/1")[-1], -1)

    document = told(directory)

    assert document["verdict"] == "GOOD"  # its last commit is torn, as a crash may leave it
    assert [one["worker"] for one in document["logs"]] == [0, 1]
    assert document["logs"][1]["size"] < document["logs"][0]["size"]
    assert "is damaged at byte" in document["logs"][1]["torn_end"]


def test_a_log_of_a_running_gateway_s_commit_by_halves_is_a_torn_tail(country: EvidenceCountry) -> None:
    """Reported with its place, and no damage; nor do the words say that nothing is missing, which nobody can know."""
    side = country.pns
    side.note()
    path = segments(side.directory / "log/0")[-1]
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole[:-7])

    document = told(side.directory)

    assert document["verdict"] == "GOOD"
    assert path.name in document["logs"][0]["torn_end"]
    words = run(side.directory).output
    assert "fin déchirée" in words
    assert "seule une tête plus récente, du pair ou du registre, les distingue (--head)" in words


def test_a_segment_that_was_only_begun_is_a_torn_tail(country: EvidenceCountry) -> None:
    """A power loss may leave a last file without its header."""
    log = country.pns.directory / "log/0"
    (log / f"{country.pns.log.size:020d}-{99:020d}.seg").write_bytes(b"PASS")

    document = told(country.pns.directory)

    assert document["verdict"] == "GOOD"
    assert "was begun and is not whole" in document["logs"][0]["torn_end"]


def test_what_a_restart_wrote_twice_is_good(country: EvidenceCountry) -> None:
    """Leaves that no head covered stand in two segments, with all that lies beside them."""
    side = country.pns
    side.note()
    side.log.close()
    side.log = Log.open(side.directory / "log/0")

    (found,) = told(side.directory)["logs"]

    assert (found["segments"], found["size"]) == (3, side.log.size)


def test_a_commit_spoilt_where_its_leaves_stand_again_is_told_as_such(country: EvidenceCountry) -> None:
    """An auditor who altered a byte learns why the verdict is good all the same: the next segment has it."""
    side = country.pns
    side.note()
    path = segments(side.directory / "log/0")[-1]
    side.log.close()
    side.log = Log.open(side.directory / "log/0")
    damage(path, -1)

    (found,) = told(side.directory)["logs"]

    assert (found["size"], found["torn_end"]) == (side.log.size, None)
    assert path.name in found["torn"][0]
    assert "le segment suivant continue sans lacune" in run(side.directory).output


def test_a_successor_declares_its_gap(tmp_path: Path) -> None:
    """Not refused: the first leaf says which log ended, where and why."""
    old = genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_790_000_000_000, "00" * 16, None))
    create_log(tmp_path / "log/0", old)
    claim = Succession(leaf_hash(old).hex(), 1, leaf_hash(old).hex(), "disk-lost")
    create_log(tmp_path / "log/1", genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 1, 1, "11" * 16, claim)))

    document = told(tmp_path)

    assert document["verdict"] == "GOOD"
    assert document["logs"][1]["succeeds"]["log"] == document["logs"][0]["log"]
    assert "lacune déclarée : succède au journal" in run(tmp_path).output


def successor(
    country: EvidenceCountry, change: Callable[[list[tuple[bytes, bytes | None]]], None] = lambda _: None
) -> Path:
    """A log that succeeds PNS's, of whose last two leaves only a peer's head is left; ``change`` spoils its notes."""
    side = country.pns
    kept = side.sign(country.mark)
    side.note()
    side.note()
    elsewhere = [WitnessedHead("BJ/GOV/ANIP/gw1", side.sign(country.mark), contradicts=False)]
    size = parse_head(kept).unverified.size
    claim = Succession(side.log.log_id, size, side.log.root(size).hex(), "disque perdu")
    genesis = genesis_leaf(Genesis(1, side.gateway, 0, country.clock.now_ms(), "22" * 16, claim))
    gap = gap_between(size, elsewhere, is_certain=False)
    notes = first_notes(kept, elsewhere, gap, country.clock.now_ms(), [f"{one:032x}" for one in range(3)])
    leaves = [(note_leaf(leaf_hash(genesis).hex(), note), document) for note, document in notes]
    change(leaves)
    directory = side.directory / "succeeded"
    create_log(directory, genesis, leaves)
    return directory


def test_the_heads_and_the_gap_that_a_successor_names_are_told(country: EvidenceCountry) -> None:
    """Each head lies beside its note; what is missing is shown, and that it is not certain."""
    directory = successor(country)

    (found,) = told(directory)["logs"]

    size = found["succeeds"]["size"]
    assert found["succeeds"]["log"] == country.pns.log.log_id
    assert found["gap"] == {"begin": size, "end": size + 2, "certain": False}
    assert f"les feuilles {size} à {size + 1} (2), ou davantage" in run(directory).output


Notes = list[tuple[bytes, bytes | None]]


def _exchange_heads(leaves: Notes) -> None:
    leaves[0], leaves[1] = (leaves[0][0], leaves[1][1]), (leaves[1][0], leaves[0][1])


def _take_head_away(leaves: Notes) -> None:
    leaves[1] = (leaves[1][0], None)


def _put_head_beside_gap(leaves: Notes) -> None:
    leaves[2] = (leaves[2][0], leaves[1][1])


@pytest.mark.parametrize(
    ("change", "at", "expected"),
    [
        (_exchange_heads, 1, "HEAD_INVALID"),
        (_take_head_away, 2, "HEAD_INVALID"),
        (_put_head_beside_gap, 3, "STATEMENT_INVALID"),
    ],
)
def test_a_successor_without_the_heads_that_it_names_is_refused(
    country: EvidenceCountry, change: Callable[[Notes], None], at: int, expected: str
) -> None:
    """A document is covered by no tree: it must be the one whose digest the note names."""
    reason, detail = fault(successor(country, change))

    assert reason == expected
    assert detail.startswith(f"leaf {at} (")


def test_a_successor_that_names_another_past_is_refused(tmp_path: Path) -> None:
    """Where the log before it is here too, its word is compared."""
    old = genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_790_000_000_000, "00" * 16, None))
    create_log(tmp_path / "log/0", old)
    claim = Succession(leaf_hash(old).hex(), 1, "ab" * 32, "disk-lost")
    create_log(tmp_path / "log/1", genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 1, 1, "11" * 16, claim)))

    assert fault(tmp_path)[0] == "FORKED"


def test_a_closed_log_shorter_than_its_successor_says_is_behind(tmp_path: Path) -> None:
    """Cut off later, with the head beside it: nothing in it tells, but its successor was written before."""
    old = genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_790_000_000_000, "00" * 16, None))
    create_log(tmp_path / "log/0", old)
    claim = Succession(leaf_hash(old).hex(), 2, "ab" * 32, "disk-lost")
    create_log(tmp_path / "log/1", genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 1, 1, "11" * 16, claim)))

    logs = told(tmp_path)["logs"]

    assert [one["reason"] for one in logs] == ["LOG_BEHIND_PEERS", None]
    assert logs[0]["detail"] == "1 leaves are here, its successor goes on from 2"


# --- damaged files ---


def damage(path: Path, at: int) -> None:
    """Flip one bit; negative places count from the last byte that was written."""
    data = bytearray(path.read_bytes())
    at = at if at >= 0 else len(bytes(data).rstrip(b"\0")) + at
    data[at] ^= 0x04
    path.write_bytes(data)


def test_a_flipped_bit_is_told_with_segment_and_byte(country: EvidenceCountry) -> None:
    """Whatever record it is in: the CRC covers all of it."""
    path = segments(country.pns.directory / "log/0")[-1]
    damage(path, 400)

    reason, detail = fault(country.pns.directory)

    assert reason == "LOG_DAMAGED"
    assert f"{path.name} is damaged at byte" in detail
    assert "later commits follow" in detail
    # What it means in the reader's language, then where.
    assert (
        f"FAUTE LOG_DAMAGED : {Reason.LOG_DAMAGED.entry.text.fr} ({detail})"
        in run(country.pns.directory).output
    )


def test_a_damaged_header_is_told(country: EvidenceCountry) -> None:
    """A segment without a header belongs to no log."""
    damage(segments(country.pns.directory / "log/0")[0], 20)

    assert fault(country.pns.directory)[0] == "LOG_DAMAGED"


def test_a_missing_segment_is_a_gap(country: EvidenceCountry) -> None:
    """The next one does not follow."""
    side = country.pns
    for _ in range(2):
        side.log.close()
        side.log = Log.open(side.directory / "log/0")
        side.commit = GroupCommit(side.log, lambda call: call(), raise_)
        side.note()
        side.sign(country.mark)
        side.note()
    second = segments(side.directory / "log/0")[1]
    second.unlink()

    reason, detail = fault(side.directory)

    assert reason == "LOG_DAMAGED"
    assert "does not follow the segment before it" in detail


def test_a_log_cut_behind_its_own_head_is_behind(country: EvidenceCountry) -> None:
    """The tail can be cut off whole: only a head kept elsewhere knows, here the one beside the log."""
    side = country.pns
    path = segments(side.directory / "log/0")[-1]
    reader = LogReader(side.directory / "log/0")
    reader.read_all()
    last = int(reader.place(reader.size - 1).rpartition(" ")[2])
    os.truncate(path, last)

    reason, detail = fault(side.directory)

    assert reason == "LOG_BEHIND_PEERS"
    assert f"{side.log.size - 1} leaves are here" in detail


def test_a_head_that_a_peer_kept_accuses_a_shorter_log(country: EvidenceCountry, tmp_path: Path) -> None:
    """``--head``: an auditor brings what the other side, or an archive, holds."""
    side = country.pns
    copy = tmp_path / "copy"
    shutil.copytree(side.directory / "log/0", copy)
    side.note()
    (tmp_path / "peer.jws").write_bytes(side.sign(country.mark) + b"\n")

    reason, _ = fault(copy, "--head", tmp_path / "peer.jws")
    (good,) = told(side.directory, "--head", tmp_path / "peer.jws")["logs"]

    assert reason == "LOG_BEHIND_PEERS"
    assert good["head"]["size"] == side.log.size


def test_the_head_that_was_told_is_asked_for_next_time(country: EvidenceCountry, tmp_path: Path) -> None:
    """``head.jws`` of one verification, or ``state/head.json`` as it is, goes into the next as ``--head``."""
    directory = country.pns.directory
    kept = tmp_path / "kept.jws"
    kept.write_text(told(directory)["logs"][0]["head"]["jws"])

    for head in (kept, directory / "state/head.json"):
        assert told(directory / "log/0", "--head", head)["logs"][0]["head"]["size"] == country.pns.log.size


def test_a_head_of_another_root_is_a_fork(country: EvidenceCountry, tmp_path: Path) -> None:
    """Equal size, other leaves: one of the two was rewritten."""
    side = country.pns
    signed = side.signer.sign(claims(side, country, side.log.size, root="ab" * 32))
    (tmp_path / "peer.jws").write_bytes(signed)

    assert fault(side.directory, "--head", tmp_path / "peer.jws")[0] == "FORKED"


def test_a_head_of_a_log_that_is_not_here_is_told(country: EvidenceCountry, tmp_path: Path) -> None:
    """Silence would look like agreement: of another gateway it is a slip, of this one a log is missing."""
    side = country.pns
    (tmp_path / "other.jws").write_bytes(country.anip.sign(country.mark))
    own = side.signer.sign(claims(side, country, 3, log="ab" * 32))
    (tmp_path / "own.jws").write_bytes(own)

    assert "NOT_FOUND" in ill_posed(side.directory, "--head", tmp_path / "other.jws", "--output", "json")
    reason, detail = fault(side.directory, "--head", tmp_path / "own.jws")

    assert (reason, "which is not here" in detail) == ("NOT_FOUND", True)


def test_a_directory_without_a_log_gets_no_verdict(tmp_path: Path) -> None:
    """Neither a good log of no leaves nor a bad one."""
    assert "NOT_FOUND" in ill_posed(tmp_path)


def test_an_anchor_that_is_none_accuses_no_log(country: EvidenceCountry, tmp_path: Path) -> None:
    """Nor does a list that is none: the remedy is the asker's."""
    (tmp_path / "other.pem").write_bytes(b"nothing")
    directory = country.pns.directory

    anchor = ill_posed(directory, "--anchor", tmp_path / "other.pem")
    lists = ill_posed(directory, "--crl", tmp_path / "other.pem")

    assert "ANCHOR_MISMATCH" in anchor
    assert "Remède : " in anchor
    assert "CERTIFICATE_INVALID" in lists


def test_two_hundred_seeded_bits_are_found_or_lie_in_the_torn_tail(country: EvidenceCountry) -> None:
    """No flipped bit leaves a log as good as before: refused with its place, or fewer leaves and a torn tail."""
    side = country.pns
    shutil.rmtree(side.directory / "state")
    path = segments(side.directory / "log/0")[-1]
    whole = path.read_bytes().rstrip(b"\0")
    step = len(whole) // 200
    for number in range(200):
        at = number * step + number % step
        data = bytearray(whole)
        data[at] ^= 1 << (number % 8)
        path.write_bytes(data)

        (found,) = told(side.directory)["logs"]

        assert found["reason"] == "LOG_DAMAGED" or (found["torn_end"] and found["size"] < side.log.size), at


# --- what no CRC tells: a log that was rewritten with good checksums ---

Change = Callable[[StoredLeaf], StoredLeaf]


def rewritten(side: Side, change: Change, at: int, heads: list[bytes] | None = None) -> Path:
    """The same log, written anew with one leaf changed: whole records, good CRCs, no signed heads."""
    reader = LogReader(side.directory / "log/0")
    reader.read_all()
    writer = RecordWriter(reader.log_id)
    parts = [SegmentHeader(reader.log_id, 0, 1).encode()]
    for number, one in enumerate(reader, 1):
        stored = change(one) if one.index == at else one
        for jws in heads or () if one.index == at else ():
            writer.pack(parts, number, RecordType.HEAD, jws)
        for kind, data in stored.attachments:
            writer.pack_attachment(parts, number, one.index, kind, data)
        writer.pack_leaf(parts, number, RecordType.LEAF | COMMIT_END, one.index, stored.leaf)
    directory = side.directory.parent / "rewritten"
    directory.mkdir()
    (directory / segments(side.directory / "log/0")[0].name).write_bytes(b"".join(parts))
    return directory


def unchanged(stored: StoredLeaf) -> StoredLeaf:
    return stored


def claims(side: Side, country: EvidenceCountry, leaves: int, **changes: Any) -> TreeHead:
    found = TreeHead(
        v=1,
        log=side.log.log_id,
        gateway=side.gateway,
        size=leaves,
        root=side.log.root(leaves).hex(),
        iat=country.clock.now_ms() // 1000,
        cfg=country.mark,
    )
    return msgspec.structs.replace(found, **changes)


def heard_at(side: Side, label: bytes = b"passerelle/1/heard") -> int:
    """The last leaf of a kind that has something beside it."""
    reader = LogReader(side.directory / "log/0")
    reader.read_all()
    return max(one.index for one in reader if one.leaf.startswith(label) and one.attachments)


def without(kind: AttachmentKind) -> Change:
    def change(stored: StoredLeaf) -> StoredLeaf:
        kept = tuple(one for one in stored.attachments if one[0] is not kind)
        return msgspec.structs.replace(stored, attachments=kept)

    return change


def with_bytes(kind: AttachmentKind, edit: Callable[[bytes], bytes]) -> Change:
    def change(stored: StoredLeaf) -> StoredLeaf:
        edited = tuple((one, edit(data) if one is kind else data) for one, data in stored.attachments)
        return msgspec.structs.replace(stored, attachments=edited)

    return change


def with_leaf(edit: Callable[[bytes], bytes]) -> Change:
    return lambda stored: msgspec.structs.replace(stored, leaf=edit(stored.leaf))


def test_a_log_written_anew_without_a_change_is_good(country: EvidenceCountry) -> None:
    """So the refusals below are about what was changed."""
    directory = rewritten(country.pns, unchanged, heard_at(country.pns))

    assert told(directory)["verdict"] == "GOOD"


def other_purpose(statement: bytes) -> bytes:
    return encode_statement(msgspec.structs.replace(parse_statement(statement), purpose="P02"))


def other_frame(data: bytes) -> bytes:
    record = FrameRecord.decode(data)
    run = record.runs[0]
    changed = run.leaves[:-1] + bytes([run.leaves[-1] ^ 1])
    return FrameRecord(
        record.log,
        record.verified,
        record.edge,
        (type(run)(run.first, run.before, changed),),
        record.after,
        record.head,
    ).encode()


REWRITTEN: dict[str, tuple[Change, str]] = {
    "statement taken away": (without(AttachmentKind.STATEMENT), "STATEMENT_INVALID"),
    "frame taken away": (without(AttachmentKind.FRAME), "FRAME_INVALID"),
    "statement changed": (with_bytes(AttachmentKind.STATEMENT, other_purpose), "STATEMENT_INVALID"),
    "frame changed": (with_bytes(AttachmentKind.FRAME, other_frame), "FRAME_INVALID"),
    "frame cut short": (with_bytes(AttachmentKind.FRAME, lambda data: data[:-1]), "FRAME_INVALID"),
    "receipt cut short": (with_bytes(AttachmentKind.RECEIPT, lambda data: data[:40]), "FRAME_INVALID"),
    "receipt of another leaf of ours": (
        with_bytes(AttachmentKind.RECEIPT, lambda data: bytes(8) + data[8:]),
        "STATEMENT_INVALID",
    ),
    "receipt at another place": (
        with_bytes(AttachmentKind.RECEIPT, lambda data: data[:8] + bytes(8) + data[16:]),
        "PROOF_INVALID",
    ),
    "receipt of another head": (
        with_bytes(AttachmentKind.RECEIPT, lambda data: data[:16] + bytes(32) + data[48:]),
        "FRAME_INVALID",
    ),
    "record says late": (
        with_leaf(lambda leaf: leaf.replace(b'"verdict":"taken"', b'"verdict":"late"').replace(b"1", b"2")),
        "STATEMENT_INVALID",
    ),
    "not canonical": (with_leaf(lambda leaf: leaf + b" "), "STATEMENT_INVALID"),
    "unknown label": (with_leaf(lambda leaf: leaf.replace(b"heard", b"hears")), "STATEMENT_INVALID"),
    "of another log": (
        with_leaf(
            lambda leaf: leaf.replace(parse_leaf(leaf).log.encode(), b"ab" * 32, 1),
        ),
        "LOG_DAMAGED",
    ),
    "a second genesis": (
        with_leaf(lambda leaf: genesis_leaf(Genesis(1, "BJ/GOV/PNS/gw1", 0, 1, "00" * 16, None))),
        "LOG_DAMAGED",
    ),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_leaf_rewritten_with_good_checksums_is_told_with_its_index(
    country: EvidenceCountry, name: str
) -> None:
    """What lies beside a leaf is covered by no tree and no signature: it must be what leaves and heads name."""
    change, expected = REWRITTEN[name]
    at = heard_at(country.pns)

    reason, detail = fault(rewritten(country.pns, change, at))

    assert reason == expected, detail
    assert detail.startswith(f"leaf {at} (")


def test_another_genesis_than_the_name_is_refused(country: EvidenceCountry) -> None:
    """The log id is the hash of leaf 0, and nothing else."""
    change = with_leaf(lambda leaf: leaf.replace(b'"worker":0', b'"worker":1'))

    assert fault(rewritten(country.pns, change, 0))[0] == "LOG_DAMAGED"


def test_a_frame_that_goes_back_is_refused(country: EvidenceCountry) -> None:
    """Our edge of a peer's log never shrinks: an older frame put in the place of a newer one is found."""
    side = country.anip
    reader = LogReader(side.directory / "log/0")
    reader.read_all()
    frames = [data for one in reader for kind, data in one.attachments if kind is AttachmentKind.FRAME]
    at = heard_at(side)

    reason, detail = fault(rewritten(side, with_bytes(AttachmentKind.FRAME, lambda _: frames[0]), at))

    assert reason == "FRAME_INVALID"
    assert "goes back" in detail


HEADS: dict[str, tuple[dict[str, Any], str]] = {
    "another root": ({"root": "ab" * 32}, "FORKED"),
    "of another log": ({"log": "ab" * 32}, "HEAD_INVALID"),
    "of another gateway": ({"gateway": "BJ/GOV/ANIP/gw1"}, "HEAD_INVALID"),
    "of leaves to come": ({"size": 4000}, "LOG_DAMAGED"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_in_the_log_that_is_not_of_these_leaves_is_refused(
    country: EvidenceCountry, name: str
) -> None:
    """Every HEAD record is compared with the tree that was rebuilt, the newest as well as the oldest."""
    changes, expected = HEADS[name]
    side = country.pns
    head = side.signer.sign(claims(side, country, 3, **changes))

    reason, detail = fault(rewritten(side, unchanged, 5, [head]))

    assert reason == expected
    assert detail.startswith("head before leaf 5 ")


def test_heads_in_the_log_only_grow(country: EvidenceCountry) -> None:
    """A later head that is smaller, or earlier in time, is nobody's."""
    side = country.pns
    now = country.clock.now_ms() // 1000
    smaller = [side.signer.sign(claims(side, country, size)) for size in (4, 3)]
    earlier = [side.signer.sign(claims(side, country, 4, iat=iat)) for iat in (now, now - 1)]

    first = fault(rewritten(side, unchanged, 5, smaller))
    shutil.rmtree(side.directory.parent / "rewritten")
    second = fault(rewritten(side, unchanged, 5, earlier))

    assert "a head of 4 leaves was signed before" in first[1]
    assert "its time is before" in second[1]


def test_bytes_that_are_no_head_are_refused(country: EvidenceCountry) -> None:
    """A HEAD record holds a head."""
    assert fault(rewritten(country.pns, unchanged, 5, [b"no head"]))[0] == "HEAD_INVALID"


# --- signatures and certificates ---


def signed_by(signer: HeadSigner, side: Side, country: EvidenceCountry) -> Path:
    return rewritten(side, unchanged, 5, [signer.sign(claims(side, country, 4))])


def test_a_head_signed_by_a_stranger_is_refused(country: EvidenceCountry) -> None:
    """Another key under the same name is not the certificate that was given."""
    side = country.pns
    key = generate_key()
    urn = f"urn:passerelle:gateway:{side.gateway}"
    twin = issue(Profile.SEAL, country.country.seal, key.public_key(), urn, now_ms=country.clock.now_ms())
    directory = signed_by(HeadSigner(key, twin), side, country)

    assert fault(directory, *options(country, side))[0] == "HEAD_INVALID"


def test_a_forged_signature_is_refused(country: EvidenceCountry) -> None:
    """The thumbprint in the header proves nothing."""
    side = country.pns
    jws = side.signer.sign(claims(side, country, 4))
    head, _, _ = jws.rpartition(b".")
    forged = head + b"." + side.signer.sign(claims(side, country, 3)).rpartition(b".")[2]

    directory = rewritten(side, unchanged, 5, [forged])

    assert fault(directory, *options(country, side))[0] == "HEAD_INVALID"
    assert told(directory)["verdict"] == "GOOD"  # nobody asked for signatures, and the words say so


def test_a_certificate_of_another_gateway_is_refused(country: EvidenceCountry) -> None:
    """ANIP's seal signs for ANIP only, though it leads to the same anchor."""
    side = country.pns
    directory = signed_by(country.anip.signer, side, country)

    reason, detail = fault(directory, *options(country, side), *options(country, country.anip))

    assert reason == "CERTIFICATE_INVALID"
    assert "are signed by urn:passerelle:gateway:BJ/GOV/ANIP/gw1" in detail


def test_a_certificate_is_judged_at_the_time_of_the_heads(country: EvidenceCountry) -> None:
    """A head from before the certificate was valid is nobody's, whatever the calendar says today."""
    side = country.pns
    early = claims(side, country, 4, iat=side.certificate.not_valid_before_utc.timestamp().__int__() - 1)

    directory = rewritten(side, unchanged, 5, [side.signer.sign(early)])

    assert fault(directory, *options(country, side))[0] == "CERTIFICATE_EXPIRED"


def test_without_lists_of_revocation_nothing_is_anchored(country: EvidenceCountry) -> None:
    """Failing to know is not knowing that all is well."""
    side = country.pns
    chain = options(country, side)[3]

    asked = (side.directory / "log/0", "--anchor", country.anchor(), "--certificate", chain)

    reason, detail = fault(*asked)

    assert reason == "CERTIFICATE_INVALID"
    assert "no fresh revocation list" in detail
    # Not that nobody asked for it: --anchor was given.
    assert "signatures non jugées, voir la faute" in run(*asked).output


def test_an_anchor_without_any_certificate_judges_nothing_good(country: EvidenceCountry) -> None:
    """Who asks for signatures gets no verdict without them."""
    told = ill_posed(country.pns.directory / "log/0", "--anchor", country.anchor())

    assert "give it with --certificate" in told


def test_a_fault_in_one_log_accuses_no_other(country: EvidenceCountry) -> None:
    """Each log is judged by its own heads: what the first was signed with is not the second's."""
    side = country.pns
    chain = chain_pem([side.certificate, country.country.seal.certificate])
    (side.directory / "keys/seal.crt").write_bytes(chain)
    shutil.copytree(country.anip.directory / "log/0", side.directory / "log/1")
    damage(segments(side.directory / "log/0")[-1], 400)

    logs = told(side.directory, *options(country, country.anip))["logs"]

    assert [(one["reason"], one["signatures"]) for one in logs] == [
        ("LOG_DAMAGED", None),
        (None, "anchored"),
    ]


def test_a_configuration_that_cannot_be_read_is_as_if_it_were_not_there(country: EvidenceCountry) -> None:
    """A copy may hold anything; lists of revocation are then given by hand."""
    side = country.pns
    for path in (side.directory / "configuration").rglob("*.json"):
        path.write_bytes(b"[" * 5000)

    assert told(side.directory, *options(country, side))["verdict"] == "GOOD"


def test_with_a_certificate_and_no_anchor_signatures_alone_are_judged(country: EvidenceCountry) -> None:
    """And the words say what was not."""
    chain = options(country, country.pns)[3]

    result = run(country.pns.directory, "--certificate", chain)

    assert result.exit_code == 0
    assert "certificat non jugé, donnez --anchor" in result.output
    assert result.output.splitlines()[-1] == "VERDICT : BON (GOOD), CERTIFICAT NON JUGÉ"


def raise_(error: BaseException) -> None:
    raise error


# --- calls of several segments ---


def test_streams_are_good_whole_broken_and_interleaved(country: EvidenceCountry) -> None:
    """What the log refused, or got late, is no part of a call, and spoils nothing."""
    whole, broken = country.stream(), country.stream()
    whole.ask(3)
    broken.ask(1)
    whole.answer(2)
    broken.answer(1)
    broken.ask(1, sequence=1, heard="refused:STATEMENT_INVALID")
    broken.refuse("STATEMENT_INVALID")
    whole.ask(0, final=True)
    whole.answer(1, final=True)
    early = country.stream()
    early.answer(1, final=True)
    early.ask(1, heard="late")
    early.settle()

    (mine,) = told(country.anip.directory, *options(country, country.anip))["logs"]

    assert mine["reason"] is None, mine


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (lambda talk: talk.ask(1, sequence=2), "request segment 2: segment 1 is missing"),
        (lambda talk: (talk.ask(1), talk.ask(1, sequence=1)), "request segment 1: stands twice"),
        (
            lambda talk: (talk.ask(0, final=True), talk.ask(1)),
            "request segment 2 stands behind the final one",
        ),
        (lambda talk: talk.ask(1, request="ab" * 32), "request segment 1 belongs to no call of this log"),
        (lambda talk: talk.answer(1, sequence=1), "response segment 1: segment 0 is missing"),
        (
            lambda talk: talk.answer(1, handed=1),
            "says that request segment 1 was handed on, which is not here",
        ),
        (lambda talk: talk.ask(1, issue="ACT-2"), "differs from its request in 'issue'"),
    ],
)
def test_a_segment_that_does_not_follow_is_told_with_its_place(
    country: EvidenceCountry, lie: Callable[[Talk], object], why: str
) -> None:
    """In the log that said it, and in the log that took it."""
    talk = country.stream()
    lie(talk)
    talk.settle()

    for side in (country.pns, country.anip):
        reason, detail = fault(side.directory)

        assert reason == "STATEMENT_INVALID"
        assert why in detail
        assert detail.startswith("leaf ")


def test_what_was_forgotten_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of any length is read in bounded memory: of more open calls than that, the oldest are passed over."""
    monkeypatch.setattr(opencalls, "MAX_OPEN", 2)
    calls = opencalls.OpenCalls()
    first = msgspec.structs.replace(REQUEST, final=False)
    for name in ("a", "b", "c"):
        calls.take(first, name * 64)

    later = msgspec.structs.replace(first, sequence=1)
    calls.take(msgspec.structs.replace(later, request="a" * 64), "d" * 64)
    with pytest.raises(SegmentError, match="segment 1 is missing"):
        calls.take(msgspec.structs.replace(later, request="c" * 64, sequence=2), "e" * 64)


# --- annexes (PROTOCOL M13) ---

PERSON = b"0000000001"


def annexed(edit: Callable[[bytes], bytes]) -> Change:
    return with_bytes(AttachmentKind.ANNEX, edit)


def with_another_annex(stored: StoredLeaf) -> StoredLeaf:
    beside = next(data for kind, data in stored.attachments if kind is AttachmentKind.ANNEX)
    return msgspec.structs.replace(stored, attachments=(*stored.attachments, (AttachmentKind.ANNEX, beside)))


def test_records_with_and_without_an_annex_stand_in_one_log(country: EvidenceCountry) -> None:
    """Old leaves have none; nothing else of a log is another."""
    country.exchange(subjects=[PERSON])
    country.exchange()

    for side in (country.pns, country.anip):
        found = told(side.directory, *options(country, side))
        assert (found["verdict"], found["logs"][0]["size"]) == ("GOOD", side.log.size)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(without(AttachmentKind.ANNEX), id="missing"),
        pytest.param(with_another_annex, id="twice"),
        pytest.param(annexed(lambda kept: kept[:-1]), id="cut"),
        pytest.param(annexed(lambda kept: b"\x01" + kept[1:]), id="another-salt"),
        pytest.param(annexed(lambda kept: kept.replace(b'"count":1', b'"count":9')), id="another-count"),
    ],
)
def test_an_annex_that_the_record_does_not_commit_to_is_told_with_its_leaf(
    country: EvidenceCountry, change: Change
) -> None:
    """Whom an exchange was about can be neither taken away nor changed later; ``audit list`` ends there, too."""
    country.exchange(subjects=[PERSON])
    side = country.pns
    at = heard_at(side)
    directory = rewritten(side, change, at)

    reason, detail = fault(directory)

    assert (reason, f"leaf {at}" in detail) == ("STATEMENT_INVALID", True)
    assert "annex" in where_the_list_ends(directory, at)


@pytest.mark.parametrize(
    "lost", [(AttachmentKind.STATEMENT,), (AttachmentKind.STATEMENT, AttachmentKind.ANNEX)]
)
@pytest.mark.parametrize("subjects", [[PERSON], []])
def test_a_record_whose_statement_was_taken_away_ends_the_list(
    country: EvidenceCountry, lost: Sequence[AttachmentKind], subjects: list[bytes]
) -> None:
    """Alone or with its annex: nobody can tell of which exchange it was, so it may be of any that is looked for."""
    wanted = country.exchange(subjects=subjects)
    at = heard_at(country.pns)

    def take_away(stored: StoredLeaf) -> StoredLeaf:
        left = tuple(one for one in stored.attachments if one[0] not in lost)
        return msgspec.structs.replace(stored, attachments=left)

    directory = rewritten(country.pns, take_away, at)

    why = where_the_list_ends(directory, at)
    assert why == where_the_list_ends(directory, at, "--exchange", wanted.id)
    assert ("annex" if subjects and AttachmentKind.ANNEX in lost else "statement") in why


def test_an_annex_beside_a_record_that_has_none_is_told(country: EvidenceCountry) -> None:
    """Nobody is added to an exchange later."""
    country.exchange(subjects=[PERSON])
    kept = keep_annex(bytes(16), annex_of(PseudonymKey(2026, bytes(32)), [PERSON], complete=True))[1]

    def add(stored: StoredLeaf) -> StoredLeaf:
        beside = (*stored.attachments, (AttachmentKind.ANNEX, kept))
        return msgspec.structs.replace(stored, attachments=beside)

    for label in (b"passerelle/1/heard", b"passerelle/1/said"):
        reader = LogReader(country.anip.directory / "log/0")
        reader.read_all()
        first = min(one.index for one in reader if one.leaf.startswith(label))
        directory = rewritten(country.anip, add, first)
        assert fault(directory)[0] == "STATEMENT_INVALID"
        assert "annex" in where_the_list_ends(directory, first)
        shutil.rmtree(country.anip.directory.parent / "rewritten")


# --- salts of what was cut (PROTOCOL M11) ---

CUT = Cut("3c" * 32, 2, "5e" * 32)


def said_cut_at(side: Side) -> int:
    reader = LogReader(side.directory / "log/0")
    reader.read_all()
    return max(one.index for one in reader if b'"cut":{' in one.leaf)


def test_answers_that_were_cut_stand_in_one_log_with_others(country: EvidenceCountry) -> None:
    """The provider has the salts, the consumer has none."""
    country.exchange({"cut": CUT})
    country.exchange()

    for side in (country.pns, country.anip):
        assert told(side.directory, *options(country, side))["verdict"] == "GOOD"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(without(AttachmentKind.SALTS), id="missing"),
        pytest.param(with_bytes(AttachmentKind.SALTS, lambda salts: salts[:-1]), id="cut"),
        pytest.param(with_bytes(AttachmentKind.SALTS, lambda salts: salts * 2), id="too-many"),
    ],
)
def test_salts_that_were_taken_away_are_told_with_their_leaf(
    country: EvidenceCountry, change: Change
) -> None:
    """Without them nobody could be shown what was cut."""
    country.exchange({"cut": CUT})
    at = said_cut_at(country.anip)

    reason, detail = fault(rewritten(country.anip, change, at))

    assert (reason, f"leaf {at}" in detail) == ("STATEMENT_INVALID", True)


def test_salts_of_nothing_are_told(country: EvidenceCountry) -> None:
    """Beside an answer that was not cut."""
    country.exchange({"cut": CUT})

    def add(stored: StoredLeaf) -> StoredLeaf:
        beside = (*stored.attachments, (AttachmentKind.SALTS, bytes(16)))
        return msgspec.structs.replace(stored, attachments=beside)

    for label in (b"passerelle/1/heard", b"passerelle/1/said"):
        reader = LogReader(country.anip.directory / "log/0")
        reader.read_all()
        first = min(one.index for one in reader if one.leaf.startswith(label))
        assert fault(rewritten(country.anip, add, first))[0] == "STATEMENT_INVALID"
        shutil.rmtree(country.anip.directory.parent / "rewritten")
