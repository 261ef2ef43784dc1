"""The worker's view of the configuration: deny by default, agreements bind keys, states decide (M2, M8)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core.agreements import Agreement, Party, Quota
from core.configuration import MaskPlan, ServiceEntry, ServiceMethod, decode_current, encode_current
from core.documents import digest, encode
from core.masks import mask_digest
from core.reasons import Reason
from core.statements import AgreementMark
from core.wire import Rule
from gateway.worker.masks import FieldMask
from gateway.worker.trust import Grant, HeldAgreement, TrustView, hold, method_name, refusal_of_terms
from pki.keys import generate_key
from tests.support.published_country import conclude, listed, succeed
from tests.support.worker_country import CLIENT, METHOD, NOW_MS, PROVIDER, SERVICE, WorkerCountry


@pytest.fixture
def country() -> WorkerCountry:
    return WorkerCountry()


def mark(agreement: Agreement) -> AgreementMark:
    return AgreementMark(agreement.id, agreement.version, digest(encode(agreement)))


def granted(found: Grant | Reason) -> Grant:
    assert isinstance(found, Grant), found
    return found


def find(view: TrustView, now_ms: int = NOW_MS, **fields: Any) -> Grant | Reason:
    asked: dict[str, Any] = {"client": CLIENT, "provider": None, "method": METHOD} | fields
    return view.find_grant(asked["client"], asked["provider"], asked["method"], now_ms)


def agree(country: WorkerCountry, *agreements: Agreement, **fields: Any) -> None:
    country.anip.change(
        agreements=[conclude(one, country.pns.key, country.anip.key, **fields) for one in agreements]
    )


def test_an_agreement_lets_its_call_through(country: WorkerCountry) -> None:
    """The provider is found by the service when only one provides it."""
    found = granted(find(country.view(country.pns)))

    assert found.provider == PROVIDER
    assert found.agreement.mark == mark(country.agreement)
    assert found.provision.descriptors == digest(b"descriptors")


@pytest.mark.parametrize(
    "fields",
    [
        {"client": "BJ/GOV/PNS/STATS"},
        {"client": "BJ/GOV/ANIP/RNPP"},
        {"provider": "BJ/GOV/ANIP/OTHER"},
        {"method": f"{SERVICE}/VerifyPerson"},
        {"method": f"{SERVICE}/Unknown"},
        {"method": "bj.land.v1.LandService/GetTitle"},
    ],
    ids=[
        "other-client",
        "provider-itself",
        "other-provider",
        "other-method",
        "unknown-method",
        "unknown-service",
    ],
)
def test_whatever_is_not_granted_is_told_alike(country: WorkerCountry, fields: dict[str, Any]) -> None:
    """What exists is nobody's business."""
    assert find(country.view(country.pns), **fields) is Reason.NO_AGREEMENT


def test_several_providers_must_be_told_apart(country: WorkerCountry) -> None:
    """A named one is taken; nobody guesses."""
    other = country.country.member("BJ/GOV/ANDF")
    country.country.provide(other, "RNPP", SERVICE, b"other", "GetPerson")
    view = country.view(country.pns)

    assert find(view) is Reason.SERVICE_AMBIGUOUS
    assert granted(find(view, provider=PROVIDER)).provider == PROVIDER


@pytest.mark.parametrize("state", ["suspended", "revoked", "superseded"])
def test_an_agreement_out_of_force_lets_nothing_new_through(country: WorkerCountry, state: str) -> None:
    """At the consumer at once."""
    agree(country, country.agreement, state=state)

    assert find(country.view(country.pns)) is Reason.NO_AGREEMENT


def test_an_agreement_counts_within_its_validity(country: WorkerCountry) -> None:
    """From its first moment to its last, although look-ups are kept."""
    view = country.view(country.pns)

    assert isinstance(find(view), Grant)
    assert find(view, NOW_MS + 2 * 86_400_000) is Reason.NO_AGREEMENT
    assert find(view, NOW_MS - 2 * 86_400_000) is Reason.NO_AGREEMENT
    assert isinstance(find(view), Grant)


def test_the_newest_version_counts(country: WorkerCountry) -> None:
    """When two are in force, the higher."""
    second = msgspec.structs.replace(
        country.agreement, version=2, supersedes=mark(country.agreement).digest, purposes=["P02"]
    )
    agree(country, country.agreement, second)

    assert granted(find(country.view(country.pns))).agreement.mark.version == 2


@pytest.mark.parametrize(
    "terms",
    [{"quota": Quota(1, 1)}, {"field_mask": {"GetPerson": ["name"]}}],
    ids=["quota", "unknown-fields"],
)
def test_a_term_that_cannot_be_enforced_refuses_the_agreement(
    country: WorkerCountry, terms: dict[str, Any]
) -> None:
    """It is never ignored, at neither side."""
    changed = msgspec.structs.replace(country.agreement, **terms)
    agree(country, changed)

    assert find(country.view(country.pns)) is Reason.TERM_NOT_SUPPORTED
    found = country.view().find_named(CLIENT, PROVIDER, METHOD, mark(changed), NOW_MS)
    assert found is Reason.TERM_NOT_SUPPORTED


def test_a_mask_comes_with_the_grant_of_its_method(country: WorkerCountry) -> None:
    """At both sides, by the digest of the agreement; a method that has none grants all."""
    terms = msgspec.structs.replace(
        country.agreement, methods=["GetPerson", "VerifyPerson"], field_mask={"GetPerson": ["name"]}
    )
    agree(country, terms)
    country.masks = [MaskPlan(mark(terms).digest, "GetPerson", [[(10, Rule(0))]], [[(10, Rule())]])]

    expected = FieldMask(mask_digest(["name"]), ({10: Rule(0)},), ({10: Rule()},))
    assert granted(find(country.view(country.pns))).mask == expected
    for method, mask in ((METHOD, expected), (f"{SERVICE}/VerifyPerson", None)):
        found = country.view().find_named(CLIENT, PROVIDER, method, mark(terms), NOW_MS)
        assert granted(found).mask == mask
        assert country.view(country.pns).mask_of(mark(terms), method) == mask
    assert country.view().mask_of(mark(country.agreement), METHOD) is None


def test_a_mask_that_an_earlier_control_left_counts_for_a_provider_ahead_too(country: WorkerCountry) -> None:
    """Its ``current.json`` has no outline: it is read, its checksum holds, and the mask itself is all that is granted."""
    terms = msgspec.structs.replace(country.agreement, field_mask={"GetPerson": ["name"]})
    agree(country, terms)
    country.masks = [MaskPlan(mark(terms).digest, "GetPerson", [[(10, Rule(0))]])]
    document = encode_current(country.current())

    assert b'"tables":' in document
    assert b'"outline":' not in document
    assert decode_current(document).masks == country.masks
    expected = FieldMask(mask_digest(["name"]), ({10: Rule(0)},), ({10: Rule(0)},))
    assert granted(find(country.view(country.pns))).mask == expected


def test_members_that_are_suspended_take_no_part(country: WorkerCountry) -> None:
    """The consumer learns which side it is; a suspended consumer has no agreements."""
    country.anip.change(state="suspended")
    assert find(country.view(country.pns)) is Reason.MEMBER_SUSPENDED
    country.anip.change(state="active")
    country.pns.change(state="suspended")

    assert find(country.view(country.pns)) is Reason.NO_AGREEMENT
    found = country.view().find_named(CLIENT, PROVIDER, METHOD, mark(country.agreement), NOW_MS)
    assert found is Reason.NO_AGREEMENT


def test_the_provider_takes_the_agreement_that_the_request_names(country: WorkerCountry) -> None:
    """By id, version and digest: by its own configuration."""
    view = country.view()

    assert isinstance(view.find_named(CLIENT, PROVIDER, METHOD, mark(country.agreement), NOW_MS), Grant)
    for other in (
        AgreementMark("CV-0042", 2, mark(country.agreement).digest),
        AgreementMark("CV-0042", 1, "0" * 64),
        AgreementMark("CV-0043", 1, mark(country.agreement).digest),
    ):
        assert view.find_named(CLIENT, PROVIDER, METHOD, other, NOW_MS) is Reason.NO_AGREEMENT


@pytest.mark.parametrize(
    ("state", "age_ms", "reason"),
    [
        ("superseded", 59_999, None),
        ("superseded", 60_000, Reason.NO_AGREEMENT),
        ("revoked", 0, Reason.NO_AGREEMENT),
        ("suspended", 0, Reason.NO_AGREEMENT),
    ],
)
def test_the_version_before_is_honoured_for_a_minute(
    country: WorkerCountry, state: str, age_ms: int, reason: Reason | None
) -> None:
    """A superseded one, for calls under way; a revoked one never (M2)."""
    agree(country, country.agreement, state=state, changed_at=NOW_MS - age_ms)

    found = country.view().find_named(CLIENT, PROVIDER, METHOD, mark(country.agreement), NOW_MS)

    assert (found if isinstance(found, Reason) else None) is reason


def test_an_agreement_that_names_another_key_for_us_is_not_ours(country: WorkerCountry) -> None:
    """The registry cannot speak in our name: our key is in our own settings (M8)."""
    foreign = generate_key()
    named = msgspec.structs.replace(country.agreement, provider=Party(PROVIDER, listed(foreign).thumbprint))
    country.anip.change(agreements=[conclude(named, country.pns.key, foreign)])

    found = country.view().find_named(CLIENT, PROVIDER, METHOD, mark(named), NOW_MS)

    assert found is Reason.NO_AGREEMENT


def test_only_gateways_under_the_named_key_are_party(country: WorkerCountry) -> None:
    """Whatever certificates they have."""
    view = country.view()
    gateway = view.gateways["BJ/GOV/PNS/gw1"]

    assert view.by_log[country.peer.log] is gateway
    assert view.is_party(gateway, CLIENT, country.pns.thumbprint)
    assert not view.is_party(gateway, CLIENT, country.anip.thumbprint)
    assert not view.is_party(gateway, PROVIDER, country.pns.thumbprint)


def test_a_successor_of_a_member_key_is_the_same_member(country: WorkerCountry) -> None:
    """Over any number of steps, forward only."""
    old, middle, new = country.pns.key, generate_key(), generate_key()
    country.pns.change(
        member_keys=[listed(one) for one in (old, middle, new)],
        successors=[succeed(country.pns.id, old, middle), succeed(country.pns.id, middle, new)],
    )
    view = country.view()
    first, last = country.pns.thumbprint, listed(new).thumbprint

    assert view.is_same_key(first, last)
    assert not view.is_same_key(last, first)


def test_roads_lead_to_gateways_of_the_named_key(country: WorkerCountry) -> None:
    """None to a gateway that is suspended, or registered under another key."""
    view = country.view(country.pns)
    grant = granted(find(view))
    assert [gateway.id for gateway, _ in view.provider_logs(grant)] == ["BJ/GOV/ANIP/gw1"]

    suspended = [
        msgspec.structs.replace(one, state="suspended") for one in country.anip.document.registrations
    ]
    country.anip.change(registrations=suspended)

    assert country.view(country.pns).provider_logs(grant) == ()


def test_the_highest_serial_of_a_registration_counts(country: WorkerCountry) -> None:
    """A gateway that was registered anew has its new certificates only."""
    fresh = country.written(country.pns)
    country.country.register(country.pns, country.registration(country.pns, fresh, serial=2))

    gateway = country.view().gateways["BJ/GOV/PNS/gw1"]

    assert [log.id for log in gateway.logs] == [fresh.log]


def test_programs_are_admitted_by_thumbprint(country: WorkerCountry) -> None:
    """Removed ones are not."""
    assert country.view(country.pns).programs == {"W" * 43: f"{CLIENT}/web"}
    country.programs = [msgspec.structs.replace(country.programs[0], state="removed")]

    assert country.view(country.pns).programs == {}


def test_a_view_grows_stale_and_expires(country: WorkerCountry) -> None:
    """And is fresh again once it is confirmed."""
    view = country.view()

    assert view.freshness(NOW_MS + 599_999) == "fresh"
    assert view.freshness(NOW_MS + 600_000) == "stale"
    assert view.freshness(NOW_MS + 72 * 3_600_000) == "expired"
    later = NOW_MS + 3_600_000
    assert view.confirmed(later, later + 1000).freshness(later) == "fresh"
    assert view.confirmed(later, later + 1000).freshness(later + 1000) == "expired"


TERMS: dict[str, tuple[dict[str, Any], dict[str, Any], Reason | None]] = {
    "granted": ({}, {}, None),
    "no-purpose": ({}, {"purpose": None}, Reason.PURPOSE_REQUIRED),
    "other-purpose": ({}, {"purpose": "P09"}, Reason.PURPOSE_NOT_ALLOWED),
    "none-demanded": ({"purposes": []}, {"purpose": None}, None),
    "no-dossier": ({}, {"issue": None}, Reason.ISSUE_REQUIRED),
    "no-dossier-needed": ({"issue_required": False}, {"issue": None}, None),
    "represented": ({}, {"represented": "BANK"}, Reason.REPRESENTATION_NOT_ALLOWED),
    "representation-granted": ({"represented_parties": ["BANK"]}, {"represented": "BANK"}, None),
    "loopback": ({}, {"caller": "loopback"}, Reason.LOOPBACK_NOT_ALLOWED),
    "loopback-granted": ({"allow_loopback": True}, {"caller": "loopback"}, None),
    "too-old": ({"max_configuration_age_s": 60}, {"age_ms": 60_001}, Reason.CONFIG_STALE),
    "old-enough": ({"max_configuration_age_s": 60}, {"age_ms": 60_000}, None),
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_object_to_what_they_do_not_grant(country: WorkerCountry, name: str) -> None:
    """Asked alike by consumer and provider."""
    terms, call, reason = TERMS[name]
    agreement = msgspec.structs.replace(country.agreement, **terms)
    held: HeldAgreement = hold(conclude(agreement, country.pns.key, country.anip.key), {})
    asked: dict[str, Any] = {
        "purpose": "P01",
        "issue": "ACT-1",
        "represented": None,
        "caller": "mtls:" + "A" * 43,
        "age_ms": 0,
    }

    assert refusal_of_terms(held, **(asked | call)) is reason


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/a.v1.S/Do", "a.v1.S/Do"),
        (b"a.v1.S/Do", None),
        (b"//a.v1.S/Do", None),
        (b"/a.v1.S", None),
        (b"/a.v1.S/Do/", None),
        (b"/\xff", None),
        (b"", None),
    ],
)
def test_a_path_names_a_method_or_nothing(path: bytes, name: str | None) -> None:
    """The HTTP/2 ``:path`` of a gRPC call."""
    assert method_name(path) == name


def test_whether_a_method_takes_a_stream_is_the_word_of_its_provider(country: WorkerCountry) -> None:
    """Another member that publishes the same name as a stream changes nothing for who names the provider."""
    path, other = f"/{METHOD}".encode(), "BJ/GOV/PNS/ECHO"
    named, foreign = ((b"x-road-service", name.encode()) for name in (PROVIDER, other))
    before = country.view()
    country.pns.change(
        services=[
            ServiceEntry(other, SERVICE, "d" * 64, [ServiceMethod("GetPerson", True, True, False)], "active")
        ]
    )
    view = country.view()

    assert not before.takes_stream(path, ())
    assert not view.takes_stream(path, (named,))
    assert view.takes_stream(path, (foreign,))
    assert not view.takes_stream(b"/no.Such/Method", ())
    assert find(view) is Reason.SERVICE_AMBIGUOUS  # who names none is refused whatever it sends
