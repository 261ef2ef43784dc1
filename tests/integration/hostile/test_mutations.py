"""A gateway's operator deletes, edits or reorders entries: mutations of a log, each told with its place.

The judge knows three things: the segments, the log's name, and one head that a peer holds. What whole logs are judged by
beside that (records beside leaves, signatures, the anchor) is tested with ``audit verify-log``.
"""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from core.leaves import said_leaf
from core.merkle import Edge, leaf_hash
from core.reasons import ExchangeError
from ledger.commit import GroupCommit
from ledger.log import Log, create_log
from ledger.reader import LogReader
from ledger.records import COMMIT_END, HEADER_BYTES, Record, RecordType, RecordWriter, split_leaf
from tests.unit.ledger.conftest import GENESIS, entry, fail_loudly, filled, run_now

SEED = 20261127
TIMES = 1_500  # ``make test-mutations``: 10,000
SEGMENT_BYTES = 1_500
PLACE = re.compile(r"[0-9]{20}-[0-9]{20}\.seg|leaf [0-9]+|commit [0-9]+|[0-9]+ leaves|add up|no log")


Files = dict[str, bytes]


@dataclass
class Original:
    """A log as it should be, in memory, and the head over all of it that a peer holds."""

    log: str
    files: Files
    size: int
    root: bytes
    old: Files
    """A copy from half way."""

    @cached_property
    def writer(self) -> RecordWriter:
        return RecordWriter(self.log)

    @cached_property
    def records(self) -> dict[str, list[Record]]:
        """All records of each segment."""
        return {name: self._records(data) for name, data in self.files.items()}

    @cached_property
    def leaves(self) -> dict[str, dict[int, bytes]]:
        """The leaves of each segment, by index."""
        return {
            name: dict(split_leaf(one.data) for one in records if one.type is RecordType.LEAF)
            for name, records in self.records.items()
        }

    def _records(self, data: bytes) -> list[Record]:
        found, at = [], HEADER_BYTES
        while (record := self.writer.read(data, at)) is not None:
            found.append(record)
            at = record.end
        return found


def read_files(directory: Path) -> Files:
    return {
        path.name: path.read_bytes().rstrip(b"\0")
        for path in sorted(directory.iterdir())
        if path.suffix == ".seg"
    }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    directory = tmp_path_factory.mktemp("whole") / "log"
    create_log(directory, GENESIS)
    log = Log.open(directory, segment_bytes=SEGMENT_BYTES)
    commit = GroupCommit(log, run_now, fail_loudly)
    old: Files = {}
    for number in range(12):
        commit.commit_now([entry(log.log_id, 2 * number + one) for one in range(2)])
        if number == 4:
            old = read_files(directory)
    size, root, name = log.size, log.root(), log.log_id
    commit.close()
    log.close()
    # A start writes leaves again that no head covers: the genesis leaf stands in the next segment, too. Its first copy is
    # put away, so that every byte that is left counts.
    files = read_files(directory)
    del files[next(iter(files))]
    return Original(name, files, size, root, {one: old[one] for one in old if one in files})


def judge(directory: Path, original: Original) -> str:
    """What is wrong with a log, in one line; empty if it is whole and reaches the peer's head."""
    reader, edge = LogReader(directory), Edge()
    try:
        for stored in reader.follow():
            if edge.size < original.size:
                edge.append(leaf_hash(stored.leaf))
    except ExchangeError as error:
        return str(error)
    if reader.log_id != original.log:
        return "another log"
    if edge.size < original.size:
        return f"a peer holds a head over {original.size} leaves, here are {edge.size}"
    return "" if edge.root() == original.root else "the leaves do not add up to the peer's head"


Mutation = Callable[[random.Random, Original], Files]


def any_file(rng: random.Random, original: Original) -> tuple[str, bytes]:
    name = rng.choice(list(original.files))
    return name, original.files[name]


def flip_a_bit(rng: random.Random, original: Original) -> Files:
    name, data = any_file(rng, original)
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return original.files | {name: bytes(changed)}


def overwrite_bytes(rng: random.Random, original: Original) -> Files:
    name, data = any_file(rng, original)
    at = rng.randrange(len(data))
    end = min(len(data), at + rng.randint(1, 64))
    noise = bytes(byte ^ rng.randint(1, 255) for byte in data[at:end])
    return original.files | {name: data[:at] + noise + data[end:]}


def delete_a_leaf(rng: random.Random, original: Original) -> Files:
    name, data = any_file(rng, original)
    record = rng.choice([one for one in original.records[name] if one.type is RecordType.LEAF])
    return original.files | {name: data[: record.begin] + data[record.end :]}


def swap_two_records(rng: random.Random, original: Original) -> Files:
    name = rng.choice([name for name in original.files if len(original.leaves[name]) > 1])
    records, data = original.records[name], original.files[name]
    at = [number for number, one in enumerate(records) if one.type is RecordType.LEAF]
    one, two = rng.sample(at, 2)
    pieces = [data[record.begin : record.end] for record in records]
    pieces[one], pieces[two] = pieces[two], pieces[one]
    return original.files | {name: data[:HEADER_BYTES] + b"".join(pieces)}


def rewrite(original: Original, name: str, leaves: dict[int, bytes]) -> Files:
    """Leaf records of a segment with other leaves, and checksums that are right."""
    parts: list[bytes] = [original.files[name][:HEADER_BYTES]]
    for record in original.records[name]:
        kind = int(record.type) | (COMMIT_END if record.is_last else 0)
        if record.type is RecordType.LEAF:
            index, leaf = split_leaf(record.data)
            original.writer.pack_leaf(parts, record.sequence, kind, index, leaves.get(index, leaf))
        else:
            original.writer.pack(parts, record.sequence, kind, record.data)
    return original.files | {name: b"".join(parts)}


def edit_a_leaf(rng: random.Random, original: Original) -> Files:
    name, _ = any_file(rng, original)
    index = rng.choice(list(original.leaves[name]))
    forged = said_leaf(original.log, b"statement %d" % rng.randrange(10**6, 10**7))
    return rewrite(original, name, {index: forged})


def swap_two_leaves(rng: random.Random, original: Original) -> Files:
    name = rng.choice([name for name in original.files if len(original.leaves[name]) > 1])
    leaves = original.leaves[name]
    one, two = rng.sample(list(leaves), 2)
    return rewrite(original, name, {one: leaves[two], two: leaves[one]})


def truncate_the_tail(rng: random.Random, original: Original) -> Files:
    name = list(original.files)[-1]
    end = rng.randrange(HEADER_BYTES, len(original.files[name]))
    return original.files | {name: original.files[name][:end]}


def cut_off_segments(rng: random.Random, original: Original) -> Files:
    names = list(original.files)
    return {name: original.files[name] for name in names[: rng.randrange(1, len(names))]}


def drop_a_segment(rng: random.Random, original: Original) -> Files:
    dropped = rng.choice(list(original.files))
    return {name: data for name, data in original.files.items() if name != dropped}


def old_copy(rng: random.Random, original: Original) -> Files:
    return original.old


def old_segment(rng: random.Random, original: Original) -> Files:
    return original.files | {list(original.old)[-1]: original.old[list(original.old)[-1]]}


def drop_whole(rng: random.Random, original: Original) -> Files:
    return {}


MUTATIONS: tuple[Mutation, ...] = (
    flip_a_bit,
    overwrite_bytes,
    delete_a_leaf,
    swap_two_records,
    edit_a_leaf,
    swap_two_leaves,
    truncate_the_tail,
    cut_off_segments,
    drop_a_segment,
    old_copy,
    old_segment,
    drop_whole,
)


class Disk:
    """A directory of segments; writes what differs."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self._held: Files = {}

    def write(self, files: Files) -> None:
        for name in self._held.keys() - files.keys():
            (self.directory / name).unlink()
        for name, data in files.items():
            if self._held.get(name) != data:
                (self.directory / name).write_bytes(data)
        self._held = dict(files)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: forty thousand files are opened here."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as directory:
        yield Path(directory)


def test_mutations_of_a_log_are_each_told_with_their_place(original: Original, memory: Path) -> None:
    """Whatever a gateway's operator does to a log; where the log itself tells it, with the segment."""
    mutate(original, memory, TIMES)


def mutate(original: Original, memory: Path, times: int) -> None:
    """Mutate so many times; fails if a mutation is not told, or not placed."""
    rng, unplaced, missed = random.Random(SEED), set[str](), Counter[str]()
    disk = Disk(memory / "log")
    for number in range(times):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        files = mutation(rng, original)
        disk.write(files)
        verdict = judge(disk.directory, original)
        if not verdict:
            missed[mutation.__name__] += files != original.files
        elif not PLACE.search(verdict):
            unplaced.add(verdict)

    assert unplaced == set()
    assert missed.total() == 0, missed


def test_what_a_mutated_log_still_yields_is_what_was_written(original: Original, memory: Path) -> None:
    """Without any peer's head: nothing is read that was not there, but for leaves rewritten with good checksums."""
    rng = random.Random(SEED + 1)
    disk = Disk(memory / "log")
    disk.write(original.files)
    whole = [stored.leaf for stored in LogReader(disk.directory).follow()]
    for number in range(1_000):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        if mutation in (edit_a_leaf, swap_two_leaves):
            continue
        disk.write(mutation(rng, original))
        read = []
        with suppress(ExchangeError):
            for stored in LogReader(disk.directory).follow():
                read.append(stored.leaf)

        assert read == whole[: len(read)]


def test_clean_logs_raise_no_alarm(tmp_path: Path) -> None:
    """Logs of many lengths and segment sizes, one after the other in the same place: whole, each time."""
    rng = random.Random(SEED)
    directory = tmp_path / "log"
    create_log(directory, GENESIS)
    root = filled(directory, 1, per_commit=1)
    size = 2
    for _ in range(15):
        commits, each = rng.randint(1, 3), rng.randint(1, 4)
        root = filled(directory, commits, per_commit=each, segment_bytes=rng.choice((800, 1_500, 1 << 20)))
        size += commits * each
        reader = LogReader(directory)
        assert sum(1 for _ in reader.follow()) == size
        assert judge(directory, Original(reader.log_id, {}, size, root, {})) == ""
    shutil.rmtree(directory)
