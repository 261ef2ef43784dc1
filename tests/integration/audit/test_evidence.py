"""Evidence gathered from real logs reaches a verdict offline; whatever is changed in it turns the verdict."""

from __future__ import annotations

import itertools
import random
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from audit.commands import audit
from audit.container import pack
from audit.report import Report, StepVerdict, Verdict
from audit.verify import verify_evidence
from core.configuration import CommonDocument, CurrentConfiguration, encode_current
from core.documents import decode_strict, digest, encode
from core.evidence import CONSUMER_AGREEMENT, MANIFEST, Manifest, Parts, parse_manifest
from core.jws import DocumentKind
from core.masks import mask_digest
from core.payloads import SALT_BYTES, payload_digest
from core.pseudonyms import pseudonym
from core.reasons import ExchangeError, Reason
from core.statements import Cut
from ledger.evidence import Evidence, require_bodies_allowed
from ledger.places import LogPlace
from ledger.reader import LogReader, StoredLeaf
from ledger.trail import Trail
from ledger.vault import BodyVault, read_wrapping_key
from pki.documents import sign_document
from pki.keys import chain_pem, generate_key
from pki.profiles import Profile, utc
from tests.support.evidence import EvidenceCountry, Side, gather_evidence
from tests.support.published_country import PublishedCountry


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path)
    yield found
    found.close()


def verified(country: EvidenceCountry, parts: Parts) -> Report:
    return verify_evidence(parts, country.country.root.certificate)


def failed(report: Report) -> list[int]:
    return [step.number for step in report.steps if step.verdict in (StepVerdict.FAILED, StepVerdict.OPEN)]


def with_bodies(side: Side) -> Callable[[LogPlace, str], Callable[[bytes], bytes]]:
    key = read_wrapping_key(side.directory / "keys/wrapping.key", side.directory / "log")

    def open_log(place: LogPlace, log: str) -> Callable[[bytes], bytes]:
        return BodyVault(place.bodies, log, key, side.clock).open

    return open_log


def test_the_consumer_proves_question_and_answer(country: EvidenceCountry) -> None:
    """Four leaves: its own two, the provider's answer, and the provider's receipt."""
    country.exchange()
    wanted = country.exchange()
    country.exchange()

    parts = gather_evidence(country.pns.directory, wanted.id)
    report = verified(country, parts)

    assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
    assert len(parse_manifest(parts[MANIFEST]).leaves) == 4
    assert parse_manifest(parts[MANIFEST]).missing == []
    assert report.facts["client"] == "BJ/GOV/PNS/PORTAIL"
    assert [remark.en for remark in report.remarks] == ["time claimed, not stamped"]


def test_the_provider_proves_the_same_from_its_own_log(country: EvidenceCountry) -> None:
    """The mirror image, without the consumer's help."""
    wanted = country.exchange()
    country.exchange()

    report = verified(country, gather_evidence(country.anip.directory, wanted.id))

    assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]


def test_without_the_last_receipt_three_leaves_are_enough(country: EvidenceCountry) -> None:
    """The answer stands for the receipt (PROTOCOL M7)."""
    wanted = country.exchange(receipts=False)

    parts = gather_evidence(country.anip.directory, wanted.id)

    assert len(parse_manifest(parts[MANIFEST]).leaves) == 3
    assert verified(country, parts).verdict is Verdict.VALID


def test_records_with_an_annex_prove_as_well_and_the_annex_stays_at_home(country: EvidenceCountry) -> None:
    """The container holds the leaf, which commits to it, and neither the annex nor a pseudonym (PROTOCOL M13)."""
    country.exchange()
    wanted = country.exchange(subjects=[b"0000000001"])

    for side in (country.pns, country.anip):
        parts = gather_evidence(side.directory, wanted.id, open_bodies=with_bodies(side))

        assert verified(country, parts).verdict is Verdict.VALID
        together = b"".join(parts.values())
        for member in (country.pns, country.anip):
            assert pseudonym(member.pseudonym_key, b"0000000001").encode() not in together
        assert b'"pseudonyms"' not in together


def test_bodies_are_compared_with_their_digests(country: EvidenceCountry) -> None:
    """Asked for, they are there for both statements; a changed one is found."""
    wanted = country.exchange()

    parts = gather_evidence(country.pns.directory, wanted.id, open_bodies=with_bodies(country.pns))
    bodies = sorted(path for path in parts if path.startswith("bodies/"))
    good = verified(country, parts)
    parts[bodies[0]] = parts[bodies[0]][:-1] + b"!"
    bad = verified(country, parts)

    assert len(bodies) == 2
    assert good.verdict is Verdict.VALID
    assert failed(bad) == [9]


def test_bodies_need_a_purpose_or_a_mandate() -> None:
    """P05 or a mandate, nothing else."""
    require_bodies_allowed("P05", "")
    require_bodies_allowed("", "PJ-2026-118")

    for purpose in ("", "P08", "P01"):
        with pytest.raises(ExchangeError) as refused:
            require_bodies_allowed(purpose, " ")
        assert refused.value.reason is Reason.PURPOSE_NOT_ALLOWED


def test_a_refusal_by_the_provider_is_evidence_too(country: EvidenceCountry) -> None:
    """The agreement does not cover the call, the refusal says so, and that is proved."""
    refusal = {
        "kind": "refusal",
        "status": 7,
        "reason": "PURPOSE_NOT_ALLOWED",
        "delivery": "not_sent",
        "payloads": [],
    }
    wanted = country.exchange(answer=refusal, purpose="P09")

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
    assert report.facts["outcome"] == "PURPOSE_NOT_ALLOWED"
    assert "refused: the agreement does not cover the call" in [one.en for one in report.remarks]


def test_a_refusal_at_home_needs_no_agreement(country: EvidenceCountry) -> None:
    """One leaf; the verdict says whose word the member key is."""
    wanted = country.refuse_at_home()

    report = verified(country, gather_evidence(country.pns.directory, wanted))

    assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
    assert report.steps[6].verdict is StepVerdict.ABSENT


@pytest.mark.parametrize("change", [{"purpose": "P09"}, {"issue": None}], ids=["purpose", "dossier"])
def test_an_answer_that_the_agreement_does_not_cover_is_invalid(
    country: EvidenceCountry, change: dict[str, Any]
) -> None:
    """Both gateways may have been wrong or in league: the signed terms decide."""
    wanted = country.exchange(**change)

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.INVALID
    assert failed(report) == [7]


MASK = {"GetPerson": ["last_name", "residence.town"]}


def with_mask(country: EvidenceCountry) -> Cut:
    """The agreement grants two fields; what an answer says that was cut to them."""
    country.conclude(country.country.agreement(country.pns.member, country.anip.member, field_mask=MASK))
    return Cut(mask_digest(MASK["GetPerson"]), 3, "5e" * 32)


def test_evidence_tells_which_fields_were_granted_and_how_many_were_cut(country: EvidenceCountry) -> None:
    """From either log; the salt of the original stays with the provider."""
    wanted = country.exchange(answer={"cut": with_mask(country)})

    for side in (country.pns, country.anip):
        parts = gather_evidence(side.directory, wanted.id)
        report = verified(country, parts)
        assert report.verdict is Verdict.VALID
        assert report.facts["fields_granted"] == "last_name, residence.town"
        assert report.facts["fields_cut"] == "3"


def test_evidence_of_either_side_bears_out_what_an_answer_was_cut_from(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """The provider's log alone is no proof; evidence of another exchange, or that is not VALID, bears out nothing."""
    original = tmp_path / "person.binpb"
    original.write_bytes(b"as the adapter sent it")
    cut = msgspec.structs.replace(
        with_mask(country), original=payload_digest(bytes(SALT_BYTES), 0, original.read_bytes())
    )
    wanted, other = (country.exchange(answer={"cut": cut}) for _ in range(2))

    def judged(side: Side, exchange: str) -> tuple[int, str]:
        evidence = tmp_path / "evidence.asice"
        evidence.write_bytes(pack(gather_evidence(side.directory, exchange)))
        arguments = ["verify-cut", wanted.id, str(original), "--log", str(country.anip.directory)]
        arguments += ["--evidence", str(evidence), "--anchor", str(country.anchor()), "--lang", "en"]
        result = CliRunner().invoke(audit, arguments)
        return result.exit_code, result.output

    for side in (country.pns, country.anip):
        code, told = judged(side, wanted.id)
        assert (code, told.splitlines()[-1]) == (0, "VERDICT: GOOD")
        assert re.search(r"Signatures +anchored", told)
    code, told = judged(country.pns, other.id)
    assert (code, "other leaves of this answer" in told) == (1, True)
    shutil.rmtree(country.pns.directory / "configuration")
    code, told = judged(country.pns, wanted.id)
    assert (code, "UNDETERMINED" in told) == (2, True)


@pytest.mark.parametrize("cut", [None, Cut(mask_digest(["npi"]), 3, "5e" * 32)], ids=["none", "another"])
def test_an_answer_that_was_not_cut_as_the_agreement_says_is_invalid(
    country: EvidenceCountry, cut: Cut | None
) -> None:
    """Both gateways may have been in league: the signed terms decide."""
    with_mask(country)
    wanted = country.exchange(answer={"cut": cut})

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.INVALID
    assert failed(report) == [7]


def test_an_answer_that_was_cut_although_all_is_granted_is_invalid(country: EvidenceCountry) -> None:
    """Nobody agreed on that mask."""
    wanted = country.exchange(answer={"cut": Cut(mask_digest(["npi"]), 3, "5e" * 32)})

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert failed(report) == [7]


def test_an_answer_to_another_request_is_refused(country: EvidenceCountry) -> None:
    """The statements of two exchanges swapped: each is genuine, together they prove nothing."""
    one, other = country.exchange(), country.exchange()
    parts = gather_evidence(country.pns.directory, one.id)
    foreign = gather_evidence(country.pns.directory, other.id)

    swapped = _with_leaf(parts, foreign, "response")

    assert verified(country, swapped).verdict is Verdict.INVALID


def test_an_answer_that_differs_from_its_request_is_refused(country: EvidenceCountry) -> None:
    """A provider that answers for another purpose than it was asked for."""
    wanted = country.exchange(answer={"issue": "ACT-202611-9999"})

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert failed(report) == [8]


def test_a_registration_signed_by_a_foreign_key_is_refused(country: EvidenceCountry) -> None:
    """The registry's operator runs the CAs, and still cannot add a gateway: the agreement names the key (M8)."""
    wanted = country.exchange()
    intruder = generate_key()
    registration = country.anip.registration(country.country)
    country.anip.member.change(registrations=[])
    country.country.register(country.anip.member, registration, intruder)
    country.anip.member.change(
        member_keys=[*country.anip.member.document.member_keys, _listed(intruder)],
    )
    country.publish()
    late = country.exchange()

    before = verified(country, gather_evidence(country.pns.directory, wanted.id))
    after = verified(country, gather_evidence(country.pns.directory, late.id))

    assert before.verdict is Verdict.VALID
    assert failed(after) == [7]


def test_a_successor_of_the_member_key_is_the_same_member(country: EvidenceCountry) -> None:
    """Agreements go on when the old key has named the new one."""
    from tests.support.published_country import listed, succeed

    fresh = generate_key()
    member = country.anip.member
    registration = country.anip.registration(country.country)
    member.change(registrations=[], member_keys=[listed(member.key), listed(fresh)])
    country.country.register(member, registration, fresh)
    member.change(successors=[succeed(member.id, member.key, fresh)])
    country.publish()
    wanted = country.exchange()

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]


def test_another_anchor_refuses_everything(country: EvidenceCountry, tmp_path: Path) -> None:
    """The container's own certificates count for nothing."""
    wanted = country.exchange()
    other = EvidenceCountry(tmp_path / "other")

    report = verified(other, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.INVALID
    assert 6 in failed(report)
    # Its lists are there; that they were not read is no remark about them.
    assert [one.en for one in report.remarks] == ["time claimed, not stamped"]


def test_a_certificate_revoked_later_leaves_it_open(country: EvidenceCountry) -> None:
    """No stamp shows that the head was there before: UNDETERMINED, never VALID (M9)."""
    wanted = country.exchange()
    country.country.now_ms += 3_600_000
    country.country.revoked.append(country.anip.certificate)
    country.publish()

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.UNDETERMINED
    assert failed(report) == [6]


def test_a_certificate_revoked_before_makes_it_invalid(country: EvidenceCountry) -> None:
    """The head itself says that it is younger than the revocation."""
    country.country.now_ms -= 3_600_000
    country.country.revoked.append(country.anip.certificate)
    country.publish()
    wanted = country.exchange()

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.INVALID


def test_without_revocation_lists_nobody_can_tell(country: EvidenceCountry) -> None:
    """Left out of the container, they leave the verdict open."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)

    fewer = {path: data for path, data in parts.items() if not path.startswith("certificates/crl-")}

    assert verified(country, fewer).verdict is Verdict.UNDETERMINED


def test_what_was_left_out_without_harm_is_told(country: EvidenceCountry) -> None:
    """Nothing false is accepted; but who reads VALID is told what was not there."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)
    quiet = verified(country, parts).remarks

    told = {}
    for path in parts:
        report = verified(country, {name: data for name, data in parts.items() if name != path})
        if report.verdict is Verdict.VALID:
            told[path] = [one for one in report.remarks if one not in quiet]

    documents = [path for path in told if path.startswith("configuration/")]
    assert {path.split("/", 2)[2] for path in documents} == {
        "common.json",
        "members/BJ.GOV.PNS.json",
        "members/BJ.GOV.ANIP.json",
    }
    for path in documents:
        _, version, target = path.split("/", 2)
        assert [one.fr for one in told[path]] == [f"configuration v{version} : manque ici {target}"]
        assert [one.en for one in told[path]] == [f"configuration v{version}: {target} is missing here"]
    lists = [path for path in told if path.startswith("certificates/crl-")]
    assert len(lists) == 1
    assert told[lists[0]][0].fr.startswith("aucune liste de révocation de l'autorité ")


def test_an_authority_left_out_with_its_list_is_missed(country: EvidenceCountry) -> None:
    """The common document names it."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)
    spared = [
        {name: data for name, data in parts.items() if name not in (authority, revoked)}
        for authority in parts
        if authority.startswith("certificates/ca-")
        for revoked in parts
        if revoked.startswith("certificates/crl-")
    ]

    valid = [one for one in (verified(country, fewer) for fewer in spared) if one.verdict is Verdict.VALID]

    assert valid
    assert all("no revocation list" in one.remarks[0].en for one in valid)


@pytest.mark.parametrize("is_readable", [True, False])
def test_an_authority_with_an_odd_name_is_told(country: EvidenceCountry, is_readable: bool) -> None:
    """Only the root can give one such a name; still the verdict is ours, and what is shown printable and bounded."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)
    odd = _authority_made_of_bits(country.country, is_readable=is_readable)

    report = verified(country, parts | {f"certificates/ca-{digest(odd)[:16]}.pem": odd})

    if is_readable:
        assert report.verdict is Verdict.VALID
        shown = f"2.5.4.45=#{'00' * 100}"[:80]
        assert report.remarks[0].en == f"no revocation list of the authority '{shown}' is there"
    else:
        assert report.verdict is Verdict.INVALID
        assert failed(report) == [6]


def _authority_made_of_bits(country: PublishedCountry, *, is_readable: bool) -> bytes:
    """Signed by the root; unreadable where a common name is made of bits, which the library refuses to build."""
    bits = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, bytes(100), _ASN1Type.BitString)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([bits]))
        .issuer_name(country.root.certificate.subject)
        .public_key(country.root.certificate.public_key())
        .serial_number(5)
        .not_valid_before(utc(country.now_ms))
        .not_valid_after(utc(country.now_ms) + timedelta(days=1))
    )
    made = builder.sign(country.root.key, hashes.SHA256())
    if not is_readable:
        to_be_signed = made.tbs_certificate_bytes.replace(
            bytes.fromhex("060355042d"), bytes.fromhex("0603550403")
        )
        signature = country.root.key.sign(to_be_signed, ec.ECDSA(hashes.SHA256()))
        algorithm = bytes.fromhex("300a06082a8648ce3d040302")
        made = x509.load_der_x509_certificate(
            _der(0x30, to_be_signed + algorithm + _der(0x03, b"\0" + signature))
        )
    return chain_pem([made])


def _der(tag: int, data: bytes) -> bytes:
    return (
        bytes([tag, 0x82]) + len(data).to_bytes(2, "big") + data
        if len(data) > 127
        else bytes([tag, len(data)]) + data
    )


def test_a_version_of_which_nothing_is_there_is_told(country: EvidenceCountry) -> None:
    """Whoever drops it whole, from the manifest too, does not do so in silence."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)
    fewer = {name: data for name, data in parts.items() if not name.startswith("configuration/")}
    manifest = parse_manifest(parts[MANIFEST])

    report = verified(country, fewer | {MANIFEST: _changed(manifest, configurations=[])})

    (version,) = manifest.configurations
    assert f"configuration v{version}: targets.json is missing here" in [one.en for one in report.remarks]


def test_no_part_can_be_left_out(country: EvidenceCountry) -> None:
    """Whatever is missing, the verdict is not VALID."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)
    seal_lists = 0

    for path in parts:
        fewer = {name: data for name, data in parts.items() if name != path}
        report = verified(country, fewer)
        if path.startswith(("certificates/crl-", "certificates/ca-", "configuration/")):
            # The lists of the auth CA and documents beyond need say nothing about a seal certificate.
            seal_lists += report.verdict is not Verdict.VALID
            continue
        assert report.verdict is not Verdict.VALID, path

    assert seal_lists >= 3


def test_every_changed_byte_turns_the_verdict(country: EvidenceCountry) -> None:
    """Bits flipped at seeded places in each part."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id, open_bodies=with_bodies(country.pns))
    rng = random.Random(20261123)
    assert verified(country, parts).verdict is Verdict.VALID

    for path, data in parts.items():
        for at in {0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(12))}:
            changed = bytearray(data)
            changed[at] ^= 1 << rng.randrange(8)
            report = verified(country, parts | {path: bytes(changed)})
            assert report.verdict is not Verdict.VALID, (path, at, data[max(0, at - 20) : at + 20])


@pytest.mark.parametrize(
    ("member", "key"), [("consumer", "pns"), ("provider", "anip")], ids=["consumer", "provider"]
)
def test_an_agreement_widened_by_one_side_alone_is_refused(
    country: EvidenceCountry, member: str, key: str
) -> None:
    """Both signatures cover the same bytes, or none counts."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)
    side: Side = getattr(country, key)
    wider = msgspec.structs.replace(country.agreement, purposes=["P01", "P02"])

    parts[CONSUMER_AGREEMENT.replace("consumer", member)] = sign_document(
        DocumentKind.AGREEMENT, encode(wider), side.member.key
    ).encode()

    assert failed(verified(country, parts)) == [7]


def test_an_exchange_that_is_not_there_is_told(country: EvidenceCountry) -> None:
    """By name, and without evidence of nothing."""
    country.exchange()

    with pytest.raises(ExchangeError) as refused:
        gather_evidence(country.pns.directory, "01920000-0000-7000-8000-000000000000")

    assert refused.value.reason is Reason.NOT_FOUND


def test_what_no_head_covers_is_not_exported(country: EvidenceCountry) -> None:
    """Evidence starts with the signature."""
    wanted = country.exchange()
    (country.pns.directory / "state/head.json").unlink()

    with pytest.raises(ExchangeError) as refused:
        gather_evidence(country.pns.directory, wanted.id)

    assert refused.value.reason is Reason.PROOF_INVALID


def _listed(key: object) -> object:
    from tests.support.published_country import listed

    return listed(key)  # type: ignore[arg-type]  # a private key, as generate_key makes it


def _with_leaf(parts: Parts, foreign: Parts, kind: str) -> Parts:
    """``parts`` with one leaf of another container in place of its own, manifest and proof included."""
    manifest, other = parse_manifest(parts[MANIFEST]), parse_manifest(foreign[MANIFEST])
    (taken,) = (one for one in other.leaves if f"-{kind}-" in one.path and "heard" not in one.path)
    leaves = [
        taken if f"-{kind}-" in one.path and "heard" not in one.path else one for one in manifest.leaves
    ]
    swapped = parts | {path: foreign[path] for path in (taken.path, taken.proof, taken.head)}
    kept = {one.head for one in leaves}
    gone = {one.head for one in manifest.leaves} - kept
    swapped = {path: data for path, data in swapped.items() if path not in gone}
    return swapped | {MANIFEST: encode(msgspec.structs.replace(manifest, leaves=leaves))}


def test_a_receipt_from_the_consumer_s_own_second_gateway_proves_nothing(
    country: EvidenceCountry, tmp_path: Path
) -> None:
    """Else a consumer could prove by itself that the provider was asked."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id)
    registration = country.anip.registration(country.country)
    own = msgspec.structs.replace(
        registration,
        gateway="BJ/GOV/PNS/gw2",
        auth=[country.country.certificate(Profile.AUTH, "BJ/GOV/PNS/gw2")],
    )
    jws = sign_document(DocumentKind.REGISTRATION, encode(own), country.pns.member.key).encode()

    report = verified(country, parts | {"registrations/BJ.GOV.ANIP.gw1.jwt": jws})

    assert report.verdict is Verdict.INVALID
    assert 7 in failed(report)


def test_parts_that_nothing_needs_are_refused(country: EvidenceCountry) -> None:
    """A body of a record, an agreement that nobody names, a registration of nobody here."""
    wanted = country.exchange()
    parts = gather_evidence(country.pns.directory, wanted.id, open_bodies=with_bodies(country.pns))
    manifest = parse_manifest(parts[MANIFEST])
    body = next(one.body for one in manifest.leaves if one.body)
    leaves = [
        msgspec.structs.replace(one, body=body) if one.label == "heard" else one for one in manifest.leaves
    ]
    stranger = country.country.registration("BJ/GOV/PNS/gw9")
    jws = sign_document(DocumentKind.REGISTRATION, encode(stranger), country.pns.member.key).encode()
    listed = [*manifest.registrations, "registrations/x.jwt"]
    home = gather_evidence(country.pns.directory, country.refuse_at_home())

    assert failed(verified(country, parts | {MANIFEST: _changed(manifest, leaves=leaves)})) == [9]
    assert 4 in failed(
        verified(
            country, parts | {MANIFEST: _changed(manifest, registrations=listed), "registrations/x.jwt": jws}
        )
    )
    assert failed(verified(country, home | {CONSUMER_AGREEMENT: parts[CONSUMER_AGREEMENT]})) == [7]
    assert verified(country, home | {"statements/9-more.json": b"{}"}).verdict is Verdict.INVALID
    assert verified(country, parts | {"certificates/other.pem": b""}).verdict is Verdict.INVALID
    assert verified(country, parts | {"configuration/9/targets.json": b""}).verdict is Verdict.INVALID


def test_the_member_keys_are_shown_for_comparison(country: EvidenceCountry) -> None:
    """They were compared out of band when the agreement was concluded; an auditor can do so again."""
    wanted = country.exchange()

    facts = verified(country, gather_evidence(country.pns.directory, wanted.id)).facts

    assert facts["consumer_key"] == country.pns.member.thumbprint
    assert facts["provider_key"] == country.anip.member.thumbprint


def test_what_the_mirror_has_lost_is_taken_from_what_is_in_force(country: EvidenceCountry) -> None:
    """And said to be missing: the documents of that version are not in the container."""
    wanted = country.exchange()
    current = CurrentConfiguration(
        v=1,
        version=country.mark.version,
        digest=country.mark.digest,
        fresh_at=0,
        expires_at=0,
        common=decode_strict(country.country.documents()["common.json"], CommonDocument),
        members=country.member_documents(),
        programs=[],
    )
    configuration = country.pns.directory / "configuration"
    shutil.rmtree(configuration / "mirror")
    (configuration / "current.json").write_bytes(encode_current(current))

    parts = gather_evidence(country.pns.directory, wanted.id)
    report = verified(country, parts)

    assert parse_manifest(parts[MANIFEST]).missing == [f"configuration {country.mark.version}: not kept here"]
    assert report.verdict is Verdict.VALID
    assert report.steps[9].verdict is StepVerdict.ABSENT


def test_a_configuration_in_force_that_cannot_be_read_hinders_no_evidence(country: EvidenceCountry) -> None:
    """As another version of the software left it: the versions that were published are looked at without it."""
    wanted = country.exchange()
    (country.pns.directory / "configuration/current.json").write_bytes(b'{"v":0}')
    whole = gather_evidence(country.pns.directory, wanted.id)
    shutil.rmtree(country.pns.directory / "configuration/mirror")

    assert parse_manifest(whole[MANIFEST]).missing == []
    assert len(parse_manifest(gather_evidence(country.pns.directory, wanted.id)[MANIFEST]).missing) == 4


def test_without_any_configuration_the_verdict_stays_open(country: EvidenceCountry) -> None:
    """Statements and proofs are there; whose they are, nobody can tell."""
    wanted = country.exchange()
    shutil.rmtree(country.pns.directory / "configuration")

    parts = gather_evidence(country.pns.directory, wanted.id)

    assert len(parse_manifest(parts[MANIFEST]).missing) == 4
    assert verified(country, parts).verdict is Verdict.UNDETERMINED


def test_evidence_that_is_asked_for_again_is_the_same(country: EvidenceCountry) -> None:
    """What is missing is told once each time."""
    wanted = country.exchange()
    shutil.rmtree(country.pns.directory / "configuration")
    evidence = Evidence(country.pns.directory, wanted.id)

    first = dict(evidence.parts())

    assert dict(evidence.parts()) == first
    assert evidence.missing == parse_manifest(first[MANIFEST]).missing


def test_an_erased_body_is_said_to_be_gone(country: EvidenceCountry) -> None:
    """The rest is evidence as before (M12)."""
    wanted = country.exchange()
    slots = country.pns.directory / "bodies/0/slots"
    slots.write_bytes(bytes(slots.stat().st_size))

    parts = gather_evidence(country.pns.directory, wanted.id, open_bodies=with_bodies(country.pns))

    assert [one for one in parse_manifest(parts[MANIFEST]).missing if "erased" in one]
    assert verified(country, parts).verdict is Verdict.VALID


def _changed(manifest: Manifest, **fields: Any) -> bytes:
    return encode(msgspec.structs.replace(manifest, **fields))


@pytest.mark.parametrize("receipts", [True, False])
def test_evidence_outlives_its_agreement(country: EvidenceCountry, receipts: bool) -> None:
    """Gathered when the agreement is over, under heads that are signed then: what was said in time was said in time."""
    wanted = country.exchange(receipts=receipts)
    country.clock.advance(timedelta(days=2))
    for side in (country.pns, country.anip):
        side.note()
        side.sign(country.mark)
        side.note()

    for side in (country.pns, country.anip):
        report = verified(country, gather_evidence(side.directory, wanted.id))

        assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
        assert report.facts["time"] == "2026-09-21T14:13:20Z"


# --- streams ---


def test_the_parts_of_a_stream_sort_as_its_log_does(country: EvidenceCountry) -> None:
    """Each leaf once, with its proof; names tell the segment, and heads stand once however many leaves they prove."""
    talk = country.stream()
    talk.answer(2)
    talk.ask(0, final=True)
    talk.answer(1, final=True)
    talk.settle()
    names = [
        "000001-request-0",
        "000002-heard-request",
        "000003-response-0",
        "000004-heard-response",
        "000005-request-1",
        "000006-heard-request",
        "000007-response-1",
        "000008-heard-response",
    ]

    for side in (country.pns, country.anip):
        given = [path for path, _ in Evidence(side.directory, talk.id).parts()]

        assert [path for path in given if path.startswith("statements/")] == [
            f"statements/{name}.json" for name in names
        ]
        assert len(given) == len(set(given))
        assert given[-1] == MANIFEST


def test_evidence_of_a_stream_goes_out_as_it_is_read(country: EvidenceCountry) -> None:
    """No part waits for a later one, but for what stands at the end."""
    talk = country.stream()
    for _ in range(30):
        talk.answer(1)
    talk.settle()
    evidence = Evidence(country.pns.directory, talk.id)
    parts = evidence.parts()

    first = list(itertools.islice(parts, 3))
    shutil.rmtree(country.pns.directory / "log")

    assert [path.partition("/")[0] for path, _ in first] == ["statements", "proofs", "heads"]
    with pytest.raises(OSError, match="No such file"):
        list(parts)


def test_a_frame_is_found_among_many(country: EvidenceCountry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leaf costs its own frame, wherever it stands: of a stream of any length, each leaf is read a few times."""
    talk = country.stream()
    for _ in range(80):
        talk.answer(1)
    talk.settle()
    trail = Trail(country.pns.directory / "log/0", country.pns.directory / "state/head.json")
    assert trail.follow(talk.id)
    read: list[int] = []
    at = LogReader.at

    def counted(reader: LogReader, index: int) -> StoredLeaf:
        read.append(index)
        return at(reader, index)

    monkeypatch.setattr(LogReader, "at", counted)

    leaves = list(trail.leaves())

    assert len(leaves) == 2 + 2 * 80
    assert len(read) <= len(leaves)
