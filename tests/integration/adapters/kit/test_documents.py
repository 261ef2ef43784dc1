"""Documents: signed, readable by telephone, verified by strangers with their own tools, refused when altered."""

import hashlib
import re
from pathlib import Path

import jwt
import pytest
import zxingcpp
from click.testing import CliRunner, Result
from PIL import Image

from adapters.document_commands import document
from adapters.kit.documents import Line
from bj.common.v1 import document_pb2
from core.clock import ManualClock, SystemClock
from core.language import Text
from pki.keys import load_chain
from tests.support.neighbours import Neighbourhood
from tests.support.postal.ministry import PostOffice


@pytest.fixture
def signed(office: PostOffice, tmp_path: Path) -> tuple[document_pb2.Document, bytes]:
    """A document of a dossier, its particulars and its bytes; the PDF lies in ``document.pdf``."""
    office.clock = office.desk.clock = ManualClock(SystemClock().now_ms())
    Neighbourhood(tmp_path, "BJ/GOV/LAPOSTE/BOITES").write_document_key(office.clock.now_ms())
    reference = office.filed()
    issued = office.desk.store.write(
        lambda tx: office.desk.documents.issue(
            tx,
            reference,
            document_pb2.DOCUMENT_TYPE_RESIDENCE,
            title=Text("Certificat de résidence", "Certificate of residence"),
            lines=[Line(Text("Nom", "Name"), "ADJOVI Sènan Ɖɔnù")] * 60,
            holder_names=["ADJOVI Sènan Ɖɔnù"],
            valid_until_ms=office.clock.now_ms() + 366 * 24 * 3600 * 1000,
        )
    )
    with office.desk.store.reading() as tx:
        dossier = office.desk.dossiers.get(tx, reference)
        told, content = office.desk.documents.content(tx, dossier, issued.doc_id)
    assert told == issued
    (tmp_path / "document.pdf").write_bytes(content)
    return issued, content


def verify(directory: Path, *arguments: str) -> Result:
    """The command, as whoever holds the document asks it."""
    trusted = ("--issuer", str(directory / "document.crt"), "--anchor", str(directory / "anchor.pem"))
    return CliRunner().invoke(document, ["verify", *arguments, *trusted])


def test_a_document_is_what_its_particulars_say(
    signed: tuple[document_pb2.Document, bytes], tmp_path: Path
) -> None:
    """Digest, signature and JWT, each by a library that is not ours; the QR code as a telephone reads it."""
    told, content = signed
    key = load_chain((tmp_path / "document.crt").read_bytes())[0].public_key()
    claims = jwt.decode(told.qr_jwt, key, algorithms=["ES256"])  # type: ignore[arg-type]  # P-256, by its profile
    found = re.search(rb"/W (\d+) /H \d+ .*? ID\n([0-9a-f]+)>", content)

    assert hashlib.sha256(content).hexdigest() == told.sha256
    assert jwt.get_unverified_header(told.qr_jwt)["typ"] == "document+jwt"
    assert (claims["doc_id"], claims["names"]) == (told.doc_id, ["ADJOVI Sènan Ɖɔnù"])
    assert found is not None
    side = int(found[1])
    image = Image.frombytes("1", (side, side), bytes(255 - one for one in bytes.fromhex(found[2].decode())))
    (code,) = zxingcpp.read_barcodes(
        image.convert("L").resize((side * 6, side * 6), Image.Resampling.NEAREST)
    )
    assert code.text == told.qr_jwt


def test_a_document_is_verified_without_a_network(
    signed: tuple[document_pb2.Document, bytes], tmp_path: Path
) -> None:
    """The file, or the QR code alone."""
    for asked in ((str(tmp_path / "document.pdf"),), ("--qr", signed[0].qr_jwt)):
        verdict = verify(tmp_path, *asked)

        assert verdict.exit_code == 0, verdict.output
        assert signed[0].doc_id in verdict.output


def test_an_altered_document_is_refused(signed: tuple[document_pb2.Document, bytes], tmp_path: Path) -> None:
    """One byte, bytes at the end, or another document's JWT."""
    told, content = signed
    forged = told.qr_jwt[:-8] + "AAAAAAAA"
    altered = (
        content.replace(b"/Author", b"/Editor", 1),
        content + b"%",
        content.replace(told.qr_jwt.encode(), forged.encode()),
    )

    for data in altered:
        (tmp_path / "altered.pdf").write_bytes(data)
        assert verify(tmp_path, str(tmp_path / "altered.pdf")).exit_code == 1
    assert verify(tmp_path, "--qr", forged).exit_code == 1
