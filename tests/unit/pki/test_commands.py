"""``passerelle ca | pki | anchor``, as an operator types them."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from cryptography import x509

from core.documents import encode
from core.heads import parse_head
from core.jws import DocumentKind
from core.reasons import ExchangeError
from ledger.headfile import write_head_file
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest, spoken
from pki.authority import Authority
from pki.commands import anchor, ca, pki
from pki.heads import HeadSigner
from pki.jws import CALLER, HEAD, JWS_KINDS
from pki.keys import chain_pem, generate_key, key_thumbprint, load_chain, public_key_pem
from pki.profiles import AuthorityKind, Profile, build_csr, profile_of
from tests.fuzz import seeds
from tests.support.certificates import GW1


def run(group: click.Group, *arguments: object) -> Result:
    result = CliRunner().invoke(group, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def refused(result: Result) -> str:
    """The reason of a refusal, which a verifier tells on standard output."""
    assert result.exit_code == 1, result.output
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == "VERDICT : REFUSÉ (REFUSED)"
    return result.stdout.splitlines()[-2].partition(":")[0]


def ill_posed(result: Result) -> str:
    """What is told of a question that cannot be judged: exit 2, and no verdict."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    run(ca, "found", tmp_path / "ca", "--instance", "BJ")
    return tmp_path / "ca"


@pytest.fixture
def chain(directory: Path, tmp_path: Path) -> Path:
    return issued(directory, tmp_path / "gw1.crt", days=90)


def issued(directory: Path, out: Path, days: int) -> Path:
    """A gateway's certificate, with its issuer's behind it."""
    request = out.with_suffix(".csr")
    request.write_bytes(build_csr(generate_key()))
    options = ("--profile", "auth", "--name", GW1, "--host", "gw1.anip.bj", "--host", "192.0.2.7")
    result = run(ca, "issue", request, "--ca", directory, *options, "--days", days, "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def anchor_file(directory: Path, tmp_path: Path) -> Path:
    root = load_chain((directory / "root.crt").read_bytes())[0]
    signed = {"_type": "root", "version": 1, SPKI_MEMBER: spki_digest(root)}
    path = tmp_path / "anchor.pem"
    Anchor(root, json.dumps({"signed": signed}).encode()).write(path)
    return path


def test_founding_prints_fingerprints(tmp_path: Path) -> None:
    """The operator notes down what was made."""
    result = run(ca, "found", tmp_path / "ca", "--instance", "BJ", "--output", "json")

    assert [row["authority"] for row in rows(result)] == ["root", "auth", "seal"]
    assert all(len(row["fingerprint"].split()) == 16 for row in rows(result))


def test_issuing_writes_the_chain_leaf_first(chain: Path, directory: Path) -> None:
    """What a TLS server needs stands in one file."""
    leaf, issuer = load_chain(chain.read_bytes())

    assert profile_of(leaf) is Profile.AUTH
    assert issuer == Authority.open(directory, AuthorityKind.AUTH).certificate
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 90


def test_a_chain_is_verified_against_anchor_and_lists(
    chain: Path, directory: Path, anchor_file: Path
) -> None:
    """BON with fresh lists, a named refusal without."""
    options = (chain, "--anchor", anchor_file, "--profile", "auth")
    lists = ("--crl", directory / "root.crl", "--crl", directory / "auth.crl")

    good = run(pki, "verify-chain", *options, *lists, "--output", "json")

    found = rows(good)
    assert (found["verdict"], found["name"], found["profile"]) == ("GOOD", GW1, "auth")
    assert refused(run(pki, "verify-chain", *options)) == "CERTIFICATE_INVALID"
    assert "CERTIFICATE_INVALID" in ill_posed(run(pki, "verify-chain", *options, "--crl", chain))
    no_anchor = (chain, "--anchor", chain, "--profile", "auth", *lists)
    assert "ANCHOR_MISMATCH" in ill_posed(run(pki, "verify-chain", *no_anchor))


def test_revoking_asks_and_publishes(chain: Path, directory: Path, anchor_file: Path) -> None:
    """Nothing without a yes; afterwards the chain is refused."""
    options = (chain, "--ca", directory, "--reason", "key-compromise")

    dry = run(ca, "revoke", *options, "--dry-run", "--output", "json")
    unsure = CliRunner().invoke(ca, ["revoke", *map(str, options)], input="n\n")
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    done = run(ca, "revoke", *options, "--yes", "--invalid-since", since, "--output", "json")

    assert rows(dry)["name"] == GW1
    assert unsure.exit_code == 1
    assert rows(done)["revoked"] == 1
    lists = ("--crl", directory / "root.crl", "--crl", directory / "auth.crl")
    verified = run(pki, "verify-chain", chain, "--anchor", anchor_file, "--profile", "auth", *lists)
    assert refused(verified) == "CERTIFICATE_REVOKED"


def test_a_chain_is_judged_at_the_moment_that_is_asked_for(directory: Path, tmp_path: Path) -> None:
    """``--at`` moves the clock; leaf, intermediates and root may each lie in a file of its own."""
    # A list lasts 90 days from the founding: both edges of the leaf lie within it, whenever the leaf was issued.
    leaf, issuer = load_chain(issued(directory, tmp_path / "gw1.crt", days=30).read_bytes())
    (tmp_path / "leaf.pem").write_bytes(chain_pem([leaf]))
    (tmp_path / "ca.pem").write_bytes(chain_pem([issuer]))
    parts = (tmp_path / "leaf.pem", "--intermediate", tmp_path / "ca.pem", "--root", directory / "root.crt")
    lists = ("--crl", directory / "root.crl", "--crl", directory / "auth.crl", "--profile", "auth")

    def at(moment: datetime) -> Result:
        return run(pki, "verify-chain", *parts, *lists, "--at", f"{moment:%Y-%m-%dT%H:%M:%SZ}")

    second = timedelta(seconds=1)
    assert at(leaf.not_valid_before_utc).exit_code == 0
    assert at(leaf.not_valid_after_utc).exit_code == 0
    assert refused(at(leaf.not_valid_before_utc - second)) == "CERTIFICATE_EXPIRED"
    assert refused(at(leaf.not_valid_after_utc + second)) == "CERTIFICATE_EXPIRED"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--root", "ca/root.crt", "--anchor", "anchor.pem"),
        ("--root", "ca/root.crt", "--at", "yesterday"),
    ],
    ids=["no root", "two kinds of root", "no moment"],
)
def test_a_chain_wrongly_asked_about_gets_no_verdict(
    chain: Path, anchor_file: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, and nothing on standard output."""
    monkeypatch.chdir(anchor_file.parent)

    result = run(pki, "verify-chain", chain, "--profile", "auth", *options)

    assert (result.exit_code, result.stdout) == (2, "")


def test_an_authority_is_not_revoked_like_a_leaf(directory: Path) -> None:
    """Revoking a CA is a ceremony, not a slip of the keyboard."""
    with pytest.raises(ExchangeError, match="of no profile"):
        run(ca, "revoke", directory / "auth.crt", "--ca", directory, "--reason", "superseded", "--yes")


def test_lists_are_renewed(directory: Path) -> None:
    """All three, signed anew."""
    result = run(ca, "renew-lists", directory, "--output", "json")

    assert [row["authority"] for row in rows(result)] == ["root", "auth", "seal"]
    pem = (directory / "auth.crl").read_bytes()
    number = x509.load_pem_x509_crl(pem).extensions.get_extension_for_class(x509.CRLNumber)
    assert number.value.crl_number == 2


def test_certificates_of_a_directory_are_listed(chain: Path, directory: Path) -> None:
    """With profile, name and end; authorities under their own names."""
    result = run(pki, "list", chain.parent, "--output", "json")

    found = {Path(row["file"]).name: row for row in rows(result)}
    assert found["gw1.crt"]["profile"] == "auth"
    assert found["gw1.crt"]["days"] in (89, 90)
    assert found["root.crt"]["name"] == "CN=BJ root CA"


def test_the_anchor_shows_its_fingerprint(anchor_file: Path) -> None:
    """As it is read out over the telephone, alone or with the rest."""
    expected = spoken(Anchor.read(anchor_file).fingerprint)

    assert run(anchor, "fingerprint", anchor_file).output == f"{expected}\n"
    shown = run(anchor, "show", anchor_file)
    assert expected in shown.output
    assert "Racine X.509" in shown.output
    assert "X.509 root" in run(anchor, "show", anchor_file, "--lang", "en").output


# --- verify-jws ---


@dataclass(frozen=True)
class Signed:
    """Files of one signer: a JWS of each kind, its key, its certificate."""

    directory: Path
    key: Path
    certificate: Path
    thumbprint: str

    def file(self, typ: str) -> Path:
        return self.directory / f"{typ}.jwt"

    def named(self, typ: str) -> tuple[object, ...]:
        """What the JWS of this kind is verified with."""
        return ("--certificate", self.certificate) if typ == HEAD else ("--key", self.key)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    found = seeds.country()
    key = found.leaf_key.public_key()
    (tmp_path / "key.pem").write_text(public_key_pem(key))
    certificate = found.seal.build()
    (tmp_path / "seal.pem").write_bytes(chain_pem([certificate]))
    head = parse_head(seeds.head()).unverified
    files = {
        HEAD: HeadSigner(found.leaf_key, certificate).sign(head),
        CALLER: seeds.caller_token(),
        DocumentKind.AGREEMENT: seeds.document(DocumentKind.AGREEMENT, encode(seeds.agreement())),
        DocumentKind.REGISTRATION: seeds.document(DocumentKind.REGISTRATION, encode(seeds.registration())),
        DocumentKind.MEMBER_SUCCESSOR: seeds.document(
            DocumentKind.MEMBER_SUCCESSOR, encode(seeds.successor())
        ),
        DocumentKind.OFFICIAL: seeds.document(DocumentKind.OFFICIAL, encode(seeds.official())),
    }
    for typ, jws in files.items():
        (tmp_path / f"{typ}.jwt").write_bytes(jws + b"\n")
    return Signed(tmp_path, tmp_path / "key.pem", tmp_path / "seal.pem", key_thumbprint(key))


@pytest.mark.parametrize("typ", JWS_KINDS)
def test_a_jws_is_verified_as_its_own_kind_and_no_other(signed: Signed, typ: str) -> None:
    """Signer, digest and payload of a good one; the same file as any other kind is refused."""
    good = rows(
        run(pki, "verify-jws", signed.file(typ), "--typ", typ, *signed.named(typ), "--output", "json")
    )

    assert (good["verdict"], good["typ"]) == ("GOOD", typ)
    assert good["digest"] == hashlib.sha256(good["payload"].encode()).hexdigest()
    if typ != HEAD:
        assert good["signer"] == signed.thumbprint
    for other in JWS_KINDS:
        if other != typ:
            refused(run(pki, "verify-jws", signed.file(typ), "--typ", other, *signed.named(other)))


def test_a_jws_of_another_key_is_refused(signed: Signed) -> None:
    """Whoever else holds a key."""
    other = signed.directory / "other.pem"
    other.write_text(public_key_pem(generate_key().public_key()))

    for typ in (DocumentKind.AGREEMENT, CALLER):
        result = run(pki, "verify-jws", signed.file(typ), "--typ", typ, "--key", other)
        assert refused(result) == "SIGNATURE_INVALID"


def test_a_document_is_verified_with_the_key_of_a_certificate(signed: Signed) -> None:
    """A member certificate names the key for tools that read no PEM key."""
    result = run(
        pki,
        "verify-jws",
        signed.file(DocumentKind.AGREEMENT),
        "--typ",
        DocumentKind.AGREEMENT,
        "--certificate",
        signed.certificate,
    )

    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "VERDICT : BON (GOOD)"


def test_a_signed_document_that_is_none_of_its_kind_is_refused(signed: Signed) -> None:
    """A good signature over other contents: the payload is parsed as strictly as at a gateway."""
    signed.file("registration+jwt").write_bytes(seeds.document(DocumentKind.REGISTRATION, b'{"v":1}'))

    result = run(
        pki, "verify-jws", signed.file("registration+jwt"), "--typ", "registration+jwt", "--key", signed.key
    )

    assert refused(result) == "DOCUMENT_INVALID"


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"a.b.c\n\n", b"A" * 9_000_000], ids=["empty", "no ASCII", "two line ends", "long"]
)
def test_a_file_that_holds_no_jws_is_refused(signed: Signed, data: bytes) -> None:
    """With a verdict, whatever it holds."""
    signed.file(CALLER).write_bytes(data)

    for typ in JWS_KINDS:
        refused(run(pki, "verify-jws", signed.file(CALLER), "--typ", typ, *signed.named(typ)))


def test_a_head_is_verified_with_a_certificate_only(signed: Signed) -> None:
    """It names one: a key does not pose the question."""
    result = run(pki, "verify-jws", signed.file(HEAD), "--typ", HEAD, "--key", signed.key)

    assert "une tête nomme le certificat qui la signe : donner --certificate" in ill_posed(result)


def test_a_head_is_verified_as_a_gateway_keeps_it(signed: Signed) -> None:
    """``state/head.json``, as ``audit verify-log --head`` takes it; and no other kind is read out of such a file."""
    kept = signed.directory / "head.json"
    write_head_file(kept, signed.file(HEAD).read_bytes().strip())

    good = run(pki, "verify-jws", kept, "--typ", HEAD, "--certificate", signed.certificate)
    other = run(pki, "verify-jws", kept, "--typ", CALLER, "--key", signed.key)

    assert good.output.splitlines()[-1] == "VERDICT : BON (GOOD)"
    refused(other)


def test_a_key_that_is_none_poses_no_question(signed: Signed) -> None:
    """The document is not accused of it."""
    typ = DocumentKind.AGREEMENT
    result = run(pki, "verify-jws", signed.file(typ), "--typ", typ, "--key", signed.file(typ))

    assert "DOCUMENT_INVALID" in ill_posed(result)


@pytest.mark.parametrize(
    "options",
    [(), ("--key", "key.pem", "--certificate", "seal.pem"), ("--key", "missing.pem")],
    ids=["neither", "both", "no such file"],
)
def test_a_jws_wrongly_asked_about_gets_no_verdict(
    signed: Signed, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, and nothing on standard output."""
    monkeypatch.chdir(signed.directory)

    result = run(pki, "verify-jws", signed.file(CALLER), "--typ", CALLER, *options)

    assert (result.exit_code, result.stdout) == (2, "")
