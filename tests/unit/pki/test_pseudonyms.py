"""The keys of pseudonyms on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.reasons import ExchangeError, Reason
from pki.pseudonyms import create_keys, key_file, read_key, read_keys, share_keys, years_held


def test_each_year_has_a_key_of_its_own_that_nobody_else_may_read(tmp_path: Path) -> None:
    """0600, in a directory of 0700."""
    directory = tmp_path / "pseudonyms"

    made = create_keys(directory, range(2026, 2029))

    keys = read_keys(directory)
    assert made == list(keys) == years_held(directory) == [2026, 2027, 2028]
    assert len(set(keys.values())) == 3
    assert all(len(key) == 32 for key in keys.values())
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(key_file(directory, year).stat().st_mode) == 0o600 for year in made)


def test_a_key_that_is_there_is_never_made_anew(tmp_path: Path) -> None:
    """Else the pseudonyms of its year would be nobody's."""
    create_keys(tmp_path, [2026])
    before = read_key(tmp_path, 2026)

    assert create_keys(tmp_path, [2026, 2027]) == [2027]
    assert read_key(tmp_path, 2026) == before


def test_two_gateways_of_a_member_share_their_keys(tmp_path: Path) -> None:
    """One person has one pseudonym at both; what a gateway had of other years stays."""
    create_keys(tmp_path / "gw1", [2026, 2027])
    create_keys(tmp_path / "gw2", [2025])

    assert share_keys(tmp_path / "gw1", tmp_path / "gw2") == [2026, 2027]
    assert share_keys(tmp_path / "gw1", tmp_path / "gw2") == []
    assert years_held(tmp_path / "gw2") == [2025, 2026, 2027]
    assert read_key(tmp_path / "gw1", 2026) == read_key(tmp_path / "gw2", 2026)


def test_a_gateway_with_another_key_of_a_year_takes_none_over(tmp_path: Path) -> None:
    """Who is searched for in that year must not depend on the gateway."""
    create_keys(tmp_path / "gw1", [2026, 2027])
    create_keys(tmp_path / "gw2", [2027])

    with pytest.raises(ExchangeError) as refused:
        share_keys(tmp_path / "gw1", tmp_path / "gw2")

    assert refused.value.reason is Reason.STATE_CONFLICT
    assert years_held(tmp_path / "gw2") == [2027]


def test_without_keys_there_is_nothing_to_share(tmp_path: Path) -> None:
    """The other gateway is to make them first."""
    (tmp_path / "gw1").mkdir()

    for source in (tmp_path / "gw1", tmp_path / "nowhere"):
        with pytest.raises(ExchangeError) as refused:
            share_keys(source, tmp_path / "gw2")
        assert refused.value.reason is Reason.KEY_UNREADABLE


@pytest.mark.parametrize(
    "content",
    [b"", b"00" * 31 + b"\n", b"00" * 33 + b"\n", b"00" * 32, b"zz" * 32 + b"\n", b"A0" * 32 + b"\n"],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """Rather than taken for a short one."""
    create_keys(tmp_path, [2026])
    key_file(tmp_path, 2026).write_bytes(content)

    with pytest.raises(ExchangeError) as refused:
        read_key(tmp_path, 2026)

    assert refused.value.reason is Reason.KEY_UNREADABLE
    assert "2026.key" in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Who reads it can try every number."""
    create_keys(tmp_path, [2026])
    key_file(tmp_path, 2026).chmod(mode)

    with pytest.raises(ExchangeError) as refused:
        read_key(tmp_path, 2026)

    assert refused.value.reason is Reason.KEY_UNREADABLE


def test_a_missing_key_is_told_with_its_file(tmp_path: Path) -> None:
    """And no other year's is taken in its place."""
    create_keys(tmp_path, [2026])

    with pytest.raises(ExchangeError) as refused:
        read_key(tmp_path, 2027)

    assert "2027.key" in str(refused.value)
    assert refused.value.reason is Reason.KEY_UNREADABLE


def test_other_files_beside_the_keys_are_no_keys(tmp_path: Path) -> None:
    """Copies, half-written files, other years' names."""
    create_keys(tmp_path, [2026])
    for name in ("2026.key.bak", "26.key", "README", ".2027.key.12.new"):
        (tmp_path / name).write_bytes(b"")

    assert list(read_keys(tmp_path)) == [2026]
