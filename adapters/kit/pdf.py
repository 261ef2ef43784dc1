"""A document as a PDF that proves itself: text, and a JWT as QR code that commits to every other byte.

A file cannot hold its own digest. So the JWT tells the digest of the file with two things blanked: the JWT itself,
which stands in the file's keywords, and the QR code, which is nothing but that JWT drawn. ``read_jws`` and ``blanked``
undo what ``make_pdf`` did: whoever knows the JWT knows all bytes of the file, or finds that they are others.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import segno
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from core.documents import MalformedDocumentError
from core.language import Text

_FONTS: Final = Path(__file__).parent / "fonts"
_TEXT: Final = "DejaVuSans"
_BOLD: Final = "DejaVuSans-Bold"
_WIDTH, _HEIGHT = A4
_LEFT: Final = 25 * mm
_RIGHT: Final = _WIDTH - 25 * mm
_TOP: Final = _HEIGHT - 25 * mm
_BOTTOM: Final = 25 * mm
_QR_SIDE: Final = 52 * mm
_LEADING: Final = 5.2 * mm
# Light modules around a QR code, without which no reader finds it.
_QUIET_ZONE: Final = 4
# The one place where a document's JWT stands as text.
_KEYWORDS: Final = re.compile(rb"/Keywords \((ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\)")
_registering: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document: « Nom · Name », and what stands there."""

    label: Text
    value: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a document says.

    Attributes:
        title: At the top.
        issuer: Who gives it out, ``BJ/GOV/ANDF/CADASTRE``.
        lines: In order: number and days first, then what the ministry says.
    """

    title: Text
    issuer: str
    lines: Sequence[Line]


def make_pdf(sheet: Sheet, sign: Callable[[str], str]) -> tuple[bytes, str]:
    """The document's bytes and its JWT.

    Args:
        sheet: What it says.
        sign: The JWT for a SHA-256, 64 hex digits; of the same length whatever the digest.

    The same sheet and signatures give the same bytes.
    """
    # Of the right length, so that what is blanked is as long as what comes in its place.
    draft = sign("0" * 64)
    pages = _draw(sheet, draft)
    jws = sign(hashlib.sha256(blanked(pages, draft)).hexdigest())
    return _replaced(pages, draft, jws, _bitmap(jws)[1]), jws


def read_jws(pdf: bytes) -> str:
    """The JWT that a document bears, unverified.

    Raises:
        MalformedDocumentError: It bears none, or several.
    """
    found = _KEYWORDS.findall(pdf)
    if len(found) != 1:
        raise MalformedDocumentError("the file bears no JWT of a document, or several")
    return str(found[0], "ascii")


def blanked(pdf: bytes, jws: str) -> bytes:
    """A document's bytes with ``jws`` and its QR code blanked: those whose SHA-256 is in the JWT.

    Raises:
        MalformedDocumentError: They do not stand in it exactly once each.
    """
    code = _bitmap(jws)[1]
    return _replaced(pdf, jws, "0" * len(jws), "0" * len(code))


def _replaced(pdf: bytes, jws: str, by_jws: str, by_code: str) -> bytes:
    for old, new in ((jws, by_jws), (_bitmap(jws)[1], by_code)):
        if len(old) != len(new) or pdf.count(old.encode("ascii")) != 1:
            raise MalformedDocumentError("the file does not bear its JWT and the QR code of it, once each")
        pdf = pdf.replace(old.encode("ascii"), new.encode("ascii"))
    return pdf


@functools.lru_cache(maxsize=16)
def _bitmap(jws: str) -> tuple[int, str]:
    """The QR code of a JWT: its side in modules, and its rows as hex digits, a bit for each module."""
    try:
        code = segno.make(jws, error="m", mode="byte", micro=False, boost_error=False)
    except segno.DataOverflowError:
        raise MalformedDocumentError("the JWT is longer than a QR code holds") from None
    rows = [list(row) for row in code.matrix_iter(scale=1, border=_QUIET_ZONE)]
    width = (len(rows) + 7) // 8
    packed = b"".join(
        int("".join("1" if module else "0" for module in row).ljust(8 * width, "0"), 2).to_bytes(width, "big")
        for row in rows
    )
    return len(rows), packed.hex()


def _draw(sheet: Sheet, jws: str) -> bytes:
    _register_fonts()
    file = io.BytesIO()
    # Not compressed, so that the QR code stands in the file as it is; ``invariant``: no time of day, no chance.
    canvas = Canvas(file, pagesize=A4, invariant=1, pageCompression=0)
    canvas.setTitle(sheet.title.fr)
    canvas.setAuthor(sheet.issuer)
    canvas.setKeywords(jws)
    top = _draw_head(canvas, sheet)
    _draw_code(canvas, jws)
    _draw_lines(canvas, sheet.lines, top)
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def _draw_head(canvas: Canvas, sheet: Sheet) -> float:
    """Republic, issuer and title; returns where the lines begin."""
    canvas.setFont(_BOLD, 11)
    canvas.drawString(_LEFT, _TOP, "RÉPUBLIQUE DU BÉNIN")
    canvas.setFont(_TEXT, 9)
    canvas.drawRightString(_RIGHT, _TOP, sheet.issuer)
    y = _TOP - 18 * mm
    for text, font, size in ((sheet.title.fr, _BOLD, 16), (sheet.title.en, _TEXT, 11)):
        for line in simpleSplit(text, font, size, _RIGHT - _LEFT):
            canvas.setFont(font, size)
            canvas.drawString(_LEFT, y, line)
            y -= size * 1.4
    return y - 6 * mm


def _draw_code(canvas: Canvas, jws: str) -> None:
    """The QR code, and how it is read, at the foot of the first page."""
    side, rows = _bitmap(jws)
    # An image of a bit for each module, in hex, which no filter changes: it is found in the file by its digits.
    canvas.saveState()
    canvas.addLiteral(f"{_QR_SIDE:.3f} 0 0 {_QR_SIDE:.3f} {_RIGHT - _QR_SIDE:.3f} {_BOTTOM:.3f} cm")
    canvas.addLiteral(f"BI /W {side} /H {side} /BPC 1 /IM true /D [1 0] /F /AHx ID\n{rows}>\nEI")
    canvas.restoreState()
    canvas.setFont(_TEXT, 8)
    for number, line in enumerate(
        (
            "Le code QR et ce fichier se vérifient sans réseau :",
            "QR code and file are verified without a network:",
            "passerelle document verify",
        )
    ):
        canvas.drawString(_LEFT, _BOTTOM + 10 * mm - number * 4 * mm, line)


def _draw_lines(canvas: Canvas, lines: Sequence[Line], top: float) -> None:
    """Labels to the left, values to the right; pages follow as long as there are lines."""
    y, floor = top, _BOTTOM + _QR_SIDE + 4 * mm
    column = _LEFT + 62 * mm
    for line in lines:
        label = simpleSplit(f"{line.label.fr} · {line.label.en}", _TEXT, 8, column - _LEFT - 4 * mm)
        value = simpleSplit(line.value, _TEXT, 10, _RIGHT - column) or [""]
        height = max(len(label), len(value)) * _LEADING
        if y - height < floor:
            canvas.showPage()
            y, floor = _TOP, _BOTTOM
        for font, size, x, texts in ((_TEXT, 8, _LEFT, label), (_TEXT, 10, column, value)):
            canvas.setFont(font, size)
            for number, text in enumerate(texts):
                canvas.drawString(x, y - number * _LEADING, text)
        y -= height + 1.5 * mm


def _register_fonts() -> None:
    with _registering:
        for name in (_TEXT, _BOLD):
            if name not in pdfmetrics.getRegisteredFontNames():
                pdfmetrics.registerFont(TTFont(name, str(_FONTS / f"{name}.ttf")))
