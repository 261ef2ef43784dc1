"""What status, log, exchange and config put on a screen."""

import re
from typing import Any

import pytest

from audit.listing import COLUMNS
from core.agreements import Bilingual
from core.configuration import CurrentConfiguration, MemberDocument
from core.language import Language
from gateway.channel import WorkerReport
from gateway.control.main import adapter_state
from gateway.control.supervisor import WorkerState
from gateway.screens import (
    Screen,
    configuration_screen,
    doubts_screen,
    exchange_screen,
    exchanges_screen,
    log_screen,
    status_screen,
)
from passerelle.gateway.v1 import log_pb2, status_pb2
from rpc.words import Coded

NOW = 1_795_000_000_000
LOG = "ab" * 32


def text(screen: Screen, language: Language) -> str:
    lines = [line.in_(language) for line in screen.lines]
    for table in screen.tables:
        lines.append(table.title.in_(language))
        lines.append(" | ".join(heading.in_(language) for heading in table.header))
        lines += [
            " | ".join(cell.shown.in_(language) if isinstance(cell, Coded) else cell for cell in row)
            for row in table.rows
        ]
    return "\n".join(lines)


def status() -> status_pb2.GetStatusResponse:
    found = status_pb2.GetStatusResponse(
        gateway="BJ/GOV/ANIP/gw1",
        state=status_pb2.STATE_DEGRADED,
        faults=["CONFIG_STALE", "ADAPTER_DOWN"],
        configuration=status_pb2.ConfigurationStatus(version=812),
        registry=status_pb2.RegistryStatus(address="registre.asin.bj:7443", problem="connection refused"),
        workers=[
            status_pb2.WorkerStatus(
                worker=0, pid=42, state="ready", log=LOG, size=7, free_bytes=41_000_000_000
            )
        ],
        peers=[status_pb2.PeerStatus(gateway="BJ/GOV/PNS/gw1", log="cd" * 32, state="open", size=9)],
        adapters=[
            status_pb2.AdapterStatus(subsystem="BJ/GOV/ANIP/RNPP", address="127.0.0.1:9101", state="down")
        ],
    )
    found.configuration.fetched_at.FromMilliseconds(NOW - 5 * 3_600_000)
    found.as_of.FromMilliseconds(NOW)
    found.peers[0].since.FromMilliseconds(NOW - 2 * 3_600_000)
    return found


def test_the_status_screen_tells_which_worker_is_to_be_attended_to() -> None:
    """Of several: the fault of one stands in its row."""
    found = status()
    found.workers.add(worker=1, pid=43, state="ready", faults=["LOG_NOT_REGISTERED"])

    lines = text(status_screen(found, NOW), "en").splitlines()

    assert "0 | 42 | ready | 0 | 7 | 0 | 0 | –" in lines
    assert "1 | 43 | waiting | 0 | 0 | 0 | 0 | LOG_NOT_REGISTERED" in lines


def test_the_status_screen_tells_what_to_attend_to() -> None:
    """Codes as they are, sentences in the reader's language."""
    french, english = text(status_screen(status(), NOW), "fr"), text(status_screen(status(), NOW), "en")

    assert "BJ/GOV/ANIP/gw1 · EN SERVICE, ATTENTION REQUISE · configuration v812 (il y a 5 h)" in french
    assert "NEEDS ATTENTION · configuration v812 (5 h ago)" in english
    assert "À traiter (passerelle doctor) : CONFIG_STALE, ADAPTER_DOWN" in french
    assert "Registre registre.asin.bj:7443 : connection refused" in french
    assert "0 | BJ/GOV/PNS/gw1 | cdcdcdcdcdcdcdcd… | ouverte (open) | 2 h | 9" in french
    assert "0 | 42 | en service (ready) |" in french
    assert "0 | 42 | ready |" in english
    assert "BJ/GOV/ANIP/RNPP | 127.0.0.1:9101 | down" in english


def test_the_screens_tell_what_damage_in_a_log_ends() -> None:
    """In status and log status: searches and proofs, not exchanges."""
    found = status()
    found.workers[0].log_damage = "0.seg is damaged at byte 120"

    for screen in (status_screen(found, NOW), log_screen(found, [])):
        assert "Journal 0 abîmé (0.seg is damaged at byte 120) : l'index n'avance plus" in text(screen, "fr")
        assert "proofs end before it; exchanges go on" in text(screen, "en")


def test_the_status_screen_shows_who_is_not_asked() -> None:
    """Each route, and whether its callers are authenticated."""
    found = status()
    assert "Routes fixes" not in text(status_screen(found, NOW), "fr")
    found.routes.add(name="guichet", address="10.0.0.7:8501")
    found.routes.add(name="local", address="127.0.0.1:8502", unauthenticated=True)

    french, english = text(status_screen(found, NOW), "fr"), text(status_screen(found, NOW), "en")

    assert "non authentifié (unauthenticated)" in french
    assert "Fixed routes" in english
    assert "127.0.0.1:8502" in english


def test_the_status_screen_of_a_gateway_that_waits() -> None:
    """No configuration, no worker yet: no table is missing its words."""
    waiting = status_pb2.GetStatusResponse(gateway="BJ/GOV/ANIP/gw1", state=status_pb2.STATE_WAITING)

    shown = text(status_screen(waiting, NOW), "fr")

    assert "EN ATTENTE · aucune configuration" in shown
    assert "Liaisons" not in shown


@pytest.mark.parametrize(
    ("age_ms", "words"), [(3000, "3 s"), (150_000, "2 min 30 s"), (260_000_000, "72 h"), (-5, "0 s")]
)
def test_ages_are_told_in_the_units_that_fit(age_ms: int, words: str) -> None:
    """And a clock that was stepped back is no negative age."""
    found = status()
    found.configuration.fetched_at.FromMilliseconds(NOW - age_ms)

    assert f"(il y a {words})" in text(status_screen(found, NOW), "fr")


@pytest.mark.parametrize(
    ("freshness", "french", "english"),
    [
        (status_pb2.FRESHNESS_FRESH, "", ""),
        (status_pb2.FRESHNESS_STALE, "ancienne : arrêt dans 67 h", "stale: stops in 67 h"),
        (status_pb2.FRESHNESS_EXPIRED, "tout échange est refusé", "every exchange is refused"),
    ],
)
def test_an_old_configuration_is_counted_down(
    freshness: status_pb2.Freshness.ValueType, french: str, english: str
) -> None:
    """Silent while it is fresh; then how long exchanges still go on."""
    found = status()
    found.configuration.freshness = freshness
    found.configuration.expires_at.FromMilliseconds(NOW + 67 * 3_600_000)

    told = status_screen(found, NOW).lines[0]

    assert french in told.fr
    assert english in told.en
    assert ("67 h" in told.fr) is (freshness == status_pb2.FRESHNESS_STALE)


def test_the_log_screen_shows_the_signed_root() -> None:
    """A log without head shows a dash."""
    head = log_pb2.SignedHead(log=LOG, size=7, root="cd" * 32)

    assert "cdcdcdcdcdcdcdcd…" in text(log_screen(status(), [head]), "fr")
    assert "| – |" in text(log_screen(status(), []), "fr")
    assert "41.0" in text(log_screen(status(), []), "fr")


def test_the_log_screen_tells_the_days_left_where_they_are_foreseen() -> None:
    """23 days at the pace of now; nothing where nothing is foreseen."""
    found = status()
    before = text(log_screen(found, []), "fr")
    found.days_left = 23.4

    assert "réserve" not in before
    assert "atteinte dans 23 jours" in text(log_screen(found, []), "fr")
    assert "reached in 23 days" in text(log_screen(found, []), "en")
    found.days_left = 137_875
    assert "pas atteinte avant un an" in text(log_screen(found, []), "fr")
    assert "137875" not in text(log_screen(found, []), "fr")


def test_the_exchange_screen_shows_both_sides() -> None:
    """What is unknown is a dash or a question mark, never a guess."""
    entry = log_pb2.ExchangeEntry(log=LOG, index=3, label="said", kind="refusal", leaf_hash="ef" * 32)
    entry.issued_at.FromMilliseconds(NOW)
    receipt = log_pb2.ExchangeEntry(log=LOG, index=4, label="heard", kind="taken", from_peer=True)
    found = log_pb2.GetExchangeResponse(
        exchanges=[
            log_pb2.Exchange(
                exchange_id="0192f1a0",
                side=log_pb2.SIDE_CONSUMER,
                outcome=log_pb2.EXCHANGE_OUTCOME_REFUSED,
                reason="NO_AGREEMENT",
                method="bj.land.v1.LandService/GetTitle",
                door="json",
            )
        ],
        entries=[entry, receipt],
    )

    french, english = text(exchange_screen(found), "fr"), text(exchange_screen(found), "en")

    assert "0192f1a0 · consommateur · refusé (NO_AGREEMENT)" in french
    assert "0192f1a0 · consumer · refused (NO_AGREEMENT)" in english
    assert "? → ? bj.land.v1.LandService/GetTitle" in french
    assert "finalité – · dossier – · convention – v0 · porte json" in french
    assert "agreement – v0 · door json" in english
    assert (
        "1 | · | dit (said) | refus (refusal) | – | 3 | abababababababab… | efefefefefefefef… | 2026-"
        in french
    )
    assert "1 | ↔ | entendu (heard) | reçu (taken) | – | 4 | abababababababab… | – | –" in french


def test_the_exchange_screen_tells_what_was_cut() -> None:
    """In sum, by the provider's word; of a stream that is not shown whole, at least."""
    entries = [
        log_pb2.ExchangeEntry(log=LOG, label="said", kind="request"),
        log_pb2.ExchangeEntry(log=LOG, label="said", kind="response", from_peer=True, fields_cut=3),
        log_pb2.ExchangeEntry(log=LOG, label="said", kind="response", from_peer=True, fields_cut=0),
    ]
    short, long = (
        log_pb2.GetExchangeResponse(
            exchanges=[log_pb2.Exchange(answered=log_pb2.Direction(segments=segments))], entries=entries
        )
        for segments in (2, 9)
    )
    none = log_pb2.GetExchangeResponse(exchanges=[log_pb2.Exchange()], entries=entries[:1])

    assert "réponse réduite aux champs que la convention accorde ; champs retirés : 3\n" in text(
        exchange_screen(short), "fr"
    )
    assert "answer cut to the fields that the agreement grants; fields cut: at least 3\n" in text(
        exchange_screen(long), "en"
    )
    assert "cut" not in text(exchange_screen(none), "en")


@pytest.mark.parametrize(
    ("side", "outcome", "handed", "english"),
    [
        (
            log_pb2.SIDE_CONSUMER,
            log_pb2.EXCHANGE_OUTCOME_IN_DOUBT,
            (2, 1),
            [
                "asked: 740 messages, 90000 bytes, in 12 segments said here, handed to the adapter: 2 segments",
                "answered: 3 messages, 400 bytes, in 2 segments taken here, handed to the program: 1 segment",
            ],
        ),
        (
            log_pb2.SIDE_CONSUMER,
            log_pb2.EXCHANGE_OUTCOME_GRANTED,
            (12, None),
            [
                "asked: 740 messages, 90000 bytes, in 12 segments said here, handed to the adapter: 12 segments",
                "answered: 3 messages, 400 bytes, in 2 segments taken here, handed to the program: 2 segments",
            ],
        ),
        (
            log_pb2.SIDE_PROVIDER,
            log_pb2.EXCHANGE_OUTCOME_REFUSED,
            (7, 0, True),
            [
                "asked: 740 messages, 90000 bytes, in 12 segments taken here, "
                "handed to the adapter: at least 7 segments, nobody knows whether more",
                "answered: 3 messages, 400 bytes, in 2 segments said here, "
                "handed to the program: nobody knows how many",
            ],
        ),
        (
            log_pb2.SIDE_CONSUMER,
            log_pb2.EXCHANGE_OUTCOME_GRANTED,
            (12, None, True),
            [
                "asked: 740 messages, 90000 bytes, in 12 segments said here, handed to the adapter: 12 segments",
                "answered: 3 messages, 400 bytes, in 2 segments taken here, "
                "handed to the program: nobody knows how many",
            ],
        ),
        (
            log_pb2.SIDE_PROVIDER,
            log_pb2.EXCHANGE_OUTCOME_OPEN,
            (None, None),
            [
                "asked: 740 messages, 90000 bytes, in 12 segments taken here, "
                "handed to the adapter: not on record yet",
                "answered: 3 messages, 400 bytes, in 2 segments said here, "
                "handed to the program: known to its gateway alone",
            ],
        ),
    ],
    ids=["broken", "whole", "restarted", "restarted-then-answered-late", "open"],
)
def test_a_stream_is_told_in_two_lines(
    side: Any, outcome: Any, handed: tuple[int | None, ...], english: list[str]
) -> None:
    """However many segments it has; how far each way got, as the gateway beside the program says."""
    one = log_pb2.Exchange(
        exchange_id="0192f1a0",
        side=side,
        outcome=outcome,
        asked=log_pb2.Direction(
            segments=12, messages=740, bytes=90_000, handed=handed[0], handed_uncertain=len(handed) > 2
        ),
        answered=log_pb2.Direction(
            segments=2, messages=3, bytes=400, handed=handed[1], handed_uncertain=len(handed) > 2
        ),
    )
    found = log_pb2.GetExchangeResponse(exchanges=[one])
    before = found.SerializeToString(deterministic=True)

    lines = text(exchange_screen(found), "en").splitlines()
    french = text(exchange_screen(found), "fr")

    assert [line for line in lines if line.startswith(("asked", "answered"))] == english
    assert "demandé : 740 messages, 90000 octets, en 12 segments" in french
    assert found.SerializeToString(deterministic=True) == before


def test_how_a_stream_ended_is_told_with_who_said_so_and_what_is_not_shown() -> None:
    """The deadline is ours, what the peer said before is no end; two segments of four stand in the table."""
    one = log_pb2.Exchange(
        side=log_pb2.SIDE_CONSUMER,
        outcome=log_pb2.EXCHANGE_OUTCOME_CANCELLED,
        reason="DEADLINE_EXCEEDED",
        asked=log_pb2.Direction(segments=1, messages=1),
        answered=log_pb2.Direction(segments=3, messages=3),
    )
    entries = [
        log_pb2.ExchangeEntry(log=LOG, label="said", kind="request", sequence=0),
        log_pb2.ExchangeEntry(log=LOG, label="said", kind="response", sequence=2, from_peer=True),
        log_pb2.ExchangeEntry(log=LOG, label="said", kind="deadline"),
    ]
    entries[2].issued_at.FromMilliseconds(NOW)
    found = log_pb2.GetExchangeResponse(exchanges=[one], entries=entries)

    french, english = text(exchange_screen(found), "fr"), text(exchange_screen(found), "en")

    assert re.search(
        r"^fin : délai dépassé \(deadline\), dit ici à .*Z · DEADLINE_EXCEEDED$", french, re.MULTILINE
    )
    assert re.search(r"^end: deadline, said here at .*Z · DEADLINE_EXCEEDED$", english, re.MULTILINE)
    assert "2 segments du milieu sans feuilles ci-dessous : passerelle audit export" in french


def test_a_call_of_one_message_each_way_has_no_such_lines() -> None:
    """Its leaves say it all."""
    way = log_pb2.Direction(segments=1, messages=1)
    one = log_pb2.Exchange(outcome=log_pb2.EXCHANGE_OUTCOME_GRANTED, asked=way, answered=way)

    assert "asked" not in text(exchange_screen(log_pb2.GetExchangeResponse(exchanges=[one])), "en")


def test_requests_under_one_exchange_id_stand_apart() -> None:
    """Each with its hash, its time, its end and its leaves; what is not shown is told."""
    requests = [
        log_pb2.Exchange(exchange_id="0192f1a0", request_hash=hashed * 32, outcome=outcome)
        for hashed, outcome in (
            ("cd", log_pb2.EXCHANGE_OUTCOME_GRANTED),
            ("ef", log_pb2.EXCHANGE_OUTCOME_REFUSED),
        )
    ]
    entries = [log_pb2.ExchangeEntry(log=LOG, index=index, label="heard", row=index) for index in range(2)]
    found = log_pb2.GetExchangeResponse(exchanges=requests, entries=entries, further=3)

    lines = text(exchange_screen(found), "fr").splitlines()

    assert [line.rpartition(" · ")[0] for line in lines if line.startswith("demande ")][:2] == [
        "demande 1 · cdcdcdcdcdcdcdcd…",
        "demande 2 · efefefefefefefef…",
    ]
    assert lines.index("") == 4
    assert "et 3 autres demandes sous cet identifiant : passerelle audit list --exchange" in lines
    assert [line[:3] for line in lines if "(heard)" in line] == ["1 |", "2 |"]


def test_the_configuration_screen_names_members_in_the_readers_language() -> None:
    """Names too, not only headings."""
    member = MemberDocument(
        v=1,
        member="BJ/GOV/ANIP",
        name=Bilingual("Agence nationale d'identification", "National identification agency"),
        state="active",
        member_keys=[],
        successors=[],
        subsystems=[],
        registrations=[],
        services=[],
        agreements=[],
    )
    current = CurrentConfiguration(
        v=1,
        version=7,
        digest="ab" * 32,
        fresh_at=NOW,
        expires_at=NOW,
        common=None,  # type: ignore[arg-type]  # not shown
        members=[member],
        programs=[],
    )

    french, english = (text(configuration_screen(current, [], NOW), language) for language in ("fr", "en"))

    assert "BJ/GOV/ANIP | Agence nationale d'identification | actif (active)" in french
    assert "BJ/GOV/ANIP | National identification agency | active" in english


def test_the_list_of_exchanges() -> None:
    """One row each."""
    one = log_pb2.Exchange(exchange_id="0192f1a0", client="BJ/GOV/PNS/PORTAIL", issue="ACT-1")
    one.requested_at.FromMilliseconds(NOW)

    shown = text(exchanges_screen(log_pb2.SearchResponse(exchanges=[one])), "fr")

    assert "0192f1a0 | BJ/GOV/PNS/PORTAIL" in shown


def test_the_columns_of_exchanges_have_the_keys_of_the_auditors_list() -> None:
    """So that one program reads both; headings are for people and may change."""
    (table,) = exchanges_screen(log_pb2.SearchResponse()).tables

    assert len(table.keys) == len(table.header)
    assert set(table.keys) <= set(COLUMNS)


def test_an_exchange_in_doubt_is_told_with_what_is_known_and_what_to_do() -> None:
    """Since when, which peer, what is known; what the gateway does about it, and what people may do."""
    doubtful = log_pb2.Exchange(
        exchange_id="0192f1a0", service="BJ/GOV/ANIP/RNPP", method="bj.X/Y", issue="ACT-1", peer="cd" * 32
    )
    doubtful.in_doubt_since.FromMilliseconds(NOW - 3 * 3600_000)
    taken, refused = log_pb2.Exchange(), log_pb2.Exchange()
    taken.CopyFrom(doubtful)
    taken.receipt = "taken"
    refused.CopyFrom(doubtful)
    refused.receipt, refused.peer = "refused:STATEMENT_EXPIRED", "ef" * 32
    partly = log_pb2.Exchange()
    partly.CopyFrom(taken)
    partly.answered.segments, partly.answered.messages = 2, 7
    found = log_pb2.SearchResponse(exchanges=[doubtful, taken, refused, partly])

    french, english = (
        text(doubts_screen(found, {"cd" * 32: "BJ/GOV/ANIP/gw1"}, NOW), language) for language in ("fr", "en")
    )

    assert "4 échanges en doute" in french
    assert "répondue en partie (7 messages pris), fin manquante" in french
    assert "answered in part (7 messages taken), end missing" in english
    assert "BJ/GOV/ANIP/gw1 | BJ/GOV/ANIP/RNPP | bj.X/Y | ACT-1 | envoyée, ni reçu ni réponse" in french
    assert "(3 h)" in french
    assert "prise par le pair, réponse manquante" in french
    assert "efefefefefefefef | BJ/GOV/ANIP/RNPP" in french
    assert "refused by the peer (refused:STATEMENT_EXPIRED)" in english
    assert "do not send again what may happen only once" in english


def test_no_doubt_is_told_in_one_sentence() -> None:
    """And CSV keeps its heading."""
    screen = doubts_screen(log_pb2.SearchResponse(), {}, NOW)

    assert [line.en for line in screen.lines] == ["No exchange is in doubt."]
    assert [len(table.rows) for table in screen.tables] == [0]


def test_every_heading_speaks_both_languages() -> None:
    """A table must not fall back to the other language."""
    screens = (
        status_screen(status(), NOW),
        log_screen(status(), []),
        exchanges_screen(log_pb2.SearchResponse()),
    )

    for screen in screens:
        for table in screen.tables:
            assert all(heading.fr and heading.en for heading in table.header)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        ((), "unknown"),
        (("up",), "up"),
        (("up", "down"), "down"),
        (("up", "silent"), "silent"),
        (("silent", "down"), "down"),
        (("unknown",), "unknown"),
        (("unknown", "up"), "up"),
    ],
)
def test_an_adapter_is_down_if_one_worker_cannot_reach_it(seen: tuple[str, ...], state: str) -> None:
    """And up if one has."""
    workers = [
        WorkerState(number, 1, 0, WorkerReport(state="ready", adapters={"BJ/GOV/ANIP/RNPP": one}), 0.0)
        for number, one in enumerate(seen)
    ]

    workers.append(WorkerState(9, 0, 0, None, 0.0))
    assert adapter_state("BJ/GOV/ANIP/RNPP", "127.0.0.1:1", workers).state == state


def test_a_stopped_log_is_told_with_both_sizes_and_the_remedy() -> None:
    """On both screens that people look at, in their language."""
    found = status()
    found.workers[0].state = "LOG_BEHIND_PEERS"
    found.workers[0].stopped.CopyFrom(
        status_pb2.StoppedLog(here=90_210, there=90_877, witness="BJ/GOV/PNS/gw1")
    )

    for screen in (status_screen(found, NOW), log_screen(found, [])):
        assert "90,210 here, 90,877 at BJ/GOV/PNS/gw1" in text(screen, "en")
        assert "passerelle log succeed" in text(screen, "fr")
