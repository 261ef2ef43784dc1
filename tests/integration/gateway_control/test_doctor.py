"""``passerelle doctor``: each fault is planted, and told with its values and a remedy (USERS section 3)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2

from cli.main import passerelle
from core.clock import ManualClock, SystemClock
from core.configuration import CurrentConfiguration, decode_current, encode_current
from core.heads import TreeHead, parse_head
from core.identifiers import SubsystemId, urn
from core.language import Text
from core.leaves import Note, note_leaf
from core.merkle import leaf_hash
from core.registrations import RegisteredLog
from gateway.control.main import Control
from gateway.control.state import Condition
from gateway.control.supervisor import worker_command
from gateway.doctor.case import Case
from gateway.doctor.examination import CHECKS, examine
from gateway.doctor.findings import CODES, Finding, Level
from gateway.founding import InitResult, add_adapter
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings, HostPort
from gateway.stopped import Shown, StoppedLog, StoppedState, write_stopped
from ledger.commit import Entry, GroupCommit
from ledger.headfile import write_head_file
from ledger.log import Log, segments
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest
from pki.heads import HeadSigner
from pki.keys import chain_pem, generate_key, load_chain, read_key, write_key
from pki.profiles import Profile, issue, read_csr
from pki.pseudonyms import key_file, read_keys, years_held
from rpc.credentials import server_credentials
from rpc.settings import load_settings
from tests.integration.gateway_control.conftest import Country, Start
from tests.support.ports import HeldPorts
from tests.support.programs import end_without, require_program, require_strace
from tests.support.published_country import PublishedCountry
from tests.support.tuf_repository import TufRepository
from tests.support.waiting import until

HOUR_MS = 3_600_000
RNPP = "BJ/GOV/ANIP/RNPP"


@dataclass
class Patient:
    """A founded gateway that may fall ill."""

    country: Country
    made: InitResult
    start: Start

    @property
    def directory(self) -> GatewayDirectory:
        return self.made.directory

    def run(self, **options: object) -> Control:
        """Start control, with workers that only speak, and wait until one has its configuration and says more."""
        control = self.start(self.made, **options)
        until(lambda: control.state().configuration is not None)
        until(lambda: any(one.report and one.report.state != "starting" for one in control.state().workers))
        control.tend()
        return control

    def configured(self) -> CurrentConfiguration:
        """What was in force when the gateway last ran; nothing runs now."""
        control = self.run()
        control.stop()
        return self.current()

    def current(self) -> CurrentConfiguration:
        data = self.directory.current.read_bytes()
        return decode_current(data)

    def change(self, **fields: object) -> None:
        """Another configuration in force than the one that came."""
        self.directory.current.write_bytes(encode_current(msgspec.structs.replace(self.current(), **fields)))

    def set(self, old: str, new: str) -> None:
        """Another line in gateway.toml."""
        text = self.directory.settings.read_text(encoding="utf-8")
        assert old in text, text
        self.directory.settings.write_text(text.replace(old, new), encoding="utf-8")

    def findings(self, *codes: str) -> list[Finding]:
        """What doctor finds of these codes that is not good."""
        settings = load_settings(self.directory.settings, GatewaySettings)
        _, found = examine(settings, self.directory, SystemClock(), codes)
        return [one for one in found if one.level is not Level.GOOD]

    def fault(self, code: str, level: Level = Level.FAULT) -> Finding:
        """The one thing that doctor finds when it is asked for ``code``."""
        (found,) = self.findings(code)
        assert (found.code, found.level) == (code, level)
        assert found.remedy is not None
        assert found.text.fr != found.text.en
        return found


@pytest.fixture
def patient(country: Country, start: Start) -> Patient:
    """The consumer's gateway, registered, with an agreement with ANIP."""
    made = country.found(country.pns)
    logs = [RegisteredLog(id=made.logs[0].id, worker=0, address="127.0.0.1:1")]
    country.published.register(country.pns, country.published.registration("BJ/GOV/PNS/gw1", logs=logs))
    country.publish()
    return Patient(country, made, start)


@pytest.fixture
def provider(country: Country, start: Start, ports: HeldPorts) -> Patient:
    """The provider's gateway, whose adapter is at a port that nobody listens on."""
    made = country.found(country.anip)
    country.publish()
    patient = Patient(country, made, start)
    with patient.directory.settings.open("a", encoding="utf-8") as settings:
        settings.write(f'\n[[adapter]]\nsubsystem = "{RNPP}"\naddress = "127.0.0.1:{ports.new()}"\n')
    return patient


@pytest.fixture
def ports() -> Iterator[HeldPorts]:
    """Ports that nobody listens on, nor will while the test runs."""
    ports = HeldPorts()
    yield ports
    ports.close()


def speaking(**report: object) -> Callable[[int, int], list[str]]:
    """A worker that reports this and lives until its channel closes."""
    line = json.dumps({"type": "status", "state": "ready", "sequence": 1} | report)
    code = f"""
import os, signal, socket, sys
channel = socket.socket(fileno=int(sys.argv[3]))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
channel.sendall({line!r}.encode() + b"\\n")
for _ in channel.makefile("rb"):
    channel.sendall({line!r}.encode() + b"\\n")
"""
    return lambda number, channel: [sys.executable, "-c", code, "gateway.worker", str(number), str(channel)]


def remedy(found: Finding) -> Text:
    """What is to be done; every fault has it."""
    assert found.remedy is not None
    return found.remedy


def doctor(patient: Patient, *arguments: str, code: int) -> Result:
    result = CliRunner().invoke(
        passerelle,
        ["doctor", *arguments, "--config", str(patient.directory.settings)],
        env={"PASSERELLE_LANG": "fr"},
    )
    assert result.exit_code == code, (result.output, result.exception)
    return result


# --- the ten ---


def test_1_clock_skew_against_the_registry(patient: Patient) -> None:
    """By how much, and who says so."""
    patient.country.service.ahead_ms = -432_000

    found = patient.fault("CLOCK_SKEW")

    assert "avance de 7 min 12 s sur le registre" in found.text.fr
    assert "7 min 12 s ahead of the registry" in found.text.en
    assert "timedatectl set-ntp true" in remedy(found).fr
    assert found.values["ahead_s"] == 432


def test_1_clock_skew_is_warned_of_before_it_refuses(patient: Patient) -> None:
    """Within 60 s exchanges go on."""
    patient.country.service.ahead_ms = 40_000

    assert "retarde de 40 s" in patient.fault("CLOCK_SKEW", Level.WARNING).text.fr


def test_1_clock_skew_against_the_peers_where_the_registry_is_away(patient: Patient) -> None:
    """All of them say the same: it is ours."""
    peers = [
        {"gateway": f"BJ/GOV/X{n}/gw1", "log": f"{n}" * 64, "state": "CLOCK_SKEW", "ahead_s": 432}
        for n in range(3)
    ]
    patient.run(command=speaking(peers=peers))
    patient.country.stop_registry()

    found = patient.fault("CLOCK_SKEW")

    assert "avance de 7 min 12 s sur 3 pairs" in found.text.fr
    assert found.values["peers"] == [one["gateway"] for one in peers]


def test_1_clock_skew_of_a_peer_is_the_peers(patient: Patient) -> None:
    """Nobody sets a clock that is right."""
    peer = {"gateway": "BJ/GOV/ANIP/gw1", "log": "a" * 64, "state": "CLOCK_SKEW", "ahead_s": 432}
    patient.run(command=speaking(peers=[peer]))

    found = patient.fault("CLOCK_SKEW", Level.WARNING)

    assert "L'horloge de BJ/GOV/ANIP/gw1 retarde de 7 min 12 s" in found.text.fr
    assert "yours is right: the fault is theirs" in found.text.en


def test_1_clock_skew_against_what_was_signed(patient: Patient) -> None:
    """Without anybody to ask: a clock that was set back behind the last signed head."""
    patient.country.stop_registry()
    _sign_head(patient, size=1, iat=round(time.time()) + 7200)

    found = patient.fault("CLOCK_SKEW")

    assert "retarde de 2 h" in found.text.fr or "retarde de 1 h 59" in found.text.fr
    assert "nothing is signed" in found.text.en


def _sign_head(patient: Patient, *, size: int, iat: int) -> None:
    write_head_file(patient.directory.head(0), _head(patient, size=size, iat=iat))


def _head(patient: Patient, *, size: int, iat: int) -> bytes:
    """A head of the gateway's log, signed with its seal key."""
    directory, made = patient.directory, patient.made
    signer = HeadSigner(read_key(directory.seal.key), load_chain(directory.seal.certificate.read_bytes())[0])
    head = TreeHead(1, made.logs[0].id, made.settings.gateway, size, "00" * 32, iat, None)
    return signer.sign(head)


def test_2_configuration_stale_is_counted_down(patient: Patient) -> None:
    """How old, when everything stops."""
    now = SystemClock().now_ms()
    patient.configured()
    patient.change(fresh_at=now - 5 * HOUR_MS, expires_at=now + 67 * HOUR_MS + 5000)

    found = patient.fault("CONFIG_STALE", Level.WARNING)

    assert "vieille de 5 h" in found.text.fr
    assert "arrêt de tous les échanges dans 67 h" in found.text.fr
    assert "rien à faire si l'ASIN confirme une panne" in remedy(found).fr


def test_2_configuration_expired_and_missing(patient: Patient) -> None:
    """Every exchange is refused, since when."""
    assert patient.fault("CONFIG_MISSING").text.en.startswith("No configuration")
    now = SystemClock().now_ms()
    patient.configured()
    patient.change(fresh_at=now - 80 * HOUR_MS, expires_at=now - 8 * HOUR_MS)

    found = patient.fault("CONFIG_EXPIRED")

    assert "vieille de 80 h" in found.text.fr
    assert "every exchange is refused since" in found.text.en


def test_2_configuration_that_is_damaged_is_not_told_as_never_received(patient: Patient) -> None:
    """The mirror makes it anew, at the next start, with the registry away: no reason to look for the registry."""
    patient.configured()
    patient.directory.current.write_bytes(b"nonsense")
    patient.country.stop_registry()

    found = patient.fault("CONFIG_MISSING")
    control = patient.start(patient.made)
    until(lambda: control.state().configuration is not None)

    assert f"{patient.directory.current} est abîmé" in found.text.fr
    assert "le miroir est là, une relance la refait sans le registre" in found.text.fr
    assert f"passerelle gateway serve --config {patient.directory.settings}" in remedy(found).en
    assert "REGISTRY_UNREACHABLE" not in remedy(found).fr
    assert patient.findings("CONFIG_MISSING") == []


def test_3_exchanges_do_not_go_on_where_no_worker_is_in_service(patient: Patient) -> None:
    """The configuration would allow it for hours."""
    patient.run(command=speaking(state="LOG_BEHIND_PEERS"))
    patient.country.stop_registry()

    found = patient.fault("REGISTRY_UNREACHABLE")

    assert "aucun worker n'est en service, les échanges sont arrêtés" in found.text.fr
    assert "go on" not in found.text.en


def test_3_registry_whose_name_is_unknown(patient: Patient) -> None:
    """DNS."""
    patient.set(f'"127.0.0.1:{patient.country.registry_port}"', '"registre.invalid:7443"')

    found = patient.fault("REGISTRY_UNREACHABLE")

    assert "registre.invalid : nom introuvable" in found.text.fr
    assert found.values["stage"] == "dns"
    assert "getent hosts registre.invalid" in remedy(found).fr


def test_3_registry_whose_port_is_closed(patient: Patient) -> None:
    """TCP; and what becomes of exchanges meanwhile."""
    patient.run()
    patient.country.stop_registry()

    found = patient.fault("REGISTRY_UNREACHABLE")

    port = patient.country.registry_port
    assert f"nom trouvé, port {port} fermé (connexion refusée) ; les échanges continuent" in found.text.fr
    assert found.values["stage"] == "tcp"
    assert f"TCP {port}" in remedy(found).en


def test_3_registry_behind_a_box_that_intercepts_tls(patient: Patient, tmp_path: Path) -> None:
    """TLS: a certificate of another authority."""
    patient.country.stop_registry()
    directory = patient.directory
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory.programs_server.certificate, directory.programs_server.key)
    with socket.create_server(("127.0.0.1", patient.country.registry_port)) as listening:

        def serve() -> None:
            with listening.accept()[0] as connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        found = patient.fault("REGISTRY_UNREACHABLE")

    assert "connecté, mais TLS échoue" in found.text.fr
    assert found.values["stage"] == "tls"


def test_3_registry_that_hangs_is_no_fault_of_tls(patient: Patient) -> None:
    """The system takes the connection; the process behind it does not answer."""
    patient.country.stop_registry()
    with socket.create_server(("127.0.0.1", patient.country.registry_port)):
        found = patient.fault("REGISTRY_UNREACHABLE")

    assert "connecté, aucune réponse en 3 s" in found.text.fr
    assert "TLS" not in found.text.fr


def test_3_registry_that_is_somebody_else(patient: Patient) -> None:
    """Identity: a certificate of our own authority, for another registry."""
    patient.country.stop_registry()
    patient.country.start_registry("BJ/GOV/AUTRE/registre")

    found = patient.fault("REGISTRY_UNREACHABLE")

    assert "le certificat est celui de urn:passerelle:registry:BJ/GOV/AUTRE/registre" in found.text.fr
    assert found.values["stage"] == "identity"
    assert "c'est une alarme" in remedy(found).fr


def _install_auth(patient: Patient, *, age_days: int) -> None:
    """An auth certificate issued so long ago, for 30 days less than two years."""
    country, made = patient.country, patient.made
    certificate = issue(
        Profile.AUTH,
        country.published.auth,
        read_csr(made.requests[Profile.AUTH]),
        urn("gateway", made.settings.gateway),
        now_ms=country.published.now_ms - age_days * 24 * HOUR_MS,
        hosts=made.settings.hosts,
        lifetime=None,
    )
    chain = [certificate, country.published.auth.certificate]
    patient.directory.auth.certificate.write_bytes(chain_pem(chain))


def test_4_certificate_expired(patient: Patient) -> None:
    """Which, when, how many agreements are stopped; what to send whom."""
    patient.configured()
    _install_auth(patient, age_days=800)

    found = patient.fault("CERT_EXPIRED")

    assert "Le certificat AUTH de BJ/GOV/PNS/gw1 a expiré le" in found.text.fr
    assert "1 convention à l'arrêt" in found.text.fr
    assert str(patient.directory.auth.request) in remedy(found).en


def test_4_certificate_expiring(patient: Patient) -> None:
    """Told 30 days ahead."""
    lifetime = load_chain(patient.directory.auth.certificate.read_bytes())[0]
    days = (lifetime.not_valid_after_utc - lifetime.not_valid_before_utc).days
    _install_auth(patient, age_days=days - 12)

    found = patient.findings("CERT_EXPIRING")[0]

    assert (found.code, found.level) == ("CERT_EXPIRING", Level.WARNING)
    assert "dans 11 jours" in found.text.fr or "dans 12 jours" in found.text.fr


def test_5_disk_reserve_and_disk_low(patient: Patient) -> None:
    """How much is left, of what; how long it lasts. Delete no segment."""
    patient.set("reserve_bytes = 0", "reserve_bytes = 1000000000000000")
    reserve = patient.fault("DISK_RESERVE")
    patient.set("reserve_bytes = 1000000000000000", "reserve_bytes = 0")
    now, free = SystemClock().now_ms(), shutil.disk_usage(patient.directory.root).free
    begun = {"at": now - 10 * HOUR_MS, "written": 0}
    growth = {"v": 1, "stored": free // 48, "written": free // 48, "samples": [begun]}
    patient.directory.growth.parent.mkdir(exist_ok=True)
    patient.directory.growth.write_text(json.dumps(growth))

    low = patient.fault("DISK_LOW", Level.WARNING)

    assert "nouveaux échanges refusés, rien n'est perdu" in reserve.text.fr
    assert "Ne supprimez aucun segment" in remedy(reserve).fr
    assert low.values["days_left"] == pytest.approx(20, abs=1.5)
    assert "the reserve is reached in" in low.text.en


def test_5_a_disk_of_the_logs_own_has_nothing_outside_the_log_to_free(
    patient: Patient, tmp_path: Path
) -> None:
    """Then it is to be enlarged."""
    mount = require_program("mount")
    log = patient.directory.root / "log"
    kept = tmp_path / "kept"
    shutil.copytree(log, kept)
    tmpfs = [mount, "-t", "tmpfs", "-o", "size=4m", "none", str(log)]
    if subprocess.run(tmpfs, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    try:
        shutil.copytree(kept, log, dirs_exist_ok=True)
        patient.set("reserve_bytes = 0", "reserve_bytes = 1000000000000000")
        found = patient.fault("DISK_RESERVE")
    finally:
        subprocess.run(["umount", str(log)], check=True)

    assert f"agrandir le disque {log}, qui est celui du journal seul" in remedy(found).fr
    assert "Ne supprimez aucun segment" in remedy(found).fr
    assert "outside" not in remedy(found).en


def test_6_log_write_failed_on_a_real_disk_error(patient: Patient) -> None:
    """The system refuses fdatasync to a real worker; what it was is known with the process dead."""
    strace = require_strace()
    inject = [
        strace,
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO",
    ]

    def command(number: int, channel: int) -> list[str]:
        settings = str(patient.directory.settings)
        worker = [sys.executable, "-m", "gateway.worker", "--config", settings, "--worker", str(number)]
        return [*inject, *worker, "--channel", str(channel)]

    control = patient.start(patient.made, command=command)
    until(lambda: control.state().workers[0].write_failure is not None)
    control.tend()
    running = patient.findings("LOG_WRITE_FAILED")
    control.stop()

    dead = patient.fault("LOG_WRITE_FAILED")

    (segment,) = {one.values["segment"] for one in (dead, running[0])}
    assert f"Écriture refusée par le disque (EIO, segment {segment})" in dead.text.fr
    assert "stopped so as to lose nothing" in dead.text.en
    assert "dmesg" in remedy(dead).fr
    assert str(segment).endswith(".seg")
    assert running[0].level is Level.FAULT


def test_6_log_write_failed_is_over_when_the_worker_is_back(patient: Patient) -> None:
    """It stays in sight for a week, as a warning."""
    patient.directory.state.mkdir(exist_ok=True)
    failure = {"at": SystemClock().now_ms() - HOUR_MS, "error": "ENOSPC", "segment": "0.seg"}
    patient.directory.write_failure(0).write_text(json.dumps(failure))
    patient.run()
    until(lambda: patient.findings("LOG_WRITE_FAILED")[0].level is Level.WARNING)

    found = patient.fault("LOG_WRITE_FAILED", Level.WARNING)

    assert "n'a rien perdu" in found.text.fr
    assert "df -h" in remedy(found).fr


def _stop_log(patient: Patient, state: StoppedState, there: int) -> None:
    """As a worker leaves it that was shown a head by a peer."""
    shown = [Shown("BJ/GOV/ANIP/gw1", _head(patient, size=there, iat=round(time.time())).decode())]
    log = patient.made.logs[0].id
    write_stopped(
        patient.directory.stopped(0), StoppedLog(1, log, state, SystemClock().now_ms(), 1, "", shown)
    )


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("LOG_BEHIND_PEERS", "Journal ancien : taille {} ici, 90 877 chez BJ/GOV/ANIP/gw1"),
        (
            "FORKED",
            "Journal bifurqué : {} entrées ici ; une autre racine sur 90 877 entrées chez BJ/GOV/ANIP/gw1",
        ),
    ],
)
def test_7_log_behind_peers_and_forked(patient: Patient, state: StoppedState, text: str) -> None:
    """Sizes here and there, and at whom; the same with the process dead, from what the worker left."""
    stopped = {"witness": "BJ/GOV/ANIP/gw1", "here": 90_210, "there": 90_877}
    control = patient.run(command=speaking(state=state, stopped=stopped))
    running = patient.fault(state)
    control.stop()
    _stop_log(patient, state, 90_877)

    dead = patient.fault(state)

    assert text.format("90 210") in running.text.fr.replace("\N{NO-BREAK SPACE}", " ")
    assert text.format("1") in dead.text.fr.replace("\N{NO-BREAK SPACE}", " ")
    for found in (running, dead):
        assert found.values["there"] == 90_877
        assert "passerelle log succeed" in remedy(found).en


def _register_anip(country: Country, *ports: int) -> None:
    for number, port in enumerate(ports, 2):
        gateway = f"BJ/GOV/ANIP/gw{number}"
        logs = [RegisteredLog(id=f"{number}" * 64, worker=0, address=f"127.0.0.1:{port}")]
        country.published.register(country.anip, country.published.registration(gateway, logs=logs))
    country.publish()


def test_8_peer_unreachable_is_the_peers_fault_where_others_answer(
    patient: Patient, ports: HeldPorts
) -> None:
    """Which of its gateways, how they refuse, whom to call."""
    _register_anip(patient.country, ports.new())
    patient.configured()

    found = patient.fault("PEER_UNREACHABLE")

    assert "BJ/GOV/ANIP gw1 et gw2 injoignables" in found.text.fr
    assert "(connexion refusée)" in found.text.fr
    assert "the registry answers: the fault is theirs" in found.text.en
    assert "nc -vz 127.0.0.1" in remedy(found).en


def test_8_one_of_two_gateways_is_a_warning(patient: Patient) -> None:
    """Exchanges go by the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _register_anip(patient.country, listening.getsockname()[1])
        patient.configured()

        found = patient.fault("PEER_UNREACHABLE", Level.WARNING)

    assert found.values["gateways"] == ["BJ/GOV/ANIP/gw1"]
    assert "une autre de leurs passerelles répond" in found.text.fr


def test_8_nobody_answers_is_the_own_link(patient: Patient) -> None:
    """Neither a peer nor the registry; since when, if the road broke under our eyes."""
    patient.configured()
    peer = {"gateway": "BJ/GOV/ANIP/gw1", "log": "a" * 64, "state": "lost"}
    patient.run(command=speaking(peers=[peer]))
    patient.country.stop_registry()
    refused = patient.fault("PEER_UNREACHABLE")
    patient.set(f'"127.0.0.1:{patient.country.registry_port}"', '"registre.invalid:7443"')

    found = patient.fault("PEER_UNREACHABLE")

    assert "la panne est dans votre liaison" in found.text.fr
    assert " depuis " in found.text.fr
    assert (found.values["own_link"], refused.values["own_link"]) == (True, False)
    assert "all refuse the connection" in refused.text.en


def test_8_a_peer_that_takes_connections_and_never_answers_is_no_good_peer(patient: Patient) -> None:
    """A process that hangs: TCP is the system's answer, not the gateway's. ``status`` says so, too."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        logs = [RegisteredLog(id="2" * 64, worker=0, address=f"127.0.0.1:{port}")]
        registration = patient.country.published.registration("BJ/GOV/ANIP/gw1", serial=2, logs=logs)
        patient.country.published.register(patient.country.anip, registration)
        patient.country.publish()
        peer = {"gateway": "BJ/GOV/ANIP/gw1", "log": "2" * 64, "state": "PEER_UNREACHABLE"}
        control = patient.run(command=speaking(peers=[peer]))

        found = patient.fault("PEER_UNREACHABLE")
        assert "PEER_UNREACHABLE" in control.state().faults
        control.stop()
        patient.run(command=speaking(peers=[peer | {"state": "open"}]))
        healed = patient.findings("PEER_UNREACHABLE")

    assert f"prend les connexions (127.0.0.1:{port}), mais aucun lien ne s'établit depuis " in found.text.fr
    assert "calls to this member are refused" in found.text.en
    assert healed == []


def test_9_an_adapter_that_hangs_is_no_fault_of_tls(provider: Patient) -> None:
    """It was connected, and nobody answered in time."""
    where = HostPort.parse(load_settings(provider.directory.settings, GatewaySettings).adapter[0].address)
    with socket.create_server((where.host, where.port)):
        hangs = provider.fault("ADAPTER_DOWN")

    assert "(connecté, aucune réponse en 2,5 s)" in hangs.text.fr
    assert hangs.values["problem"] == "NO_ANSWER"


def test_9_an_adapter_of_another_authority_is_a_fault_of_tls(provider: Patient) -> None:
    """Its certificate is none of ours: it answers, and is not believed."""
    where = HostPort.parse(load_settings(provider.directory.settings, GatewaySettings).adapter[0].address)
    foreign = provider.directory.auth
    credentials = grpc.ssl_server_credentials([(foreign.key.read_bytes(), foreign.certificate.read_bytes())])
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_secure_port(str(where), credentials)
    server.start()
    try:
        found = provider.fault("ADAPTER_DOWN")
    finally:
        server.stop(None).wait()

    assert "connecté, mais TLS échoue" in found.text.fr


def test_9_an_adapter_that_refuses_our_certificate_is_a_fault_of_tls(
    provider: Patient, tmp_path: Path
) -> None:
    """With TLS 1.3 it says so only after the handshake."""
    directory = provider.directory
    add_adapter(directory, SubsystemId.parse(RNPP), ("127.0.0.1",), tmp_path / "adapter", SystemClock())
    where = HostPort.parse(load_settings(directory.settings, GatewaySettings).adapter[0].address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "adapter" / "adapter.crt", tmp_path / "adapter" / "adapter.key")
    context.load_verify_locations(
        directory.programs.certificate
    )  # not the anchor: our certificate is not under it
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server((where.host, where.port)) as listening:

        def serve() -> None:
            with listening.accept()[0] as connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        found = provider.fault("ADAPTER_DOWN")

    assert found.values["problem"] == "TLS"


def test_9_adapter_down_with_the_calls_that_it_cost(provider: Patient) -> None:
    """Where, how, since when, how many."""
    refused = {"adapters": {RNPP: "down"}}
    control = provider.run(command=speaking(**refused))
    control.stop()
    control = provider.run(command=speaking(counters={"refused_ADAPTER_DOWN": 212}, **refused))
    control.tend()

    found = provider.fault("ADAPTER_DOWN")

    assert "ne répond pas à grpc.health (connexion refusée) ; 212 appels refusés depuis" in found.text.fr
    assert found.values["refused"] == 212
    assert "systemctl status passerelle-adapter-rnpp" in remedy(found).fr


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (health_pb2.HealthCheckResponse.SERVING, ""),
        (health_pb2.HealthCheckResponse.NOT_SERVING, "NOT_SERVING"),
        (None, ""),  # it answers, and knows no health service
    ],
)
def test_9_adapter_is_asked_over_mutual_tls(
    provider: Patient, tmp_path: Path, status: int | None, problem: str
) -> None:
    """As a worker would call it."""
    directory = provider.directory
    add_adapter(directory, SubsystemId.parse(RNPP), ("127.0.0.1",), tmp_path / "adapter", SystemClock())
    settings = load_settings(directory.settings, GatewaySettings)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    if status is not None:
        answer = health_pb2.HealthCheckResponse(status=status).SerializeToString()
        check: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            lambda request, context: answer
        )
        handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})
        server.add_generic_rpc_handlers((handler,))
    credentials = server_credentials(
        (tmp_path / "adapter" / "adapter.key").read_bytes(),
        (tmp_path / "adapter" / "adapter.crt").read_bytes(),
        (tmp_path / "adapter" / "anchor.pem").read_bytes().partition(b"-----BEGIN PASSERELLE")[0],
    )
    server.add_secure_port(settings.adapter[0].address, credentials)
    server.start()
    try:
        found = provider.findings("ADAPTER_DOWN")
    finally:
        server.stop(None).wait()

    assert [one.values["problem"] for one in found] == ([problem] if problem else [])


def test_10_key_that_the_gateway_may_not_read(patient: Patient) -> None:
    """The owner is another than the directory's: doctor as root sees what the service does not."""
    if os.geteuid() != 0:
        end_without("root", "only root can give a file away")
    os.chown(patient.directory.seal.key, 12_345, -1)

    found = patient.fault("KEY_UNREADABLE")

    assert "lecture refusée (propriétaire 12345, attendu root)" in found.text.fr
    assert f"sudo chown root {patient.directory.seal.key}" in remedy(found).fr


def test_10_key_that_is_open_missing_or_no_key(patient: Patient) -> None:
    """One finding for each key."""
    directory = patient.directory
    directory.auth.key.chmod(0o644)
    directory.programs.key.unlink()
    directory.seal.key.write_text("nonsense")

    found = {one.values["file"]: one for one in patient.findings("KEY_UNREADABLE")}

    assert "ouverte à d'autres (mode 0644)" in found[str(directory.auth.key)].text.fr
    assert "missing" in found[str(directory.programs.key)].text.en
    assert "n'est pas une clé P-256" in found[str(directory.seal.key)].text.fr
    assert len(found) == 3


def test_10_key_of_another_certificate(patient: Patient) -> None:
    """Both are readable, and do not belong together."""
    patient.directory.seal.key.unlink()
    write_key(patient.directory.seal.key, generate_key())

    found = patient.fault("KEY_UNREADABLE")

    assert "ne correspond pas au certificat" in found.text.fr
    assert "passerelle pki list" in remedy(found).fr


def test_10_key_of_pseudonyms_that_is_missing_open_or_no_key(patient: Patient) -> None:
    """Each year's own; without this year's, calls about persons are refused."""
    directory = patient.directory.pseudonym_keys
    year = years_held(directory)[0]
    key_file(directory, year).unlink()
    key_file(directory, year + 1).chmod(0o644)
    key_file(directory, year + 2).write_text("nonsense")

    found = {one.values["file"]: one for one in patient.findings("KEY_UNREADABLE")}

    missing, opened, nonsense = (found[str(key_file(directory, year + one))] for one in range(3))
    assert f"Clé des pseudonymes {year}" in missing.text.fr
    assert "absente" in missing.text.fr
    assert "passerelle gateway pseudonym-keys --config" in remedy(missing).fr
    assert "ouverte à d'autres (mode 0644)" in opened.text.fr
    assert "n'est pas une clé" in nonsense.text.fr
    assert len(found) == 3


def test_10_key_of_pseudonyms_of_next_year_is_asked_for_in_time(patient: Patient) -> None:
    """A warning 60 days ahead: on 1 January nobody is at work."""
    directory = patient.directory.pseudonym_keys
    this_year, *later = years_held(directory)
    for year in later:
        key_file(directory, year).unlink()
    ends = datetime(this_year + 1, 1, 1, tzinfo=UTC)
    clock = ManualClock(round((ends - timedelta(days=65)).timestamp() * 1000))

    def levels() -> list[Level]:
        settings = load_settings(patient.directory.settings, GatewaySettings)
        _, found = examine(settings, patient.directory, clock, ["KEY_UNREADABLE"])
        return [one.level for one in found]

    before = levels()
    clock.advance(timedelta(days=10))

    assert (before, levels()) == ([Level.GOOD], [Level.WARNING])


# --- further ones ---


def test_settings_that_cannot_be_read_are_told_with_their_line(patient: Patient) -> None:
    """And a key with its place."""
    settings = patient.directory.settings
    text = settings.read_text()
    settings.write_text("gateway = \n" + text)
    line = doctor(patient, code=1).stdout
    settings.write_text("gate_way = 1\n" + text)
    place = doctor(patient, code=1).stdout

    assert "[FAUTE] " in line
    assert "line 1" in line
    assert "gate_way : clé inconnue" in place


def test_a_port_that_is_taken_is_named_with_its_holder(patient: Patient) -> None:
    """Only where the gateway itself does not run."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        patient.set('admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{port}"')

        found = patient.fault("PORT_IN_USE")

    assert f"127.0.0.1:{port} est déjà pris" in found.text.fr
    assert str(os.getpid()) in found.text.fr


def test_an_anchor_of_another_country_is_noticed(patient: Patient, tmp_path: Path) -> None:
    """Whole, but not the root of our certificates; or no anchor at all."""
    other = PublishedCountry(SystemClock().now_ms()).root.certificate
    repository = TufRepository(root_fields={SPKI_MEMBER: spki_digest(other)})
    Anchor(other, repository.root).write(patient.directory.anchor)
    foreign = patient.fault("ANCHOR_MISMATCH")
    patient.directory.anchor.write_text("nonsense")
    broken = patient.fault("ANCHOR_MISMATCH")

    assert "ne descend pas de l'ancre" in foreign.text.fr
    assert "n'est pas une ancre" in broken.text.fr
    assert "passerelle anchor show" in remedy(broken).fr


def test_a_suspended_gateway_is_told_by_whom(patient: Patient) -> None:
    """And one whose log the configuration does not know."""
    patient.configured()
    members = patient.current().members
    suspended = [
        msgspec.structs.replace(one, state="suspended") if one.member == "BJ/GOV/PNS" else one
        for one in members
    ]
    patient.change(members=suspended)
    first = patient.fault("GATEWAY_SUSPENDED")
    patient.change(members=[msgspec.structs.replace(one, registrations=[]) for one in members])

    second = patient.fault("LOG_NOT_REGISTERED")

    assert first.text.fr.startswith("BJ/GOV/PNS est suspendu")
    assert patient.made.logs[0].id[:16] in second.text.fr


def test_revocation_lists_are_told_before_they_end(patient: Patient) -> None:
    """Nothing else warns, and everything under them is refused afterwards."""
    patient.configured()

    def told(crl_age_days: int) -> list[Finding]:
        crl = _crl(patient.country, crl_age_days)
        patient.change(common=msgspec.structs.replace(patient.current().common, crls=[crl]))
        return patient.findings("REVOCATION_LIST_ENDING")

    (soon,) = told(85)
    (ended,) = told(120)
    assert told(0) == []
    assert (soon.level, ended.level) == (Level.WARNING, Level.FAULT)
    assert "a pris fin le" in ended.text.fr


def test_a_name_made_of_bits_ends_neither_the_examination_nor_the_report(
    patient: Patient, tmp_path: Path
) -> None:
    """The library cannot read it; whoever wrote it into a list or a certificate must not silence doctor."""
    patient.configured()
    crl = _pem_made_of_bits(x509.load_pem_x509_crl(_crl(patient.country, 85, BITS).encode()), "X509 CRL")
    patient.change(common=msgspec.structs.replace(patient.current().common, crls=[crl]))
    key = read_key(patient.directory.auth.key)
    begun = datetime.now(UTC)
    builder = x509.CertificateBuilder(BITS, BITS, key.public_key(), 5, begun, begun + timedelta(days=90))
    certificate = _pem_made_of_bits(builder.sign(key, hashes.SHA256()), "CERTIFICATE")
    patient.directory.auth.certificate.write_text(certificate)
    report = tmp_path / "report.zip"

    found = patient.fault("REVOCATION_LIST_ENDING", Level.WARNING)
    doctor(patient, "--report", str(report), code=1)

    assert found.values["issuer"] == "an issuer without a readable name"
    with zipfile.ZipFile(report) as archive:
        told = json.loads(archive.read("certificates.json"))["auth.crt"]
    assert told[0]["subject"] == "a certificate without a readable name"
    assert told[0]["serial"] == "5"


BITS = x509.Name([x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\0\1", _ASN1Type.BitString)])


def _pem_made_of_bits(signed: x509.Certificate | x509.CertificateRevocationList, label: str) -> str:
    """With the names' unique identifier called a common name, which must not be bits; the signature is not asked."""
    data = signed.public_bytes(serialization.Encoding.DER)
    renamed = data.replace(bytes.fromhex("060355042d"), bytes.fromhex("0603550403"))
    body = base64.encodebytes(renamed).decode("ascii")
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def test_a_check_that_breaks_is_told_and_the_others_go_on(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doctor is called when something is wrong already: a mistake of ours costs one line, and tells no values."""

    def broken(case: Case) -> Iterator[Finding]:
        raise KeyError("dossier 4711")
        yield

    checks = [replace(one, run=broken) if one.codes == ("PORT_IN_USE",) else one for one in CHECKS]
    monkeypatch.setattr("gateway.doctor.examination.CHECKS", checks)

    found = {one.code: one for one in patient.findings()}

    assert "this check did not come to an end (KeyError, test_doctor.py:" in found["PORT_IN_USE"].text.en
    assert "4711" not in found["PORT_IN_USE"].text.en
    assert "WRAPPING_KEY_BESIDE_LOG" in found


def _crl(country: Country, age_days: int, name: x509.Name | None = None) -> str:
    issuer = country.published.auth
    begun = datetime.now(UTC) - timedelta(days=age_days)
    name = name or issuer.certificate.subject
    builder = x509.CertificateRevocationListBuilder().issuer_name(name)
    crl = builder.last_update(begun).next_update(begun + timedelta(days=90)).sign(issuer.key, hashes.SHA256())
    return crl.public_bytes(serialization.Encoding.PEM).decode("ascii")


def test_a_log_shorter_than_what_was_signed_of_it_is_noticed(patient: Patient) -> None:
    """Without any peer: its own signed head covers more. And one that is gone, and one that is damaged."""
    _sign_head(patient, size=5, iat=round(time.time()))
    short = patient.fault("LOG_BEHIND_PEERS")
    (segment,) = patient.directory.log(0).glob("*.seg")
    segment.rename(segment.with_suffix(".away"))
    gone = patient.fault("LOG_DAMAGED")

    assert "Journal ancien : taille 1 ici, 5 dans state/ de cette machine" in short.text.fr
    assert "ne peut pas être lu" in gone.text.fr


def test_a_worker_that_cannot_open_its_log_is_explained_alive_and_dead(patient: Patient) -> None:
    """One byte of a segment: which, and where; by ``status`` as well, and in GATEWAY_DOWN."""
    where = patient.directory.log(0)
    for _ in range(2):
        _append_notes(where, 3)
    damaged = segments(where)[-2]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:120] + bytes([whole[120] ^ 1]) + whole[121:])
    settings = patient.directory.settings

    control = patient.start(
        patient.made, command=lambda number, channel: worker_command(settings, None, (), number, channel)
    )
    until(lambda: control.state().workers[0].failed_start is not None)
    until(lambda: "LOG_DAMAGED" in control.state().faults)
    alive = patient.fault("LOG_DAMAGED")
    until(lambda: any("LOG_DAMAGED" in one.text.fr for one in patient.findings("GATEWAY_DOWN")))
    control.stop()
    dead = patient.fault("LOG_DAMAGED")

    for found in (alive, dead):
        assert f"{damaged.name}: byte" in found.text.fr
        assert "cannot open it" in found.text.en


def test_a_port_that_a_worker_cannot_take_is_named_with_its_holder(patient: Patient) -> None:
    """Its road port was free when control started, and is another program's now."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        told = {
            "reason": "PORT_IN_USE",
            "why": f"cannot listen on {address}: Address in use, held by nginx (pid 7)",
        }
        patient.run(command=speaking(state="closed", failed_start=told))

        found = patient.fault("PORT_IN_USE")

    assert address in found.text.fr
    assert "nginx (pid 7)" in found.text.en
    assert found.values == {"worker": 0}


def test_what_a_worker_said_of_its_log_is_told_where_a_short_look_sees_nothing(patient: Patient) -> None:
    """Doctor reads what it has the time for; the worker read everything."""
    told = {"reason": "LOG_DAMAGED", "why": "0.seg is damaged at byte 234, and later commits follow"}
    patient.run(command=speaking(state="closed", failed_start=told))

    found = patient.fault("LOG_DAMAGED")

    assert "n'a pas pu ouvrir" in found.text.fr
    assert "damaged at byte 234" in found.text.en


def _append_notes(directory: Path, count: int) -> None:
    """As a worker that ran once more: a segment of its own."""
    log = Log.open(directory)
    commit = GroupCommit(log, lambda done: done(), lambda error: None)
    for number in range(count):
        leaf = note_leaf(log.log_id, Note(1, f"{log.size:016x}{number:016x}", 1000, "test", "", 1))
        commit.commit_now([Entry(leaf, leaf_hash(leaf))])
    commit.close()
    log.close()


def test_an_index_that_is_behind_is_a_warning(patient: Patient) -> None:
    """Searches suffer, exchanges do not."""
    patient.run(command=speaking(size=50_000, log=patient.made.logs[0].id))

    found = patient.fault("INDEX_BEHIND", Level.WARNING)

    assert "retard" in found.text.fr
    assert int(str(found.values["behind"])) >= 49_999


def test_damage_that_a_worker_passes_over_is_told_by_the_index(patient: Patient) -> None:
    """A checkpoint covers it: the worker serves, the index ends there, and to build it anew would not help."""
    where = patient.directory.log(0)
    for _ in range(2):
        _append_notes(where, 3)
    damaged = segments(where)[-2]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:120] + bytes([whole[120] ^ 1]) + whole[121:])
    log = patient.made.logs[0].id
    control = patient.run(command=speaking(size=50_000, sequence=10_000, log=log))
    until(lambda: bool(control.state().log_damage))

    found, behind = patient.fault("LOG_DAMAGED"), patient.fault("INDEX_BEHIND", Level.WARNING)

    assert "LOG_DAMAGED" in control.state().faults
    assert damaged.name in found.text.fr
    assert "worker 0 opened it and goes on without" in found.text.en
    assert "passerelle audit verify-log" in remedy(found).fr
    assert "recovery.md" in remedy(found).en
    assert "goes no further, log 0 is damaged" in behind.text.en
    assert "rm " not in remedy(behind).en


def test_workers_that_outlive_control_are_seen(patient: Patient) -> None:
    """Control is dead; whether exchanges go on depends on them."""
    code = "import time; time.sleep(60)"
    worker = subprocess.Popen([sys.executable, "-c", code, "gateway.worker"])
    try:
        patient.directory.state.mkdir(exist_ok=True)
        patient.directory.worker_pid(0).write_text(str(worker.pid))
        until(lambda: b"gateway.worker" in Path(f"/proc/{worker.pid}/cmdline").read_bytes())
        alive = patient.fault("GATEWAY_DOWN")
        listed = CliRunner().invoke(
            passerelle, ["exchange", "list", "--in-doubt", "--config", str(patient.directory.settings)]
        )
    finally:
        worker.kill()
        worker.wait()
    dead = patient.fault("GATEWAY_DOWN")

    assert f"1 worker vit encore (pid {worker.pid})" in alive.text.fr
    assert "les échanges des programmes continuent" in alive.text.fr
    assert "`passerelle call`, `exchange list` and `show`" in alive.text.en
    assert "1 worker lives on and carries exchanges, which only control can show" in str(listed.exception)
    assert "La passerelle ne tourne pas ; dernier état noté : jamais" in dead.text.fr


def test_a_worker_that_falls_again_and_again_is_told(patient: Patient) -> None:
    """Control lives, and says so."""
    control = patient.start(
        patient.made, command=lambda number, channel: [sys.executable, "-c", "raise SystemExit(1)"]
    )
    until(lambda: control.state().workers[0].restarts > 0)
    until(lambda: any("WORKER_DOWN" in one.text.fr for one in patient.findings("GATEWAY_DOWN")))


def test_what_the_gateway_reports_and_no_check_knows_is_told_as_well(patient: Patient) -> None:
    """An alarm of ``status`` must not be missing here: a document that does not verify, say."""
    anip = patient.country.anip
    anip.change(services=[msgspec.structs.replace(anip.document.services[0], methods=[])])
    patient.country.publish()
    control = patient.run()
    until(lambda: "DOCUMENT_INVALID" in control.state().faults)
    until(lambda: control.state().condition is Condition.DEGRADED)

    (found,) = [one for one in patient.findings() if one.code == "DOCUMENT_INVALID"]

    assert found.level is Level.WARNING
    assert "members/BJ.GOV.ANIP.json: service" in found.text.en


# --- what it needs: nothing ---


def test_it_works_with_the_process_dead_and_no_network(patient: Patient) -> None:
    """In a network of its own, without even a loopback; all in some ten seconds."""
    unshare = require_program("unshare")
    patient.set(f'"127.0.0.1:{patient.country.registry_port}"', '"registre.asin.bj:7443"')
    command = [unshare, "--net", sys.executable, "-m", "cli", "doctor", "--lang", "en", "--output", "json"]
    try:
        ended = subprocess.run(
            [*command, "--config", str(patient.directory.settings)],
            capture_output=True,
            timeout=40,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail("doctor hangs without a network")
    if b"Operation not permitted" in ended.stderr:
        end_without("netns", "no right to make a network namespace")

    found = {one["code"]: one for one in json.loads(ended.stdout)}

    assert ended.returncode == 1
    assert found["REGISTRY_UNREACHABLE"]["values"]["stage"] == "dns"
    assert found["GATEWAY_DOWN"]["level"] == "fault"
    assert found["KEY_UNREADABLE"]["level"] == "good"


def test_it_works_with_the_disk_full(patient: Patient, tmp_path: Path) -> None:
    """Not a byte is free where the gateway lies: reserve, status and report are told all the same."""
    mount = require_program("mount")
    small = tmp_path / "small"
    small.mkdir()
    tmpfs = [mount, "-t", "tmpfs", "-o", "size=4m", "none", str(small)]
    if subprocess.run(tmpfs, capture_output=True, check=False).returncode:
        end_without("mount", "no right to mount a file system")
    try:
        root = small / "gw1"
        shutil.copytree(patient.directory.root, root)
        with pytest.raises(OSError, match="space"):
            _fill(small / "filling")
        full = Patient(
            patient.country, replace(patient.made, directory=GatewayDirectory(root)), patient.start
        )
        full.set("reserve_bytes = 0", "reserve_bytes = 100000")

        told = doctor(full, "--report", str(tmp_path / "report.zip"), code=1).stdout
        status = CliRunner().invoke(passerelle, ["status", "--config", str(full.directory.settings)])
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert "[FAUTE]         DISK_RESERVE" in told
    assert "0,0 Mo libres" in told
    assert status.exit_code == 1
    assert (tmp_path / "report.zip").stat().st_size > 1000


def _fill(path: Path) -> None:
    """Write until the disk refuses."""
    with path.open("wb", buffering=0) as filling:
        while True:
            filling.write(bytes(65_536))


def test_the_report_for_asin_holds_neither_keys_nor_dossiers(patient: Patient, tmp_path: Path) -> None:
    """Nor what a program called about; but everything that doctor saw."""
    patient.run()
    secrets = [
        patient.directory.auth.key.read_text(),
        patient.directory.seal.key.read_text(),
        patient.directory.wrapping_key(patient.made.settings).read_bytes().hex(),
        *(key.hex() for key in read_keys(patient.directory.pseudonym_keys).values()),
    ]
    secrets += [line for text in secrets[:2] for line in text.splitlines() if not line.startswith("---")]

    doctor(patient, "--report", str(tmp_path / "report.zip"), code=1)

    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert not [one for one in secrets for text in parts.values() if one in text]
    assert {"findings.json", "status.json", "gateway.toml", "logs.json"} <= set(parts)
    assert any("registre" in one for one in parts.values())
    assert (tmp_path / "report.zip").stat().st_mode & 0o077 == 0


# --- the command ---


def test_a_healthy_gateway_is_told_in_a_line_for_each_check(provider: Patient, tmp_path: Path) -> None:
    """Exit 0 with nothing but warnings; every code has its line."""
    settings = provider.directory.settings
    settings.write_text(settings.read_text().partition("[[adapter]]")[0])
    logs = [RegisteredLog(id=provider.made.logs[0].id, worker=0, address="127.0.0.1:1")]
    registration = provider.country.published.registration("BJ/GOV/ANIP/gw1", serial=2, logs=logs)
    provider.country.published.register(provider.country.anip, registration)
    provider.country.publish()
    control = provider.run()
    until(lambda: control.state().condition is Condition.READY)

    shown = doctor(provider, code=0).stdout
    one = doctor(provider, "DISK_LOW", "--lang", "en", code=0).stdout
    rows = json.loads(doctor(provider, "--output", "json", code=0).stdout)
    csv = doctor(provider, "--output", "csv", code=0).stdout

    assert "[BON]           CLOCK_SKEW " in shown
    assert "[AVERTISSEMENT] WRAPPING_KEY_BESIDE_LOG" in shown
    assert ", 0 faute" in shown
    assert one.splitlines()[-1] == "1 check: 1 good, 0 warnings, 0 faults"
    assert {row["level"] for row in rows} == {"good", "warning"}
    assert csv.splitlines()[0] == "code,level,text,remedy"


def test_a_route_that_asks_nobody_is_warned_of(patient: Patient, ports: HeldPorts) -> None:
    """Which, where, and as whom it calls; one that asks for certificates is nothing to tell of."""
    assert patient.findings("UNAUTHENTICATED_ROUTE") == []
    with patient.directory.settings.open("a", encoding="utf-8") as settings:
        for name, more in (("guichet", ""), ("local", "allow_unauthenticated_loopback = true")):
            address = f"127.0.0.1:{ports.new()}"
            settings.write(
                f'\n[[routes]]\nname = "{name}"\nlisten = "{address}"\nclient = "BJ/GOV/PNS/PORTAIL"\n{more}\n'
            )

    found = patient.fault("UNAUTHENTICATED_ROUTE", Level.WARNING)

    assert found.values["route"] == "local"
    assert (
        "asks nobody who calls: whatever runs on this machine calls there as BJ/GOV/PNS/PORTAIL"
        in found.text.en
    )
    assert "passerelle program add" in remedy(found).fr


def test_a_busy_port_of_a_route_is_named(patient: Patient) -> None:
    """While the gateway does not run, as its other ports are."""
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with patient.directory.settings.open("a", encoding="utf-8") as settings:
            settings.write(f'\n[[routes]]\nname = "guichet"\nlisten = "{address}"\n')

        assert patient.fault("PORT_IN_USE").values["address"] == address


def test_a_code_that_doctor_does_not_know_is_a_mistake_of_usage(patient: Patient) -> None:
    """Exit 2, with those that it knows."""
    near = doctor(patient, "CLOCK_SKEWED", code=2).stderr
    explained = doctor(patient, "--explain", "NOPE", code=2).stderr

    assert "code inconnu : CLOCK_SKEWED ; voulez-vous dire CLOCK_SKEW" in near
    assert "code inconnu : NOPE" in explained
    assert "docs/erreurs.md" in explained


def test_every_code_that_a_gateway_may_report_can_be_asked_for(patient: Patient) -> None:
    """In small letters, too; one that no check looks for is told from what the gateway reports."""
    patient.run(command=speaking(state="SIGNATURE_INVALID", faults=["CONFIG_SPLIT"]))

    (split,) = patient.findings("CONFIG_SPLIT")
    reported = doctor(patient, "signature_invalid", code=1).stdout
    unreported = doctor(patient, "LOG_CLOSED", "DOCUMENT_INVALID", code=0).stdout

    assert "La passerelle signale" in split.text.fr
    assert "[FAUTE]         SIGNATURE_INVALID" in reported
    assert unreported.count("la passerelle ne le signale pas") == 2
    assert "GATEWAY_DOWN" in doctor(patient, "worker_down", code=0).stdout
    assert "retombe" in doctor(patient, "--explain", "worker_down", code=0).stdout


def test_commands_of_remedies_name_the_settings_that_were_read(provider: Patient) -> None:
    """So that they can be copied, wherever the reader stands; a command that names them already is left."""
    settings = provider.directory.settings

    told = {one.code: remedy(one) for one in provider.findings() if one.remedy is not None}

    assert f"`passerelle doctor --config {settings} REGISTRY_UNREACHABLE`" in told["CONFIG_MISSING"].fr
    assert told["GATEWAY_DOWN"].en.count("--config") == 1
    assert "`passerelle adapter serve --config DIR/adapter.toml`" in told["ADAPTER_DOWN"].en


def test_every_code_is_explained_in_both_languages(patient: Patient) -> None:
    """Doctor's own, and every reason of the layer."""
    own = doctor(patient, "--explain", "CERT_EXPIRED", code=0).stdout
    both = doctor(patient, "--explain", "CLOCK_SKEW", "--lang", "en", code=0).stdout
    reason = json.loads(doctor(patient, "--explain", "NO_AGREEMENT", "--output", "json", code=0).stdout)

    assert "certificat" in own
    assert "sudo timedatectl set-ntp true" in both
    assert reason["status"] == "PERMISSION_DENIED"
    assert all(text.fr and text.en and text.fr != text.en for text in CODES.values())


def test_log_status_gives_the_head_as_it_was_signed(patient: Patient) -> None:
    """``jws`` in JSON is the compact JWS itself, which ``verify-log --head`` takes from a file."""
    patient.configured()
    _sign_head(patient, size=1, iat=round(time.time()))
    arguments = ["--config", str(patient.directory.settings), "--output", "json"]

    (head,) = json.loads(CliRunner().invoke(passerelle, ["log", "status", *arguments]).stdout)["heads"]

    unverified = parse_head(head["jws"].encode("ascii")).unverified
    assert (unverified.log, unverified.size, unverified.root) == (head["log"], 1, head["root"])


def test_status_and_log_status_are_true_with_the_process_dead(patient: Patient) -> None:
    """From files: size, signed size, configuration, and when the gateway itself last said something."""
    patient.configured()
    _sign_head(patient, size=1, iat=round(time.time()))
    arguments = ["--config", str(patient.directory.settings)]

    shown = CliRunner().invoke(passerelle, ["status", *arguments], env={"PASSERELLE_LANG": "fr"})
    found = CliRunner().invoke(passerelle, ["status", *arguments, "--output", "json"])
    log = CliRunner().invoke(passerelle, ["log", "status", *arguments, "--output", "csv", "--lang", "en"])

    assert (shown.exit_code, found.exit_code, log.exit_code) == (1, 1, 1)
    assert "À L'ARRÊT" in shown.stdout
    assert "dernier état noté par elle à" in shown.stdout
    status: dict[str, Any] = json.loads(found.stdout)
    assert (status["state"], status["faults"]) == ("STATE_CLOSED", ["GATEWAY_DOWN"])
    assert status["workers"][0]["size"] == "1"
    row = dict(zip(*(line.split(",") for line in log.stdout.splitlines()), strict=True))
    assert (row["log"], row["entries"], row["signed"]) == (patient.made.logs[0].id, "1", "1")
    assert row["indexed"] == "–"
    (segment,) = patient.directory.log(0).glob("*.seg")
    segment.write_bytes(b"nonsense")
    damaged = CliRunner().invoke(passerelle, ["status", *arguments, "--output", "json"])
    assert json.loads(damaged.stdout)["faults"] == ["GATEWAY_DOWN", "LOG_DAMAGED"]
