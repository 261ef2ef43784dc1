"""Clients and servers that others wrote, with two gateways between them: real processes, evidence at both.

gRPC's own cases (client and server in Python), ``@grpc/grpc-js`` and ``buf curl``; then health and reflection of a
provider, which those with an agreement see through the road.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from core.reasons import Reason
from rpc.identity import Identity
from tests.support.calls import refused
from tests.support.interop import (
    CASES,
    CLIENT,
    HEALTH,
    OFFICIAL,
    OFFICIAL_SERVER,
    REFLECTION,
    ROOT,
    STOCK_SERVER,
    TESTING,
    InteropCountry,
    ends,
    require_grpc_js,
)

# As the official case special_status_message has it.
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
SIZES = [31415, 9, 2653, 58979]


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteropCountry]:
    with InteropCountry(tmp_path_factory.mktemp("interop")) as found:
        yield found


@pytest.mark.parametrize("case", CASES)
def test_the_official_case_passes_and_leaves_evidence_at_both_gateways(
    country: InteropCountry, case: str
) -> None:
    """By gRPC's own client and server, which know nothing of gateways; through a fixed route that asks nobody."""
    done = country.run_case(case)

    assert done.returncode == 0, done.stderr
    trails = country.new_trails()
    assert ends(trails) in CASES[case]
    assert all((one.request.door, one.request.caller) == ("interop", "loopback") for one in trails)


def test_the_commands_of_the_recipe_run_one_case_by_hand(country: InteropCountry) -> None:
    """As ``tests.support.interop_by_hand`` prints them, and a shell takes them."""
    client, listing, verifying = country.by_hand("server_streaming")

    done = [
        subprocess.run(
            ["/bin/sh", "-c", one], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        for one in (client, listing, verifying)
    ]

    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    assert "StreamingOutputCall" in done[1].stdout
    assert ends(country.new_trails()) == ("0",)


# --- @grpc/grpc-js ---


def js(country: InteropCountry, case: str, *ended: str) -> dict[str, Any]:
    """What the program in JavaScript saw of one call, which ended so in both logs."""
    require_grpc_js()
    seen = country.run_grpc_js(case, SPECIAL)
    trails = country.new_trails()
    assert ends(trails) == ended
    assert all(one.request.door == "grpc" for one in trails)
    assert all((one.request.caller or "").startswith("mtls:") for one in trails)
    return seen


def test_grpc_js_calls_a_unary_method(country: InteropCountry) -> None:
    """Long messages both ways, and the name of the exchange in the trailers."""
    seen = js(country, "unary", "0")

    assert (seen["code"], seen["size"]) == (0, 314159)
    assert {"x-road-exchange-id", "x-road-request-hash"} <= set(seen["trailing"])


def test_grpc_js_is_told_a_refusal_with_its_details(country: InteropCountry) -> None:
    """``google.rpc.Status`` with its ``ErrorInfo``, as grpcio reads it; nothing left the consumer's gateway."""
    seen = js(country, "refusal")

    assert (seen["code"], seen["message"].partition(":")[0]) == (7, "PURPOSE_NOT_ALLOWED")
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(base64.b64decode(seen["details"])).details[0].Unpack(info)
    assert (info.reason, info.domain) == (Reason.PURPOSE_NOT_ALLOWED, "passerelle")


def test_grpc_js_gets_the_providers_own_status_untouched(country: InteropCountry) -> None:
    """Its message with blanks at both ends and beyond the BMP."""
    seen = js(country, "status", "2")

    assert (seen["code"], seen["message"]) == (2, SPECIAL)


def test_grpc_js_gets_custom_metadata_both_ways(country: InteropCountry) -> None:
    """In text and in bytes."""
    seen = js(country, "metadata", "0")

    assert seen["initial"]["x-grpc-test-echo-initial"] == "test_initial_metadata_value"
    assert seen["trailing"]["x-grpc-test-echo-trailing-bin"] == "ababab"


def test_grpc_js_sends_compressed_messages(country: InteropCountry) -> None:
    """They travel, and are signed, as they were packed."""
    assert js(country, "gzip", "0")["size"] == 314159


def test_grpc_js_reads_a_server_stream(country: InteropCountry) -> None:
    assert js(country, "server_stream", "0")["messages"] == SIZES


def test_grpc_js_writes_a_client_stream(country: InteropCountry) -> None:
    assert js(country, "client_stream", "0")["sum"] == 27182 + 8 + 1828 + 45904


def test_grpc_js_plays_ping_pong(country: InteropCountry) -> None:
    """Each question waits for the answer before it."""
    seen = js(country, "bidi", "0")

    assert (seen["code"], seen["messages"]) == (0, SIZES)


def test_grpc_js_runs_out_of_time(country: InteropCountry) -> None:
    """After the first of two messages; both logs know why the second did not come."""
    seen = js(country, "deadline", "deadline")

    assert (seen["code"], seen["messages"]) == (4, [1])


def test_grpc_js_cancels(country: InteropCountry) -> None:
    seen = js(country, "cancel", "cancel")

    assert (seen["code"], seen["messages"]) == (1, [7])


# --- buf curl ---


def buf(country: InteropCountry, method: str, *messages: dict[str, Any], ended: tuple[str, ...]) -> list[int]:
    """Sizes of what ``buf curl`` was answered; the call ended so in both logs."""
    data = "\n".join(map(json.dumps, messages))
    done = country.run_buf(
        "--schema", str(OFFICIAL / "testing.binpb"), method=f"{TESTING}/{method}", data=data
    )
    assert done.returncode == 0, done.stderr
    assert ends(country.new_trails()) == ended
    return [len(base64.b64decode(one["payload"]["body"])) for one in documents(done.stdout)]


def documents(text: str) -> list[dict[str, Any]]:
    """JSON documents that stand one behind the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    text = text.strip()
    while at < len(text):
        document, end = decoder.raw_decode(text, at)
        found.append(document)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def asking(*sizes: int) -> dict[str, Any]:
    return {"responseParameters": [{"size": size} for size in sizes]}


def test_buf_curl_calls_every_kind_of_method(country: InteropCountry) -> None:
    """Unary and the three kinds of streams."""
    aggregated = country.run_buf(
        *("--schema", str(OFFICIAL / "testing.binpb")),
        method=f"{TESTING}/StreamingInputCall",
        data='{"payload": {"body": "AAAA"}} {"payload": {"body": "AAAAAAAA"}}',
    )

    assert json.loads(aggregated.stdout) == {"aggregatedPayloadSize": 9}
    assert ends(country.new_trails()) == ("0",)
    assert buf(country, "UnaryCall", {"responseSize": 3}, ended=("0",)) == [3]
    assert buf(country, "StreamingOutputCall", asking(3, 70_000), ended=("0",)) == [3, 70_000]
    assert buf(country, "FullDuplexCall", asking(5), asking(6, 7), ended=("0",)) == [5, 6, 7]


def test_buf_curl_is_told_a_refusal_with_its_details(country: InteropCountry) -> None:
    """The code in its exit, the reason in the message and in ``google.rpc.ErrorInfo``."""
    done = country.run_buf(
        *("--schema", str(OFFICIAL / "testing.binpb"), "--header", "x-road-issue: two words"),
        method=f"{TESTING}/UnaryCall",
        data="{}",
    )

    refusal = json.loads(done.stderr)
    assert done.returncode == 3 << 3  # gRPC's code, as its help has it
    assert (refusal["code"], refusal["message"].partition(":")[0]) == ("invalid_argument", "METADATA_INVALID")
    assert refusal["details"][0]["type"] == "google.rpc.ErrorInfo"
    assert country.new_trails() == []


def test_buf_curl_runs_out_of_time(country: InteropCountry) -> None:
    """What came before is shown; both logs say ``deadline``."""
    slow = {"responseParameters": [{"size": 3}, {"size": 4, "intervalUs": 2_000_000}]}

    done = country.run_buf(
        *("--schema", str(OFFICIAL / "testing.binpb"), "--timeout", "1s"),
        method=f"{TESTING}/StreamingOutputCall",
        data=json.dumps(slow),
    )

    assert done.returncode == 4 << 3
    assert [one["payload"]["body"] for one in documents(done.stdout)] == ["AAAA"]
    assert ends(country.new_trails()) in (("deadline",), ("cancel",))


# --- health and reflection of a provider ---


def told(provider: str) -> tuple[tuple[str, str], ...]:
    return (("x-road-client", CLIENT), ("x-road-service", provider), ("x-road-purpose", "P01"))


@pytest.fixture
def channel(country: InteropCountry) -> Iterator[grpc.Channel]:
    """The portal at the programs' port."""
    one = Identity.read(country.identity)
    with grpc.secure_channel(
        country.programs, grpc.ssl_channel_credentials(one.roots, one.key, one.chain)
    ) as found:
        yield found


def test_health_of_a_provider_is_seen_through_the_road(
    country: InteropCountry, channel: grpc.Channel
) -> None:
    """By the stock client of ``grpc.health.v1``: asked once, and watched while it changes."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    stock = country.stock
    assert stock is not None
    request, metadata = health_pb2.HealthCheckRequest(), told(STOCK_SERVER)
    serving, stopped = (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    )

    assert stub.Check(request, metadata=metadata, timeout=20).status == serving
    watched = stub.Watch(request, metadata=metadata, timeout=40)
    assert next(watched).status == serving
    stock.health.set("", stopped)
    assert next(watched).status == stopped
    stock.health.set("", serving)
    assert next(watched).status == serving
    watched.cancel()

    assert ends(country.new_trails()) == ("0", "cancel")


def test_health_of_a_provider_is_hidden_from_whoever_has_no_agreement_over_it(
    country: InteropCountry, channel: grpc.Channel
) -> None:
    """An agreement over another of its services does not count."""
    stub: Any = health_pb2_grpc.HealthStub(channel)

    with pytest.raises(grpc.RpcError) as error:
        stub.Check(health_pb2.HealthCheckRequest(), metadata=told(OFFICIAL_SERVER), timeout=20)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, Reason.NO_AGREEMENT)
    assert country.new_trails() == []


def test_reflection_of_a_provider_is_seen_through_the_road(country: InteropCountry) -> None:
    """``buf curl`` lists its services, and calls one of which it knows nothing but that."""
    reflecting = ("--reflect", "--reflect-header", "*")

    listed = country.run_buf(*reflecting, "--list-services", provider=STOCK_SERVER)
    called = country.run_buf(*reflecting, provider=STOCK_SERVER, method=f"{HEALTH}/Check", data="{}")

    assert listed.stdout.split() == [HEALTH, REFLECTION], listed.stderr
    assert json.loads(called.stdout) == {"status": "SERVING"}, called.stderr
    trails = country.new_trails()
    assert sorted(one.request.method or "" for one in trails) == sorted(
        [f"{HEALTH}/Check", *[f"{REFLECTION}/ServerReflectionInfo"] * 2]
    )
    assert set(ends(trails)) <= {"0", "cancel"}


# --- what an auditor says of it all ---


@pytest.mark.parametrize("case", ["custom_metadata", "client_streaming", "cancel_after_first_response"])
def test_evidence_of_an_official_case_verifies(country: InteropCountry, case: str, tmp_path: Path) -> None:
    """Exported at either gateway: a call that went well, one of many segments, one that was given up midway."""
    assert country.run_case(case).returncode == 0
    exchange = country.new_trails()[0].request.exchange
    assert exchange is not None

    for number, member in enumerate((country.consumer, country.provider)):
        out = tmp_path / f"{number}.asice"
        exported = country.audit(
            *("export", exchange, "--log", str(country.gateway(member).root), "--out", str(out))
        )
        verified = country.audit("verify", str(out), "--anchor", str(country.layout.anchor))
        assert exported.returncode == 0, exported.stderr
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_both_logs_verify_from_the_first_leaf_to_the_last(country: InteropCountry) -> None:
    """After all that the tests before did to them."""
    assert country.run_case("empty_unary").returncode == 0
    country.new_trails()

    assert country.verify_logs() == []
