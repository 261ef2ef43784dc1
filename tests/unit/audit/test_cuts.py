"""What a log says that answers were cut from, found by the request that they answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit.commands import audit
from audit.cuts import compressed_among, find_cuts, verify_cuts
from core.leaves import Genesis, genesis_leaf, said_leaf
from core.masks import original_digest
from core.merkle import leaf_hash
from core.payloads import SALT_BYTES, payload_digest
from core.reasons import ExchangeError, Reason
from core.statements import Cut, encode_statement
from ledger.commit import Entry, GroupCommit
from ledger.log import Log, create_log
from ledger.records import AttachmentKind
from tests.unit.gateway_control.test_log_service import EXCHANGE, statement

FIRST, SECOND = "aa" * 32, "bb" * 32
MIXED = [(0, b"plain"), (1, b"packed"), (0, b"plain again")]


class ProvidersLog:
    """A log that says what answers of exchange 1 were cut from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        genesis = Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_795_000_000_000, "00" * 16, None)
        self.id = create_log(root / "log" / "0", genesis_leaf(genesis))
        self._log = Log.open(root / "log" / "0")
        self._commit = GroupCommit(self._log, lambda run: run(), lambda error: None)

    def answer(self, request: str, *originals: tuple[int, bytes]) -> str:
        """A segment of an answer, cut from these messages, flag and bytes; returns the hash of its leaf."""
        salts = [bytes([number]) * SALT_BYTES for number in range(len(originals))]
        digests = [payload_digest(salt, *original) for salt, original in zip(salts, originals, strict=True)]
        said = statement(
            "response",
            1,
            self.id,
            request=request,
            final=False,
            status=None,
            encoding="identity",
            payloads=["ee" * 32] * (len(originals) + 1),
            cut=Cut("3c" * 32, 2, original_digest(digests)),
        )
        leaf = said_leaf(self.id, encode_statement(said))
        hashed = leaf_hash(leaf)
        self._commit.commit_now([Entry(leaf, hashed, ((AttachmentKind.SALTS, b"".join(salts)),))])
        return hashed.hex()

    def judge(self, *originals: bytes, options: tuple[str, ...] = ()) -> Result:
        """What the command says of these messages, written to files of their own."""
        files = [self.root / f"{number}.binpb" for number in range(len(originals))]
        for file, data in zip(files, originals, strict=True):
            file.write_bytes(data)
        arguments = ["verify-cut", f"{EXCHANGE}1", *map(str, files), "--log", str(self.root), *options]
        return CliRunner().invoke(audit, arguments, env={"LANG": "fr_FR.UTF-8"})


@pytest.fixture
def log(tmp_path: Path) -> ProvidersLog:
    return ProvidersLog(tmp_path)


def test_a_good_original_is_told_with_the_leaves_to_compare(log: ProvidersLog) -> None:
    """Nothing authenticates a copy of a log: its verdict says so, and names what evidence must bear out."""
    leaves = [log.answer(FIRST, (0, b"one")), log.answer(FIRST, (0, b"two"))]

    good = log.judge(b"one", b"two")

    assert good.exit_code == 0
    *lines, verdict = good.stdout.splitlines()
    assert verdict == "VERDICT : BON (GOOD), JOURNAL NON JUGÉ : COMPARER LES FEUILLES"
    for number, leaf in enumerate(leaves, 1):
        assert any(line.endswith(f"{log.id} {number} {leaf}") for line in lines)
    assert "JOURNAL" not in log.judge(b"one", b"other").stdout


def test_of_an_exchange_with_two_requests_one_is_chosen(log: ProvidersLog) -> None:
    """The consumer chooses the name of an exchange: a second request under it does not spoil the first one's original."""
    log.answer(FIRST, (0, b"one"))
    log.answer(SECOND, (0, b"two"))

    unposed = log.judge(b"one")

    assert unposed.exit_code == 2
    assert all(one in unposed.stderr for one in (FIRST, SECOND, "--request"))
    assert log.judge(b"one", options=("--request", FIRST)).exit_code == 0
    assert log.judge(b"one", options=("--request", SECOND)).exit_code == 1
    with pytest.raises(ExchangeError) as unknown:
        find_cuts(log.root, f"{EXCHANGE}1", "cc" * 32)
    assert unknown.value.reason is Reason.NOT_FOUND


def test_each_message_is_compressed_or_not(log: ProvidersLog) -> None:
    """As gRPC has it, message by message."""
    log.answer(FIRST, *MIXED)
    files = [data for _, data in MIXED]

    assert verify_cuts(find_cuts(log.root, f"{EXCHANGE}1"), MIXED)["messages"] == 3
    assert log.judge(*files, options=("--compressed", "2")).exit_code == 0
    assert [log.judge(*files, options=one).exit_code for one in ((), ("--compressed", "1-3"))] == [1, 1]
    assert log.judge(*files, options=("--compressed", "4")).exit_code == 2


def test_compressed_messages_are_named_by_number() -> None:
    assert compressed_among("", 3) == frozenset()
    assert compressed_among("2,5-7", 7) == {2, 5, 6, 7}


@pytest.mark.parametrize("wrong", ["0", "8", "3-2", "2-8", "-", "1,", "x", "1 ", "٢", "1-2-3", "99999999999"])
def test_what_names_no_message_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="names none of 7"):
        compressed_among(wrong, 7)
