"""``passerelle ca | pki | anchor``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from core.clock import SystemClock
from core.language import Language, Text
from core.reasons import ExchangeError, MalformedError, Reason
from ledger.headfile import read_head_file
from pki.anchor import Anchor, spoken
from pki.authority import REASONS, Authority, found
from pki.chain import verify_chain
from pki.jws import HEAD, JWS_KINDS, verify_jws
from pki.keys import chain_pem, load_chain, load_crl, load_public_key
from pki.profiles import AuthorityKind, Profile, profile_of, utc
from rpc.commandline import (
    Output,
    confirm,
    dry_run_option,
    lang_option,
    output_option,
    show_one,
    show_rows,
    yes_option,
)
from rpc.files import read_bounded, replace_file
from rpc.names import subject_of, urn_of
from rpc.verdicts import judge, posed

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_NEW_FILE: Final = click.Path(path_type=Path, dir_okay=False)
# Beyond what any chain, list or document here is long.
_MAX_FILE_BYTES: Final = 8 * 1024 * 1024
_MOMENT: Final = click.DateTime(["%Y-%m-%dT%H:%M:%SZ"])
_DIRECTORY: Final = click.Path(path_type=Path, exists=True, file_okay=False)
_ISSUED_HERE: Final = [
    profile.value for profile in Profile if profile.rules.issuer is not AuthorityKind.PROGRAMS
]

_COLUMNS: Final = {
    "file": Text("Fichier", "File"),
    "name": Text("Nom", "Name"),
    "profile": Text("Profil", "Profile"),
    "expires": Text("Expire le", "Expires"),
    "days": Text("Jours", "Days"),
    "serial": Text("Série", "Serial"),
}
_AUTHORITY_COLUMNS: Final = {
    "authority": Text("Autorité", "Authority"),
    "certificate": Text("Certificat", "Certificate"),
    "fingerprint": Text("Empreinte", "Fingerprint"),
}
_LIST_COLUMNS: Final = {
    "authority": Text("Autorité", "Authority"),
    "revoked": Text("Révoqués", "Revoked"),
    "next_update": Text("À refaire avant", "Renew before"),
}
_CHAIN_COLUMNS: Final = {
    "name": Text("Nom", "Name"),
    "profile": Text("Profil", "Profile"),
    "at": Text("Jugé à", "Judged at"),
}
_JWS_COLUMNS: Final = {
    "typ": Text("Sorte", "Kind"),
    "signer": Text("Signataire", "Signer"),
    "digest": Text("SHA-256 du contenu", "SHA-256 of the payload"),
    "payload": Text("Contenu", "Payload"),
}
_ANCHOR_COLUMNS: Final = {
    "file": Text("Fichier", "File"),
    "certificate": Text("Racine X.509", "X.509 root"),
    "expires": Text("Expire le", "Expires"),
    "fingerprint": Text("Empreinte SHA-256", "SHA-256 fingerprint"),
}


@click.group()
def ca() -> None:
    """Autorités de certification sur fichiers / certification authorities on files."""


@ca.command("found")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--instance", required=True, metavar="BJ", help="code du pays / country code")
@lang_option
@output_option
def found_command(directory: Path, instance: str, lang: Language, output: Output) -> None:
    """Faire la racine, l'AC auth et l'AC seal / make the root, the auth CA and the seal CA."""
    made = found(directory, instance, now_ms=SystemClock().now_ms())
    rows = [
        {
            "authority": kind.value,
            "certificate": str(directory / f"{kind}.crt"),
            "fingerprint": spoken(authority.certificate.fingerprint(hashes.SHA256()).hex()),
        }
        for kind, authority in made.items()
    ]
    show_rows(rows, _AUTHORITY_COLUMNS, output, lang)


@ca.command("issue")
@click.argument("csr", type=_FILE)
@click.option("--ca", "directory", type=_DIRECTORY, required=True, help="répertoire de l'AC / its directory")
@click.option("--profile", type=click.Choice(_ISSUED_HERE), required=True)
@click.option("--name", required=True, metavar="URN", help="urn:passerelle:gateway:BJ/GOV/ANIP/gw1")
@click.option("--host", "hosts", multiple=True, help="nom DNS ou adresse IP / DNS name or IP address")
@click.option(
    "--days", type=click.IntRange(min=1), default=None, help="moins que le profil / less than the profile"
)
@click.option("--out", type=_NEW_FILE, required=True, help="chaîne, certificat d'abord / chain, leaf first")
@lang_option
@output_option
def issue_command(
    csr: Path,
    directory: Path,
    profile: str,
    name: str,
    hosts: tuple[str, ...],
    days: int | None,
    out: Path,
    lang: Language,
    output: Output,
) -> None:
    """Signer une demande : le profil décide de tout / sign a request: the profile decides everything."""
    chosen = Profile(profile)
    authority = Authority.open(directory, chosen.rules.issuer)
    certificate = authority.issue(
        chosen,
        csr.read_bytes(),
        name,
        now_ms=SystemClock().now_ms(),
        hosts=hosts,
        lifetime=timedelta(days=days) if days else None,
    )
    replace_file(out, chain_pem([certificate, authority.certificate]))
    show_one(_row(out, certificate), _COLUMNS, output, lang)


@ca.command("revoke")
@click.argument("certificate", type=_FILE)
@click.option("--ca", "directory", type=_DIRECTORY, required=True, help="répertoire de l'AC / its directory")
@click.option("--reason", type=click.Choice(sorted(REASONS)), required=True, help="motif / reason")
@click.option(
    "--invalid-since",
    type=_MOMENT,
    default=None,
    help="clé compromise depuis (UTC) / key compromised since (UTC)",
)
@dry_run_option
@yes_option
@lang_option
@output_option
def revoke_command(
    certificate: Path,
    directory: Path,
    reason: str,
    invalid_since: datetime | None,
    dry_run: bool,
    yes: bool,
    lang: Language,
    output: Output,
) -> None:
    """Révoquer pour toujours ; publier ensuite la liste / revoke for ever; publish the list afterwards."""
    found_certificate = load_chain(certificate.read_bytes())[0]
    profile = profile_of(found_certificate)
    if profile is None or profile.rules.issuer is AuthorityKind.PROGRAMS:
        raise ExchangeError(
            Reason.CERTIFICATE_INVALID, f"{certificate} is of no profile that a CA issues here"
        )
    authority = Authority.open(directory, profile.rules.issuer)
    name = urn_of(found_certificate)
    if dry_run:
        show_one(_row(certificate, found_certificate), _COLUMNS, output, lang)
        return
    confirm(Text(f"Révoquer {name} pour toujours ?", f"Revoke {name} for ever?"), lang, yes=yes)
    since = invalid_since.replace(tzinfo=utc(0).tzinfo) if invalid_since else None
    crl = authority.revoke(found_certificate, reason, now_ms=SystemClock().now_ms(), invalid_since=since)
    show_one(_list_row(authority, crl), _LIST_COLUMNS, output, lang)


@ca.command("renew-lists")
@click.argument("directory", type=_DIRECTORY)
@lang_option
@output_option
def renew_lists_command(directory: Path, lang: Language, output: Output) -> None:
    """Signer à nouveau les listes de révocation / sign the revocation lists anew."""
    rows = []
    for kind in (AuthorityKind.ROOT, AuthorityKind.AUTH, AuthorityKind.SEAL):
        authority = Authority.open(directory, kind)
        rows.append(_list_row(authority, authority.renew_crl(now_ms=SystemClock().now_ms())))
    show_rows(rows, _LIST_COLUMNS, output, lang)


@click.group()
def pki() -> None:
    """Certificats / certificates."""


@pki.command("list")
@click.argument("directory", type=_DIRECTORY, default=Path())
@lang_option
@output_option
def list_command(directory: Path, lang: Language, output: Output) -> None:
    """Les certificats d'un répertoire et leur fin / the certificates of a directory and their end."""
    rows = [
        _row(path, load_chain(path.read_bytes())[0])
        for path in sorted(directory.rglob("*.crt"))
        if not path.is_symlink()
    ]
    show_rows(rows, _COLUMNS, output, lang)


@pki.command("verify-chain")
@click.argument("chain", type=_FILE)
@click.option(
    "--intermediate", "intermediates", type=_FILE, multiple=True, help="autres AC / further CAs (PEM)"
)
@click.option("--anchor", "anchor_path", type=_FILE, default=None, help="anchor.pem")
@click.option("--root", "roots", type=_FILE, multiple=True, help="racine, à la place de l'ancre / root (PEM)")
@click.option("--crl", "crls", type=_FILE, multiple=True, help="liste de révocation / revocation list (PEM)")
@click.option("--at", type=_MOMENT, default=None, help="instant à juger (UTC) / the moment to judge (UTC)")
@click.option("--profile", type=click.Choice([one.value for one in Profile]), required=True)
@lang_option
@output_option
def verify_chain_command(
    chain: Path,
    intermediates: tuple[Path, ...],
    anchor_path: Path | None,
    roots: tuple[Path, ...],
    crls: tuple[Path, ...],
    at: datetime | None,
    profile: str,
    lang: Language,
    output: Output,
) -> None:
    """Vérifier une chaîne, certificat d'abord / verify a chain, leaf first."""
    if (anchor_path is None) == (not roots):
        raise click.UsageError(
            Text("--anchor ou --root, l'un des deux", "either --anchor or --root").in_(lang)
        )
    moment = at.replace(tzinfo=UTC) if at else utc(SystemClock().now_ms())
    with posed(lang):
        trusted = (
            [Anchor.read(anchor_path).certificate]
            if anchor_path
            else [one for path in roots for one in _chain(path)]
        )
        lists = [load_crl(read_bounded(path, _MAX_FILE_BYTES)) for path in crls]

    def check() -> dict[str, object]:
        leaf, *below = _chain(chain)
        verified = verify_chain(
            leaf,
            intermediates=[*below, *(one for path in intermediates for one in _chain(path))],
            roots=trusted,
            crls=lists,
            at=moment,
            profile=Profile(profile),
        )
        return {"name": verified.urn, "profile": profile, "at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}

    judge(check, _CHAIN_COLUMNS, output, lang)


@pki.command("verify-jws")
@click.argument("file", type=_FILE)
@click.option(
    "--typ", type=click.Choice([*JWS_KINDS]), required=True, help="sorte, et nulle autre / kind, no other"
)
@click.option("--key", "key_path", type=_FILE, default=None, help="clé publique (PEM) / public key (PEM)")
@click.option(
    "--certificate", "certificate_path", type=_FILE, default=None, help="certificat / certificate (PEM)"
)
@lang_option
@output_option
def verify_jws_command(
    file: Path, typ: str, key_path: Path | None, certificate_path: Path | None, lang: Language, output: Output
) -> None:
    """Vérifier la forme et la signature d'un JWS, d'une seule sorte / verify form and signature of a JWS of one kind.

    Ni l'heure, ni le destinataire, ni ce que le registre sait de la clé n'est jugé / neither time, audience nor what
    the registry knows of the key is judged.
    """
    if (key_path is None) == (certificate_path is None):
        raise click.UsageError(
            Text("--key ou --certificate, l'un des deux", "either --key or --certificate").in_(lang)
        )

    if typ == HEAD and certificate_path is None:
        raise click.UsageError(
            Text(
                "une tête nomme le certificat qui la signe : donner --certificate",
                "a head names the certificate it is signed with: give --certificate",
            ).in_(lang)
        )
    with posed(lang):
        certificate = _chain(certificate_path)[0] if certificate_path else None
        key = load_public_key(_ascii(key_path)) if key_path else None

    def check() -> dict[str, object]:
        verified = verify_jws(_read_jws(file, typ), typ, key=key, certificate=certificate)
        return {
            "typ": verified.typ,
            "signer": verified.signer,
            "digest": verified.digest,
            "payload": verified.payload.decode("utf-8"),
        }

    judge(check, _JWS_COLUMNS, output, lang)


def _read_jws(path: Path, typ: str) -> bytes:
    """The bare JWS; a head also as a gateway keeps it, in ``state/head.json``."""
    data = read_bounded(path, _MAX_FILE_BYTES).removesuffix(b"\n")
    kept = read_head_file(path) if typ == HEAD else None
    return data if kept is None else kept


def _chain(path: Path) -> list[x509.Certificate]:
    return load_chain(read_bounded(path, _MAX_FILE_BYTES))


def _ascii(path: Path) -> str:
    try:
        return read_bounded(path, _MAX_FILE_BYTES).decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError(Reason.DOCUMENT_INVALID, f"{path.name!a} is not ASCII") from None


@click.group()
def anchor() -> None:
    """L'ancre : les racines dont tout dépend / the anchor: the roots that everything rests on."""


@anchor.command("show")
@click.argument("file", type=_FILE)
@lang_option
@output_option
def show_command(file: Path, lang: Language, output: Output) -> None:
    """Ce que l'ancre contient, et son empreinte / what the anchor holds, and its fingerprint."""
    found_anchor = Anchor.read(file)
    row = {
        "file": str(file),
        "certificate": found_anchor.certificate.subject.rfc4514_string(),
        "expires": f"{found_anchor.certificate.not_valid_after_utc:%Y-%m-%d}",
        "fingerprint": spoken(found_anchor.fingerprint),
    }
    show_one(row, _ANCHOR_COLUMNS, output, lang)


@anchor.command("fingerprint")
@click.argument("file", type=_FILE)
def fingerprint_command(file: Path) -> None:
    """L'empreinte à lire au téléphone / the fingerprint to read out over the telephone."""
    click.echo(spoken(Anchor.read(file).fingerprint))


def _row(path: Path, certificate: x509.Certificate) -> dict[str, object]:
    profile = profile_of(certificate)
    end = certificate.not_valid_after_utc
    return {
        "file": str(path),
        "name": urn_of(certificate) if profile else subject_of(certificate),
        "profile": profile.value if profile else "",
        "expires": f"{end:%Y-%m-%d}",
        "days": (end - utc(SystemClock().now_ms())).days,
        "serial": f"{certificate.serial_number:x}",
    }


def _list_row(authority: Authority, crl: x509.CertificateRevocationList) -> dict[str, object]:
    return {
        "authority": authority.kind.value,
        "revoked": len(crl),
        "next_update": f"{crl.next_update_utc:%Y-%m-%d}" if crl.next_update_utc else "",
    }
