"""Checks of keys, certificates and anchor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from core.language import Text
from core.reasons import ExchangeError
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level, Value, good
from gateway.doctor.private_files import file_fault, key_finding, put_back
from gateway.doctor.pseudonyms import pseudonym_key_faults
from gateway.layout import KeyFiles
from pki.anchor import Anchor, spoken
from pki.keys import certificate_key, load_chain, public_key_der, read_key
from rpc.figures import counted, day, duration, moment

_EXPIRING_MS: Final = 30 * 86_400_000


def check_keys(case: Case) -> Iterator[Finding]:
    """Each private key: readable, closed to others, owned by who runs the gateway, and its certificate's."""
    directory = case.directory
    pairs = (
        (Text("Clé TLS (auth)", "TLS key (auth)"), directory.auth),
        (Text("Clé de scellement (seal)", "Seal key (seal)"), directory.seal),
        (Text("Clé de l'AC des programmes", "Key of the programs' CA"), directory.programs),
        (Text("Clé du port des programmes", "Key of the programs' port"), directory.programs_server),
    )
    found = [one for name, files in pairs if (one := _key_fault(case, name, files)) is not None]
    wrapping = directory.wrapping_key(case.settings)
    if (fault := file_fault(case, Text("Clé d'enveloppe", "Wrapping key"), wrapping)) is not None:
        found.append(fault)
    found += pseudonym_key_faults(case)
    yield from found
    if not found:
        yield good(
            "KEY_UNREADABLE",
            "les clés sont lisibles et vont avec leurs certificats",
            "keys are readable and fit",
        )


def _key_fault(case: Case, name: Text, files: KeyFiles) -> Finding | None:
    fault = file_fault(case, name, files.key)
    if fault is not None:
        return fault
    try:
        key = read_key(files.key)
    except ExchangeError:
        return key_finding(
            name,
            files.key,
            Text("n'est pas une clé P-256 en PEM", "is no P-256 key in PEM"),
            put_back(files.key),
        )
    try:
        certificate = load_chain(files.certificate.read_bytes())[0]
        fits = public_key_der(certificate_key(certificate)) == public_key_der(key.public_key())
    except (OSError, ExchangeError):
        fits = False
    if fits:
        return None
    return key_finding(
        name,
        files.key,
        Text(
            f"ne correspond pas au certificat {files.certificate}",
            f"does not match the certificate {files.certificate}",
        ),
        Text(
            f"`passerelle pki list {files.certificate.parent}`, puis remettre la clé et le certificat de la même paire "
            "(« passerelle gateway install » pour un certificat reçu)",
            f"`passerelle pki list {files.certificate.parent}`, then put back key and certificate of one pair "
            "('passerelle gateway install' for a certificate that was received)",
        ),
    )


def check_certificates(case: Case) -> Iterator[Finding]:
    """When each certificate that this gateway shows stops being valid, issuers included."""
    directory = case.directory
    fine = []
    for name, files in (
        ("AUTH", directory.auth),
        ("SEAL", directory.seal),
        ("PROGRAMS", directory.programs),
        ("PROGRAMS-SERVER", directory.programs_server),
    ):
        try:
            chain = load_chain(files.certificate.read_bytes())
        except (OSError, ExchangeError):
            continue  # KEY_UNREADABLE tells it
        ends = min(_ms(one.not_valid_after_utc.timestamp()) for one in chain)
        begins = max(_ms(one.not_valid_before_utc.timestamp()) for one in chain)
        if begins <= case.now_ms < ends - _EXPIRING_MS:
            fine.append(ends)
        else:
            yield _certificate(case, name, files, begins, ends)
    if len(fine) == 4:
        at = day(min(fine))
        yield good(
            "CERT_EXPIRED",
            f"certificats valables jusqu'au {at.fr} au moins",
            f"certificates valid until {at.en} at least",
        )


def _certificate(case: Case, name: str, files: KeyFiles, begins: int, ends: int) -> Finding:
    gateway = case.settings.gateway
    stopped = len(case.agreements)
    values: dict[str, Value] = {
        "certificate": name,
        "file": str(files.certificate),
        "ends_at": ends,
        "agreements": stopped,
    }
    if case.now_ms < begins:
        at = moment(begins, case.now_ms)
        return Finding(
            "CERT_EXPIRED",
            Level.FAULT,
            Text(
                f"Le certificat {name} de {gateway} n'est pas encore valable (début : {at.fr}) ; l'horloge "
                "retarde-t-elle ?",
                f"The {name} certificate of {gateway} is not valid yet (begins: {at.en}): is the clock behind?",
            ),
            Text("`passerelle doctor CLOCK_SKEW`", "`passerelle doctor CLOCK_SKEW`"),
            values,
        )
    at, remedy = day(ends), _renewal(case, name, files)
    agreements = counted(stopped, Text("convention", "agreement"), Text("conventions", "agreements"))
    if case.now_ms >= ends:
        return Finding(
            "CERT_EXPIRED",
            Level.FAULT,
            Text(
                f"Le certificat {name} de {gateway} a expiré le {at.fr} ; {agreements.fr} à l'arrêt",
                f"The {name} certificate of {gateway} expired on {at.en}; {agreements.en} stopped",
            ),
            remedy,
            values,
        )
    left = duration(ends - case.now_ms)
    depending = counted(
        stopped,
        Text("convention en dépend", "agreement depends on it"),
        Text("conventions en dépendent", "agreements depend on it"),
    )
    return Finding(
        "CERT_EXPIRING",
        Level.WARNING,
        Text(
            f"Le certificat {name} de {gateway} expire le {at.fr}, dans {left.fr} ; {depending.fr}",
            f"The {name} certificate of {gateway} expires on {at.en}, in {left.en}; {depending.en}",
        ),
        remedy,
        values,
    )


def _renewal(case: Case, name: str, files: KeyFiles) -> Text:
    """What can be done today: ASIN signs the request that lies beside the key; the member's own CA has no renewal yet."""
    if name in ("AUTH", "SEAL"):
        config = case.directory.settings
        install = f"`passerelle gateway install --auth … --seal … --config {config}`"
        return Text(
            f"envoyer {files.request} à l'ASIN (« passerelle ca issue » chez elle), puis {install} et "
            f"`passerelle gateway register --config {config} …`",
            f"send {files.request} to ASIN ('passerelle ca issue' there), then {install} and "
            f"`passerelle gateway register --config {config} …`",
        )
    return Text(
        "appeler l'ASIN : l'AC propre du membre se refait avec une passerelle neuve (« passerelle gateway init »), les "
        "programmes y sont admis à nouveau",
        "call ASIN: the member's own CA is made anew with a new gateway ('passerelle gateway init'), programs are "
        "admitted there again",
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def check_anchor(case: Case) -> Iterator[Finding]:
    """Whether the anchor is whole, and the root that our certificates descend from."""
    path = case.directory.anchor
    try:
        anchor = Anchor.read(path)
    except (OSError, ExchangeError) as error:
        yield Finding(
            "ANCHOR_MISMATCH",
            Level.FAULT,
            Text(f"{path} n'est pas une ancre ({error})", f"{path} is no anchor ({error})"),
            Text(
                f"remettre le fichier reçu de l'ASIN, puis comparer de vive voix : `passerelle anchor show {path}`",
                f"put back the file that ASIN handed over, then compare by voice: `passerelle anchor show {path}`",
            ),
        )
        return
    fingerprint = spoken(anchor.fingerprint)
    for files in (case.directory.auth, case.directory.seal):
        try:
            issuer = load_chain(files.certificate.read_bytes())[-1]
            issuer.verify_directly_issued_by(anchor.certificate)
        except (OSError, ExchangeError):
            continue  # KEY_UNREADABLE tells it
        except Exception:  # what the library raises for a foreign issuer: several kinds
            yield Finding(
                "ANCHOR_MISMATCH",
                Level.FAULT,
                Text(
                    f"{files.certificate} ne descend pas de l'ancre {path} (empreinte {fingerprint})",
                    f"{files.certificate} does not descend from the anchor {path} (fingerprint {fingerprint})",
                ),
                Text(
                    f"comparer l'empreinte avec l'ASIN de vive voix (`passerelle anchor show {path}`) ; si elle est "
                    "juste, redemander le certificat",
                    f"compare the fingerprint with ASIN by voice (`passerelle anchor show {path}`); if it is right, "
                    "ask for the certificate again",
                ),
                {"file": str(files.certificate), "fingerprint": fingerprint},
            )
            return
    start = " ".join(fingerprint.split()[:4])
    yield good("ANCHOR_MISMATCH", f"ancre {start} …", f"anchor {start} …", fingerprint=fingerprint)


def check_wrapping_key(case: Case) -> Iterator[Finding]:
    """Whether who takes the log's disk takes the key of the bodies, too (PROTOCOL M12)."""
    key, log = case.directory.wrapping_key(case.settings), case.directory.root / "log"
    try:
        is_beside = key.stat().st_dev == log.stat().st_dev
    except OSError:
        return  # told elsewhere
    if not is_beside:
        yield good(
            "WRAPPING_KEY_BESIDE_LOG", "clé d'enveloppe sur un autre disque", "wrapping key on another disk"
        )
        return
    yield Finding(
        "WRAPPING_KEY_BESIDE_LOG",
        Level.WARNING,
        Text(
            f"La clé d'enveloppe {key} est sur le disque du journal : qui prend ce disque lit les contenus",
            f"The wrapping key {key} is on the disk of the log: who takes this disk reads the bodies",
        ),
        Text(
            "à l'arrêt, déplacer ce fichier vers un autre support et le nommer dans gateway.toml : log.wrapping_key_file",
            "while stopped, move this file to another medium and name it in gateway.toml: log.wrapping_key_file",
        ),
        {"file": str(key)},
    )
