"""What a statement says of a mask, and whether it is true."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
import pytest

from bj.identity.v1.identity_pb2 import GetPersonResponse
from core.masks import is_cut_of, mask_digest, objection_to_cut, original_digest
from core.payloads import payload_digest
from core.statements import Cut, MalformedStatementError, Statement, encode_statement, parse_statement
from core.wire import walk
from rpc.plans import mask_plan
from tests.support.worker_country import HASH, METHOD, statement

PATHS: Final = ["last_name", "residence.town"]
CUT: Final = Cut(mask_digest(PATHS), 1, HASH)
SALT: Final = bytes(range(16))


def answer(**fields: object) -> Statement:
    """The last response to a unary call, with one message."""
    found = statement(
        kind="response",
        request=HASH,
        heard=0,
        status=0,
        encoding="identity",
        payloads=[HASH] * 3,
        cut=CUT,
    )
    return msgspec.structs.replace(found, **fields)


def test_a_mask_is_named_by_its_paths_as_json() -> None:
    """As the agreement has them, in their order."""
    assert mask_digest(PATHS) == hashlib.sha256(b'["last_name","residence.town"]').hexdigest()


def test_the_original_of_one_message_has_the_digest_of_a_payload() -> None:
    """Of several: of their digests, in order."""
    one, other = payload_digest(SALT, 0, b"a"), payload_digest(SALT, 1, b"b")

    assert original_digest([one]) == one
    assert original_digest([one, other]) == hashlib.sha256(bytes.fromhex(one + other)).hexdigest()
    assert original_digest([one, other]) != original_digest([other, one])


def test_a_gateway_that_cut_more_than_it_says_is_found_out_by_the_original() -> None:
    """The ministry's record and the salt of the provider's log are enough: the digest holds, the cut does not."""
    original = GetPersonResponse(
        last_name="Adjovi", first_names="Koffi", npi="0000000001"
    ).SerializeToString()
    honest = walk(mask_plan(GetPersonResponse.DESCRIPTOR, ["last_name", "npi"]), original)
    said = Cut(mask_digest(["last_name", "npi"]), 1, payload_digest(SALT, 0, original))
    delivered = GetPersonResponse(last_name="Adjovi").SerializeToString()

    assert is_cut_of(said, SALT, [(0, original)])
    assert (honest.cut, honest.data != delivered) == (said.count, True)
    assert not is_cut_of(said, SALT, [(0, delivered)])
    assert not is_cut_of(said, bytes(16), [(0, original)])
    assert not is_cut_of(said, SALT, [(0, original), (0, b"")])


@pytest.mark.parametrize(
    ("said", "granted", "is_believed"),
    [
        (CUT, {"GetPerson": PATHS}, True),
        (CUT, {"GetPerson": PATHS[::-1]}, False),
        (None, {"GetPerson": PATHS}, False),
        (None, {"VerifyPerson": PATHS}, True),
        (None, None, True),
        (CUT, None, False),
        (CUT, {"VerifyPerson": PATHS}, False),
    ],
)
def test_what_is_said_to_be_cut_is_what_the_agreement_does_not_grant(
    said: Cut | None, granted: dict[str, list[str]] | None, is_believed: bool
) -> None:
    """Method by method."""
    assert METHOD.endswith("/GetPerson")
    assert (objection_to_cut(answer(cut=said), granted) == "") is is_believed


def test_without_a_message_nothing_is_cut() -> None:
    """An error, initial metadata, a refusal."""
    error = answer(status=5, payloads=[HASH] * 2, cut=None)

    assert objection_to_cut(error, {"GetPerson": PATHS}) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"encoding": "gzip"},
        {"encoding": None},
        {"payloads": [HASH] * 2},
        {"final": False, "status": None, "payloads": [HASH]},
        {"sequence": 1, "payloads": [HASH]},
        {"kind": "refusal", "status": 7, "reason": "NO_AGREEMENT"},
        {"kind": "cancel", "status": None},
        {"cut": Cut("x", 1, HASH)},
        {"cut": Cut(HASH, -1, HASH)},
    ],
    ids=str,
)
def test_a_cut_stands_only_where_messages_are(fields: dict[str, object]) -> None:
    """Of a response, uncompressed."""
    good = encode_statement(answer())
    assert parse_statement(good) == answer()

    with pytest.raises(MalformedStatementError):
        parse_statement(encode_statement(answer(**fields)))
