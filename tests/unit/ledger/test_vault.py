"""Bodies: encrypted, bound to their leaf, erasable."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from core.clock import ManualClock
from core.reasons import ExchangeError, Reason
from ledger import vault as module
from ledger.vault import BodyUnreadableError, BodyVault, PurgeKind, create_wrapping_key, read_wrapping_key

LOG = "ab" * 32
KEY = b"k" * 32


@pytest.fixture(autouse=True)
def _few_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOTS_AHEAD", 8)


@pytest.fixture
def vault(tmp_path: Path, clock: ManualClock) -> BodyVault:
    found = BodyVault(tmp_path / "bodies", LOG, KEY, clock)
    found.prepare()
    return found


def sealed(vault: BodyVault, index: int, service: str, body: bytes) -> bytes:
    (record,) = vault.seal_all([(index, service, body)])
    return b"".join(record)


def test_body_opens_again_and_is_not_readable_at_rest(vault: BodyVault) -> None:
    record = sealed(vault, 7, "BJ/GOV/ANIP/RNPP", b"ADJOVI Koffi")

    assert b"ADJOVI" not in record
    assert vault.open(record) == b"ADJOVI Koffi"


def test_bodies_of_before_open_after_a_restart_and_slots_are_never_used_twice(
    vault: BodyVault, tmp_path: Path, clock: ManualClock
) -> None:
    records = [sealed(vault, index, "s", b"%d" % index) for index in range(20)]
    again = BodyVault(tmp_path / "bodies", LOG, KEY, clock)
    again.prepare()
    more = sealed(again, 20, "s", b"more")

    assert [again.open(one) for one in records] == [b"%d" % index for index in range(20)]
    slots = [one[9:13] for one in (*records, more)]
    assert len(set(slots)) == len(slots)


def test_erased_body_is_gone_and_others_stay(vault: BodyVault) -> None:
    first, second = sealed(vault, 1, "s", b"first"), sealed(vault, 2, "s", b"second")

    vault.erase(first)

    with pytest.raises(BodyUnreadableError):
        vault.open(first)
    assert vault.open(second) == b"second"


@pytest.mark.parametrize("at", [0, 8, 9, 13, 20, -1])
def test_body_bound_to_its_leaf_and_bytes(vault: BodyVault, at: int) -> None:
    record = bytearray(sealed(vault, 1, "s", b"body"))
    sealed(vault, 2, "s", b"other")
    record[at] ^= 1

    with pytest.raises(BodyUnreadableError):
        vault.open(bytes(record))


def test_each_day_and_service_has_a_key_of_its_own(
    vault: BodyVault, clock: ManualClock, tmp_path: Path
) -> None:
    sealed(vault, 1, "a", b"x")
    sealed(vault, 2, "b", b"x")
    sealed(vault, 3, "a", b"x")
    clock.advance(timedelta(days=1))
    sealed(vault, 4, "a", b"x")

    assert len((tmp_path / "bodies/daykeys").read_bytes().splitlines()) == 3


def test_torn_day_key_line_is_cut(vault: BodyVault, tmp_path: Path, clock: ManualClock) -> None:
    record = sealed(vault, 1, "a", b"x")
    with (tmp_path / "bodies/daykeys").open("ab") as file:
        file.write(b'{"number":1,"day"')

    again = BodyVault(tmp_path / "bodies", LOG, KEY, clock)
    again.prepare()

    assert again.open(record) == b"x"
    assert again.open(sealed(again, 2, "a", b"y")) == b"y"


def test_other_wrapping_key_opens_nothing(vault: BodyVault, tmp_path: Path, clock: ManualClock) -> None:
    record = sealed(vault, 1, "a", b"x")

    with pytest.raises(BodyUnreadableError):
        BodyVault(tmp_path / "bodies", LOG, b"o" * 32, clock).open(record)


def test_wrapping_key_in_the_log_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    create_wrapping_key(tmp_path / "log/wrapping.key")

    with pytest.raises(ExchangeError) as refused:
        read_wrapping_key(tmp_path / "log/wrapping.key", tmp_path / "log")
    assert refused.value.reason is Reason.KEY_UNREADABLE


def test_wrapping_key_reads_back(tmp_path: Path) -> None:
    create_wrapping_key(tmp_path / "wrapping.key")

    assert len(read_wrapping_key(tmp_path / "wrapping.key", tmp_path / "log")) == 32
    with pytest.raises(FileExistsError):
        create_wrapping_key(tmp_path / "wrapping.key")


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31])
def test_malformed_wrapping_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrapping.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ExchangeError):
        read_wrapping_key(path, tmp_path / "log")


def test_wrapping_key_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrapping.key"
    create_wrapping_key(path)
    path.chmod(0o644)

    with pytest.raises(ExchangeError):
        read_wrapping_key(path, tmp_path / "log")


def test_destroyed_day_key_takes_its_bodies_and_no_others(
    vault: BodyVault, tmp_path: Path, clock: ManualClock
) -> None:
    gone, kept = sealed(vault, 1, "a", b"x"), sealed(vault, 2, "b", b"y")
    before = (tmp_path / "bodies/daykeys").stat().st_size

    purge = vault.destroy_day_key(0)

    assert purge[0] == PurgeKind.DAY_KEY
    assert (tmp_path / "bodies/daykeys").stat().st_size == before
    later = sealed(vault, 3, "a", b"z")
    for one in (vault, BodyVault(tmp_path / "bodies", LOG, KEY, clock)):
        with pytest.raises(BodyUnreadableError):
            one.open(gone)
        assert (one.open(kept), one.open(later)) == (b"y", b"z")


def test_day_key_that_a_crash_left_half_overwritten_is_destroyed(
    vault: BodyVault, tmp_path: Path, clock: ManualClock
) -> None:
    gone, kept = sealed(vault, 1, "a", b"x"), sealed(vault, 2, "b", b"y")
    path = tmp_path / "bodies/daykeys"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0][:90] + b" " * (len(lines[0]) - 91) + b"\n" + lines[1])

    again = BodyVault(tmp_path / "bodies", LOG, KEY, clock)

    with pytest.raises(BodyUnreadableError):
        again.open(gone)
    assert again.open(kept) == b"y"
    assert again.open(sealed(again, 3, "c", b"z")) == b"z"


def test_missing_day_key_line_is_told(vault: BodyVault, tmp_path: Path, clock: ManualClock) -> None:
    sealed(vault, 1, "a", b"x")
    sealed(vault, 2, "b", b"y")
    path = tmp_path / "bodies/daykeys"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[1])

    with pytest.raises(ExchangeError, match="missing"):
        BodyVault(tmp_path / "bodies", LOG, KEY, clock)


def test_day_key_of_another_place_does_not_open(vault: BodyVault, tmp_path: Path, clock: ManualClock) -> None:
    """The number is bound into the wrapping."""
    sealed(vault, 1, "a", b"x")
    path = tmp_path / "bodies/daykeys"
    path.write_bytes(path.read_bytes().replace(b'"data":"', b'"data":"00'))

    with pytest.raises(ExchangeError) as refused:
        BodyVault(tmp_path / "bodies", LOG, KEY, clock)
    assert refused.value.reason is Reason.KEY_UNREADABLE


@pytest.mark.parametrize("number", [-1, 0, 7])
def test_day_key_that_never_was_is_not_destroyed(vault: BodyVault, number: int) -> None:
    with pytest.raises(BodyUnreadableError):
        vault.destroy_day_key(number)


@pytest.mark.parametrize("record", [b"", b"short", bytes(9) + b"\xff" * 8])
def test_erasing_what_is_no_body_is_refused(vault: BodyVault, record: bytes) -> None:
    with pytest.raises(BodyUnreadableError):
        vault.erase(record)


def test_short_body_record_is_refused(vault: BodyVault) -> None:
    with pytest.raises(BodyUnreadableError):
        vault.open(b"short")


@pytest.mark.parametrize("failing", ["pwrite", "fdatasync"])
def test_day_key_is_not_used_before_it_is_durable(
    vault: BodyVault, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(5, "refused")

    monkeypatch.setattr(f"ledger.vault.os.{failing}", refuse)

    with pytest.raises(OSError, match="refused"):
        sealed(vault, 1, "a", b"x")


def test_body_key_is_that_of_rfc_5869() -> None:
    """Checked against another implementation of HKDF."""
    day_key, slot = bytes(range(32)), bytes(range(100, 132))

    expected = HKDFExpand(SHA256(), 32, b"passerelle/1/body" + slot).derive(day_key)

    assert module._body_key(module._prf(day_key), slot) == expected
