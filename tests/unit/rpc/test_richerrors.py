"""Rich errors of the data plane: every reason, both languages, what a program needs to decide (DESIGN section 9)."""

from __future__ import annotations

import pickle

import pytest
from google.rpc import error_details_pb2, status_pb2

from core.heads import MalformedHeadError
from core.reasons import Reason
from pki.keys import BadSignatureError
from pki.tokens import TokenError, TokenFault
from rpc.richerrors import describe
from rpc.status import CallError


def unpack(data: bytes) -> tuple[error_details_pb2.ErrorInfo, dict[str, str], bool]:
    """``ErrorInfo``, texts by locale, and whether a retry is advised."""
    info = error_details_pb2.ErrorInfo()
    texts: dict[str, str] = {}
    retry = False
    for one in status_pb2.Status.FromString(data).details:
        localized = error_details_pb2.LocalizedMessage()
        if one.Unpack(localized):
            texts[localized.locale] = localized.message
        elif not one.Unpack(info):
            retry = retry or one.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    return info, texts, retry


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_told_in_both_languages(reason: Reason) -> None:
    """Code, reason, domain, French, English; a retry is advised exactly where it is safe."""
    message, data = describe(reason, language="fr")

    info, texts, retry = unpack(data)
    assert message == f"{reason}: {reason.entry.text.fr}"
    assert status_pb2.Status.FromString(data).code == int(reason.entry.code)
    assert (info.reason, info.domain) == (str(reason), "passerelle")
    assert texts["fr"].startswith(reason.entry.text.fr)
    assert texts["en"].startswith(reason.entry.text.en)
    assert retry == (reason.entry.retry == "safe")


def test_a_refusal_tells_where_the_exchange_stands() -> None:
    """Exchange, delivery, side and advice let a program decide whether to send again."""
    exchange = "0192f1c0-0000-7000-8000-000000000000"

    message, data = describe(
        Reason.PEER_LOST,
        language="en",
        exchange_id=exchange,
        delivery="unknown",
        retry="safe",
        side="consumer",
    )

    info, _, retry = unpack(data)
    assert message.endswith(f"(exchange {exchange})")
    assert dict(info.metadata) == {
        "exchange_id": exchange,
        "delivery": "unknown",
        "retry": "safe",
        "side": "consumer",
    }
    assert retry
    assert describe(Reason.PEER_LOST, language="fr", exchange_id=exchange)[0].endswith(
        f"(échange {exchange})"
    )


@pytest.mark.parametrize(
    "error",
    [
        CallError(Reason.NOT_FOUND, "no such log"),
        BadSignatureError("the signature does not verify"),
        TokenError(TokenFault.EXPIRED, "expired"),
        MalformedHeadError("too long"),
    ],
)
def test_errors_cross_process_borders(error: CallError) -> None:
    """Reason and text survive; that is what the other side acts on."""
    copy = pickle.loads(pickle.dumps(error))

    assert (copy.reason, str(copy)) == (error.reason, str(error))
