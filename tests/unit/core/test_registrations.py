"""Registrations that close logs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core.documents import MalformedDocumentError, encode
from core.registrations import (
    MAX_LOGS,
    ClosedLog,
    RegisteredCertificate,
    RegisteredLog,
    Registration,
    parse_registration,
)

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
ROOT = "dd" * 32


def closed(log: str, successor: str, **fields: Any) -> ClosedLog:
    return msgspec.structs.replace(ClosedLog(log, 0, 3, ROOT, successor), **fields)


def line(length: int) -> Registration:
    """So many closed logs, one after the other."""
    ids = [f"{one:064x}" for one in range(length + 1)]
    return registration(*map(closed, ids, ids[1:]), logs=(ids[-1],))


def registration(*closed_logs: ClosedLog, logs: tuple[str, ...] = (C,)) -> Registration:
    return Registration(
        v=1,
        gateway="BJ/GOV/ANIP/gw1",
        serial=1,
        issued_at="2026-11-23T09:14:07Z",
        auth=[RegisteredCertificate("A" * 43, "PEM")],
        seal=[RegisteredCertificate("B" * 43, "PEM")],
        logs=[RegisteredLog(one, 0, "gw1.anip.bj:7444") for one in logs],
        closed=list(closed_logs),
    )


def test_a_line_of_closed_logs_leads_to_one_that_is_open() -> None:
    """Each step is signed by the member."""
    made = registration(closed(A, B), closed(B, C, size=0))

    assert parse_registration(encode(made)) == made
    assert made.all_logs == {A, B, C}


def test_a_registration_without_closed_logs_keeps_the_bytes_of_before() -> None:
    """Registrations that were signed before logs could be closed still verify and read the same."""
    made = registration()

    assert b"closed" not in encode(made)
    assert parse_registration(encode(made)).closed == []


@pytest.mark.parametrize(
    "made",
    [
        registration(closed(A, B)),
        registration(closed(A, A)),
        registration(closed(A, B), closed(B, A)),
        registration(closed(A, C), closed(B, C)),
        registration(closed(A, C), closed(A, C)),
        registration(closed(C, A)),
        registration(closed("short", C)),
        registration(closed(A, C, root="short")),
        registration(closed(A, C, size=-1)),
        registration(closed(A, C, size=2**63)),
        registration(closed(A, C, worker=-1)),
        line(MAX_LOGS + 1),
    ],
    ids=[
        "no successor here",
        "itself",
        "a ring",
        "two with one successor",
        "twice",
        "open and closed",
        "no id",
        "no root",
        "negative size",
        "too large",
        "no worker",
        "too many",
    ],
)
def test_closed_logs_that_make_no_line_are_refused(made: Registration) -> None:
    """Nobody could say which log speaks for them."""
    with pytest.raises(MalformedDocumentError):
        parse_registration(encode(made))


def test_unknown_keys_of_a_closed_log_are_refused() -> None:
    """Two readers could take two meanings from them."""
    text = encode(registration(closed(A, C))).replace(b'"successor"', b'"x":1,"successor"')

    with pytest.raises(MalformedDocumentError):
        parse_registration(text)
    assert msgspec.json.decode(text)["closed"]
