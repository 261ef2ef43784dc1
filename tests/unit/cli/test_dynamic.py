"""Requests from JSON: what does not fit the message is refused with what to correct."""

from __future__ import annotations

import pytest

from bj.identity.v1 import identity_pb2
from cli.dynamic import DynamicMethod
from core.identifiers import MethodName
from core.reasons import ExchangeError, Reason

NAME = MethodName.parse("bj.identity.v1.IdentityService/GetPerson")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"npi": 1}', '{"nip": "0000000001"}', '{"npi": "1"'])
def test_data_that_is_no_request_says_what_to_correct(text: str) -> None:
    """The remedy is about --data, where it was typed."""
    method = DynamicMethod(NAME, identity_pb2.GetPersonRequest, identity_pb2.GetPersonResponse, False, False)

    with pytest.raises(ExchangeError) as refused:
        method.parse_request(text)

    assert refused.value.reason is Reason.DOCUMENT_INVALID
    assert refused.value.remedy is not None
    assert "--data" in refused.value.remedy.en
