"""The soak's own arithmetic and its plans: a wrong figure would be believed, a wrong message never noticed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from google.protobuf import descriptor_pb2

from tests.support.soak.plans import METHODS, REQUEST, RESPONSE, SERVICE, Messages, Plan, descriptors, plans
from tests.support.soak.watch import Sample, Storm, memory_and_files, p99_of_tenths

pytestmark = pytest.mark.unit


def test_four_in_five_calls_are_unary_and_each_fate_is_met() -> None:
    """The mix that docs/soak.md tells."""
    found = list(islice(plans(1), 20_000))
    kinds = Counter(one.kind for one in found)

    assert 0.75 < kinds["unary"] / len(found) < 0.82
    assert all(kinds[kind] for kind in (*METHODS, "forbidden"))
    assert all(1 <= one.requests <= 200 and 1 <= one.responses <= 200 for one in found)
    assert {one.size for one in found if one.kind == "unary"} >= {0, 1}
    assert max(one.size for one in found) <= 16 * 1024
    assert 200 < sum(one.cancel_ms is not None for one in found) < 600
    assert 200 < sum(one.deadline_ms < 100 for one in found) < 600
    assert 100 < sum(one.status != 0 for one in found) < 300
    assert list(islice(plans(1), 100)) == found[:100]


def test_what_the_adapter_is_told_is_what_the_program_planned() -> None:
    for one in islice(plans(2), 200):
        told = Plan.parse(one.encode())

        assert (told.number, told.kind, told.size, told.status) == (
            one.number,
            one.kind,
            one.size,
            one.status,
        )
        assert (told.requests, told.responses) == (one.requests, one.responses)
        assert told.linger_ms == one.linger_ms


@pytest.mark.parametrize("size", [0, 5, 13, 4_000])
def test_messages_are_taken_apart_wherever_they_are_cut(size: int) -> None:
    plan = Plan(7, "watch", 1, 3, size)
    data = b"".join(plan.message(RESPONSE, index) for index in range(3))

    for step in (1, 7, len(data)):
        messages = Messages(plan, RESPONSE)
        counts = [messages.take(data[at : at + step]) for at in range(0, len(data), step)]

        assert (sum(counts), messages.count, messages.wrong, messages.is_whole) == (3, 3, "", True)


@pytest.mark.parametrize(
    "data",
    [
        Plan(7, "watch", 1, 3, 20).message(RESPONSE, 1),
        Plan(8, "watch", 1, 3, 20).message(RESPONSE, 0),
        Plan(7, "watch", 1, 3, 20).message(REQUEST, 0),
        Plan(7, "watch", 1, 3, 21).message(RESPONSE, 0),
    ],
)
def test_a_message_out_of_place_or_of_another_call_is_noticed(data: bytes) -> None:
    messages = Messages(Plan(7, "watch", 1, 3, 20), RESPONSE)

    messages.take(data)

    assert messages.wrong


def test_the_slope_is_that_within_lives() -> None:
    """A process that starts again starts lower, which is no decline; one that fills its caches at first is no leak."""
    first = [Sample("w", 1, n * 1000, 50_000 + 2 * n + (0 if n > 3 else -9_000), 10) for n in range(90)]
    second = [Sample("w", 2, 90_000 + n * 1000, 20_000 + 2 * n, 10 + n) for n in range(90)]

    (memory,), (files,) = memory_and_files([*first, *second])

    assert memory.slope == pytest.approx(2.0)
    assert files.slope == pytest.approx(0.5)
    assert (memory.lives, memory.least, memory.most) == (2, 20_000, 50_178)


def test_a_life_too_short_to_tell_has_no_slope() -> None:
    (memory,), _ = memory_and_files([Sample("w", 1, 0, 5, 5), Sample("w", 1, 1, 6, 5)])

    assert memory.slope is None


def test_the_p99_of_a_tenth_leaves_out_calls_that_a_fault_met() -> None:
    """1,000 calls a second apart, each of as many milliseconds as its tenth, but for those in a fault."""
    latencies = [(float(n), (n // 100 + 1) / 1000) for n in range(1_000)]
    latencies[950] = (950.0, 30.0)
    storm = Storm("worker killed", 955.0, 960.0, 979.0)

    found = p99_of_tenths(latencies, [storm])

    assert found == pytest.approx([float(n) for n in range(1, 11)])
    assert p99_of_tenths([], []) == [0.0] * 10


def test_the_published_service_has_every_method_in_its_kind() -> None:
    file = descriptor_pb2.FileDescriptorSet.FromString(descriptors()).file[0]
    found = {one.name: (one.client_streaming, one.server_streaming) for one in file.service[0].method}

    assert f"{file.package}.{file.service[0].name}" == SERVICE
    assert found == {name: (client, server) for name, client, server in METHODS.values()} | {
        "Forbidden": (False, False)
    }
