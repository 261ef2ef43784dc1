"""The caller's context: read strictly from what the member's own gateway wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.context import CallerContext, User, current_caller, parse_context, serving
from core.identifiers import GatewayId, SubsystemId
from core.reasons import ExchangeError, Reason

GATEWAY = GatewayId.parse("BJ/GOV/ANIP/gw1")
REQUIRED = {
    "x-road-client": "BJ/GOV/PNS/PORTAIL",
    "x-road-service": "BJ/GOV/ANIP/RNPP",
    "x-road-exchange-id": "01920000-0000-7000-8000-000000000000",
    "x-road-request-hash": "ab" * 32,
    "x-road-agreement": "CV-0042/3",
    "x-road-issued-at": "1790000000000",
}
OPTIONAL = {
    "x-road-purpose": "P01",
    "x-road-issue": "ACT-202611-0001",
    "x-road-userid": "agent-7",
    "x-road-userid-basis": "claimed",
    "x-road-id": "ref:1",
    "x-road-represented-party": "BJ/COM/ETUDE-1",
}


def test_a_full_context_is_read_entry_by_entry() -> None:
    """Each entry lands where its name says, as a type of the domain."""
    ours = (OPTIONAL | REQUIRED).items()
    metadata: list[tuple[str, str | bytes]] = [("user-agent", "grpc"), *ours, ("trace-bin", b"\x00")]

    caller = parse_context(GATEWAY, metadata)

    assert caller == CallerContext(
        gateway=GATEWAY,
        client=SubsystemId.parse("BJ/GOV/PNS/PORTAIL"),
        service=SubsystemId.parse("BJ/GOV/ANIP/RNPP"),
        exchange_id="01920000-0000-7000-8000-000000000000",
        request_hash="ab" * 32,
        agreement="CV-0042/3",
        issued_at_ms=1_790_000_000_000,
        purpose="P01",
        issue="ACT-202611-0001",
        user=User("agent-7", "claimed"),
        reference="ref:1",
        represented_party="BJ/COM/ETUDE-1",
    )


def test_what_an_agreement_does_not_demand_may_be_missing() -> None:
    """Purpose, dossier, user, reference and represented party are optional here."""
    caller = parse_context(GATEWAY, REQUIRED.items())

    assert (caller.purpose, caller.issue, caller.user) == (None, None, None)
    with pytest.raises(ExchangeError) as refused:
        caller.require_purpose()
    assert refused.value.reason is Reason.PURPOSE_REQUIRED


@pytest.mark.parametrize("missing", REQUIRED)
def test_what_the_gateway_always_writes_must_be_there(missing: str) -> None:
    """A call without one of the entries did not come through a gateway of ours."""
    with pytest.raises(ExchangeError, match=f"{missing} is missing") as refused:
        parse_context(GATEWAY, [entry for entry in REQUIRED.items() if entry[0] != missing])

    assert refused.value.reason is Reason.METADATA_INVALID


@pytest.mark.parametrize("repeated", REQUIRED | OPTIONAL)
def test_no_entry_may_stand_twice(repeated: str) -> None:
    """Two values would have two readers take two meanings."""
    entries = REQUIRED | OPTIONAL

    with pytest.raises(ExchangeError, match=f"{repeated} is repeated"):
        parse_context(GATEWAY, [*entries.items(), (repeated, entries[repeated])])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x-road-client", ""),
        ("x-road-client", "BJ/GOV/PNS"),
        ("x-road-client", "BJ/GOV/PNS/PORTAIL/web"),
        ("x-road-client", "bj/gov/pns/portail"),
        ("x-road-service", "BJ/GOV/ANIP/RNPP/bj.identity.v1.IdentityService"),
        ("x-road-service", "BJ/GOV/ANIP/../RNPP"),
        ("x-road-exchange-id", "01920000-0000-4000-8000-000000000000"),
        ("x-road-exchange-id", "01920000-0000-7000-8000-00000000000"),
        ("x-road-exchange-id", "01920000-0000-7000-8000-00000000000A"),
        ("x-road-request-hash", "AB" * 32),
        ("x-road-request-hash", "ab" * 31),
        ("x-road-agreement", "CV-0042"),
        ("x-road-agreement", "CV-0042/0"),
        ("x-road-agreement", "/3"),
        ("x-road-issued-at", "-1"),
        ("x-road-issued-at", "1.5"),
        ("x-road-issued-at", "\uff11"),
        ("x-road-purpose", "p01"),
        ("x-road-purpose", "P01 "),
        ("x-road-issue", ""),
        ("x-road-issue", "a b"),
        ("x-road-issue", "a" * 65),
        ("x-road-userid", "é"),
        ("x-road-userid-basis", "true"),
        ("x-road-id", "a\nb"),
        ("x-road-represented-party", "<script>"),
    ],
)
def test_a_malformed_entry_is_refused_by_name_and_not_repeated(key: str, value: str) -> None:
    """The refusal tells which entry is wrong; its value may be anything and is not shown."""
    with pytest.raises(ExchangeError, match=f"{key} is malformed") as refused:
        parse_context(GATEWAY, (REQUIRED | OPTIONAL | {key: value}).items())

    assert refused.value.reason is Reason.METADATA_INVALID


@pytest.mark.parametrize("lone", ["x-road-userid", "x-road-userid-basis"])
def test_a_user_and_the_basis_of_the_claim_go_together(lone: str) -> None:
    """Nobody is taken for verified, or for claimed, by default."""
    with pytest.raises(ExchangeError, match="go together"):
        parse_context(GATEWAY, (REQUIRED | {lone: OPTIONAL[lone]}).items())


@given(st.sampled_from([*REQUIRED, *OPTIONAL]), st.text(max_size=80) | st.binary(max_size=80))
def test_whatever_comes_in_is_read_or_refused(key: str, value: str | bytes) -> None:
    """No metadata makes the parser fail in another way than by its own refusal."""
    reasons = set()

    try:
        parse_context(GATEWAY, [*(REQUIRED | OPTIONAL | {key: value}).items()])
    except ExchangeError as refused:
        reasons.add(refused.reason)

    assert reasons <= {Reason.METADATA_INVALID}


def test_a_servicer_sees_the_caller_of_its_own_call_only() -> None:
    """The context stands while a call is served, inner before outer, and not beyond."""
    outer = parse_context(GATEWAY, REQUIRED.items())
    inner = parse_context(GATEWAY, (REQUIRED | OPTIONAL).items())

    with serving(outer):
        with serving(inner):
            assert current_caller() is inner
        assert current_caller() is outer
    with pytest.raises(LookupError):
        current_caller()
