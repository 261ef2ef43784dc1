"""A control process between a registry, its workers and those who ask it, over real sockets."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import msgspec
import pytest
from grpc_health.v1 import health_pb2

from cli.processes import listens
from cli.program import Program
from core.configuration import AgreementEntry, CurrentConfiguration, RegistrationEntry, decode_current
from core.identifiers import MethodName, urn
from core.reasons import ExchangeError, Reason
from core.registrations import RegisteredLog
from gateway.control.main import Control
from gateway.control.programs import PinnedPrograms
from gateway.control.state import Condition
from gateway.control.supervisor import worker_command
from gateway.founding import InitResult
from gateway.hints import ProgramHints
from passerelle.gateway.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    log_pb2,
    log_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)
from pki.keys import load_chain
from pki.profiles import Profile
from rpc.credentials import channel
from rpc.identity import Identity
from rpc.lifeline import Lifeline
from rpc.remote import RemoteError
from rpc.status import error_from_rpc
from tests.integration.gateway_control.conftest import IDENTITY, PORTAL, Country, Start
from tests.support.hostile import outcome_of
from tests.support.waiting import until


def version(control: Control) -> int:
    configuration = control.state().configuration
    return configuration.version if configuration is not None else 0


def worker_version(control: Control) -> int:
    report = control.state().workers[0].report
    return report.configuration_version if report is not None else 0


def current(made: InitResult) -> CurrentConfiguration:
    return decode_current(made.directory.current.read_bytes())


def program(country: Country, control: Control, made: InitResult) -> Program:
    hints = ProgramHints(
        subsystem=str(PORTAL.subsystem),
        gateway_id=made.settings.gateway,
        gateway="127.0.0.1:1",
        directory=f"127.0.0.1:{control.admin_port}",
    )
    return Program(Identity.read(country.root / "portal"), hints)


def admin_channel(control: Control, made: InitResult, identity: Identity) -> grpc.Channel:
    return channel(f"127.0.0.1:{control.admin_port}", identity, expect=urn("gateway", made.settings.gateway))


def local_channel(made: InitResult) -> grpc.Channel:
    return grpc.secure_channel(
        f"unix:{made.directory.admin_socket}",
        grpc.local_channel_credentials(grpc.LocalConnectionType.UDS),
    )


def refusal(call: Callable[[], object]) -> RemoteError:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return error_from_rpc(refused.value)


def test_a_gateway_that_starts_fetches_verifies_and_serves(country: Country, start: Start) -> None:
    """From the anchor to a worker that has the configuration."""
    made = country.found(country.pns)
    country.publish()

    control = start(made)
    until(lambda: control.state().condition is Condition.READY)

    assert worker_version(control) == 1
    assert [entry.id for entry in current(made).programs] == [str(PORTAL)]
    assert len(current(made).members[0].agreements) == 1
    assert control.state().configuration is not None
    assert control.state().faults == ()


def test_a_revocation_reaches_the_workers_as_soon_as_it_is_published(country: Country, start: Start) -> None:
    """Watch wakes the fetch: nobody waits for the next minute."""
    made = country.found(country.pns)
    country.publish()
    control = start(made)
    until(lambda: worker_version(control) == 1)
    (agreement,) = country.anip.document.agreements

    country.anip.change(agreements=[msgspec.structs.replace(agreement, state="revoked")])
    begun = time.monotonic()
    country.publish()
    until(lambda: worker_version(control) == 2)

    print(f"revocation at the worker after {(time.monotonic() - begun) * 1000:.0f} ms")
    assert current(made).members[0].agreements[0].state == "revoked"


def test_one_bad_member_document_stops_one_member(country: Country, start: Start) -> None:
    """It is left out and named; the others are in force."""
    made = country.found(country.pns)
    forged = RegistrationEntry(jws=country.anip.document.registrations[0].jws[:-4] + "AAAA", state="active")
    country.anip.change(registrations=[forged])
    country.publish()

    control = start(made)
    until(lambda: worker_version(control) == 1)

    until(lambda: control.state().faults == (Reason.DOCUMENT_INVALID,))
    assert control.state().condition is Condition.DEGRADED
    with local_channel(made) as opened:
        shown = status_pb2_grpc.StatusServiceStub(opened).GetConfiguration(
            status_pb2.GetConfigurationRequest(), timeout=10
        )
    assert [(one.target, one.part) for one in shown.left_out] == [
        ("members/BJ.GOV.ANIP.json", "registration")
    ]


def test_a_rollback_is_refused_and_alarmed(country: Country, start: Start) -> None:
    """The registry's disk was restored from yesterday: what is in force stays."""
    made = country.found(country.pns)
    country.publish()
    yesterday = dict(country.repository.files)
    country.publish()
    control = start(made)
    until(lambda: worker_version(control) == 2)

    country.repository.files = yesterday
    control._keeper.ask_again()  # what Watch does
    until(lambda: Reason.SIGNATURE_INVALID in control.state().faults)

    assert version(control) == 2
    assert control.state().is_serving


def test_the_registry_may_be_away_across_a_restart(country: Country, start: Start) -> None:
    """The mirror brings the configuration back; when the registry is back the gateway heals unaided."""
    made = country.found(country.pns)
    country.publish()
    first = start(made)
    until(lambda: worker_version(first) == 1)
    first.stop()
    country.stop_registry()

    second = start(made)
    until(lambda: worker_version(second) == 1)
    until(lambda: Reason.REGISTRY_UNREACHABLE in second.state().faults)
    assert second.state().is_serving
    country.start_registry()
    country.publish()

    until(lambda: worker_version(second) == 2)
    until(lambda: second.state().faults == ())


def test_a_registry_with_another_name_is_not_asked(country: Country, start: Start) -> None:
    """The certificate must name the registry that gateway.toml pins."""
    made = country.found(country.pns)
    country.publish()
    text = made.directory.settings.read_text()
    made.directory.settings.write_text(text.replace("BJ/GOV/ASIN/registre", "BJ/GOV/ASIN/autre"))

    control = start(made)
    until(lambda: Reason.REGISTRY_UNREACHABLE in control.state().faults)

    assert control.state().condition is Condition.WAITING


def test_a_program_finds_what_an_agreement_opens_to_it(country: Country, start: Start) -> None:
    """Services and descriptors, over mTLS with the identity that program add wrote."""
    made = country.found(country.pns)
    country.publish()
    control = start(made)
    until(lambda: worker_version(control) == 1)
    asking = program(country, control, made)

    (service,) = asking.list_services()
    method = asking.describe(MethodName.parse(f"{IDENTITY}/GetPerson"))

    assert (service.provider, service.service) == ("BJ/GOV/ANIP/RNPP", IDENTITY)
    granted = {"GetPerson": True, "VerifyPerson": False, "SearchPerson": False}
    assert {one.name: one.granted for one in service.methods} == granted
    assert method.show_response(method.parse_request('{"npi":"0000000001"}')) == '{"npi": "0000000001"}'
    with pytest.raises(RemoteError) as refused:
        asking.describe(MethodName.parse("bj.land.v1.LandService/GetTitle"))
    assert refused.value.reason == Reason.NO_AGREEMENT
    assert refused.value.text.fr != refused.value.text.en


def test_a_removed_program_is_refused_on_its_open_connection(country: Country, start: Start) -> None:
    """The certificate is judged on every call, not once."""
    made = country.found(country.pns)
    country.publish()
    control = start(made)
    until(lambda: worker_version(control) == 1)
    with admin_channel(control, made, Identity.read(country.root / "portal")) as opened:
        stub = directory_pb2_grpc.DirectoryServiceStub(opened)
        stub.ListServices(directory_pb2.ListServicesRequest(), timeout=10)

        PinnedPrograms(made.directory.pinned_programs).remove(PORTAL)

        listing = partial(stub.ListServices, directory_pb2.ListServicesRequest(), timeout=10)
        until(lambda: outcome_of(listing) == "PROGRAM_UNKNOWN")


def test_each_role_has_its_own_service(country: Country, start: Start) -> None:
    """Program, auditor and operator: three certificates, three services, nine answers."""
    made = country.found(country.pns)
    country.publish()
    control = start(made)
    until(lambda: worker_version(control) == 1)
    identities = {
        "program": Identity.read(country.root / "portal"),
        "auditor": country.person(Profile.AUDITOR, "BJ/GOV/APDP/auditeur-1"),
        "operator": country.person(Profile.OPERATOR, "BJ/GOV/ASIN/operateur-1"),
    }
    allowed = set()

    for role, identity in identities.items():
        with admin_channel(control, made, identity) as opened:
            directory = directory_pb2_grpc.DirectoryServiceStub(opened)
            log = log_pb2_grpc.LogServiceStub(opened)
            status = status_pb2_grpc.StatusServiceStub(opened)
            calls: dict[str, Callable[[], object]] = {
                "directory": partial(directory.ListServices, directory_pb2.ListServicesRequest(), timeout=10),
                "log": partial(log.Search, log_pb2.SearchRequest(), timeout=10),
                "status": partial(status.GetStatus, status_pb2.GetStatusRequest(), timeout=10),
            }
            for service, listed in calls.items():
                outcome = outcome_of(listed)
                assert outcome in ("OK", Reason.NOT_AUTHORISED)
                if outcome == "OK":
                    allowed.add((role, service))

    assert allowed == {("program", "directory"), ("auditor", "log"), ("operator", "status")}


def test_a_revoked_auditor_is_refused_on_an_open_connection(country: Country, start: Start) -> None:
    """As soon as the configuration carries the new revocation list."""
    made = country.found(country.pns)
    country.publish()
    control = start(made)
    until(lambda: worker_version(control) == 1)
    auditor = country.person(Profile.AUDITOR, "BJ/GOV/APDP/auditeur-1")
    with admin_channel(control, made, auditor) as opened:
        stub = log_pb2_grpc.LogServiceStub(opened)
        stub.GetHead(log_pb2.GetHeadRequest(), timeout=10)

        country.published.revoked.append(load_chain(auditor.chain)[0])
        country.publish()
        until(lambda: version(control) == 2)

        refused = refusal(lambda: stub.GetHead(log_pb2.GetHeadRequest(), timeout=10))
    assert refused.reason == Reason.CERTIFICATE_REVOKED


def test_strangers_do_not_get_in(country: Country, start: Start) -> None:
    """A certificate of another country ends at TLS."""
    made = country.found(country.pns)
    country.publish()
    control = start(made)
    other = Country(
        country.root / "other",
        type(country.published)(country.published.now_ms),
        country.repository,
        country.anchor,
    )
    stranger = other.person(Profile.AUDITOR, "BJ/GOV/APDP/auditeur-1")
    shown = Identity(stranger.key, stranger.chain, Identity.read(country.root / "portal").roots)

    with admin_channel(control, made, shown) as opened:
        refused = refusal(
            lambda: log_pb2_grpc.LogServiceStub(opened).GetHead(log_pb2.GetHeadRequest(), timeout=5)
        )

    assert refused.code.name in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_the_local_socket_serves_everything_and_only_its_owner_opens_it(
    country: Country, start: Start
) -> None:
    """No certificates on the machine itself; the file's mode is the door."""
    made = country.found(country.pns)
    country.publish()
    control = start(made)
    until(lambda: worker_version(control) == 1)

    assert stat.S_IMODE(made.directory.admin_socket.stat().st_mode) == 0o600
    with local_channel(made) as opened:
        status = status_pb2_grpc.StatusServiceStub(opened).GetStatus(
            status_pb2.GetStatusRequest(), timeout=10
        )
        services = directory_pb2_grpc.DirectoryServiceStub(opened).ListServices(
            directory_pb2.ListServicesRequest(), timeout=10
        )
        found = log_pb2_grpc.LogServiceStub(opened).Search(log_pb2.SearchRequest(), timeout=10)

    assert (status.gateway, status.state) == ("BJ/GOV/PNS/gw1", status_pb2.STATE_READY)
    assert status.configuration.version == status.workers[0].configuration_version == 1
    assert [one.service for one in services.services] == [IDENTITY]
    assert list(found.exchanges) == []


def test_before_the_first_configuration_the_gateway_waits_and_says_so(country: Country, start: Start) -> None:
    """Health, readiness and the admin API agree."""
    made = country.found(country.pns)
    country.stop_registry()
    control = start(made)
    until(lambda: control.state().workers[0].report is not None)

    connection = http.client.HTTPConnection("127.0.0.1", control.http_port, timeout=10)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    with local_channel(made) as opened:
        refused = refusal(
            lambda: directory_pb2_grpc.DirectoryServiceStub(opened).ListServices(
                directory_pb2.ListServicesRequest(), timeout=10
            )
        )
        status = status_pb2_grpc.StatusServiceStub(opened).GetStatus(
            status_pb2.GetStatusRequest(), timeout=10
        )

    assert answer.status == 503
    assert (body["state"], body["faults"][0]) == ("waiting", "CONFIG_MISSING")
    assert refused.reason == Reason.CONFIG_MISSING
    assert status.state == status_pb2.STATE_WAITING


def test_an_agreement_that_the_registry_forged_is_not_in_force(country: Country, start: Start) -> None:
    """The registry and its CAs can refuse, suspend and revoke; they can grant nothing."""
    made = country.found(country.pns)
    (entry,) = country.anip.document.agreements
    forged = AgreementEntry(
        consumer_jws=entry.provider_jws,
        provider_jws=entry.provider_jws,
        state="active",
        changed_at=0,
    )
    country.anip.change(agreements=[forged])
    country.publish()

    control = start(made)
    until(lambda: worker_version(control) == 1)

    assert current(made).members[0].agreements == []
    assert program(country, control, made).list_services() == []


def test_a_real_worker_gets_the_configuration_and_its_log_is_read(country: Country, start: Start) -> None:
    """The worker's own process, its own log, and the admin API over both."""
    made = country.found(country.pns)
    logs = [RegisteredLog(id=made.logs[0].id, worker=0, address="127.0.0.1:1")]
    country.published.register(country.pns, country.published.registration("BJ/GOV/PNS/gw1", logs=logs))
    country.publish()
    control = start(made, command=None)
    until(lambda: control.state().condition is Condition.READY)

    with local_channel(made) as opened:
        stub = log_pb2_grpc.LogServiceStub(opened)
        until(lambda: len(stub.GetHead(log_pb2.GetHeadRequest(), timeout=10).heads) == 1)
        (head,) = stub.GetHead(log_pb2.GetHeadRequest(), timeout=10).heads
        until(lambda: control.state().indexed.get(head.log, 0) >= 1)
        proof = stub.GetProof(
            log_pb2.GetProofRequest(inclusion=log_pb2.InclusionRequest(index=0, size=1)), timeout=10
        )

    assert head.log == made.logs[0].id == proof.leaf_hash.hex()


def test_health_follows_readiness_until_the_process_is_told_to_stop(country: Country, start: Start) -> None:
    """grpc.health.v1 on the admin port says what /readyz says."""
    made = country.found(country.pns)
    country.stop_registry()
    control = start(made)
    stopped = threading.Event()
    running = threading.Thread(target=control.run, args=(stopped,))
    running.start()
    with local_channel(made) as opened:
        check = opened.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )

        def status() -> int:
            return int(check(health_pb2.HealthCheckRequest(), timeout=10).status)

        until(lambda: status() == health_pb2.HealthCheckResponse.NOT_SERVING)
        country.start_registry()
        country.publish()
        until(lambda: status() == health_pb2.HealthCheckResponse.SERVING)
    stopped.set()
    running.join(10)

    assert not running.is_alive()


def test_a_served_gateway_ends_with_its_lifeline_and_leaves_no_worker(country: Country) -> None:
    """The command as a supervisor starts it: a real process, a real worker, a pipe."""
    made = country.found(country.pns)
    logs = [RegisteredLog(id=made.logs[0].id, worker=0, address="127.0.0.1:1")]
    country.published.register(country.pns, country.published.registration("BJ/GOV/PNS/gw1", logs=logs))
    country.publish()
    lifeline = Lifeline()
    command = [sys.executable, "-m", "cli", "gateway", "serve", "--config", str(made.directory.settings)]
    with (country.root / "serve.log").open("wb") as words:
        process = subprocess.Popen([*command, *lifeline.arguments], pass_fds=lifeline.pass_fds, stderr=words)
    lifeline.given()
    try:
        until(lambda: made.directory.admin_socket.exists() and serves(made), seconds=40)
        pid = int(made.directory.worker_pid(0).read_text())
        lifeline.cut()
        assert process.wait(30) == 0
    finally:
        lifeline.cut()
        process.kill()
        process.wait()

    until(lambda: not Path(f"/proc/{pid}").exists())
    assert not made.directory.admin_socket.exists()


def serves(made: InitResult) -> bool:
    """Whether the gateway in another process says that it is ready."""
    with local_channel(made) as opened:
        try:
            found = status_pb2_grpc.StatusServiceStub(opened).GetStatus(
                status_pb2.GetStatusRequest(), timeout=10
            )
        except grpc.RpcError:
            return False
    return found.state == status_pb2.STATE_READY


@pytest.mark.parametrize("key", ["programs", "road"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_another_program_holds_is_refused_by_name_at_the_start(
    country: Country, start: Start, workers: int, key: str
) -> None:
    """Even one that would share it with us: two workers, or a second gateway, must not slip in beside it."""
    made = country.found(country.pns, workers=workers)
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as stranger:
        settings = made.directory.settings.read_text(encoding="utf-8")
        line = next(one for one in settings.splitlines() if one.startswith(f"{key} = "))
        taken = line.replace(":0", f":{stranger.getsockname()[1]}", 1)
        made.directory.settings.write_text(settings.replace(line, taken), encoding="utf-8")

        with pytest.raises(ExchangeError) as refused:
            start(made)

    assert refused.value.reason is Reason.PORT_IN_USE
    assert f"(pid {os.getpid()})" in str(refused.value)


def test_a_worker_whose_port_was_taken_meanwhile_says_by_whom(country: Country, start: Start) -> None:
    """A real worker, that finds its road port listened on; it is told in health, and tried again until it is free."""
    made = country.found(country.pns)
    stranger = socket.create_server(("127.0.0.1", 0))
    settings = made.directory.settings.read_text(encoding="utf-8")
    taken = settings.replace('road = ["127.0.0.1:0"]', f'road = ["127.0.0.1:{stranger.getsockname()[1]}"]')
    other = made.directory.settings.with_name("taken.toml")
    other.write_text(taken, encoding="utf-8")

    control = start(made, command=partial(worker_command, other, None, ()))
    until(lambda: control.state().workers[0].failed_start is not None)
    failed = control.state().workers[0].failed_start
    faults = control.state().faults
    stranger.close()
    until(lambda: control.state().workers[0].state in ("starting", "ready", "closed"))
    until(
        lambda: (
            control.state().workers[0].failed_start is None and control.state().workers[0].report is not None
        )
    )

    assert failed is not None
    assert failed.reason == "PORT_IN_USE"
    assert f"(pid {os.getpid()})" in failed.why
    assert "PORT_IN_USE" in faults


def test_two_workers_serve_programs_on_one_port_and_one_alone_when_the_other_dies(country: Country) -> None:
    """Real workers, under control: the port is open as long as one of them lives."""
    made = country.found(country.pns, workers=2)
    country.publish()
    control = Control(made.directory.settings)
    assert control._ports is not None
    control.start()
    try:
        until(lambda: all(one.state == "ready" for one in control.state().workers))
        address = f"127.0.0.1:{control._ports.ports[0]}"
        assert listens(address)
        os.kill(control.state().workers[0].pid, signal.SIGKILL)
        until(lambda: control.state().workers[0].restarts == 1)
        assert listens(address)
        until(lambda: all(one.state == "ready" for one in control.state().workers))
    finally:
        control.stop()

    assert [one.pid for one in control.state().workers] == [0, 0]
    assert not listens(address)
