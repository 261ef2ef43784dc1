"""What two running gateways write is evidence: gathered from both directories beside live writers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import grpc
import pytest

from audit.exchanges import Wanted, require_whole
from audit.listing import Listing
from audit.report import Report, StepVerdict
from audit.verify import verify_evidence
from audit.wholelog import verify_logs
from bj.identity.v1.identity_pb2 import GetPersonResponse, Sex
from core.evidence import MANIFEST, Parts, parse_manifest
from core.reasons import ExchangeError, Reason
from tests.support.calls import call
from tests.support.evidence import gather_evidence
from tests.support.federation import Federation, Member, calling, metadata

# Their certificates are simple ones without revocation lists: chains (step 6) are another test's.
EXCHANGE_ID = "x-road-exchange-id"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("federation")) as running:
        yield running


def gathered(member: Member, exchange: str, leaves: int) -> Parts:
    """Until a head covers that many leaves; bounded by the test's timeout."""
    while True:
        try:
            parts = gather_evidence(member.directory.root, exchange)
        except ExchangeError as error:
            if error.reason is not Reason.PROOF_INVALID:
                raise
        else:
            if len(parse_manifest(parts[MANIFEST]).leaves) >= leaves:
                return parts
        time.sleep(0.1)


def good(federation: Federation, parts: Parts) -> set[int]:
    report: Report = verify_evidence(parts, federation.ca.certificate)
    failed = [step for step in report.steps if step.verdict is StepVerdict.FAILED]
    assert failed == []
    return {step.number for step in report.steps if step.verdict is StepVerdict.GOOD}


def test_the_consumer_s_gateway_holds_evidence(federation: Federation) -> None:
    """Request, answer, own record, and the provider's receipt."""
    *_, exchange = (call(federation).id for _ in range(3))

    assert {1, 2, 3, 4, 5, 7, 8} <= good(federation, gathered(federation.pns, exchange, 4))


def test_the_provider_s_gateway_holds_evidence(federation: Federation) -> None:
    """Request, own record, answer; the consumer's receipt comes with its next frame and the next commit."""
    exchange = call(federation).id
    call(federation)

    assert {1, 2, 3, 4, 5, 7, 8} <= good(federation, gathered(federation.anip, exchange, 3))


def test_what_was_cut_is_evidence_from_both_gateways(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The program gets what was granted; both logs say so, and are whole."""
    paths = ["last_name", "residence.town"]
    person = GetPersonResponse(last_name="Adjovi", npi="0000000001", sex=Sex.SEX_MALE).SerializeToString()
    with Federation(tmp_path_factory.mktemp("masked")) as masked:
        masked.agreements = [masked.agreement(field_mask={"GetPerson": paths})]
        masked.publish()
        asked = call(masked, person)
        call(masked, person)

        assert asked.answer == GetPersonResponse(last_name="Adjovi").SerializeToString()
        for member, leaves in ((masked.pns, 4), (masked.anip, 3)):
            parts = gathered(member, asked.id, leaves)
            assert {1, 2, 3, 4, 5, 7, 8} <= good(masked, parts)
            facts = verify_evidence(parts, masked.ca.certificate).facts
            assert (facts["fields_granted"], facts["fields_cut"]) == (", ".join(paths), "2")
            (log,) = verify_logs(member.directory.root, certificates=[member.directory.seal.certificate])
            assert log.fault is None


def test_a_running_gateway_s_log_is_listed_without_gap(federation: Federation) -> None:
    """Read beside its writer: the head that it shows is covered by the leaves, and the row is in both logs."""
    exchange = call(federation).id
    gathered(federation.pns, exchange, 4)

    with closing(Listing(federation.pns.directory.root, Wanted(exchange=exchange))) as listing:
        require_whole(listing.logs)
        (row,) = listing.rows("fr")

    assert (row["outcome"], row["role"], row["proof"]) == ("granted", "consumer", ["both_logs"])


def test_a_call_without_agreement_is_proved_as_refused_at_home(federation: Federation) -> None:
    """Of the one leaf that the consumer's gateway wrote."""
    with federation.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        calling(channel)(b"question", metadata=metadata(x_road_purpose="P99"), timeout=10)
    assert isinstance(refused.value, grpc.Call)
    exchange = next(str(value) for name, value in refused.value.trailing_metadata() if name == EXCHANGE_ID)

    parts = gathered(federation.pns, exchange, 1)

    assert len(parse_manifest(parts[MANIFEST]).leaves) == 1
    assert {1, 2, 3, 4, 5, 8} <= good(federation, parts)


def test_the_logs_of_running_gateways_are_whole(federation: Federation) -> None:
    """What workers write keeps every rule that the verifier of whole logs has, beside the writers and after them."""
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda _: call(federation), range(40)))

    for member in (federation.pns, federation.anip):
        certificate = member.directory.seal.certificate
        (report,) = verify_logs(member.directory.root, certificates=[certificate])

        assert report.fault is None
        assert (report.signatures, report.unrecorded) == ("verified", 0)
        assert report.newest is not None
        assert report.size >= 80
        assert report.heads > 0
