"""Programs that call with tokens instead of certificates: stock grpcio, real TLS, PyJWT as any program would use it."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import msgspec
import pytest

from bj.identity.v1.identity_pb2 import GetPersonResponse
from core.configuration import ProgramEntry
from core.heads import b64url
from core.jws import DocumentKind
from gateway.hints import ProgramHints
from gateway.settings import Limits
from gateway.worker.callers import Callers
from pki.documents import sign_document
from pki.keys import certificate_pem, generate_key, key_pem, key_thumbprint, public_key_pem, write_key
from tests.support.calls import leaves, refused
from tests.support.federation import (
    CLIENT,
    METHOD,
    PROVIDER,
    STRANGER,
    Federation,
    Issued,
    Key,
    Member,
    calling,
    issue,
    metadata,
)
from tests.support.hostile import said

PROGRAM = f"{CLIENT}/web"
GATEWAY = "BJ/GOV/PNS/gw1"
CACHED = 8
EXAMPLE = Path(__file__).parents[3] / "examples" / "python" / "get_person_with_token.py"


@dataclass(frozen=True, slots=True)
class Signer:
    """A program with a registered key."""

    program: str
    key: Key

    @property
    def kid(self) -> str:
        return key_thumbprint(self.key.public_key())

    @property
    def header(self) -> dict[str, Any]:
        return {"typ": "caller+jwt", "kid": self.kid}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        found = {
            "iss": self.program,
            "sub": self.program,
            "aud": GATEWAY,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": f"{time.monotonic_ns():020}",
        }
        return {name: value for name, value in (found | changes).items() if value is not None}

    def token(self, **changes: Any) -> str:
        return jwt.encode(self.claims(**changes), key_pem(self.key), "ES256", self.header)


def register(member: Member, program: str) -> Signer:
    """What ``program add --key`` writes."""
    signer = Signer(program, generate_key())
    member.admitted.append(
        ProgramEntry(program, signer.kid, "active", public_key_pem(signer.key.public_key()))
    )
    return signer


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    limits = Limits(cached_tokens=CACHED, anonymous_connections=4)
    with Federation(tmp_path_factory.mktemp("country"), limits=limits) as found:
        yield found


@pytest.fixture(scope="module")
def web(federation: Federation) -> Signer:
    signer = register(federation.pns, PROGRAM)
    federation.publish()
    return signer


@pytest.fixture(autouse=True)
def _plain_adapter(federation: Federation) -> None:
    federation.adapter.answer = lambda request, _: request
    federation.adapter.calls.clear()


def anonymous(federation: Federation) -> grpc.Channel:
    """A stock channel that verifies the gateway and shows no certificate; a connection of its own."""
    credentials = grpc.ssl_channel_credentials(certificate_pem(federation.pns.programs.certificate))
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.secure_channel(f"localhost:{federation.pns.programs_port}", credentials, options)


def bearing(*tokens: str, **changes: str | None) -> tuple[tuple[str, str | bytes], ...]:
    return (*metadata(**changes), *(("authorization", f"Bearer {token}") for token in tokens))


def reason_at_the_door(federation: Federation, token: str, program: Issued | None = None) -> str:
    """Why a call with ``token`` is refused at the door, where it must leave nothing behind."""
    before = len(leaves(federation.pns))
    opened = federation.channel(program) if program else anonymous(federation)
    with opened as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=bearing(token), timeout=10)
    code, info = refused(error)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert len(leaves(federation.pns)) == before
    assert federation.adapter.calls == []
    return str(info.reason)


def callers(federation: Federation) -> Callers:
    worker = federation.pns.worker
    assert worker is not None
    return worker.station.pipeline.consumer._parts.callers


def counted(federation: Federation, name: str) -> int:
    worker = federation.pns.worker
    assert worker is not None
    return worker.station.counters[name]


def test_a_program_without_certificate_calls_with_a_token(federation: Federation, web: Signer) -> None:
    """Through both gateways; the statements of both sides name its key."""
    with anonymous(federation) as channel:
        answer, call = calling(channel).with_call(b"ping", metadata=bearing(web.token()), timeout=10)

    exchange = dict(call.trailing_metadata())["x-road-exchange-id"]
    assert answer == b"ping"
    for member in (federation.pns, federation.anip):
        (statement,) = [one for one in said(member) if one.exchange == exchange]
        assert (statement.caller, statement.client) == (f"jwt:{web.kid}", CLIENT)


def test_a_token_is_consumed_at_the_door(federation: Federation, web: Signer) -> None:
    """Neither the adapter nor any log, digest or file of either gateway holds it."""
    token = web.token()

    with anonymous(federation) as channel:
        calling(channel)(b"", metadata=bearing(token), timeout=10)

    ((_, _, found),) = federation.adapter.calls
    assert "authorization" not in found
    signature = token.rpartition(".")[2].encode()
    for member in (federation.pns, federation.anip):
        for path in member.directory.root.rglob("*"):
            if path.is_file():
                assert signature not in path.read_bytes(), path


def test_without_a_token_nobody_is_let_in(federation: Federation) -> None:
    """A client without a certificate reaches the door, and is told so; its message is not read."""
    before = len(leaves(federation.pns))

    with anonymous(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"x" * 1_000_000, metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "PROGRAM_UNKNOWN")
    assert len(leaves(federation.pns)) == before


def test_a_certificate_that_does_not_verify_is_not_passed_over(federation: Federation, web: Signer) -> None:
    """Leaving it out is allowed, showing a stranger's is not, whatever token comes with it."""
    stranger = issue("stranger", issue("another authority", ca=True))

    with federation.channel(stranger) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=bearing(web.token()), timeout=10)

    assert isinstance(error.value, grpc.Call)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


def _hs256(web: Signer) -> str:
    """The public key as a shared secret."""
    header = b64url(json.dumps({"alg": "HS256", **web.header}).encode())
    signing_input = header + b"." + b64url(json.dumps(web.claims()).encode())
    secret = public_key_pem(web.key.public_key()).encode()
    return (signing_input + b"." + b64url(hmac.new(secret, signing_input, hashlib.sha256).digest())).decode()


def _with_header(web: Signer, **changes: Any) -> str:
    return jwt.encode(web.claims(), key_pem(web.key), "ES256", {**web.header, **changes})


def _forged(web: Signer) -> str:
    return Signer(web.program, generate_key()).token()


HOSTILE: dict[str, Callable[[Signer], str]] = {
    "alg none": lambda web: jwt.encode(web.claims(), "", "none", web.header),
    "HS256 with the public key": _hs256,
    "kid is a path": lambda web: _with_header(web, kid="../../../../dev/null"),
    "kid is a query": lambda web: _with_header(web, kid="x' UNION SELECT 'key' --"),
    "kid of a key that is not registered": _forged,
    "kid of a key that another holds": lambda web: jwt.encode(
        web.claims(), key_pem(generate_key()), "ES256", web.header
    ),
    "jku": lambda web: _with_header(web, jku="https://127.0.0.1/keys"),
    "jwk": lambda web: _with_header(web, jwk={"kty": "EC"}),
    "x5u": lambda web: _with_header(web, x5u="https://127.0.0.1/chain"),
    "crit": lambda web: _with_header(web, crit=["exp"]),
    "typ JWT": lambda web: _with_header(web, typ="JWT"),
    "an agreement": lambda web: sign_document(
        DocumentKind.AGREEMENT, json.dumps(web.claims()).encode(), web.key
    ),
    "for another gateway": lambda web: web.token(aud="BJ/GOV/ANIP/gw1"),
    "for another gateway of the same member": lambda web: web.token(aud="BJ/GOV/PNS/gw2"),
    "too long lived": lambda web: web.token(exp=int(time.time()) + 3600),
    "from the future": lambda web: web.token(iat=int(time.time()) + 90, nbf=int(time.time()) + 90),
    "another program of the subsystem": lambda web: web.token(iss=f"{CLIENT}/nuit", sub=f"{CLIENT}/nuit"),
    "a program of another subsystem": lambda web: web.token(iss=f"{STRANGER}/web", sub=f"{STRANGER}/web"),
    "a program of another member": lambda web: web.token(iss=f"{PROVIDER}/web", sub=f"{PROVIDER}/web"),
    "no jti": lambda web: web.token(jti=None),
    "bound to a certificate": lambda web: web.token(cnf={"x5t#S256": "A" * 43}),
    "a dot": lambda web: ".",
    "4097 bytes": lambda web: "x" * 4097,
    "two headers": lambda web: web.token() + "." + web.token(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_token_admits_nobody(federation: Federation, web: Signer, name: str) -> None:
    """One word for all of them, so that a stranger learns nothing; nothing is logged."""
    assert reason_at_the_door(federation, HOSTILE[name](web)) == "TOKEN_INVALID"


def test_hostile_tokens_are_counted_by_what_is_wrong(federation: Federation, web: Signer) -> None:
    """The administrator sees what the caller is not told."""
    before = counted(federation, "token_refused_audience")

    reason_at_the_door(federation, web.token(aud="BJ/GOV/ANIP/gw1"))

    # Twice looked at or once: a call that is refused by its headers is looked at no more.
    assert counted(federation, "token_refused_audience") == before + 1


def test_an_expired_token_is_told_as_such_to_its_signer_only(federation: Federation, web: Signer) -> None:
    """Whoever cannot sign it gets no answer about time."""
    over = int(time.time()) - 1
    times = {"iat": over - 200, "nbf": over - 200, "exp": over}

    assert reason_at_the_door(federation, web.token(**times)) == "TOKEN_EXPIRED"
    assert reason_at_the_door(federation, Signer(PROGRAM, generate_key()).token(**times)) == "TOKEN_INVALID"


def test_a_bearer_of_two_tokens_is_refused(federation: Federation, web: Signer) -> None:
    """Which one counts must not depend on who reads."""
    with anonymous(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=bearing(web.token(), web.token()), timeout=10)

    assert refused(error)[1].reason == "TOKEN_INVALID"


@pytest.mark.parametrize("value", ["Basic d2ViOndlYg==", "Bearer", "Bearer  {}", "{}", "Bearer {},"])
def test_authorization_is_a_bearer_token_or_nothing(federation: Federation, web: Signer, value: str) -> None:
    """Also beside a good certificate: a credential is never passed over."""
    entries = (*metadata(), ("authorization", value.format(web.token())))

    for channel in (anonymous(federation), federation.channel()):
        with channel, pytest.raises(grpc.RpcError) as error:
            calling(channel)(b"", metadata=entries, timeout=10)
        assert refused(error)[1].reason == "TOKEN_INVALID"


def test_a_token_of_the_same_program_beside_its_certificate_is_taken(
    federation: Federation, web: Signer
) -> None:
    """The statement then names the key."""
    with federation.channel() as channel:
        _, call = calling(channel).with_call(b"", metadata=bearing(web.token()), timeout=10)

    exchange = dict(call.trailing_metadata())["x-road-exchange-id"]
    (statement,) = [one for one in said(federation.pns) if one.exchange == exchange]
    assert statement.caller == f"jwt:{web.kid}"


def test_a_token_beside_the_certificate_of_another_program_is_refused(
    federation: Federation, web: Signer
) -> None:
    """Stolen by another program of the ministry, even one that was admitted once and is no more."""
    unpinned = issue(PROGRAM, federation.pns.programs)

    assert reason_at_the_door(federation, web.token(), federation.stats) == "TOKEN_INVALID"
    assert reason_at_the_door(federation, web.token(), unpinned) == "TOKEN_INVALID"


def test_a_bound_token_is_worth_nothing_on_another_connection(federation: Federation, web: Signer) -> None:
    """``cnf`` names the certificate that TLS must have shown (RFC 8705); with it, the call goes through."""
    other = federation.admit(federation.pns, PROGRAM)
    federation.publish()
    token = web.token(cnf={"x5t#S256": federation.portal.thumbprint})

    with federation.channel() as channel:
        calling(channel)(b"", metadata=bearing(token), timeout=10)
    federation.adapter.calls.clear()

    assert reason_at_the_door(federation, token) == "TOKEN_INVALID"
    assert reason_at_the_door(federation, token, other) == "TOKEN_INVALID"


def test_a_token_does_not_lend_another_subsystem(federation: Federation, web: Signer) -> None:
    """Confused deputy: authenticated, so the refusal is said and logged, without the claimed client."""
    with anonymous(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=bearing(web.token(), x_road_client=STRANGER), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CLIENT_NOT_YOURS")
    logged = next(one for one in said(federation.pns) if one.exchange == info.metadata["exchange_id"])
    assert (logged.client, logged.caller) == (None, f"jwt:{web.kid}")


def test_a_remembered_token_ends_with_its_key(federation: Federation) -> None:
    """Removed from the configuration, the very token that was just good is refused, on the open connection too."""
    signer = register(federation.pns, PROGRAM)
    federation.publish()
    token = signer.token()
    with anonymous(federation) as channel:
        calling(channel)(b"", metadata=bearing(token), timeout=10)
        (entry,) = [one for one in federation.pns.admitted if one.thumbprint == signer.kid]
        federation.pns.admitted.remove(entry)
        federation.pns.admitted.append(msgspec.structs.replace(entry, state="removed"))
        federation.publish()

        with pytest.raises(grpc.RpcError) as error:
            calling(channel)(b"", metadata=bearing(token), timeout=10)

    assert refused(error)[1].reason == "TOKEN_INVALID"


def test_verified_tokens_are_remembered_within_their_bound(federation: Federation, web: Signer) -> None:
    """One verification while a token is shown again; the least recently used goes when there are too many."""
    kept, found = web.token(), callers(federation)._verified
    with anonymous(federation) as channel:
        for _ in range(2 * CACHED):
            calling(channel)(b"", metadata=bearing(kept), timeout=10)
            calling(channel)(b"", metadata=bearing(web.token()), timeout=10)
            assert len(found) <= CACHED

    assert len(found) == CACHED
    assert hashlib.sha256(kept.encode()).digest() in found


def test_many_calls_with_one_token_each_get_their_own_answer(federation: Federation, web: Signer) -> None:
    """A token may be shown again until it expires: it is no ticket for one ride."""
    bearer = bearing(web.token())
    with anonymous(federation) as channel:
        waiting = [calling(channel).future(b"%d" % one, metadata=bearer, timeout=30) for one in range(300)]

        assert [one.result() for one in waiting] == [b"%d" % one for one in range(300)]


def test_a_credential_withdrawn_while_the_message_comes_in_is_refused(federation: Federation) -> None:
    """The headers were good; when the message is complete, the program is asked for again."""
    signer = register(federation.pns, PROGRAM)
    federation.publish()
    bearer = bearing(signer.token())
    arrived, go_on = futures.Future[bool](), futures.Future[bool]()

    def requests() -> Iterator[bytes]:
        arrived.set_result(True)
        go_on.result(10)
        yield b"late"

    with anonymous(federation) as channel:
        upload: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD, None, None)
        call = upload.future(requests(), metadata=bearer, timeout=20)
        arrived.result(10)
        calling(channel)(b"", metadata=bearer, timeout=10)  # the headers before it are read by now
        federation.pns.admitted = [one for one in federation.pns.admitted if one.thumbprint != signer.kid]
        federation.publish()
        go_on.set_result(True)

        with pytest.raises(grpc.RpcError) as error:
            call.result(10)

    assert refused(error)[1].reason == "TOKEN_INVALID"


def test_strangers_do_not_take_the_places_of_programs_with_certificates(federation: Federation) -> None:
    """Connections without a certificate are bounded apart; the next is closed, a program's is not."""
    worker = federation.pns.worker
    assert worker is not None
    held = [anonymous(federation) for _ in range(6)]
    try:
        for channel in held:
            with pytest.raises(grpc.RpcError):
                calling(channel)(b"", metadata=metadata(), timeout=2)
        with federation.channel() as own:
            assert calling(own)(b"mine", metadata=metadata(), timeout=10) == b"mine"
    finally:
        for channel in held:
            channel.close()

    assert worker._programs.counters["connections_refused"] > 0


def test_a_key_that_is_registered_twice_over_admits_its_own_program_only(federation: Federation) -> None:
    """The token's program is the one that the configuration names for its key."""
    signer = register(federation.pns, f"{STRANGER}/web")
    federation.publish()

    assert reason_at_the_door(federation, Signer(PROGRAM, signer.key).token()) == "TOKEN_INVALID"


def test_the_example_calls_with_a_token(federation: Federation, web: Signer, tmp_path: Path) -> None:
    """As a ministry's developer runs it: a directory of ``program add --key --out``, its own key, PyJWT."""
    federation.adapter.answer = lambda request, _: GetPersonResponse(
        last_name="ADJOVI", first_names="KOFFI", birth_date="1987-04-12"
    ).SerializeToString()
    (tmp_path / "ca.pem").write_bytes(certificate_pem(federation.pns.programs.certificate))
    write_key(tmp_path / "web.key", web.key)
    address = f"localhost:{federation.pns.programs_port}"
    hints = ProgramHints(subsystem=CLIENT, gateway_id=GATEWAY, gateway=address, directory=address)
    hints.write(tmp_path)

    done = [
        subprocess.run(
            [sys.executable, EXAMPLE, tmp_path, tmp_path / "web.key", program, "0000000001"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        for program in (PROGRAM, f"{CLIENT}/nuit")
    ]

    assert done[0].returncode == 0, done[0].stderr
    assert done[0].stdout.startswith("ADJOVI KOFFI, 1987-04-12, \néchange 0")
    assert (done[1].returncode, done[1].stdout) == (1, "")
    assert done[1].stderr.startswith("UNAUTHENTICATED TOKEN_INVALID: ")
