"""The registry as a witness: newest heads of the gateways' logs, and alarms about heads that went back."""

from __future__ import annotations

import errno

import pytest
from sqlalchemy import select

from core.documents import digest
from core.leaves import parse_leaf, parse_registry_change
from core.reasons import ExchangeError, Reason
from core.registrations import ClosedLog, RegisteredLog
from ledger.reader import LogReader
from registry import models
from registry.budget import ChangeBudget
from registry.heads import MAX_REPORTED, HeadBook
from tests.support.registry_country import ANIP, PNS, RegistryCountry, SealedGateway

GW1 = f"{ANIP}/gw1"
LOG = digest(GW1.encode())
ROOT = "ab" * 32


class Sealed(SealedGateway):
    """The same, and what the registry makes of its reports."""

    def __init__(self, country: RegistryCountry, gateway: str = GW1) -> None:
        super().__init__(country, gateway)
        self.country = country
        self.book = HeadBook(country.office, country.clock)

    def report(self, *heads: bytes) -> list[bytes | Reason]:
        """Report as the gateway."""
        return self.book.report(self.country.gateway(self.gateway), heads)

    def newest(self) -> list[bytes]:
        """What the registry tells the gateway."""
        return self.book.newest(self.country.gateway(self.gateway))

    def refused(self, *heads: bytes) -> Reason:
        """Why a report is refused."""
        with pytest.raises(ExchangeError) as refused:
            self.report(*heads)
        return refused.value.reason

    def alarms(self) -> list[tuple[str, int]]:
        """Kind and size of each alarm."""
        with self.country.office.sessions() as session:
            rows = session.scalars(select(models.HeadAlarm).order_by(models.HeadAlarm.number))
            return [(row.kind, row.size) for row in rows]


def recorded(country: RegistryCountry) -> list[tuple[str, str | None]]:
    """What the registry's log on disk tells of heads: change and digest."""
    reader = LogReader(country.root / "registry" / "log" / "0")
    leaves = [parse_leaf(stored.leaf) for stored in reader.follow()]
    told = [parse_registry_change(leaf.body) for leaf in leaves[1:]]
    return [(one.change, one.digest) for one in told if one.change in ("log-behind", "log-forked")]


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def _refuse(*_: object) -> None:
    raise OSError(errno.EIO, "injected")


@pytest.fixture
def anip(country: RegistryCountry) -> Sealed:
    return Sealed(country)


def test_the_newest_head_of_a_log_is_held(anip: Sealed) -> None:
    """Repeating a report changes nothing; a head that was signed again takes the place of the same one."""
    first, second = anip.head(3), anip.head(9, "cd" * 32)
    assert anip.report(first) == [first]
    assert anip.report(second) == anip.report(second) == [second]
    again = anip.head(9, "cd" * 32, iat=1_790_000_060)

    assert anip.report(again) == [again]
    assert anip.newest() == [again]
    assert anip.alarms() == []


def test_held_heads_outlive_the_process(anip: Sealed) -> None:
    """Durable before the answer."""
    head = anip.head(5)
    anip.report(head)

    assert HeadBook(anip.country.office, anip.country.clock).newest(anip.country.gateway(GW1)) == [head]


def test_a_smaller_head_is_an_alarm_and_never_takes_the_place(anip: Sealed) -> None:
    """The answer shows the reporting gateway what is held; the same alarm is raised once."""
    held = anip.head(9, iat=1_790_000_100)
    anip.report(held)

    assert anip.report(anip.head(5)) == [held]
    assert anip.report(anip.head(5)) == [held]
    assert anip.alarms() == [("behind", 5)]


@pytest.mark.parametrize(("size", "root", "iat"), [(9, "cd" * 32, 0), (5, ROOT, 200)])
def test_two_heads_that_cannot_both_be_are_a_fork(anip: Sealed, size: int, root: str, iat: int) -> None:
    """Equal size with another root, or smaller and signed later: both heads are kept, they are the proof."""
    held = anip.head(9, iat=1_790_000_100)
    anip.report(held)
    shown = anip.head(size, root, iat=1_790_000_100 + iat)

    assert anip.report(shown) == [held]

    assert anip.alarms() == [("forked", size)]
    with anip.country.office.sessions() as session:
        row = session.scalars(select(models.HeadAlarm)).one()
        assert (row.held.encode(), row.shown.encode()) == (held, shown)
        body = session.scalars(select(models.Change).order_by(models.Change.number.desc())).first()
        assert body is not None
    change = parse_registry_change(body.body)
    assert (change.change, change.object, change.digest) == ("log-forked", LOG, digest(shown))


def test_an_alarm_reaches_the_log_though_the_process_dies_first(
    anip: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same head raises no second alarm: what the first commit holds must be all that the record needs."""
    country = anip.country
    anip.report(anip.head(9))
    shown = anip.head(3)
    with monkeypatch.context() as patch:
        patch.setattr(country.office.journal, "catch_up", _die)
        with pytest.raises(KeyboardInterrupt):
            anip.report(shown)

    country.reopen()

    anip.book = HeadBook(country.office, country.clock)
    anip.report(shown)
    assert recorded(country) == [("log-behind", digest(shown))]
    assert anip.alarms() == [("behind", 3)]


def test_an_alarm_that_the_log_refused_is_on_record_after_the_restart(
    anip: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway is told that its report was not taken; the alarm stands."""
    country = anip.country
    anip.report(anip.head(9))
    shown = anip.head(3)
    with monkeypatch.context() as patch:
        patch.setattr(country.office.journal._log.disk, "fdatasync", _refuse)
        assert anip.refused(shown) is Reason.RECORDING_FAILED
    assert anip.refused(anip.head(10)) is Reason.RECORDING_FAILED

    country.reopen()

    assert recorded(country) == [("log-behind", digest(shown))]


def test_a_gateway_that_used_up_its_changes_cannot_silence_an_alarm(anip: Sealed) -> None:
    """What it may hand in is bounded for others' sake; what is seen of it is not its own to spend."""
    anip.report(anip.head(9))
    office, gateway = anip.country.office, anip.country.gateway(GW1)
    office._budget = ChangeBudget(0, anip.country.clock)
    with pytest.raises(ExchangeError) as refused:
        office.submit_registration(gateway, "")
    assert refused.value.reason is Reason.LIMIT_EXCEEDED
    shown = anip.head(3)

    anip.report(shown)

    assert recorded(anip.country) == [("log-behind", digest(shown))]


def test_an_alarm_changes_no_configuration(anip: Sealed) -> None:
    """It is on record; what gateways follow stays as it was."""
    anip.report(anip.head(9))
    before = anip.country.office.publisher.current.mark

    anip.report(anip.head(3))

    assert anip.country.office.publisher.current.mark == before


def test_only_the_registered_seal_of_the_gateway_counts(anip: Sealed) -> None:
    """Neither another key, nor another gateway's log, nor one that nobody registered."""
    other = Sealed(anip.country, f"{PNS}/gw1")

    assert anip.report(other.head(3, log=LOG)) == [Reason.HEAD_INVALID]
    assert anip.report(anip.head(3, log=digest(b"unknown"))) == [Reason.LOG_NOT_REGISTERED]
    other_log = digest(other.gateway.encode())
    assert anip.report(anip.head(3, log=other_log)) == [Reason.LOG_NOT_REGISTERED]
    assert anip.report(b"no head") == [Reason.HEAD_INVALID]
    assert anip.newest() == other.newest() == []


def test_each_head_is_judged_by_itself(anip: Sealed) -> None:
    """A worker whose log is not registered yet holds up no other."""
    unknown = anip.head(3, log=digest(b"unknown"))

    assert anip.report(b"no head", anip.head(3), unknown) == [
        Reason.HEAD_INVALID,
        anip.head(3),
        Reason.LOG_NOT_REGISTERED,
    ]
    assert anip.newest() == [anip.head(3)]


def test_heads_of_others_are_nobody_s_affair(anip: Sealed) -> None:
    """They tell how much a member exchanges."""
    other = Sealed(anip.country, f"{PNS}/gw1")
    anip.report(anip.head(3))

    assert other.newest() == []
    with pytest.raises(ExchangeError) as refused:
        anip.book.newest(anip.country.operator())
    assert refused.value.reason is Reason.NOT_AUTHORISED


def test_a_stopped_gateway_reports_nothing(anip: Sealed) -> None:
    """Its word counts no more until two operators say so."""
    anip.country.office.stop_gateway(anip.country.operator(), GW1, "stolen", for_good=False)

    assert anip.refused(anip.head(3)) is Reason.GATEWAY_SUSPENDED


def test_reports_and_alarms_are_bounded(anip: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is broken fills neither the database nor the registry's log."""
    monkeypatch.setattr("registry.heads.MAX_ALARMS", 3)
    monkeypatch.setattr("registry.heads.REPORTS_PER_HOUR", 6)
    anip.book = HeadBook(anip.country.office, anip.country.clock)
    assert anip.refused(*[anip.head(3)] * (MAX_REPORTED + 1)) is Reason.DOCUMENT_INVALID
    anip.report(anip.head(1000, iat=1_790_000_100))

    for size in range(1, 6):
        anip.report(anip.head(size))

    assert anip.alarms() == [("behind", 1), ("behind", 2), ("behind", 3)]
    assert anip.refused(anip.head(1001)) is Reason.LIMIT_EXCEEDED


def test_a_closed_log_reports_nothing_more_and_its_successor_does(anip: Sealed) -> None:
    """What was held of it stays."""
    anip.report(anip.head(9))
    successor = digest(b"successor")
    anip.country.register(
        GW1,
        serial=2,
        seal=[anip.seal],
        logs=[RegisteredLog(successor, 0, "127.0.0.1:7444")],
        closed=[ClosedLog(LOG, 0, 7, ROOT, successor)],
    )

    assert anip.report(anip.head(12)) == [Reason.LOG_CLOSED]
    head = anip.head(4, log=successor)
    assert anip.report(head) == [head]
    assert set(anip.newest()) == {anip.head(9), head}
