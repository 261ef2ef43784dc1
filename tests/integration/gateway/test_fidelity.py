"""What a server says in refusing reaches the program unchanged (issue of the bidi client, grpc/grpc#36066)."""

from pathlib import Path

import grpc
import pytest

from tests.support.calls import refused
from tests.support.federation import Federation, calling, metadata
from tests.support.fidelity import differences

CALLS = 1_000


@pytest.mark.no_cover
def test_a_thousand_refusals_reach_the_program_as_they_were_said(tmp_path: Path) -> None:
    """Status, message, details and trailing metadata; ten thousand: ``make test-fidelity``."""
    with Federation(tmp_path) as federation:
        assert differences(federation, CALLS) == []
        assert len(federation.adapter.calls) >= CALLS


@pytest.mark.parametrize("message", ["blank at the end ", " blank before"])
def test_a_message_that_is_no_http2_is_the_adapters_fault(tmp_path: Path, message: str) -> None:
    """grpcio sends it, RFC 9113 forbids it: named, not told as UNKNOWN; other calls go on."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        if not request:
            context.abort(grpc.StatusCode.NOT_FOUND, message)
        return request

    with Federation(tmp_path) as federation:
        federation.adapter.answer = refuse
        with federation.channel() as channel:
            with pytest.raises(grpc.RpcError) as error:
                calling(channel)(b"", metadata=metadata(), timeout=10)
            assert calling(channel)(b"x", metadata=metadata(), timeout=10) == b"x"

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "ADAPTER_PROTOCOL")
    assert info.metadata["delivery"] == "delivered"
