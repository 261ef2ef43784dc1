"""How a registry comes to be: database, keys, certificates, tree log, first publication, anchor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.clock import Clock
from core.identifiers import RegistryId, require_purpose, urn
from core.language import Language
from core.reasons import ExchangeError, Reason
from pki.anchor import Anchor, spki_digest
from pki.authority import Authority
from pki.keys import certificate_pem, generate_key, write_key
from pki.profiles import AuthorityKind, Profile, build_csr
from registry import models
from registry.journal import create_journal, note_change
from registry.policy import require_text
from registry.publisher import ONLINE_ROLES, root_metadata, signer_of
from registry.settings import RegistryDirectory, RegistrySettings
from registry.store import open_engine, sessions, upgrade
from rpc.files import replace_file
from rpc.settings import load_settings

LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")


def found_registry(
    root: Path,
    *,
    registry: RegistryId,
    listen: str,
    hosts: Sequence[str],
    lang: Language,
    purposes: Sequence[tuple[str, str, str]],
    authorities: Mapping[AuthorityKind, Authority],
    anchor: Path,
    loopback_allowed: bool,
    clock: Clock,
    root_keys: int = 3,
    threshold: int = 2,
) -> Anchor:
    """Found a registry in ``root`` and write the anchor that gateways are installed with.

    Args:
        root: Its directory; must not hold a registry yet.
        registry: Its identifier.
        listen: ``host:port`` of its API.
        hosts: Names and addresses under which it is reached; its TLS certificate names them.
        lang: Language of its messages.
        purposes: Code, French label, English label of each purpose.
        authorities: Root, auth CA and seal CA. The root's key is not needed any more.
        anchor: Where the anchor is written.
        loopback_allowed: Whether loopback addresses may be registered, as in a country in a box.
        clock: Time of keys, entries and publication.
        root_keys: How many root keys of TUF to make, below ``root-keys/``. They are to be moved away.
        threshold: How many of them must sign a new root.

    Raises:
        ExchangeError: There is a registry already, or a purpose or number cannot be taken.
    """
    directory = RegistryDirectory(root.absolute())
    if directory.settings.exists():
        raise ExchangeError(Reason.ALREADY_EXISTS, f"{root} holds a registry already")
    if not 1 <= threshold <= root_keys <= 32:
        raise ExchangeError(Reason.DOCUMENT_INVALID, "1 <= threshold <= root keys <= 32 does not hold")
    for path in (directory.root, directory.keys, directory.root_keys):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _issue_certificates(directory, registry, hosts, authorities, clock)
    made = _found_tuf(directory, authorities[AuthorityKind.ROOT], root_keys, threshold, clock)
    made.write(anchor)
    made.write(directory.anchor)
    create_journal(directory.log, str(registry), clock)
    text = _settings_text(registry, listen, lang, authorities, loopback_allowed)
    # Settings come last but one: reading them back proves that the process will.
    replace_file(directory.settings, text.encode())
    settings = load_settings(directory.settings, RegistrySettings)
    _found_database(directory, settings, purposes, clock)
    return made


def _issue_certificates(
    directory: RegistryDirectory,
    registry: RegistryId,
    hosts: Sequence[str],
    authorities: Mapping[AuthorityKind, Authority],
    clock: Clock,
) -> None:
    """``keys/auth`` for TLS, ``keys/seal`` for heads: the same name, told apart by issuing CA and usage."""
    for name, profile, kind in (
        ("auth", Profile.REGISTRY, AuthorityKind.AUTH),
        ("seal", Profile.REGISTRY_SEAL, AuthorityKind.SEAL),
    ):
        key = generate_key()
        certificate = authorities[kind].issue(
            profile,
            build_csr(key, str(registry)),
            urn("registry", registry),
            now_ms=clock.now_ms(),
            hosts=tuple(hosts) if profile.rules.hosts else (),
        )
        write_key(directory.keys / f"{name}.key", key)
        chain = certificate_pem(certificate) + certificate_pem(authorities[kind].certificate)
        replace_file(directory.keys / f"{name}.crt", chain)


def _found_tuf(
    directory: RegistryDirectory, root: Authority, root_keys: int, threshold: int, clock: Clock
) -> Anchor:
    """All TUF keys, and ``1.root.json`` signed by the threshold of root keys."""
    offline = [directory.root_keys / f"root-{number}.key" for number in range(1, root_keys + 1)]
    online = {role: directory.keys / f"tuf-{role}.key" for role in ONLINE_ROLES}
    for path in (*offline, *online.values()):
        write_key(path, generate_key())
    metadata = root_metadata(
        [signer_of(path) for path in offline],
        threshold,
        {role: signer_of(path) for role, path in online.items()},
        spki_digest=spki_digest(root.certificate),
        clock=clock,
    )
    (directory.published / "metadata").mkdir(parents=True, exist_ok=True)
    replace_file(directory.published / "metadata" / "1.root.json", metadata)
    return Anchor(root.certificate, metadata)


def _settings_text(
    registry: RegistryId,
    listen: str,
    lang: Language,
    authorities: Mapping[AuthorityKind, Authority],
    loopback_allowed: bool,
) -> str:
    # A JSON string is a TOML basic string.
    directory = json.dumps(str(authorities[AuthorityKind.AUTH].directory.absolute()), ensure_ascii=False)
    return "\n".join(
        (
            "# Passerelle : réglages du registre / settings of the registry (docs/operations/registry.md)",
            f'registry = "{registry}"',
            f'listen = "{listen}"',
            f'lang = "{lang}"',
            "# Certificats et listes de révocation des AC / certificates and revocation lists of the CAs",
            f"authorities = {directory}",
            "# Réseaux admis bien que non publics / networks allowed although not public",
            f"allowed_networks = {json.dumps(LOOPBACK_NETWORKS if loopback_allowed else ())}",
            "",
        )
    )


def _found_database(
    directory: RegistryDirectory,
    settings: RegistrySettings,
    purposes: Sequence[tuple[str, str, str]],
    clock: Clock,
) -> None:
    engine = open_engine(directory.url(settings))
    upgrade(engine)
    actor = [urn("registry", settings.registry)]
    with sessions(engine)() as session:
        for code, fr, en in purposes:
            require_purpose(code)
            require_text(fr, "the French label", longest=200)
            require_text(en, "the English label", longest=200)
            session.add(models.Purpose(code=code, label_fr=fr, label_en=en))
            note_change(session, clock, "purpose-added", actor, code, None)
        session.commit()
    engine.dispose()
