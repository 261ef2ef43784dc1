"""The JSON door (PROTOCOL M14): the same steps and evidence for programs that have no gRPC. Real TLS, real logs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from bj.identity.v1 import identity_pb2
from core.configuration import Marks
from core.documents import digest
from core.leaves import NOTE, SAID, Note, parse_leaf, parse_note
from core.payloads import decode_payloads, payload_digest, read_payloads
from core.pseudonyms import pseudonym, year_of
from core.reasons import Reason
from core.statements import Statement, parse_statement
from gateway.worker.jsondoor import INLINE_BYTES, MAX_POOLS
from gateway.worker.masks import inflate
from gateway.worker.transcoding import MAX_JSON_BYTES, MessageTypes, read_json
from ledger.reader import LogReader, StoredLeaf
from pki.pseudonyms import read_key
from rpc.richerrors import error_info, status_bytes
from tests.support.calls import worker_of
from tests.support.federation import CLIENT, SERVICE, STRANGER, Federation, metadata
from tests.support.jsonprogram import JsonAnswer, JsonProgram
from tests.support.persons import federation_marks, noted
from tests.support.rawprogram import client_tls
from tests.support.waiting import until

NPI = "0000000001"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    found = Federation(tmp_path_factory.mktemp("country"))
    found.mirror_descriptors()
    with found:
        yield found


@pytest.fixture(autouse=True)
def _adapter_answers(federation: Federation) -> Iterator[None]:
    federation.adapter.calls.clear()
    federation.adapter.answer = answer
    yield
    federation.agreements = [federation.agreement()]
    federation.publish()


@pytest.fixture
def program(federation: Federation) -> Iterator[JsonProgram]:
    with JsonProgram(federation) as found:
        yield found


def answer(request: bytes, _: grpc.ServicerContext) -> bytes:
    npi = identity_pb2.GetPersonRequest.FromString(request).npi
    return identity_pb2.GetPersonResponse(npi=npi, last_name="HOUNGBÉDJI").SerializeToString()


def stored(federation: Federation) -> list[StoredLeaf]:
    """Every leaf of the consumer's log."""
    reader = LogReader(federation.pns.directory.log(0))
    reader.read_all()
    return list(reader)


def said(federation: Federation, exchange: str) -> tuple[StoredLeaf, Statement]:
    """What the consumer said of an exchange, the first of it."""
    for one in stored(federation):
        leaf = parse_leaf(one.leaf)
        if leaf.label == SAID and (statement := parse_statement(leaf.body)).exchange == exchange:
            return one, statement
    raise AssertionError(f"nothing is said of {exchange}")


def notes(federation: Federation, exchange: str) -> list[tuple[StoredLeaf, Note]]:
    """The notes that name an exchange."""
    found = [(one, parse_leaf(one.leaf)) for one in stored(federation)]
    read = [(one, parse_note(leaf.body)) for one, leaf in found if leaf.label == NOTE]
    return [(one, note) for one, note in read if note.detail.startswith(exchange)]


def opened(federation: Federation, leaf: StoredLeaf) -> bytes:
    """What is kept encrypted beside a leaf."""
    assert leaf.body is not None
    found = worker_of(federation.pns)._vault.open(leaf.body)
    assert found is not None
    return found


def test_a_person_is_asked_for_in_json(federation: Federation, program: JsonProgram) -> None:
    """The adapter gets protobuf and the caller as ever; the answer is JSON, with the exchange's id."""
    got = program.post({"npi": NPI, "profile": "PERSON_PROFILE_LITE"}, (b"x-custom", b"kept"))

    assert (got.status, got.document) == (200, {"npi": NPI, "lastName": "HOUNGBÉDJI"})
    assert got.headers[b"content-type"] == b"application/json"
    assert got.headers[b"trailer-x-road-exchange-id"] == got.exchange.encode()
    ((method, request, told),) = federation.adapter.calls
    assert method == f"/{SERVICE}/GetPerson"
    asked = identity_pb2.GetPersonRequest(npi=NPI, profile=identity_pb2.PERSON_PROFILE_LITE)
    assert request == asked.SerializeToString()
    assert (told["x-road-client"], told["x-custom"]) == (CLIENT, "kept")
    assert not {"accept", "connect-protocol-version", "content-encoding"} & set(told)


def test_the_statement_covers_the_protobuf_and_a_note_the_json(
    federation: Federation, program: JsonProgram
) -> None:
    """``door: json``; who has the body can show both, and the note alone tells nobody the number."""
    body = json.dumps({"npi": NPI}).encode()

    exchange = program.post(body).exchange

    leaf, statement = said(federation, exchange)
    assert (statement.kind, statement.door, statement.encoding) == ("request", "json", "identity")
    digests, parts = read_payloads(opened(federation, leaf))
    assert digests == statement.payloads
    assert identity_pb2.GetPersonRequest.FromString(parts[1][1]).npi == NPI
    ((kept, note),) = notes(federation, exchange)
    assert note.event == "json-request"
    ((salt, flag, data),) = decode_payloads(opened(federation, kept))
    assert (flag, data) == (0, body)
    assert note.detail == f"{exchange} {payload_digest(salt, 0, body)}"
    assert NPI.encode() not in kept.leaf


def test_whom_a_json_call_is_about_is_noted_as_of_any_other(
    federation: Federation, program: JsonProgram
) -> None:
    """By the protobuf that the gateway made of it (PROTOCOL M13)."""
    federation.marks = federation_marks()
    federation.publish()

    try:
        program.post(json.dumps({"npi": NPI}).encode())
    finally:
        federation.marks = Marks([], [])

    for member in (federation.pns, federation.anip):
        key = read_key(member.directory.pseudonym_keys, year_of(member.clock.now_ms()))
        annex = noted(member.directory.place(0))[-1].annex
        assert annex is not None
        assert annex.pseudonyms == [pseudonym(key, NPI.encode())]


def test_a_provider_refusal_keeps_its_code_and_details(federation: Federation, program: JsonProgram) -> None:
    """As the error of Connect: code, message, and details that can be read without protobuf."""
    info = error_info("NOT_FOUND", f"BJ/GOV/ANIP/RNPP/{SERVICE}", {"delivery": "delivered"})

    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        details = status_bytes(5, "aucune fiche", [info])
        context.set_trailing_metadata((("grpc-status-details-bin", details), ("x-custom", "1")))
        context.abort(grpc.StatusCode.NOT_FOUND, "aucune fiche")

    federation.adapter.answer = refuse

    got = program.post({"npi": "0000000003"})

    assert got.status == 404
    assert got.document["code"] == "not_found"
    assert got.document["message"] == "aucune fiche"
    (detail,) = got.document["details"]
    assert detail["type"] == "google.rpc.ErrorInfo"
    assert detail["debug"]["reason"] == "NOT_FOUND"
    assert base64.b64decode(detail["value"] + "==") == info.SerializeToString()
    assert got.headers[b"trailer-x-custom"] == b"1"
    assert got.exchange


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"nip":"0000000001"}', "nip"),
        (b'{"npi":"0000000001","npi":"0000000002"}', "npi"),
        (b'{"npi":"0000000001"} {}', ""),
        (b"", ""),
        (b"[" * 50_000, ""),
    ],
)
def test_a_body_that_is_no_request_is_refused_with_its_place(
    federation: Federation, program: JsonProgram, body: bytes, field: str
) -> None:
    """Counted and told, not logged, as a malformed gRPC call is; nothing reaches the provider."""
    before = len(stored(federation))

    got = program.post(body)

    assert (got.status, got.reason) == (400, Reason.JSON_INVALID)
    (bad,) = [one["debug"] for one in got.document["details"] if one["type"] == "google.rpc.BadRequest"]
    assert bad["fieldViolations"][0].get("field", "") == field
    assert NPI not in got.body.decode()
    assert federation.adapter.calls == []
    assert len(stored(federation)) == before


def test_refusals_of_the_layer_are_those_of_grpc(federation: Federation, program: JsonProgram) -> None:
    """The same reasons in the same order of steps, logged with the door."""
    cases: list[tuple[JsonAnswer, int, Reason]] = [
        (program.post({"npi": NPI}, x_road_purpose=None), 400, Reason.PURPOSE_REQUIRED),
        (program.post({"npi": NPI}, x_road_issue=None), 400, Reason.ISSUE_REQUIRED),
        (program.post({"npi": NPI}, x_road_issue=NPI), 400, Reason.PERSONAL_NUMBER_IN_METADATA),
        (program.post({"npi": NPI}, x_road_client=STRANGER), 403, Reason.CLIENT_NOT_YOURS),
        (program.post({"npi": NPI}, path=f"/{SERVICE}/Unused"), 403, Reason.NO_AGREEMENT),
        (program.post({"npi": NPI}, path=f"/{SERVICE}/GetPerson?x=1"), 403, Reason.NO_AGREEMENT),
    ]

    for got, status, reason in cases:
        assert (got.status, got.reason) == (status, reason)
        assert said(federation, got.exchange)[1].door == "json"


def test_what_a_stranger_to_a_service_sends_is_not_read(federation: Federation) -> None:
    """A field too many would tell that the service exists, and what it knows."""
    with JsonProgram(federation, federation.stats) as program:
        answers = [
            program.post(body, path=path, x_road_client=STRANGER)
            for body in ({"npi": NPI}, {"unknown": 1}, b"no json", b"")
            for path in (f"/{SERVICE}/GetPerson", "/bj.nothing.v1.NoService/Ask")
        ]

    assert {(one.status, one.reason) for one in answers} == {(403, Reason.NO_AGREEMENT)}
    assert len({len(one.body) for one in answers}) == 1


@pytest.mark.parametrize("method", ["CollectPersons", "WatchPersons", "Converse"])
def test_a_stream_is_refused_by_name(federation: Federation, program: JsonProgram, method: str) -> None:
    """Unary only: whoever wants a stream has gRPC, or the unary list beside it."""
    got = program.post({}, path=f"/{SERVICE}/{method}")

    assert (got.status, got.document["code"], got.reason) == (
        501,
        "unimplemented",
        Reason.CALL_KIND_NOT_SUPPORTED,
    )
    assert said(federation, got.exchange)[1].kind == "refusal"
    assert federation.adapter.calls == []


@pytest.mark.parametrize(
    ("method", "content_type", "status"),
    [
        (b"GET", b"application/json", 405),
        (b"OPTIONS", b"application/json", 405),
        (b"PUT", b"application/json", 405),
        (b"POST", b"text/plain", 415),
        (b"POST", b"application/json; charset=latin-1", 415),
        (b"POST", b"application/x-www-form-urlencoded", 415),
        (b"POST", b"application/proto", 415),
        (b"POST", b"application/connect+json", 415),
        (b"POST", b"application/json; charset=utf-8", 200),
        (b"POST", b"Application/JSON", 200),
    ],
)
def test_json_by_post_and_nothing_else(
    program: JsonProgram, method: bytes, content_type: bytes, status: int
) -> None:
    """No GET that a cache keeps, no form that a page of another origin may send, no answer to a preflight."""
    got = program.post(
        {"npi": NPI}, (b"origin", b"https://evil.example"), method=method, content_type=content_type
    )

    assert got.status == status
    assert not any(name.startswith(b"access-control-") for name in got.headers)


def test_a_provider_cannot_open_its_answers_to_pages(federation: Federation, program: JsonProgram) -> None:
    """Its metadata become headers of HTTP here: those that browsers act upon do not."""

    def open_up(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata((("access-control-allow-origin", "*"), ("x-custom", "1")))
        return answer(request, context)

    federation.adapter.answer = open_up

    got = program.post({"npi": NPI})

    assert got.headers[b"x-custom"] == b"1"
    assert b"access-control-allow-origin" not in got.headers


@pytest.mark.parametrize(
    "header",
    [
        (b"connect-protocol-version", b"2"),
        (b"connect-timeout-ms", b"1s"),
        (b"connect-timeout-ms", b"-1"),
        (b"connect-timeout-ms", b"99999999999"),
        (b"content-encoding", b"gzip"),
        (b"x-bin-bin", b"%"),
    ],
)
def test_headers_that_cannot_be_kept_are_refused(program: JsonProgram, header: tuple[bytes, bytes]) -> None:
    """Another version, a time that is none, a compressed body."""
    got = program.post({"npi": NPI}, header)

    assert (got.status, got.reason) == (400, Reason.METADATA_INVALID)


def test_a_timeout_ends_the_call_in_both_logs(federation: Federation, program: JsonProgram) -> None:
    """``connect-timeout-ms`` is the deadline of gRPC."""

    def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
        until(lambda: not context.is_active())
        return b""

    federation.adapter.answer = wait

    got = program.post({"npi": NPI}, (b"connect-protocol-version", b"1"), (b"connect-timeout-ms", b"300"))

    assert (got.status, got.document["code"]) == (504, "deadline_exceeded")
    _, statement = said(federation, got.exchange)
    assert statement.deadline_us is not None
    assert 0 < statement.deadline_us <= 300_000


def test_without_a_client_certificate_nobody_is_heard(federation: Federation) -> None:
    """A token stands in for none at this door."""
    with JsonProgram(federation, tls=client_tls(federation, None)) as program:
        got = program.post(b"\xff", (b"authorization", b"Bearer x"))

    assert (got.status, got.document["code"], got.reason) == (401, "unauthenticated", Reason.PROGRAM_UNKNOWN)


def test_long_bodies_pass_both_ways_and_too_long_ones_are_refused(
    federation: Federation, program: JsonProgram
) -> None:
    """Past what is transcoded on the loop, up to the bound and one byte more."""
    npi = "1" * (8 * INLINE_BYTES)

    got = program.post({"npi": npi})
    most = program.post(b'{"npi":"' + b"1" * (MAX_JSON_BYTES - 10) + b'"}')
    more = program.post(b'{"npi":"' + b"1" * (MAX_JSON_BYTES - 9) + b'"}')

    assert got.document["npi"] == npi
    assert most.status == 200
    assert (more.status, more.reason) == (429, Reason.MESSAGE_TOO_LARGE)


def test_what_the_mask_cuts_is_not_in_the_json(federation: Federation, program: JsonProgram) -> None:
    """The provider's gateway cuts; the JSON is made of what came."""
    federation.agreements = [federation.agreement(id="CV-0002", field_mask={"GetPerson": ["npi"]})]
    federation.publish()

    got = program.post({"npi": NPI})

    assert (got.status, got.document) == (200, {"npi": NPI})


def test_a_compressed_answer_is_unpacked(federation: Federation, program: JsonProgram) -> None:
    """Nobody asked for it; gzip is what servers of gRPC have."""
    whole = identity_pb2.GetPersonResponse(last_name="A" * 5000).SerializeToString()

    def pack(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return whole

    federation.adapter.answer = pack

    got = program.post({"npi": NPI})

    assert got.document == {"lastName": "A" * 5000}


def test_a_compressed_answer_too_long_for_this_door_is_told_as_delivered(
    federation: Federation, program: JsonProgram
) -> None:
    """A few kilobytes of gzip may mean megabytes of JSON."""
    whole = identity_pb2.GetPersonResponse(last_name="A" * MAX_JSON_BYTES).SerializeToString()

    def pack(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return whole

    federation.adapter.answer = pack

    got = program.post({"npi": NPI})

    assert (got.status, got.reason) == (429, Reason.MESSAGE_TOO_LARGE)
    (info,) = [one["debug"] for one in got.document["details"] if one["type"] == "google.rpc.ErrorInfo"]
    assert info["metadata"]["delivery"] == "delivered"


def test_a_short_answer_that_is_compressed_is_not_unpacked_on_the_loop(
    federation: Federation, program: JsonProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it unpacks to is its sender's choice, and other programs' calls would wait for it."""
    threads: list[str] = []

    def noted_inflate(encoding: str, data: bytes, max_bytes: int) -> bytes:
        assert len(data) <= INLINE_BYTES
        threads.append(threading.current_thread().name)
        return inflate(encoding, data, max_bytes)

    def pack(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return identity_pb2.GetPersonResponse(last_name="A" * 5000).SerializeToString()

    monkeypatch.setattr("gateway.worker.jsondoor.inflate", noted_inflate)
    federation.adapter.answer = pack

    got = program.post({"npi": NPI})

    assert got.status == 200
    assert [name.startswith("json") for name in threads] == [True]


def test_an_answer_that_is_no_message_is_told_as_delivered(
    federation: Federation, program: JsonProgram
) -> None:
    """It was recorded as it came; only its JSON cannot be made."""
    federation.adapter.answer = lambda *_: b"\xff\xff"

    got = program.post({"npi": NPI})

    assert (got.status, got.reason) == (503, Reason.ADAPTER_PROTOCOL)
    (info,) = [one["debug"] for one in got.document["details"] if one["type"] == "google.rpc.ErrorInfo"]
    assert info["metadata"]["delivery"] == "delivered"
    assert said(federation, got.exchange)[1].kind == "request"


def test_a_program_that_goes_away_leaves_nothing_behind(federation: Federation) -> None:
    """Half a body, a whole one, and one whose answer is on its way."""
    worker = worker_of(federation.pns)
    with JsonProgram(federation) as program:
        stream = program.open()
        program.h2.send_data(stream, b'{"npi":', end_stream=False)
        whole = program.open()
        program.h2.send_data(whole, b'{"npi":"' + b"1" * 300_000 + b'"}', end_stream=True)
        program.flush()

    until(lambda: not worker._programs.connections and not worker.station.pipeline.in_flight)

    assert worker._programs._assembling == 0
    assert not worker._programs._incomplete


def test_what_cannot_wait_for_the_thread_is_refused(
    federation: Federation, program: JsonProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is recorded; short bodies, which do not wait, pass."""
    monkeypatch.setattr("gateway.worker.jsonqueue.MAX_QUEUED_BYTES", 2 * INLINE_BYTES)
    long = b'{"npi":"' + b"1" * (2 * INLINE_BYTES) + b'"}'

    got = program.post(long)

    assert (got.status, got.reason) == (429, Reason.LIMIT_EXCEEDED)
    assert federation.adapter.calls == []
    assert program.post({"npi": NPI}).status == 200


def test_an_answer_that_cannot_wait_for_the_thread_is_told_as_delivered(
    federation: Federation, program: JsonProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is no reason to send again what was acted on."""
    monkeypatch.setattr("gateway.worker.jsonqueue.MAX_QUEUED_BYTES", INLINE_BYTES // 2)
    whole = identity_pb2.GetPersonResponse(last_name="A" * INLINE_BYTES).SerializeToString()
    federation.adapter.answer = lambda *_: whole

    got = program.post({"npi": NPI})

    assert (got.status, got.reason) == (429, Reason.LIMIT_EXCEEDED)
    (info,) = [one["debug"] for one in got.document["details"] if one["type"] == "google.rpc.ErrorInfo"]
    assert (info["metadata"]["delivery"], info["metadata"]["retry"]) == ("delivered", "ask")


def test_bodies_that_wait_for_the_thread_go_with_their_program(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is being read; the others are let go of, and never read."""
    worker = worker_of(federation.pns)
    begun, end = threading.Event(), threading.Event()
    read: list[int] = []

    def slow_read(body: bytes, types: MessageTypes) -> bytes:
        begun.set()
        end.wait()
        read.append(len(body))
        return read_json(body, types)

    monkeypatch.setattr("gateway.worker.jsondoor.read_json", slow_read)
    size, queue = 5 * INLINE_BYTES, worker._json_door.queue
    try:
        with JsonProgram(federation) as program:
            for _ in range(3):
                stream = program.open()
                program.h2.send_data(stream, b'{"npi":"' + b"1" * (size - 10) + b'"}', end_stream=True)
            program.flush()
            until(lambda: queue.queued_bytes == 3 * size and begun.is_set())
        until(lambda: queue.queued_bytes == size)
    finally:
        end.set()
    until(lambda: queue.queued_bytes == 0)

    assert read == [size]
    assert federation.adapter.calls == []


def test_descriptors_that_are_gone_from_the_disk_are_told(
    federation: Federation, program: JsonProgram
) -> None:
    """The worker says so, and what speaks gRPC goes on."""
    path = federation.pns.directory.published_descriptors(digest(federation.descriptors))
    door = worker_of(federation.pns)._json_door
    door._pools.clear()
    path.write_bytes(b"spoilt")

    got = program.post({"npi": NPI})

    path.unlink()
    gone = program.post({"npi": NPI})
    federation.mirror_descriptors()
    assert (got.status, got.reason) == (gone.status, gone.reason) == (500, Reason.INTERNAL)
    assert program.post({"npi": NPI}).status == 200


def test_linked_descriptors_are_bounded(federation: Federation, program: JsonProgram) -> None:
    """A country has more services than one worker should hold linked: the least recently used goes first."""
    door = worker_of(federation.pns)._json_door
    files = FileDescriptorSet.FromString(federation.descriptors)
    sets = {}
    for number in range(MAX_POOLS + 1):
        files.file[-1].options.java_package = f"v{number}"
        data = files.SerializeToString()
        sets[digest(data)] = data
    read, door._read_descriptors = door._read_descriptors, sets.__getitem__

    for one in [*sets, next(iter(sets))]:
        door._types_of(one, f"{SERVICE}/GetPerson")

    door._read_descriptors = read
    assert len(door._pools) == MAX_POOLS
    assert {key[0] for key in door._types} == set(door._pools)
    assert program.post({"npi": NPI}).status == 200


def test_json_and_grpc_calls_on_one_connection_do_not_mix(
    federation: Federation, program: JsonProgram
) -> None:
    """The content type of each call decides."""
    entries = [(name.encode(), value.encode()) for name, value in metadata() if isinstance(value, str)]

    told = program.call(*entries, body=identity_pb2.GetPersonRequest(npi=NPI).SerializeToString())
    got = program.post({"npi": NPI})

    assert told[b"grpc-status"] == b"0"
    assert said(federation, told[b"x-road-exchange-id"].decode())[1].door == "grpc"
    assert said(federation, got.exchange)[1].door == "json"
