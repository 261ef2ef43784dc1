"""Calls without a right, judged against an oracle that knows the registry's rows and nothing of our code.

RELIABILITY, section 6: "Malicious member calls a service it has no right to".
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from core.agreements import Agreement, Party
from core.clock import SystemClock
from core.configuration import AgreementEntry, AgreementState
from core.documents import digest, encode
from core.leaves import parse_heard
from core.statements import AgreementMark
from core.times import format_time_ms
from gateway.settings import Limits
from gateway.worker.main import Worker
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.trust import Grant, refusal_of_terms
from gateway.worker.turn import Turn
from pki.keys import generate_key, key_thumbprint
from tests.support.calls import worker_of
from tests.support.federation import CLIENT, PROVIDER, SERVICE, STRANGER, Federation, Member, calling
from tests.support.hostile import outcome_of, said
from tests.support.waiting import until
from tests.support.worker_country import statement

SEED = 20261127
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
AUDIT = "BJ/GOV/PNS/AUDIT"
OTHERS = "BJ/GOV/MTFP/TRAVAIL"
ELSEWHERE = "BJ/GOV/ANIP/ARCHIVES"
METHODS = ("GetPerson", "VerifyPerson", "Unused")
PURPOSES = ("P01", "P02", "P03")


@dataclass(frozen=True)
class Row:
    """An agreement as the registry's table holds it."""

    name: str
    version: int
    consumer: str
    provider: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...]
    issue_required: bool
    begins_ms: int
    ends_ms: int
    state: AgreementState
    changed_ms: int
    signed_by_other: bool


@dataclass(frozen=True)
class Asked:
    """One attempt."""

    client: str
    provider: str
    service: str
    method: str
    purpose: str | None
    issue: str | None
    now_ms: int
    named: Row | None


class Oracle:
    """Who may what, in the words of the agreement; written from DESIGN and PROTOCOL, not from ``gateway``.

    ``expires_ms``: from then on the configuration lets nothing through.
    """

    def __init__(self, rows: list[Row], expires_ms: int) -> None:
        self.rows = rows
        self.expires_ms = expires_ms

    def terms_allow(self, row: Row, asked: Asked) -> bool:
        valid = row.begins_ms <= asked.now_ms < row.ends_ms
        parties = (row.consumer, row.provider) == (asked.client, asked.provider)
        what = asked.service == SERVICE and asked.method in row.methods
        purpose = not row.purposes or asked.purpose in row.purposes
        in_time = asked.now_ms < self.expires_ms
        return (
            in_time
            and valid
            and parties
            and what
            and purpose
            and not (row.issue_required and asked.issue is None)
        )

    def consumer_may(self, asked: Asked) -> bool:
        """The consumer's gateway goes by the newest active version that names the method."""
        held = [
            row
            for row in self.rows
            if row.state == "active"
            and not row.signed_by_other
            and (row.consumer, row.provider) == (asked.client, asked.provider)
            and asked.method in row.methods
        ]
        if asked.provider != PROVIDER or not held:  # nobody else provides the service
            return False
        return self.terms_allow(max(held, key=lambda row: row.version), asked)

    def provider_may(self, asked: Asked) -> bool:
        """The provider's goes by the version that the request names, in force or superseded under a minute ago."""
        row = asked.named
        if row is None or asked.client.startswith("BJ/GOV/MTFP") or asked.provider != PROVIDER:
            return False
        fresh = row.state == "superseded" and asked.now_ms - row.changed_ms < MINUTE
        return not row.signed_by_other and (row.state == "active" or fresh) and self.terms_allow(row, asked)


class Country(Federation):
    """A federation whose agreements are the rows."""

    def __init__(self, root: Path, rows: list[Row]) -> None:
        super().__init__(root, limits=Limits(entries_per_s=1_000_000, entries_burst=1_000_000))
        self.rows = rows
        self.audit = self.admit(self.pns, f"{AUDIT}/web")
        self.foreign = key_thumbprint(generate_key().public_key())
        self.agreements = [self.agreement(**self._terms(row)) for row in rows]
        self.states = [row.state for row in rows]

    def _terms(self, row: Row) -> dict[str, object]:
        own = key_thumbprint(self.pns.key.public_key())
        return {
            "id": row.name,
            "version": row.version,
            "supersedes": None if row.version == 1 else "0" * 64,
            "consumer": Party(row.consumer, self.foreign if row.signed_by_other else own),
            "provider": Party(row.provider, key_thumbprint(self.anip.key.public_key())),
            "methods": list(row.methods),
            "purposes": list(row.purposes),
            "issue_required": row.issue_required,
            "not_before": format_time_ms(row.begins_ms),
            "not_after": format_time_ms(row.ends_ms),
        }

    def _entry(self, terms: Agreement, state: AgreementState) -> AgreementEntry:
        row = next(one for one in self.rows if (one.name, one.version) == (terms.id, terms.version))
        entry = super()._entry(terms, state)
        return AgreementEntry(entry.consumer_jws, entry.provider_jws, state, row.changed_ms)

    def mark(self, row: Row | None) -> AgreementMark:
        """How a statement names an agreement; one that nobody concluded for ``None``."""
        if row is None:
            return AgreementMark("CV-9999", 1, "e" * 64)
        terms = self.agreements[self.rows.index(row)]
        return AgreementMark(terms.id, terms.version, digest(encode(terms)))


def make_rows(rng: random.Random, now_ms: int) -> list[Row]:
    second = now_ms // 1000 * 1000
    rows = []
    for number in range(40):
        begins = second + rng.choice((-30, -30, -2, 1)) * DAY
        rows.append(
            Row(
                f"CV-{number % 20:04}",
                1 + number // 20,
                rng.choice((CLIENT, STRANGER, AUDIT, OTHERS)),
                rng.choice((PROVIDER, PROVIDER, PROVIDER, ELSEWHERE)),
                tuple(rng.sample(METHODS, rng.randint(1, 3))),
                tuple(rng.sample(PURPOSES, rng.randint(0, 2))),
                rng.random() < 0.5,
                begins,
                begins + rng.choice((1, 45, 60, 60)) * DAY,
                rng.choice(("active", "active", "active", "superseded", "suspended", "revoked")),
                second - rng.choice((10_000, 50_000, 3_600_000)),
                rng.random() < 0.1,
            )
        )
    # The name is one pair's: a second version goes on between the same two.
    first = {row.name: row for row in rows[:20]}
    return [
        replace(row, consumer=first[row.name].consumer, provider=first[row.name].provider) for row in rows
    ]


def make_asked(rng: random.Random, rows: list[Row], now_ms: int) -> Asked:
    # Half of the attempts are nearly right, else hardly any would be allowed and little would be tried.
    lively = [row for row in rows if row.state in ("active", "superseded") and row.provider == PROVIDER]
    named = rng.choice(lively if rng.random() < 0.5 else rows) if rng.random() < 0.95 else None
    close = named is not None and rng.random() < 0.8
    return Asked(
        client=named.consumer if named and close else rng.choice((CLIENT, STRANGER, AUDIT, OTHERS)),
        provider=named.provider if named and close else rng.choice((PROVIDER, ELSEWHERE, CLIENT)),
        service=SERVICE if rng.random() < 0.97 else "bj.land.v1.LandService",
        method=rng.choice((*(named.methods if named and close else METHODS), "Unknown")),
        purpose=rng.choice((*(named.purposes if named and close else PURPOSES), "P09", None)),
        issue=rng.choice(("ACT-1", "ACT-1", "ACT-1", None)),
        now_ms=now_ms + rng.choice((0, 0, 0, 20_000, 40_000, -3 * DAY, 2 * DAY, 40 * DAY)),
        named=named,
    )


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return make_rows(random.Random(SEED), SystemClock().now_ms())


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Iterator[Country]:
    with Country(tmp_path_factory.mktemp("rights"), rows) as found:
        yield found


async def _dial(worker: Worker, log: str) -> None:
    """The two gateways know each other, whether or not a call is allowed."""
    trust = worker.station.roads.trust
    assert trust is not None
    gateway = trust.by_log[log]
    worker.station.roads.dial(gateway, gateway.logs[0])


def test_call_without_a_right_agrees_with_an_independent_oracle(country: Country, rows: list[Row]) -> None:
    """10,000 requests of a peer, each judged by step 8 as it stands: no disagreement, each refusal planned twice.

    ``heard: refused`` and the said refusal are of one commit; the consumer's own look-up is asked the same.
    """
    worker = worker_of(country.anip)
    country.do(_dial(worker_of(country.pns), country.anip.log))
    until(lambda: bool(worker.station.roads.roads))
    rng, now_ms = random.Random(SEED), SystemClock().now_ms()
    oracle = Oracle(rows, now_ms + 3 * DAY)
    asked = [make_asked(rng, rows, now_ms) for _ in range(10_000)]

    verdicts = country.do(_judge(country, worker, asked))

    expected = [oracle.provider_may(one) for one in asked]
    wrong = [one for one, (taken, _), may in zip(asked, verdicts, expected, strict=True) if taken != may]
    assert wrong == []
    assert 300 < sum(expected) < 9_700
    assert all(logged == (1 if taken else 2) for taken, logged in verdicts)
    own = [one for one in asked if one.client.startswith("BJ/GOV/PNS/")]
    assert [one for one in own if consumer_takes(country.pns, one) != oracle.consumer_may(one)] == []
    assert 300 < sum(oracle.consumer_may(one) for one in own) < len(own) - 300


async def _judge(country: Country, worker: Worker, asked: list[Asked]) -> list[tuple[bool, int]]:
    """For each request: whether it is taken, and how many leaves its record has."""
    provider = worker.station.pipeline.provider
    (road,) = worker.station.roads.roads.values()
    view = provider._parts.trust
    assert view is not None
    found = []
    for number, one in enumerate(asked):
        request = statement(
            from_=road.peer.log,
            to=worker.station.log_id,
            client=one.client,
            service=one.provider,
            method=f"{one.service}/{one.method}",
            purpose=one.purpose,
            issue=one.issue,
            agreement=country.mark(one.named),
            configuration=view.mark,
        )
        leaf_hash = number.to_bytes(32, "big")
        entry = VerifiedEntry(number, leaf_hash, "f" * 64, b"{}", request, None, b"", ((0, b""), (0, b"x")))
        turn = Turn(worker.station._leaves, one.now_ms, 0)
        provider.hear_requests(turn, road, [entry], turn.now_us)
        (_, leaves) = turn.by_road[id(road)]
        heard = parse_heard(leaves[0].body)
        found.append((heard.verdict == "taken", len(leaves)))
        service = provider.services.pop(leaf_hash, None)
        if service is not None:
            provider._parts.budget.give_call(road.member, service.size)
    return found


def consumer_takes(member: Member, asked: Asked) -> bool:
    """Steps 2 and 3 at the consumer's gateway."""
    view = worker_of(member).station.roads.trust
    assert view is not None
    grant = view.find_grant(asked.client, asked.provider, f"{asked.service}/{asked.method}", asked.now_ms)
    if not isinstance(grant, Grant) or view.freshness(asked.now_ms) == "expired":
        return False
    terms = refusal_of_terms(
        grant.agreement,
        purpose=asked.purpose,
        issue=asked.issue,
        represented=None,
        caller="mtls",
        age_ms=0,
    )
    return terms is None


def test_call_without_a_right_is_refused_and_logged_over_tls(country: Country, rows: list[Row]) -> None:
    """300 calls of three programs: answered exactly where the oracle allows; every other one is in the log."""
    rng, oracle = random.Random(SEED + 1), Oracle(rows, SystemClock().now_ms() + 3 * DAY)
    programs = {CLIENT: country.portal, STRANGER: country.stats, AUDIT: country.audit}
    channels = {client: country.channel(program) for client, program in programs.items()}
    outcomes: dict[str, str] = {}
    allowed: dict[str, bool] = {}
    for number in range(300):
        one = replace(make_asked(rng, rows, 0), now_ms=SystemClock().now_ms())
        if one.client not in programs:
            continue
        sent = {
            "x-road-client": one.client,
            "x-road-service": one.provider,
            "x-road-purpose": one.purpose,
            "x-road-issue": one.issue,
            "x-road-id": f"try-{number}",
        }
        carried = tuple((name, value) for name, value in sent.items() if value is not None)
        call = calling(channels[one.client], f"/{one.service}/{one.method}")
        outcomes[f"try-{number}"] = outcome_of(partial(call, b"", metadata=carried, timeout=10))
        allowed[f"try-{number}"] = oracle.consumer_may(one)

    for channel in channels.values():
        channel.close()
    assert {name for name, outcome in outcomes.items() if outcome == "OK"} == {
        name for name, may in allowed.items() if may
    }
    assert 10 < sum(allowed.values()) < 290
    logged = {one.reference for one in said(country.pns) if one.kind == "refusal"}
    assert {name for name, may in allowed.items() if not may} - logged == set()
