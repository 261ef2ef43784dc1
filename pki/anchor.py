"""The one file of roots that a gateway and an auditor start from, ``anchor.pem`` (PROTOCOL M18).

Two PEM blocks: CERTIFICATE, the X.509 root, and PASSERELLE TUF ROOT, the first ``root.json``, which names the
SHA-256 of that certificate's SubjectPublicKeyInfo. People compare the file's fingerprint over the telephone, so
there is exactly one way to write the file down: any other byte, and it is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from core.language import Text
from core.reasons import MalformedError, Reason
from pki.keys import certificate_key, certificate_pem, public_key_der
from rpc.files import replace_file

MAX_ANCHOR_BYTES: Final = 256 * 1024
TUF_ROOT_LABEL: Final = "PASSERELLE TUF ROOT"

# The member of root.json's signed part that binds it to the X.509 root; TUF keeps members that it does not know.
SPKI_MEMBER: Final = "x-passerelle-root-spki-sha256"

_FORM = re.compile(
    rb"(?P<certificate>-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n)"
    rb"-----BEGIN PASSERELLE TUF ROOT-----\n(?P<root>[A-Za-z0-9+/=\n]+)-----END PASSERELLE TUF ROOT-----\n"
)

_TAKE_ANCHOR: Final = Text(
    "prendre le fichier anchor.pem tel que l'ASIN l'a remis, puis comparer son empreinte de vive voix",
    "take the file anchor.pem as ASIN handed it over, then compare its fingerprint by voice",
)


class MalformedAnchorError(MalformedError):
    """A file that is no anchor."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.ANCHOR_MISMATCH, f"not an anchor: {why}", remedy=_TAKE_ANCHOR)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


@dataclass(frozen=True, slots=True)
class Anchor:
    """The two roots, known to belong together.

    Attributes:
        certificate: The X.509 root.
        tuf_root: The bytes of TUF's ``root.json``, version 1.
    """

    certificate: x509.Certificate
    tuf_root: bytes

    def __post_init__(self) -> None:
        if _spki_named_by(self.tuf_root) != spki_digest(self.certificate):
            raise MalformedAnchorError("the TUF root does not name the key of this certificate")

    @classmethod
    def parse(cls, data: bytes) -> Anchor:
        """Read the bytes of an anchor file.

        Raises:
            MalformedAnchorError: Not the one written form, or its parts do not belong together.
        """
        found = _FORM.fullmatch(data) if len(data) <= MAX_ANCHOR_BYTES else None
        if not found:
            raise MalformedAnchorError(
                "expected one CERTIFICATE and one PASSERELLE TUF ROOT block, nothing else"
            )
        try:
            anchor = cls(
                x509.load_pem_x509_certificate(found["certificate"]),
                base64.b64decode(found["root"].replace(b"\n", b""), validate=True),
            )
        except MalformedAnchorError:
            raise
        except MalformedError as error:
            raise MalformedAnchorError(str(error)) from None
        except (ValueError, x509.InvalidVersion):
            raise MalformedAnchorError("a block cannot be read") from None
        if anchor.encode() != data:
            raise MalformedAnchorError("not in its one written form")
        return anchor

    @classmethod
    def read(cls, path: Path) -> Anchor:
        """Read an anchor file.

        Raises:
            MalformedAnchorError: It is none.
            OSError: It cannot be read.
        """
        with path.open("rb") as file:
            return cls.parse(file.read(MAX_ANCHOR_BYTES + 1))

    def encode(self) -> bytes:
        """The bytes of the anchor file."""
        text = base64.b64encode(self.tuf_root)
        lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
        label = TUF_ROOT_LABEL.encode("ascii")
        return b"%b-----BEGIN %b-----\n%b-----END %b-----\n" % (
            certificate_pem(self.certificate),
            label,
            lines,
            label,
        )

    def write(self, path: Path) -> None:
        """Write the anchor file, whole or not at all."""
        replace_file(path, self.encode())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file, 64 lower-case hex digits."""
        return hashlib.sha256(self.encode()).hexdigest()


def spoken(fingerprint: str) -> str:
    """A fingerprint in groups to be read out over the telephone, ``7F3A 91C0 …``."""
    digits = fingerprint.upper()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def spki_digest(certificate: x509.Certificate) -> str:
    """SHA-256 of a P-256 certificate's SubjectPublicKeyInfo, hex: what ``SPKI_MEMBER`` of root.json holds."""
    return hashlib.sha256(public_key_der(certificate_key(certificate))).hexdigest()


def _spki_named_by(tuf_root: bytes) -> str:
    try:
        root: Any = json.loads(tuf_root.decode("utf-8"))
        signed = root["signed"]
        if signed["_type"] != "root" or signed["version"] != 1:
            raise MalformedAnchorError("the TUF root is not root.json of version 1")
        return str(signed[SPKI_MEMBER])
    except MalformedAnchorError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MalformedAnchorError("the TUF root is not a root.json that names an X.509 key") from None
