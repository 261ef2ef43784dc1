"""How a gateway comes to be: directory, keys, logs; then certificates, registration, programs.

The order of ``docs/operations/gateway.md``: ``init`` makes everything that needs nobody else, so that the log
ids can stand in the registration; the CAs answer the two requests; the member key, which never comes here,
signs the registration; the registry's operators approve it.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from core.clock import Clock
from core.documents import encode
from core.heads import parse_head
from core.identifiers import GatewayId, ProgramId, RegistryId, SubsystemId, urn
from core.language import Language, Text
from core.leaves import Genesis, genesis_leaf
from core.pseudonyms import year_of
from core.reasons import ExchangeError, MalformedError, Reason
from core.registrations import RegisteredCertificate, RegisteredLog, Registration, parse_registration
from core.times import format_time_ms
from gateway.annexes import require_no_annexes
from gateway.control.programs import PinnedPrograms
from gateway.hints import ProgramHints, toml_text
from gateway.layout import GatewayDirectory, KeyFiles
from gateway.settings import GatewaySettings, HostPort, Listen
from gateway.succession import closed_logs, registration_in_force
from ledger.log import create_log
from ledger.reader import LogReader
from ledger.vault import create_wrapping_key
from passerelle.registry.v1 import heads_pb2, heads_pb2_grpc, members_pb2, members_pb2_grpc
from pki.anchor import Anchor
from pki.authority import found_programs_authority, read_issuer
from pki.documents import DocumentKind, sign_document
from pki.keys import (
    certificate_pem,
    certificate_thumbprint,
    chain_pem,
    generate_key,
    key_thumbprint,
    load_chain,
    read_key,
    require_p256,
    write_key,
)
from pki.profiles import Issuer, Profile, build_csr, issue, profile_of
from pki.pseudonyms import YEARS_MADE, create_keys, key_file, share_keys
from rpc.credentials import channel
from rpc.files import replace_file
from rpc.identity import Identity
from rpc.names import urn_of
from rpc.settings import load_settings
from rpc.status import error_from_rpc

_SUBMIT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the administrator decides when a gateway is founded.

    Attributes:
        gateway: Its identifier, ``BJ/GOV/ANIP/gw1``.
        member_key: Thumbprint of the member's key.
        registry: The registry it will follow.
        registry_address: Where that is reached.
        hosts: Names and addresses under which peers and programs reach the gateway; the first is registered.
        listen: What it listens on; the number of road addresses is the number of workers.
        adapters: Address of the adapter of each subsystem that provides services.
        allowed_networks: See ``gateway.settings``.
        lang: Language of status messages.
        wrapping_key: Where the key that wraps day keys lies; ``None`` for ``keys/wrapping.key``.
        reserve_bytes: Free space that new exchanges must leave; ``None`` for the default.
    """

    gateway: GatewayId
    member_key: str
    registry: RegistryId
    registry_address: HostPort
    hosts: Sequence[str] = ("127.0.0.1",)
    listen: Listen = field(default_factory=Listen)
    adapters: Mapping[SubsystemId, HostPort] = field(default_factory=dict)
    allowed_networks: Sequence[str] = ()
    lang: Language = "fr"
    wrapping_key: Path | None = None
    reserve_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class InitResult:
    """What ``init_gateway`` made, and what others need of it.

    Attributes:
        directory: The gateway's directory.
        settings: Its settings, as they were written.
        requests: The certificate requests as PEM, for the profiles auth and seal.
        logs: The logs, as the registration will name them.
        anchor_fingerprint: To be compared by voice with what the registry's operator reads out.
    """

    directory: GatewayDirectory
    settings: GatewaySettings
    requests: Mapping[Profile, bytes]
    logs: Sequence[RegisteredLog]
    anchor_fingerprint: str


def init_gateway(
    root: Path, plan: Plan, anchor: Path, *, clock: Clock, programs_ca: GatewayDirectory | None = None
) -> InitResult:
    """Make a gateway's directory: settings, keys, requests, the member's programs CA, one log per worker.

    The programs CA and the keys of pseudonyms are the member's: its gateways have the same.

    Args:
        root: The directory; it must not hold a gateway yet.
        plan: What was decided.
        anchor: The anchor file, compared by its fingerprint out of band.
        clock: Time of the genesis leaves and of the programs CA.
        programs_ca: Another gateway of the same member whose programs CA and keys of pseudonyms this one shares.

    Raises:
        ExchangeError: There is a gateway in ``root``, or the anchor or what is to be shared cannot be read.
    """
    directory = GatewayDirectory(root.absolute())
    if directory.settings.exists():
        raise ExchangeError(Reason.ALREADY_EXISTS, f"{root} holds a gateway already")
    read_anchor = Anchor.read(anchor)
    for path in (directory.root, directory.keys, directory.state, directory.configuration):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(directory.anchor, anchor.read_bytes())
    requests = {
        Profile.AUTH: _new_request(directory.auth, plan),
        Profile.SEAL: _new_request(directory.seal, plan),
    }
    _found_programs_ca(directory, plan, clock, programs_ca)
    add_pseudonym_keys(directory, clock, programs_ca.pseudonym_keys if programs_ca is not None else None)
    for worker in range(len(plan.listen.road)):
        create_log(directory.log(worker), new_genesis_leaf(plan.gateway, worker, clock))
    # Settings come last: a directory without them is not yet a gateway, and init may be run again on a new
    # one.
    replace_file(directory.settings, settings_text(plan).encode())
    settings = load_settings(directory.settings, GatewaySettings)
    wrapping_key = directory.wrapping_key(settings)
    if not wrapping_key.exists():
        create_wrapping_key(wrapping_key)
    return InitResult(
        directory, settings, requests, registered_logs(directory, settings), read_anchor.fingerprint
    )


def add_pseudonym_keys(
    directory: GatewayDirectory, clock: Clock, shared: Path | None = None, *, anew: bool = False
) -> list[int]:
    """Add what is missing of the member's keys of pseudonyms: made for this year and those that follow, or ``shared``.

    Returns the years that were added.

    Args:
        directory: Of the gateway.
        clock: Tells this year.
        shared: Keys of another gateway of the member.
        anew: Whether a key is made although a log here has annexes of its year: they stay, and nobody is found in them.

    Raises:
        ExchangeError: A key cannot be read, or a year has another key here than there. ``STATE_CONFLICT``: a key that
            made annexes is gone, and not given up. Or a log cannot be read, so that nobody knows.
    """
    if shared is not None:
        return share_keys(shared, directory.pseudonym_keys)
    year = year_of(clock.now_ms())
    wanted = range(year, year + YEARS_MADE)
    missing = {one for one in wanted if not key_file(directory.pseudonym_keys, one).exists()}
    if missing and not anew:
        require_no_annexes(directory.root, missing)
    return create_keys(directory.pseudonym_keys, wanted)


def new_genesis_leaf(gateway: GatewayId, worker: int, clock: Clock) -> bytes:
    """The first leaf of a new log, that succeeds no other."""
    genesis = Genesis(
        v=1,
        gateway=str(gateway),
        worker=worker,
        time=clock.now_ms(),
        random=secrets.token_hex(16),
        succeeds=None,
    )
    return genesis_leaf(genesis)


def install_certificates(
    directory: GatewayDirectory, settings: GatewaySettings, auth: bytes, seal: bytes
) -> None:
    """Put the issued chains in place: PEM, leaf first.

    Raises:
        ExchangeError: A chain is for another key or another name, or does not lead to the anchor's root.
    """
    for files, profile, pem in ((directory.auth, Profile.AUTH, auth), (directory.seal, Profile.SEAL, seal)):
        chain = load_chain(pem)
        if key_thumbprint(require_p256(chain[0].public_key())) != key_thumbprint(
            read_key(files.key).public_key()
        ):
            raise ExchangeError(
                Reason.CERTIFICATE_INVALID, f"the {profile} certificate is for another key than {files.key}"
            )
        _require_chain(chain, Anchor.read(directory.anchor), settings, profile)
        replace_file(files.certificate, chain_pem(chain))


def registered_logs(directory: GatewayDirectory, settings: GatewaySettings) -> list[RegisteredLog]:
    """The logs of a gateway with the addresses under which peers reach them."""
    logs = []
    for worker, listen in enumerate(settings.listen.road):
        reader = LogReader(directory.log(worker))
        next(reader.follow(), None)
        logs.append(RegisteredLog(id=reader.log_id, worker=worker, address=str(_reached(settings, listen))))
    return logs


def registration_payload(directory: GatewayDirectory, settings: GatewaySettings, clock: Clock) -> bytes:
    """What the member key signs to register this gateway: its certificates, its logs, and those it closed.

    The serial is the time, so that each registration takes the place of the one before.

    Raises:
        ExchangeError: Certificates are not installed yet; or a registered log would vanish, which no registry takes.
    """
    now = clock.now_ms()
    logs, closed = registered_logs(directory, settings), closed_logs(directory, settings)
    _require_all(
        registration_in_force(directory, settings), {one.id for one in logs} | {one.id for one in closed}
    )
    payload = encode(
        Registration(
            v=1,
            gateway=settings.gateway,
            serial=now // 1000,
            issued_at=format_time_ms(now),
            auth=[_registered(directory.auth)],
            seal=[_registered(directory.seal)],
            logs=logs,
            closed=closed,
        )
    )
    parse_registration(payload)
    return payload


def _require_all(registered: Registration | None, named: set[str]) -> None:
    for log in registered.logs if registered is not None else ():
        if log.id not in named:
            raise ExchangeError(
                Reason.STATE_CONFLICT,
                f"log {log.id[:16]} of worker {log.worker} is registered, and none of the workers here has it",
                remedy=Text(
                    f"remettre `workers` à {log.worker + 1} au moins ; un journal perdu se clôt : "
                    f"passerelle log succeed --worker {log.worker}",
                    f"set `workers` to {log.worker + 1} at least; a lost log is closed: "
                    f"passerelle log succeed --worker {log.worker}",
                ),
            )


def add_program(
    directory: GatewayDirectory, settings: GatewaySettings, program: ProgramId, out: Path, clock: Clock
) -> None:
    """Write the identity of a program into ``out`` and admit its certificate.

    The directory holds ``identity.key``, ``identity.crt``, ``ca.pem`` (whom to trust at the programs' port
    and at the admin port) and ``passerelle.toml`` (where those are). Admission comes last: what is admitted
    exists.

    Raises:
        ExchangeError: The subsystem is another member's, or ``out`` holds an identity already.
    """
    _require_own(program, settings)
    certificate = _issue_identity(directory, out, "identity", Profile.PROGRAM, urn("program", program), clock)
    _write_directions(directory, settings, program, out)
    PinnedPrograms(directory.pinned_programs).add(program, certificate_thumbprint(certificate))


def add_program_key(
    directory: GatewayDirectory,
    settings: GatewaySettings,
    program: ProgramId,
    public_key: Path,
    out: Path | None,
) -> str:
    """Take caller tokens of a program that keeps its private key to itself; returns the key's thumbprint.

    ``out``, if given, gets ``ca.pem`` and ``passerelle.toml``, as with an identity.

    Raises:
        ExchangeError: The subsystem is another member's, or the file holds no P-256 public key.
    """
    _require_own(program, settings)
    try:
        thumbprint = PinnedPrograms(directory.pinned_programs).add_key(program, public_key.read_text("ascii"))
    except (MalformedError, UnicodeDecodeError):
        raise ExchangeError(
            Reason.KEY_UNREADABLE,
            f"{public_key} holds no P-256 public key in PEM",
            remedy=Text(
                "la tirer de la clé du programme : openssl pkey -in CLÉ -pubout -out FICHIER",
                "take it from the program's key: openssl pkey -in KEY -pubout -out FILE",
            ),
        ) from None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        _write_directions(directory, settings, program, out)
    return thumbprint


def _require_own(program: ProgramId, settings: GatewaySettings) -> None:
    if program.subsystem.member != settings.member:
        raise ExchangeError(
            Reason.NOT_AUTHORISED,
            f"{program} is no program of {settings.member}, whose gateway this is",
            remedy=Text(
                f"nommer un sous-système de {settings.member}, ou le faire sur une passerelle de "
                f"{program.subsystem.member} (--config)",
                f"name a subsystem of {settings.member}, or do it on a gateway of "
                f"{program.subsystem.member} (--config)",
            ),
        )


def _write_directions(
    directory: GatewayDirectory, settings: GatewaySettings, program: ProgramId, out: Path
) -> None:
    """Whom a program trusts and where it calls."""
    anchor = Anchor.read(directory.anchor)
    trusted = directory.programs.certificate.read_bytes() + certificate_pem(anchor.certificate)
    replace_file(out / "ca.pem", trusted)
    hints = ProgramHints(
        subsystem=str(program.subsystem),
        gateway_id=settings.gateway,
        gateway=str(_reached(settings, settings.listen.programs)),
        directory=str(_reached(settings, settings.listen.admin)),
    )
    hints.write(out)


def add_adapter(
    directory: GatewayDirectory, subsystem: SubsystemId, hosts: Sequence[str], out: Path, clock: Clock
) -> None:
    """Write what an ``adapter.toml`` in ``out`` needs: ``adapter.key``, ``adapter.crt`` and ``anchor.pem``.

    Beside them ``document.key``, which signs what the agency gives out, and ``document.csr``, which the seal CA answers
    with ``document.crt`` (``ca issue --profile document --name urn:passerelle:adapter:…``).

    Raises:
        ExchangeError: The subsystem is another member's, or ``out`` holds an identity already.
    """
    _issue_identity(directory, out, "adapter", Profile.ADAPTER, urn("adapter", subsystem), clock, hosts)
    replace_file(out / "anchor.pem", directory.anchor.read_bytes())
    document_key = generate_key()
    write_key(out / "document.key", document_key)
    replace_file(out / "document.csr", build_csr(document_key))


def sign_registration(payload: bytes, member_key: Path, settings: GatewaySettings) -> str:
    """The registration, signed with the member key that ``gateway.toml`` names.

    Raises:
        ExchangeError: The file holds another key.
    """
    key = read_key(member_key)
    if key_thumbprint(key.public_key()) != settings.member_key:
        raise ExchangeError(
            Reason.KEY_UNREADABLE, f"{member_key} is not the member key of {settings.gateway}"
        )
    return sign_document(DocumentKind.REGISTRATION, payload, key)


def submit_registration(
    directory: GatewayDirectory, settings: GatewaySettings, jws: str, *, dry_run: bool = False
) -> int:
    """Hand the signed registration in, as this gateway; returns the number of the request, 0 in a dry run.

    Raises:
        RemoteError: The registry refuses it or cannot be reached.
    """
    request = members_pb2.SubmitRegistrationRequest(registration_jws=jws, dry_run=dry_run)
    with _registry(directory, settings) as opened:
        stub = members_pb2_grpc.MembersServiceStub(opened)
        try:
            return int(stub.SubmitRegistration(request, timeout=_SUBMIT_TIMEOUT_S).request)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error


def newest_at_registry(directory: GatewayDirectory, settings: GatewaySettings, log: str) -> bytes | None:
    """The newest head of a log of this gateway that the registry holds; its signature is not checked.

    Raises:
        RemoteError: The registry refuses, or cannot be reached.
    """
    with _registry(directory, settings) as opened:
        stub = heads_pb2_grpc.HeadsServiceStub(opened)
        try:
            answer = stub.GetNewest(heads_pb2.GetNewestRequest(), timeout=_SUBMIT_TIMEOUT_S)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
    return next((bytes(jws) for jws in answer.heads if parse_head(jws).unverified.log == log), None)


def settings_text(plan: Plan) -> str:
    """``gateway.toml`` for a plan; whatever it does not name keeps its default."""
    lines = [
        "# Passerelle : réglages de cette passerelle / settings of this gateway (docs/operations/gateway.md)",
        f"gateway = {toml_text(str(plan.gateway))}",
        "# Empreinte de la clé du membre / thumbprint of the member key: compared by voice",
        f"member_key = {toml_text(plan.member_key)}",
        f"workers = {len(plan.listen.road)}",
        f"lang = {toml_text(plan.lang)}",
        f"hosts = {toml_text(list(plan.hosts))}",
        f"allowed_networks = {toml_text(list(plan.allowed_networks))}",
        "",
        "[registry]",
        f"id = {toml_text(str(plan.registry))}",
        f"address = {toml_text(str(plan.registry_address))}",
        "",
        "[listen]",
        f"programs = {toml_text(plan.listen.programs)}",
        f"road = {toml_text(list(plan.listen.road))}",
        f"admin = {toml_text(plan.listen.admin)}",
        f"http = {toml_text(plan.listen.http)}",
    ]
    log = []
    if plan.wrapping_key is not None:
        log.append(f"wrapping_key_file = {toml_text(str(plan.wrapping_key.absolute()))}")
    if plan.reserve_bytes is not None:
        log.append(f"reserve_bytes = {plan.reserve_bytes}")
    if log:
        lines += ["", "[log]", *log]
    for subsystem, address in plan.adapters.items():
        lines += [
            "",
            "[[adapter]]",
            f"subsystem = {toml_text(str(subsystem))}",
            f"address = {toml_text(str(address))}",
        ]
    return "\n".join(lines) + "\n"


def _registry(directory: GatewayDirectory, settings: GatewaySettings) -> grpc.Channel:
    """A channel to the registry, as this gateway."""
    return channel(
        settings.registry.address,
        Identity.from_files(directory.auth.key, directory.auth.certificate, directory.anchor),
        server_roots_pem=certificate_pem(Anchor.read(directory.anchor).certificate),
        expect=urn("registry", settings.registry.id),
    )


def _require_chain(
    chain: Sequence[x509.Certificate], anchor: Anchor, settings: GatewaySettings, profile: Profile
) -> None:
    """A first look, so that a mix-up shows here; what counts is how peers verify it, revocation included."""
    leaf = chain[0]
    if profile_of(leaf) is not profile or urn_of(leaf) != urn("gateway", settings.gateway):
        raise ExchangeError(
            Reason.CERTIFICATE_INVALID, f"this is no {profile} certificate of {settings.gateway}"
        )
    try:
        for certificate, issuer in pairwise((*chain, anchor.certificate)):
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ExchangeError(
            Reason.CERTIFICATE_INVALID, f"the {profile} chain does not lead to the anchor's root"
        ) from error


def _issue_identity(
    directory: GatewayDirectory,
    out: Path,
    stem: str,
    profile: Profile,
    name: str,
    clock: Clock,
    hosts: Sequence[str] = (),
) -> x509.Certificate:
    issuer = programs_issuer(directory)
    key = generate_key()
    certificate = issue(profile, issuer, key.public_key(), name, now_ms=clock.now_ms(), hosts=hosts)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_key(out / f"{stem}.key", key)
    replace_file(out / f"{stem}.crt", chain_pem([certificate]))
    return certificate


def _reached(settings: GatewaySettings, listen: str) -> HostPort:
    return HostPort(settings.hosts[0], HostPort.parse(listen).port)


def _registered(files: KeyFiles) -> RegisteredCertificate:
    try:
        pem = files.certificate.read_bytes()
    except FileNotFoundError:
        raise ExchangeError(Reason.NOT_FOUND, f"{files.certificate} is not installed yet") from None
    leaf = load_chain(pem)[0]
    return RegisteredCertificate(thumbprint=certificate_thumbprint(leaf), chain=pem.decode("ascii"))


def _new_request(files: KeyFiles, plan: Plan) -> bytes:
    key = generate_key()
    write_key(files.key, key)
    request = build_csr(key, str(plan.gateway))
    replace_file(files.request, request)
    return request


def _found_programs_ca(
    directory: GatewayDirectory, plan: Plan, clock: Clock, shared: GatewayDirectory | None
) -> None:
    """Make the member's own CA, or copy it, and have it certify the programs' port of this gateway."""
    own = directory.programs
    if shared is None:
        issuer = found_programs_authority(
            own.key, own.certificate, plan.gateway.member, now_ms=clock.now_ms()
        )
    else:
        issuer = programs_issuer(shared)
        write_key(own.key, issuer.key)
        replace_file(own.certificate, certificate_pem(issuer.certificate))
    door_key = generate_key()
    door = issue(
        Profile.PROGRAMS_DOOR,
        issuer,
        door_key.public_key(),
        urn("gateway", plan.gateway),
        now_ms=clock.now_ms(),
        hosts=plan.hosts,
    )
    write_key(directory.programs_server.key, door_key)
    replace_file(directory.programs_server.certificate, certificate_pem(door))


def programs_issuer(directory: GatewayDirectory) -> Issuer:
    """The member's CA for programs and adapters."""
    return read_issuer(directory.programs.key, directory.programs.certificate)
