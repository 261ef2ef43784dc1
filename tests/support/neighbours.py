"""What lies around one ministry's adapter: its certificates, and its own gateway as the adapter sees it as a program.

The gateway is a stand-in: it takes calls over mutual TLS as a real one does, and hands them to the providers that a test
named, with the metadata that a provider's gateway writes. Nothing is signed or logged here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from adapters.context import CLIENT, ISSUE, PURPOSE, SERVICE
from core.identifiers import new_exchange_id
from core.reasons import Reason
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest
from pki.keys import certificate_pem, chain_pem, generate_key, key_pem, write_key
from pki.profiles import AuthorityKind, Issuer, Profile, issue, issue_authority
from rpc.credentials import server_credentials
from rpc.identity import CHAIN_FILE, KEY_FILE, ROOTS_FILE, Identity
from rpc.names import identity_host
from rpc.richerrors import describe
from rpc.status import DETAILS_KEY
from tests.support.adapter_country import metadata, now_ms


@dataclass
class Neighbourhood:
    """The authorities around the adapter of ``subsystem``, and identities under them.

    Attributes:
        directory: Where the adapter's files lie.
        subsystem: ``BJ/GOV/MTFP/TRAVAIL``.
    """

    directory: Path
    subsystem: str

    def __post_init__(self) -> None:
        self.member = self.subsystem.rpartition("/")[0]
        self.gateway = f"{self.member}/gw1"
        self.root = _authority(AuthorityKind.ROOT, None)
        self.auth = _authority(AuthorityKind.AUTH, self.root)
        self.seal = _authority(AuthorityKind.SEAL, self.root)
        self.programs = _authority(AuthorityKind.PROGRAMS, None, f"urn:passerelle:member:{self.member}")
        self._write(self.directory, Profile.ADAPTER, f"urn:passerelle:adapter:{self.subsystem}")
        signed = {"_type": "root", "version": 1, SPKI_MEMBER: spki_digest(self.root.certificate)}
        anchor = Anchor(self.root.certificate, json.dumps({"signed": signed}).encode())
        anchor.write(self.directory / "anchor.pem")
        self._write(
            self.directory / "program", Profile.PROGRAM, f"urn:passerelle:program:{self.subsystem}/agency"
        )

    def write_document_key(self, at_ms: int) -> None:
        """The key that signs the ministry's documents, in force from ``at_ms``: ``document.key``, ``document.crt``."""
        key = generate_key()
        urn = f"urn:passerelle:adapter:{self.subsystem}"
        certificate = issue(Profile("document"), self.seal, key.public_key(), urn, now_ms=at_ms)
        write_key(self.directory / "document.key", key)
        (self.directory / "document.crt").write_bytes(chain_pem([certificate, self.seal.certificate]))

    def channel(self, port: int) -> grpc.Channel:
        """A channel of the own gateway to the adapter."""
        key = generate_key()
        urn = f"urn:passerelle:gateway:{self.gateway}"
        certificate = issue(
            Profile.AUTH, self.auth, key.public_key(), urn, now_ms=now_ms(), hosts=["127.0.0.1"]
        )
        credentials = grpc.ssl_channel_credentials(
            certificate_pem(self.programs.certificate),
            key_pem(key),
            chain_pem([certificate, self.auth.certificate]),
        )
        name = identity_host(f"urn:passerelle:adapter:{self.subsystem}")
        return grpc.secure_channel(
            f"127.0.0.1:{port}", credentials, options=[("grpc.ssl_target_name_override", name)]
        )

    def door(self) -> Identity:
        """The server side of the own gateway's door for programs."""
        key = generate_key()
        urn = f"urn:passerelle:gateway:{self.gateway}"
        certificate = issue(
            Profile.PROGRAMS_DOOR, self.programs, key.public_key(), urn, now_ms=now_ms(), hosts=["127.0.0.1"]
        )
        chain = chain_pem([certificate, self.programs.certificate])
        return Identity(key_pem(key), chain, certificate_pem(self.programs.certificate))

    def _write(self, directory: Path, profile: Profile, urn: str) -> None:
        directory.mkdir(exist_ok=True)
        key = generate_key()
        hosts = ["127.0.0.1"] if profile.rules.hosts else []
        certificate = issue(profile, self.programs, key.public_key(), urn, now_ms=now_ms(), hosts=hosts)
        write_key(directory / KEY_FILE, key)
        (directory / CHAIN_FILE).write_bytes(chain_pem([certificate, self.programs.certificate]))
        (directory / ROOTS_FILE).write_bytes(certificate_pem(self.programs.certificate))


@dataclass
class StandInGateway:
    """The own gateway's door for programs.

    Attributes:
        side: Whose it is.
        providers: Channels to providers, by subsystem.
        away: Providers that do not answer.
        losing: Providers that are reached, and whose answer is lost on the way back.
        refusing: For which providers the layer refuses, and why.
        heard: Provider, method, purpose and issue of each call, in order.
    """

    side: Neighbourhood
    providers: dict[str, grpc.Channel] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    losing: set[str] = field(default_factory=set)
    refusing: dict[str, Reason] = field(default_factory=dict)
    heard: list[tuple[str, str, str, str]] = field(default_factory=list)

    def start(self) -> int:
        """Listen; returns the port."""
        door = self.side.door()
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((_Forwarding(self._forward),))
        credentials = server_credentials(door.key, door.chain, door.roots)
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()
        return port

    def stop(self) -> None:
        """Answer no more."""
        self._server.stop(None).wait()

    def _forward(self, method: str, data: bytes, context: grpc.ServicerContext) -> bytes:
        said = {key: str(value) for key, value in context.invocation_metadata()}
        provider = said[SERVICE]
        self.heard.append((provider, method.rpartition("/")[2], said.get(PURPOSE, ""), said.get(ISSUE, "")))
        if provider in self.away or provider not in self.providers:
            context.abort(grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE: away")
        if provider in self.refusing:
            _abort(context, self.refusing[provider])
        written = metadata(
            x_road_client=said[CLIENT],
            x_road_service=provider,
            x_road_purpose=said.get(PURPOSE),
            x_road_issue=said.get(ISSUE),
            x_road_exchange_id=new_exchange_id(now_ms(), len(self.heard).to_bytes(10)),
        )
        call: Any = self.providers[provider].unary_unary(method)
        try:
            answer: bytes = call(data, metadata=written, timeout=10)
        except grpc.RpcError as error:
            refused: Any = error
            details = dict(refused.trailing_metadata()).get(DETAILS_KEY, b"")
            context.set_trailing_metadata(((DETAILS_KEY, details),))
            context.abort(refused.code(), refused.details())
        if provider in self.losing:
            context.abort(grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE: lost")
        return answer


def _abort(context: grpc.ServicerContext, reason: Reason) -> None:
    """Refuse as the layer does."""
    message, details = describe(reason, language="fr")
    context.set_trailing_metadata(((DETAILS_KEY, details),))
    context.abort(grpc.StatusCode[reason.entry.code.name], message)


class _Forwarding(grpc.GenericRpcHandler):
    """Hands every unary call on, byte for byte."""

    def __init__(self, forward: Callable[[str, bytes, grpc.ServicerContext], bytes]) -> None:
        self._forward = forward

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        return grpc.unary_unary_rpc_method_handler(lambda data, context: self._forward(method, data, context))


def _authority(kind: AuthorityKind, issuer: Issuer | None, urn: str | None = None) -> Issuer:
    key = generate_key()
    return Issuer(key, issue_authority(kind, issuer, key, f"test {kind}", now_ms=now_ms(), urn=urn))
