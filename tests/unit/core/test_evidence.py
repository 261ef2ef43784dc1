"""The layout of evidence: names that can lead nowhere else, and a manifest that is read strictly."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import evidence
from core.documents import MalformedDocumentError, encode
from core.evidence import InclusionProof, LeafPart, Manifest

LEAF = LeafPart("statements/1-request.json", "said", "a" * 64, 1, "proofs/1.json", "heads/1.jws", None)
MANIFEST = Manifest(1, "0192f1a0-0000-7000-8000-000000000000", ["a" * 64], [LEAF], [], [], [3], [])
PROOF = InclusionProof("b" * 64, 0, 2, ["c" * 64], "d" * 64)


def changed(document: msgspec.Struct, **fields: Any) -> bytes:
    return json.dumps(json.loads(encode(document)) | fields).encode()


@pytest.mark.parametrize(
    "path",
    [
        "mimetype",
        "manifest.json",
        "agreement/consumer.jwt",
        "configuration/12/members/BJ.GOV.ANIP.json",
        "certificates/BJ.GOV.PNS.gw1.seal-1.pem",
        evidence.member_key_path("-" + "A" * 41 + "_"),
        evidence.configuration_path(3, "common.json"),
    ],
)
def test_parts_have_names_of_the_layout(path: str) -> None:
    """Whatever is written can be read."""
    assert evidence.require_part_path(path) == path


@given(st.text(max_size=60))
def test_no_name_leads_out_of_its_directory(path: str) -> None:
    """Whatever passes is relative, ASCII, and has no part that is '.', '..' or empty."""
    if evidence.is_part_path(path):
        assert path.isascii()
        assert not {"", ".", ".."} & set(path.split("/"))
        assert "\\" not in path
        assert ":" not in path


def test_a_manifest_is_read() -> None:
    """As it was written."""
    assert evidence.parse_manifest(encode(MANIFEST)) == MANIFEST


def leaf(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(LEAF)) | fields
    return found


MALFORMED: dict[str, dict[str, Any]] = {
    "version": {"v": 2},
    "exchange": {"exchange": "x"},
    "log": {"leaves": [leaf(log="x")]},
    "label": {"leaves": [leaf(label="note")]},
    "index": {"leaves": [leaf(index=-1)]},
    "index-huge": {"leaves": [leaf(index=2**63)]},
    "path": {"leaves": [leaf(path="../x")]},
    "proof": {"leaves": [leaf(proof="/etc/passwd")]},
    "head": {"leaves": [leaf(head="heads/..")]},
    "body": {"leaves": [leaf(body="bodies/")]},
    "twice": {"leaves": [leaf(), leaf()]},
    "registration": {"registrations": ["../x"]},
    "successor": {"successors": ["x"]},
    "unknown-key": {"extra": 1},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_manifests_are_refused(name: str) -> None:
    """Each by the one error."""
    with pytest.raises(MalformedDocumentError):
        evidence.parse_manifest(changed(MANIFEST, **MALFORMED[name]))


@pytest.mark.parametrize(
    "fields", [{"leaf_hash": "x"}, {"root": "B" * 64}, {"proof": [""]}, {"index": "0"}, {"x": 1}], ids=str
)
def test_malformed_proofs_are_refused(fields: dict[str, Any]) -> None:
    """Hashes are 64 lower-case hex digits."""
    assert evidence.parse_inclusion_proof(encode(PROOF)) == PROOF
    with pytest.raises(MalformedDocumentError):
        evidence.parse_inclusion_proof(changed(PROOF, **fields))
