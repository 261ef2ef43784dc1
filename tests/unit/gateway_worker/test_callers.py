"""Who calls: what is remembered of a token, and what is asked again each time."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from core.clock import ManualClock
from core.configuration import ProgramEntry
from core.identifiers import GatewayId, ProgramId
from core.payloads import Metadata
from core.reasons import Reason
from gateway.worker.callers import Caller, Callers
from gateway.worker.trust import TrustView
from pki.keys import generate_key, key_thumbprint, public_key_pem
from pki.tokens import CallerToken, issue_token, verify_token
from tests.support.worker_country import NOW_MS, WorkerCountry

KEY = generate_key()
KID = key_thumbprint(KEY.public_key())
PROGRAM = "BJ/GOV/PNS/PORTAIL/web"
GATEWAY = "BJ/GOV/PNS/gw1"
TOKENS = 4


class Door:
    """Step 1 of a gateway whose clock obeys."""

    def __init__(self) -> None:
        country = WorkerCountry()
        country.programs.append(ProgramEntry(PROGRAM, KID, "active", public_key_pem(KEY.public_key())))
        self.view: TrustView | None = country.view(country.pns)
        self.clock = ManualClock(NOW_MS)
        self.counted: Counter[str] = Counter()
        self.callers = Callers(GATEWAY, clock=self.clock, max_tokens=TOKENS, count=self._count)

    def _count(self, event: str) -> None:
        self.counted[event] += 1

    def bearing(self, number: int = 0, lifetime: timedelta = timedelta(minutes=5)) -> Metadata:
        token = issue_token(
            KEY,
            ProgramId.parse(PROGRAM),
            GatewayId.parse(GATEWAY),
            clock=self.clock,
            token_id=f"{number:016}",
            lifetime=lifetime,
        )
        return ((b"authorization", b"Bearer " + token.encode()),)

    def identify(self, metadata: Metadata, certificate: str = "") -> Caller | Reason:
        return self.callers.identify(self.view, metadata, certificate)


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_certificate_or_a_token_tells_who_calls(door: Door) -> None:
    """Statements name the one that was shown; the token, if both."""
    assert door.identify((), "W" * 43) == Caller(PROGRAM, "mtls:" + "W" * 43)
    assert door.identify(door.bearing()) == Caller(PROGRAM, f"jwt:{KID}")
    assert door.identify(door.bearing(), "W" * 43) == Caller(PROGRAM, f"jwt:{KID}")


def test_a_key_is_no_certificate_and_a_certificate_no_key(door: Door) -> None:
    """A certificate whose thumbprint reads like the key's admits nobody."""
    assert door.identify((), KID) is Reason.PROGRAM_UNKNOWN


def test_nobody_is_known_before_the_first_configuration(door: Door) -> None:
    """Whatever is shown."""
    door.view = None

    assert door.identify(door.bearing()) is Reason.CONFIG_MISSING


def test_a_remembered_token_is_verified_once_and_expires_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered is the signature, not the permission."""
    verified: list[bytes] = []

    def counting(token: bytes, *others: Any) -> CallerToken:
        verified.append(token)
        return verify_token(token, *others)

    monkeypatch.setattr("gateway.worker.callers.verify_token", counting)
    bearer = door.bearing(lifetime=timedelta(seconds=30))

    for _ in range(29):
        assert isinstance(door.identify(bearer), Caller)
        door.clock.advance(timedelta(seconds=1))
    door.clock.advance(timedelta(seconds=1))

    assert door.identify(bearer) is Reason.TOKEN_EXPIRED
    assert len(verified) == 1
    door.clock.step(timedelta(minutes=-10))
    assert door.identify(bearer) is Reason.TOKEN_INVALID
    assert door.counted == {"token_refused_expired": 1, "token_refused_early": 1}


def test_tokens_that_admit_nobody_are_not_remembered(door: Door) -> None:
    """Else strangers could push out what programs use."""
    good = door.bearing()
    assert isinstance(door.identify(good), Caller)
    (name, value) = good[0]

    for number in range(10 * TOKENS):
        assert door.identify(((name, value[:-10] + b"%04d" % number + value[-6:]),)) is Reason.TOKEN_INVALID

    assert len(door.callers._verified) == 1
    assert door.counted["token_refused_signature"] == 10 * TOKENS


def test_the_least_recently_used_token_is_forgotten_first(door: Door) -> None:
    """And verified again when it is shown again."""
    kept, *others = (door.bearing(number) for number in range(3 * TOKENS))

    for other in others:
        assert isinstance(door.identify(kept), Caller)
        assert isinstance(door.identify(other), Caller)

    assert len(door.callers._verified) == TOKENS
    assert isinstance(door.identify(others[0]), Caller)
