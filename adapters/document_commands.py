"""``passerelle document verify``: whether a document that an agency gave out is genuine; no network is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from cryptography import x509

from core.clock import SystemClock
from core.documents import MalformedDocumentError
from core.language import Language, Text
from core.times import format_time_ms
from pki.anchor import Anchor
from pki.keys import load_chain, load_crl
from pki.official import VerifiedOfficial, verify_official
from rpc.commandline import Output, lang_option, output_option
from rpc.files import read_bounded
from rpc.verdicts import judge, posed

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_MAX_BYTES: Final = 8 * 1024 * 1024
_COLUMNS: Final = {
    "doc_id": Text("N° du document", "Document number"),
    "type": Text("Sorte", "Kind"),
    "issuer": Text("Délivré par", "Issued by"),
    "issued_at": Text("Délivré le", "Issued at"),
    "valid_until": Text("Valable jusqu'au", "Valid until"),
    "names": Text("Au nom de", "In the name of"),
    "revocation": Text("Révocation de la clé", "Revocation of the key"),
}


def verify_file(
    data: bytes,
    chain: Sequence[x509.Certificate],
    root: x509.Certificate,
    *,
    now_ms: int,
    crls: Sequence[x509.CertificateRevocationList] = (),
) -> VerifiedOfficial:
    """Verify a document's file: the JWT in it as ``verify_official`` does, then every byte that the JWT fixes.

    Raises:
        ExchangeError: It is refused, and why.
    """
    from adapters.kit.pdf import blanked, read_jws

    jws = read_jws(data)
    # Before the code is drawn: that takes long, and of a stranger's JWT is not done.
    verified = verify_official(jws, chain, root, now_ms=now_ms, crls=crls)
    if hashlib.sha256(blanked(data, jws)).hexdigest() != verified.claims.sha256:
        raise MalformedDocumentError(f"the file is not the one that was signed as {verified.claims.doc_id}")
    return verified


@click.group()
def document() -> None:
    """Documents délivrés par une administration / documents that an agency gave out."""


@document.command("verify")
@click.argument("file", type=_FILE, required=False)
@click.option("--qr", default=None, metavar="JWT", help="ce que montre le code QR / what the QR code shows")
@click.option("--issuer", type=_FILE, required=True, help="document.crt de l'administration / of the agency")
@click.option("--anchor", "anchor_path", type=_FILE, required=True, help="anchor.pem")
@click.option("--crl", "crls", type=_FILE, multiple=True, help="liste de révocation / revocation list (PEM)")
@lang_option
@output_option
def verify(
    file: Path | None,
    qr: str | None,
    issuer: Path,
    anchor_path: Path,
    crls: tuple[Path, ...],
    lang: Language,
    output: Output,
) -> None:
    """Vérifier un document, ou son code QR seul / verify a document, or its QR code alone.

    Du code QR seul, comparer les noms à ce que dit le papier / of the QR code alone, compare the names with the paper.
    """
    if (file is None) == (qr is None):
        raise click.UsageError(
            Text("un fichier ou --qr, l'un des deux", "a file or --qr, one of them").in_(lang)
        )
    with posed(lang):
        chain = load_chain(read_bounded(issuer, _MAX_BYTES))
        root = Anchor.read(anchor_path).certificate
        lists = [load_crl(read_bounded(path, _MAX_BYTES)) for path in crls]

    def check() -> dict[str, object]:
        now_ms = SystemClock().now_ms()
        if file is None:
            verified = verify_official((qr or "").strip(), chain, root, now_ms=now_ms, crls=lists)
        else:
            verified = verify_file(read_bounded(file, _MAX_BYTES), chain, root, now_ms=now_ms, crls=lists)
        claims = verified.claims
        not_asked = Text("non vérifiée : donner --crl", "not checked: give --crl")
        return {
            "doc_id": claims.doc_id,
            "type": claims.type,
            "issuer": claims.iss,
            "issued_at": format_time_ms(claims.iat * 1000),
            "valid_until": format_time_ms(claims.exp * 1000) if isinstance(claims.exp, int) else "",
            "names": ", ".join(claims.names),
            "revocation": Text("vérifiée", "checked").in_(lang) if lists else not_asked.in_(lang),
        }

    judge(check, _COLUMNS, output, lang)
