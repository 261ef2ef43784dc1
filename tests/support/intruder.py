"""Somebody who speaks the road to a gateway with keys that he has or stole, and says what a test wants."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from core.clock import SystemClock
from core.documents import digest, encode
from core.heads import ConfigurationMark, b64url
from core.leaves import SAID, prefix
from core.merkle import leaf_hash
from core.payloads import encode_metadata
from core.registrations import RegisteredLog
from core.statements import AgreementMark, Statement, parse_statement
from gateway.worker.frames import (
    Hello,
    Message,
    UnverifiedEntry,
    UnverifiedFrame,
    decode_message,
    encode_frame,
    encode_hello,
)
from gateway.worker.link import LinkChannel, LinkDialler
from pki.keys import certificate_pem, key_pem, sign_es256
from tests.support.federation import Federation, Issued, Member
from tests.support.waiting import until
from tests.support.worker_country import WrittenLog


def road_tls(federation: Federation, auth: Issued, directory: Path) -> ssl.SSLContext:
    """TLS of a peer that shows ``auth``; the gateway's own name is of no interest here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(
        cadata=certificate_pem(federation.ca.certificate).decode("ascii"),
    )
    file = directory / f"intruder-{os.urandom(4).hex()}.pem"
    file.write_bytes(
        key_pem(auth.key) + certificate_pem(auth.certificate) + certificate_pem(federation.ca.certificate)
    )
    context.load_cert_chain(file)
    return context


class Intruder:
    """One log of ``member``'s gateway in the intruder's hands, registered as a further one of it.

    Args:
        federation: The country.
        member: In whose name he speaks.
        seal: The key that signs his heads; by default the gateway's own.
        signed_by: Signs them instead, though they name the certificate of ``seal``.
    """

    def __init__(
        self,
        federation: Federation,
        member: Member,
        *,
        seal: Issued | None = None,
        signed_by: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        seal = seal or member.seal
        self.federation = federation
        self.member = member
        self.log = WrittenLog(member.gateway, seal.key, seal.certificate, nonce=os.urandom(16).hex())
        self.received: list[Message] = []
        self.closed: list[str] = []
        self.verified = 0
        self._signed_by = signed_by
        self._channel: LinkChannel | None = None
        self._failed: list[str] = []
        self._registered = RegisteredLog(self.log.log, 1 + len(member.more_logs), "127.0.0.1:1")
        member.more_logs.append(self._registered)
        federation.publish()

    def leave(self) -> None:
        """Hang up, and be registered no more."""
        self.hang_up()
        self.member.more_logs.remove(self._registered)
        self.federation.publish()

    # --- the stream ---

    def dial(self, to: Member, directory: Path, *, auth: Issued | None = None) -> None:
        """Open a stream to a gateway, showing ``auth`` to TLS."""
        context = road_tls(self.federation, auth or self.member.auth, directory)
        self.received, self.closed, self._channel = [], [], None

        def opened(channel: LinkChannel) -> None:
            channel.on_message = lambda data: self.received.append(decode_message(data))
            channel.on_closed = self.closed.append
            self._channel = channel

        async def go() -> None:
            LinkDialler(context).dial("127.0.0.1", to.road_port, opened, self._failed.append)

        self.federation.do(go())
        until(lambda: self._channel is not None or bool(self._failed))

    def hello(self, **changes: Any) -> None:
        """Say who he is."""
        said = Hello((1,), self.log.log, b"", b"", self.mark.version, self.mark.digest)
        for name, value in changes.items():
            setattr(said, name, value)
        self.send(encode_hello(said))

    def send(self, data: bytes) -> None:
        """One message of the road, as it is."""

        async def go() -> None:
            assert self._channel is not None
            self._channel.send_message(data)

        self.federation.do(go())

    def hang_up(self) -> None:
        """End the stream."""

        async def go() -> None:
            if self._channel is not None:
                self._channel.close("enough")

        self.federation.do(go())

    def met(self, to: Member, directory: Path, *, auth: Issued | None = None) -> Intruder:
        """Dial and exchange Hello."""
        self.dial(to, directory, auth=auth)
        self.hello()
        until(lambda: bool(self.hellos or self.closed))
        return self

    @property
    def hellos(self) -> list[Hello]:
        """The gateway's own Hello: it believed his."""
        return [one for one in self.received if isinstance(one, Hello)]

    def ended(self) -> str:
        """Why the gateway ended the stream."""
        until(lambda: bool(self.closed))
        return self.closed[0]

    # --- what he says ---

    @property
    def mark(self) -> ConfigurationMark:
        """The configuration in force."""
        return ConfigurationMark(self.federation._version, f"{self.federation._version:064x}")

    def request(self, to: Member, message: bytes = b"", **fields: Any) -> tuple[int, UnverifiedEntry]:
        """A request statement in his log, with its payloads."""
        terms = self.federation.agreements[0]
        payloads = fields.pop("parts", ((0, encode_metadata(())), (0, message)))
        given: dict[str, Any] = {
            "to": to.log,
            "exchange": f"0192f1a0-0000-7000-8000-{self.log.size:012x}",
            "agreement": AgreementMark(terms.id, terms.version, digest(encode(terms))),
            "configuration": self.mark,
            "issued_at": SystemClock().now_ms(),
            "nonce": os.urandom(16).hex(),
        }
        salted = tuple((os.urandom(16), flag, data) for flag, data in payloads)
        return self.log.say(salted, **(given | fields))

    def head(self, **fields: Any) -> bytes:
        """A head over everything in his log, of now."""
        head = self.log.head(**({"iat": SystemClock().now_ms() // 1000} | fields))
        return head if self._signed_by is None else signed_again(head, self._signed_by)

    def frame(self, *entries: tuple[int, UnverifiedEntry], head: bytes | None = None) -> bytes:
        """A frame that leads on from the one before."""
        frame = self.log.frame(self.verified, entries, head or self.head())
        self.verified = self.log.size
        return encode_frame(frame.runs, frame.after, frame.head)

    def ask(self, to: Member, message: bytes = b"", **fields: Any) -> int:
        """Send one request; where it stands in his log."""
        entry = self.request(to, message, **fields)
        self.send(self.frame(entry))
        return entry[0]

    def answer(
        self, request: Statement, leaf: str, parts: Sequence[tuple[int, bytes]], **fields: Any
    ) -> tuple[int, UnverifiedEntry]:
        """A response statement in his log, as the provider's gateway writes it."""
        told = {name: getattr(request, name) for name in request.__struct_fields__}
        told |= {
            "kind": "response",
            "from_": self.log.log,
            "to": request.from_,
            "configuration": self.mark,
            "issued_at": SystemClock().now_ms(),
            "deadline_us": None,
            "encoding": "identity",
            "nonce": os.urandom(16).hex(),
            "request": leaf,
            "heard": 0,
            "status": 0,
        }
        del told["payloads"]
        salted = tuple((os.urandom(16), flag, data) for flag, data in parts)
        return self.log.say(salted, **(told | fields))

    # --- what he hears ---

    def requests(self) -> list[tuple[Statement, str, UnverifiedEntry]]:
        """Requests that came in frames, each with its leaf hash and as it travelled."""
        found = []
        for frame in [one for one in list(self.received) if isinstance(one, UnverifiedFrame)]:
            for entry in [one for run in frame.runs for one in run.entries if one.is_said]:
                statement = parse_statement(entry.body)
                leaf = leaf_hash(prefix(SAID, statement.from_) + entry.body).hex()
                if statement.kind == "request":
                    found.append((statement, leaf, entry))
        return found

    def answers(self) -> list[Statement]:
        """Statements that came in frames; long bodies are let through."""
        found = []
        for one in list(self.received):
            if isinstance(one, UnverifiedFrame):
                for run in one.runs:
                    found += [parse_statement(entry.body) for entry in run.entries if entry.is_said]
        return found

    def answer_to(self, index: int) -> Statement:
        """The answer to the request at ``index``."""
        request = self.log.hashes[index].hex()
        until(lambda: any(one.request == request for one in self.answers()) or bool(self.closed))
        return next(one for one in self.answers() if one.request == request)


def signed_again(jws: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Header and payload of a compact JWS as they are, under another key's signature."""
    signing_input = jws.rpartition(b".")[0]
    return signing_input + b"." + b64url(sign_es256(key, signing_input))
