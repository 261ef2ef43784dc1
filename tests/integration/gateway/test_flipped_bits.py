"""A bit flips somewhere in a gateway's directory: what it knew is the same as before, or it says what is damaged.

Except in a segment that a checkpoint covers, which a start does not read: it knows what it knew, and whoever reads the
log, as the index and a verification do, says what is damaged.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from core.reasons import ExchangeError
from ledger.log import LogDamagedError, segments
from ledger.reader import LogReader
from tests.support.calls import call, worker_of
from tests.support.checkpoints import make_small
from tests.support.federation import Federation, Member
from tests.support.waiting import until

FLIPS = 200


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        with Federation(tmp_path_factory.mktemp("flips")) as found:
            for _ in range(5):
                for member in (found.anip, found.pns):
                    found.stop(member)
                    found.start(member)
                until(lambda: is_answered(found))
                for _ in range(6):
                    call(found, b"x" * 5000)
            yield found


def is_answered(federation: Federation) -> bool:
    with suppress(grpc.RpcError):
        return call(federation, b"first").answer == b"first"
    return False


def leaves(directory: Path) -> list[bytes]:
    return [one.leaf for one in LogReader(directory).follow()]


def kind_of(path: Path, root: Path) -> str:
    """What sort of file it is: ``log/0/….seg`` is a segment, ``keys/auth.key`` a key."""
    parts = path.relative_to(root).parts
    if "checkpoint" in parts:
        return "/".join(parts[2:4])
    return path.suffix if parts[0] == "keys" else path.suffix if path.suffix == ".seg" else "/".join(parts)


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    # Zeros written ahead of use, and slots for bodies to come, are most of some files and mean nothing yet.
    end = len(bytes(data).rstrip(b"\x00")) if path.suffix == ".seg" else len(data)
    at = chance.randrange(min(end, 4096))
    data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))


@pytest.mark.no_cover
@pytest.mark.parametrize("who", ["pns", "anip"])
def test_no_flipped_bit_is_ever_believed(federation: Federation, tmp_path: Path, who: str) -> None:
    """Every file kind of both sides. After each flip the worker starts on its leaves of before, or names a reason."""
    member: Member = getattr(federation, who)
    chance, told = random.Random(f"20261127 {who}"), Counter[str]()
    federation.stop(member)
    root, kept = member.directory.root, tmp_path / "kept"
    before = leaves(member.directory.log(0))
    whole = LogReader(member.directory.log(0))
    whole.read_all()
    shutil.copytree(root, kept)
    files = sorted(path for path in kept.rglob("*") if path.is_file() and path.stat().st_size)
    kinds = sorted({kind_of(path, kept) for path in files})
    try:
        for number in range(FLIPS // 2):
            kind = kinds[number % len(kinds)]
            path = chance.choice([one for one in files if kind_of(one, kept) == kind])
            flip(root / path.relative_to(kept), chance)
            try:
                federation.start(member)
            except ExchangeError as error:
                told[f"{kind}: {error.reason}"] += 1
            else:
                log = worker_of(member)._log
                assert log.root(len(before)) == whole.tree.root()
                try:
                    # What no head covers is written again at each start: leaves may stand twice, and are the same.
                    assert leaves(member.directory.log(0))[: len(before)] == before
                    told[f"{kind}: started"] += 1
                except LogDamagedError:
                    assert log.resumed
                    assert path in segments(kept / "log" / "0")[:-1]
                    told[f"{kind}: started behind it, and told by who reads it"] += 1
                federation.stop(member)
            for changed in ("log", "state"):
                shutil.rmtree(root / changed)
                shutil.copytree(kept / changed, root / changed)
            shutil.copyfile(path, root / path.relative_to(kept))
    finally:
        shutil.rmtree(root)
        shutil.copytree(kept, root)
        federation.start(member)

    call(federation, b"x" * 5000)
    print(dict(told))
    assert {one.partition(":")[0] for one in told} == set(kinds)
    assert {"checkpoint/state", "checkpoint/tree"} <= set(kinds)


def test_a_flipped_configuration_is_not_used(federation: Federation) -> None:
    """A worker without one it can read refuses by name, and takes the next good one."""
    member = federation.pns
    federation.stop(member)
    good = member.directory.current.read_bytes()
    member.directory.current.write_bytes(good.replace(b'"version"', b'"Version"'))
    federation.start(member)

    with pytest.raises(grpc.RpcError, match="CONFIG_MISSING"):
        call(federation, b"x" * 5000)

    member.directory.current.write_bytes(good)
    federation.publish()
    call(federation, b"x" * 5000)
