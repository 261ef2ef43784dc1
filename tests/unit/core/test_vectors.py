"""The vectors of malformations, as another implementation would use them: complete inputs, each with its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.heads import parse_head
from core.jws import DocumentKind, parse_document
from core.leaves import parse_heard, parse_leaf
from core.payloads import decode_metadata, decode_payloads
from core.pseudonyms import parse_annex
from core.reasons import MalformedError
from core.statements import parse_statement

DIRECTORY = Path(__file__).parents[2] / "vectors"
PARSERS: dict[str, Callable[[str], Any]] = {
    "statements": lambda text: parse_statement(text.encode("latin-1")),
    "heads": lambda text: parse_head(text.encode("latin-1")),
    "leaves": lambda text: parse_leaf(text.encode("latin-1")),
    "records": lambda text: parse_heard(text.encode("latin-1")),
    "annexes": lambda text: parse_annex(text.encode("latin-1")),
    "signed_documents": lambda text: parse_document(DocumentKind.AGREEMENT, text),
    "metadata": lambda text: decode_metadata(bytes.fromhex(text)),
    "payloads": lambda text: decode_payloads(bytes.fromhex(text)),
}


def read(kind: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((DIRECTORY / f"malformed_{kind}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("kind", "name", "text"), [(kind, name, text) for kind in PARSERS for name, text in read(kind).items()]
)
def test_malformed_vectors_are_refused(kind: str, name: str, text: str) -> None:
    """Every one, by the parser of its kind, in one clear error."""
    with pytest.raises(MalformedError):
        PARSERS[kind](text)


def test_every_file_of_vectors_is_told() -> None:
    """Its origin stands in the README."""
    told = (DIRECTORY / "README.md").read_text("utf-8")

    for path in DIRECTORY.glob("*.json"):
        assert f"`{path.name}`" in told, path.name
