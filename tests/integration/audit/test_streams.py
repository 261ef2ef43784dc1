"""Evidence of calls of several segments: what it proves whole or broken, and what turns its verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.commands import audit
from audit.container import write_container
from audit.report import Report, StepVerdict, Verdict
from audit.verify import verify_evidence
from audit.wholelog import verify_logs
from core.documents import encode
from core.evidence import MANIFEST, LeafPart, Parts, parse_manifest
from core.leaves import said_leaf
from core.reasons import ExchangeError, Reason
from core.statements import Statement, encode_statement
from ledger.evidence import Evidence
from ledger.places import LogPlace
from ledger.vault import BodyVault, read_wrapping_key
from tests.support.evidence import EvidenceCountry, Side, Talk, gather_evidence


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path_factory.mktemp("country"))
    yield found
    found.close()


def gathered(country: EvidenceCountry, talk: Talk) -> list[Parts]:
    """The evidence of both sides, the consumer's first."""
    talk.settle()
    return [gather_evidence(side.directory, talk.id) for side in (country.pns, country.anip)]


def opener(side: Side) -> Callable[[LogPlace, str], Callable[[bytes], bytes]]:
    """Opens the bodies of one side."""
    key = read_wrapping_key(side.directory / "keys/wrapping.key", side.directory / "log")
    return lambda place, log: BodyVault(place.bodies, log, key, side.clock).open


def verified(country: EvidenceCountry, parts: Parts) -> Report:
    return verify_evidence(parts, country.country.root.certificate)


def why_not(report: Report) -> str:
    """The one finding of the step that failed."""
    ((number, finding),) = [
        (step.number, finding)
        for step in report.steps
        for finding in step.findings
        if step.verdict is StepVerdict.FAILED
    ]
    assert number == 8
    assert report.streams == ()
    return finding


def ways(report: Report) -> dict[str, tuple[int, int, int, int | None]]:
    """Segments, messages, taken and handed on, each way."""
    (one,) = report.streams
    return {
        name: (way.segments, way.messages, way.taken, way.handed)
        for name, way in (("asked", one.asked), ("answered", one.answered))
    }


def with_leaves(parts: Parts, leaves: list[LeafPart], more: Parts | None = None) -> Parts:
    """``parts`` with these leaves in the manifest, and no part that it does not name."""
    manifest = parse_manifest(parts[MANIFEST])
    gone = {path for one in manifest.leaves for path in (one.path, one.proof, one.head)}
    kept = {path for one in leaves for path in (one.path, one.proof, one.head)}
    left = {path: data for path, data in (parts | (more or {})).items() if path not in gone - kept}
    return left | {MANIFEST: encode(msgspec.structs.replace(manifest, leaves=leaves))}


def about(parts: Parts, leaf: LeafPart) -> tuple[str, int]:
    """What a record is about: its peer's log, and where in it."""
    found = json.loads(parts[leaf.path])
    return found["log"], found["index"]


def without(parts: Parts, name: str) -> Parts:
    """A statement left out, with the record of it: nothing else tells that it is missing."""
    leaves = parse_manifest(parts[MANIFEST]).leaves
    (gone,) = [one for one in leaves if name in one.path]
    place = gone.log, gone.index
    kept = [
        one
        for one in leaves
        if one.path != gone.path and not (one.label == "heard" and about(parts, one) == place)
    ]
    return with_leaves(parts, kept)


# --- what is proved ---


def test_a_whole_stream_is_valid_on_either_side(country: EvidenceCountry) -> None:
    """Both know everything, and say the same."""
    talk = country.stream()
    talk.ask(3)
    talk.answer(2)
    talk.ask(0, final=True)
    talk.answer(4, final=True)

    mine, theirs = (verified(country, parts) for parts in gathered(country, talk))

    assert (mine.verdict, theirs.verdict) == (Verdict.VALID, Verdict.VALID), [mine.steps, theirs.steps]
    assert ways(mine) == {"asked": (3, 4, 3, 3), "answered": (2, 6, 2, 2)}
    assert ways(theirs) == ways(mine)
    assert mine.facts["outcome"] == "OK"
    assert [one.ends for one in mine.streams] == [(("response", "OK"),)]


def test_a_unary_call_is_told_as_before(country: EvidenceCountry) -> None:
    """One segment each way says nothing of segments."""
    wanted = country.exchange()

    report = verified(country, gather_evidence(country.pns.directory, wanted.id))

    assert report.verdict is Verdict.VALID
    assert report.streams == ()


Break = Callable[[Talk], None]


def _lost_road(talk: Talk) -> None:
    """The provider took two of three and handed on one; of its two answers one came, and one came too late."""
    talk.ask(1)
    talk.answer(2, handed=0)
    talk.ask(1, heard=None)
    talk.answer(1, heard=None, handed=0)
    talk.end("abandon", heard=None, reason="PEER_LOST")


def _cancelled(talk: Talk) -> None:
    """The program has the first answer when it cancels; the gateway has two."""
    talk.answer(1)
    talk.answer(1)
    talk.end("cancel", handed=0)
    talk.refuse("INTERRUPTED", heard="late")


def _refused_midway(talk: Talk) -> None:
    """The agreement ends while it runs."""
    talk.ask(1)
    talk.answer(1)
    talk.refuse("NO_AGREEMENT")


def _adapter_lost(talk: Talk) -> None:
    """Before the second request segment was handed on."""
    talk.ask(5)
    talk.refuse("ADAPTER_DOWN", handed=0)


def _answered_early(talk: Talk) -> None:
    """The provider had enough: what comes behind its status is late."""
    talk.answer(1, final=True)
    talk.ask(2, heard="late")
    talk.ask(0, final=True, heard="late")


def _repeated(talk: Talk) -> None:
    """A segment that was sent twice was refused, and ended the stream."""
    talk.ask(1)
    talk.ask(1, sequence=1, heard="refused:STATEMENT_INVALID")
    talk.refuse("STATEMENT_INVALID", handed=1)


@pytest.mark.parametrize(
    ("broken", "mine", "theirs", "end"),
    [
        (_lost_road, ((3, 3, 2, 1), (1, 2, 1, 1)), ((2, 2, 2, 1), (2, 3, 1, None)), "abandon"),
        (_cancelled, ((1, 1, 1, 1), (2, 2, 2, 1)), ((1, 1, 1, 1), (2, 2, 2, 1)), "cancel"),
        (_refused_midway, ((2, 2, 2, 2), (1, 1, 1, 1)), ((2, 2, 2, 2), (1, 1, 1, 1)), "refusal"),
        (_adapter_lost, ((2, 6, 2, 1), (0, 0, 0, 0)), ((2, 6, 2, 1), (0, 0, 0, 0)), "refusal"),
        (_answered_early, ((3, 3, 1, 1), (1, 1, 1, 1)), ((3, 3, 1, 1), (1, 1, 1, 1)), "response"),
        (_repeated, ((2, 2, 2, 2), (0, 0, 0, 0)), ((2, 2, 2, 2), (0, 0, 0, 0)), "refusal"),
    ],
)
def test_a_broken_stream_is_valid_evidence_of_what_was_delivered(
    country: EvidenceCountry,
    broken: Break,
    mine: tuple[tuple[int, ...], ...],
    theirs: tuple[tuple[int, ...], ...],
    end: str,
) -> None:
    """Wherever it broke: what each side took, and what it handed on."""
    talk = country.stream()
    broken(talk)

    reports = [verified(country, parts) for parts in gathered(country, talk)]

    for report, wanted in zip(reports, (mine, theirs), strict=True):
        assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
        assert ways(report) == {"asked": wanted[0], "answered": wanted[1]}
    assert end in [kind for kind, _ in reports[0].streams[0].ends]


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_verdict_says_how_far_each_side_got(
    country: EvidenceCountry, tmp_path: Path, language: str
) -> None:
    """To people in their language, to programs in numbers."""
    talk = country.stream()
    _lost_road(talk)
    parts, _ = gathered(country, talk)
    path = tmp_path / "preuve.asice"
    write_container(path, parts.items())
    command = ["verify", str(path), "--anchor", str(country.anchor())]

    shown = CliRunner().invoke(audit, [*command, "--lang", language])
    told = CliRunner().invoke(audit, [*command, "--output", "json"])

    assert shown.exit_code == 0, shown.output
    wanted = {
        "fr": [
            f"flux {talk.name[:16]}…",
            "demandé : 3 segments, 3 messages ; 2 pris par la passerelle du fournisseur, 1 remis à l'adaptateur",
            "répondu : 1 segment, 2 messages ; 1 pris par la passerelle du consommateur, 1 remis à son programme",
            "fin : abandonné par le consommateur (PEER_LOST)",
        ],
        "en": [
            f"stream {talk.name[:16]}…",
            "asked: 3 segments, 3 messages; 2 taken by the provider's gateway, 1 handed to the adapter",
            "answered: 1 segment, 2 messages; 1 taken by the consumer's gateway, 1 handed to its program",
            "end: given up by the consumer (PEER_LOST)",
        ],
    }[language]
    lines = [line.strip() for line in shown.output.splitlines()]
    assert [line for line in lines if line in wanted] == wanted
    (stream,) = json.loads(told.output)["streams"]
    assert stream["asked"] == {
        "segments": 3,
        "messages": 3,
        "taken": 2,
        "handed": 1,
        "is_uncertain": False,
        "is_final": False,
    }
    assert stream["ends"] == [{"kind": "abandon", "why": "PEER_LOST"}]


def test_a_stream_that_goes_on_is_proved_as_far_as_heads_cover_it(country: EvidenceCountry) -> None:
    """There are always leaves that none covers yet: they are left out, and that is told."""
    talk = country.stream()
    talk.answer(1)
    for side in (country.pns, country.anip):
        side.sign(country.mark)
    for _ in range(3):
        talk.ask(1)
    # What heads cover no more: as if the worker had not come to sign.
    for side in (country.pns, country.anip):
        side.append(said_leaf(side.log.log_id, encode_statement(unsigned(side, talk))))
        with pytest.raises(ExchangeError) as refused:
            Evidence(side.directory, talk.id)
        assert refused.value.reason is Reason.PROOF_INVALID

        evidence = Evidence(side.directory, talk.id, partial=True)
        report = verified(country, dict(evidence.parts()))

        assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
        assert evidence.missing == [
            f"1 leaves of log {side.log.log_id[:16]}: not covered by a signed head yet"
        ]


def unsigned(side: Side, talk: Talk) -> Statement:
    """Another word of one side about a call."""
    first = talk.statements[0]
    of_anip = {"from_": first.to, "to": first.from_, "kind": "response", "heard": 0, "sequence": 1}
    of_pns = {"sequence": talk.asked}
    return msgspec.structs.replace(
        first, request=talk.name, **(of_pns if side.log.log_id == first.from_ else of_anip)
    )


def _restarted_provider(talk: Talk) -> None:
    """It took three segments, said that it handed on one, and was killed."""
    talk.ask(1)
    talk.answer(1, handed=0)
    talk.ask(1)
    talk.refuse(delivery="unknown", is_unknown=True)


def _restarted_provider_at_once(talk: Talk) -> None:
    """It was killed before it said anything."""
    talk.ask(1)
    talk.refuse(delivery="unknown", is_unknown=True)


def _restarted_consumer(talk: Talk) -> None:
    """It took two segments of the answer and was killed."""
    talk.answer(1)
    talk.answer(1)
    talk.end("abandon", reason="INTERRUPTED", is_unknown=True)


def _restarted_consumer_unanswered(talk: Talk) -> None:
    """There was nothing to hand on."""
    talk.ask(1)
    talk.end("abandon", reason="INTERRUPTED", is_unknown=True)


@pytest.mark.parametrize(
    ("broken", "way", "french", "english"),
    [
        (
            _restarted_provider,
            "demandé",
            "au moins 1 remis à l'adaptateur, nul ne sait si davantage",
            "at least 1 handed to the adapter, nobody knows whether more",
        ),
        (
            _restarted_provider_at_once,
            "demandé",
            "nul ne sait combien furent remis à l'adaptateur",
            "nobody knows how many were handed to the adapter",
        ),
        (
            _restarted_consumer,
            "répondu",
            "nul ne sait combien furent remis à son programme",
            "nobody knows how many were handed to its program",
        ),
        (
            _restarted_consumer_unanswered,
            "répondu",
            "0 remis à son programme",
            "0 handed to its program",
        ),
    ],
)
def test_what_nobody_knows_is_said_to_be_unknown(
    country: EvidenceCountry, broken: Break, way: str, french: str, english: str
) -> None:
    """A gateway that was stopped midway names no segment, and that is not "none"; both logs stay good."""
    talk = country.stream()
    broken(talk)

    for parts in gathered(country, talk):
        report = verified(country, parts)
        assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
        (line,) = [line for line in report.streams[0].lines() if line.fr.strip().startswith(way)]
        assert line.fr.endswith(f", {french}")
        assert line.en.endswith(f", {english}")
    talk.settle()
    for side in (country.pns, country.anip):
        (log,) = verify_logs(side.directory)
        assert log.fault is None


# --- what turns the verdict ---


def long_talk(country: EvidenceCountry) -> Talk:
    """Four segments each way."""
    talk = country.stream()
    for _ in range(2):
        talk.ask(1)
        talk.answer(1)
    talk.ask(0, final=True)
    talk.answer(1)
    talk.answer(1, final=True)
    return talk


@pytest.mark.parametrize("way", ["request", "response"])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_middle_segment_is_named(country: EvidenceCountry, way: str, missing: int) -> None:
    """With its record, receipt and all: the numbers tell."""
    for parts in gathered(country, long_talk(country)):
        report = verified(country, without(parts, f"-{way}-{missing}.json"))

        assert why_not(report).endswith(f"{way} segment {missing + 1}: segment {missing} is missing")


def test_a_missing_last_segment_is_told_by_who_handed_it_on(country: EvidenceCountry) -> None:
    """The provider says that it handed on what is not here."""
    for parts in gathered(country, long_talk(country)):
        report = verified(country, without(parts, "-request-3.json"))

        assert "says that request segment 3 was handed on, which is not here" in why_not(report)


def test_a_missing_first_segment_leaves_nothing(country: EvidenceCountry) -> None:
    """It is what all others name."""
    for parts in gathered(country, long_talk(country)):
        report = verified(country, without(parts, "-request-0.json"))

        assert report.verdict is Verdict.INVALID
        assert "belongs to a request that is not in the container" in why_not(report)


def test_a_doubled_segment_is_named(country: EvidenceCountry) -> None:
    """The same leaf under another name."""
    for parts in gathered(country, long_talk(country)):
        manifest = parse_manifest(parts[MANIFEST])
        (one,) = [leaf for leaf in manifest.leaves if "-request-1.json" in leaf.path]
        path = "statements/000099-request-1.json"
        leaves = [*manifest.leaves, msgspec.structs.replace(one, path=path)]
        report = verified(country, with_leaves(parts, leaves, {path: parts[one.path]}))

        assert why_not(report) == f"{path} is the leaf of {one.path} once more"


def test_a_segment_of_another_call_is_named(country: EvidenceCountry) -> None:
    """Even under the same exchange id, where only the name of the call tells the two apart (docs/adr/0021)."""
    talk = long_talk(country)
    other = country.stream(exchange=talk.id)
    other.ask(1)
    other.answer(1)

    for parts in gathered(country, talk):
        whole = verified(country, parts)
        report = verified(country, without(parts, _second(parts)))

        assert whole.verdict is Verdict.VALID, [step for step in whole.steps if step.findings]
        assert len(whole.streams) == 2
        assert "belongs to a request that is not in the container" in why_not(report)


def _second(parts: Parts) -> str:
    """Name of the first segment of the second call."""
    firsts = [
        one.path for one in parse_manifest(parts[MANIFEST]).leaves if one.path.endswith("-request-0.json")
    ]
    return sorted(firsts)[1]


Lie = Callable[[Talk], None]


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (lambda talk: talk.ask(1, sequence=2), "request segment 2: segment 1 is missing"),
        (lambda talk: (talk.ask(1), talk.ask(1, sequence=1)), "request segment 1: stands twice"),
        (lambda talk: (talk.ask(1, sequence=2), talk.ask(1, sequence=1)), "which it follows"),
        (
            lambda talk: (talk.ask(0, final=True), talk.ask(1)),
            "request segment 2 stands behind the final one",
        ),
        (lambda talk: (talk.ask(0, final=True), talk.ask(0, final=True)), "stands behind the final one"),
        (lambda talk: talk.ask(1, purpose="P01", issue="ACT-2"), "differs from its request in 'issue'"),
        (lambda talk: talk.ask(1, encoding="gzip"), "differs from segment 0 in 'encoding'"),
        (lambda talk: talk.answer(1, sequence=1), "response segment 1: segment 0 is missing"),
        (lambda talk: (talk.answer(1), talk.answer(1, sequence=0)), "response segment 0: stands twice"),
        (
            lambda talk: (talk.answer(1, final=True), talk.answer(1)),
            "response segment 1 stands behind the final one",
        ),
        (lambda talk: talk.answer(1, handed=1), "says that request segment 1 was handed on"),
        (
            lambda talk: (talk.ask(1), talk.answer(1), talk.answer(1, handed=0)),
            "says that request segment 0 was handed on, and 1 before",
        ),
        (lambda talk: (talk.refuse(), talk.answer(1)), "response segment 0 stands behind the refusal"),
        (lambda talk: talk.ask(65), "holds more than 64 messages"),
        (lambda talk: talk.ask(1, request="ab" * 32), "belongs to a request that is not in the container"),
    ],
)
def test_segments_that_contradict_each_other_turn_the_verdict(
    country: EvidenceCountry, lie: Lie, why: str
) -> None:
    """Signed by whom they should be, taken by the other: two gateways in league prove nothing with them."""
    talk = country.stream()
    lie(talk)

    for parts in gathered(country, talk):
        assert why in why_not(verified(country, parts))


@pytest.mark.parametrize(
    ("lie", "liar", "why"),
    [
        (lambda talk: talk.end("cancel", handed=7), "pns", "says that response segment 7 was handed on"),
        (
            lambda talk: (talk.end(), talk.answer(1, handed=7, heard="late")),
            "anip",
            "says that request segment 7 was handed on",
        ),
        (
            lambda talk: (talk.end(), talk.refuse(handed=7, heard="late")),
            "anip",
            "says that request segment 7 was handed on",
        ),
        (
            lambda talk: (talk.end(), talk.answer(65, heard="late")),
            "anip",
            "holds more than 64 messages",
        ),
        (
            lambda talk: (talk.end(), talk.refuse(heard="late"), talk.answer(1, heard="late")),
            "anip",
            "stands behind the refusal that ended the call",
        ),
    ],
)
def test_what_a_peer_claims_last_is_laid_on_the_peer(
    country: EvidenceCountry, lie: Lie, liar: str, why: str
) -> None:
    """Nobody checked it when it came: it is named, counts for nothing, and the other's evidence stands."""
    talk = country.stream()
    talk.answer(1)
    lie(talk)
    talk.settle()
    sides = {"pns": country.pns, "anip": country.anip}
    own = verified(country, gather_evidence(sides.pop(liar).directory, talk.id))
    (other,) = sides.values()

    report = verified(country, gather_evidence(other.directory, talk.id))

    assert why in why_not(own)
    assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
    (remark,) = [one.en for one in report.remarks if "alone says so" in one.en]
    assert remark.startswith(f"BJ/GOV/{liar.upper()}/gw1 alone says so")
    assert why in remark
    assert max(number or 0 for *_, number in ways(report).values()) <= 1
    assert ways(report)["answered"][:2] == (1, 1)


def test_the_end_of_an_agreement_ends_the_stream_and_not_its_evidence(country: EvidenceCountry) -> None:
    """What was said before is proved; the refusal then, and what was not taken any more, are right (PROTOCOL M16)."""
    talk = country.stream()
    talk.answer(1)
    country.clock.advance(timedelta(days=1, seconds=5))
    talk.ask(1, heard="refused:NO_AGREEMENT")
    talk.refuse("NO_AGREEMENT", handed=0)

    for parts in gathered(country, talk):
        report = verified(country, parts)

        assert report.verdict is Verdict.VALID, [step for step in report.steps if step.findings]
        assert "refused: the agreement does not cover the call" in [one.en for one in report.remarks]


def test_an_answer_behind_the_end_of_the_agreement_is_not_covered(country: EvidenceCountry) -> None:
    talk = country.stream()
    talk.answer(1)
    country.clock.advance(timedelta(days=1, seconds=5))
    talk.answer(1)

    for parts in gathered(country, talk):
        report = verified(country, parts)

        assert report.verdict is Verdict.INVALID
        assert [step.number for step in report.steps if step.verdict is StepVerdict.FAILED] == [7]


def test_a_message_in_the_place_of_metadata_is_named(country: EvidenceCountry) -> None:
    """It would be one that nobody counts."""
    good, bad = country.stream(), country.stream()
    good.answer(1)
    good.answer(1, final=True)
    bad.answer(0, final=True, payloads_of=(b"\x00\x00\x00\x09x", b""))

    for talk, wanted in (
        (good, []),
        (bad, ["bodies/000003-response-0.bin: what should be metadata is not"]),
    ):
        talk.settle()
        for side in (country.pns, country.anip):
            report = verified(country, gather_evidence(side.directory, talk.id, open_bodies=opener(side)))
            assert [finding for step in report.steps for finding in step.findings] == wanted


# --- any stream, any change ---

# Each act of a stream: who speaks, how many messages, whether the road still carries it.
ACTS = st.lists(
    st.tuples(st.sampled_from(["ask", "answer"]), st.integers(0, 3), st.booleans()), min_size=1, max_size=7
)
ENDS = st.sampled_from(["none", "final", "cancel", "abandon", "refusal"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, end=ENDS, data=st.data())
def test_any_stream_is_proved_and_any_change_of_it_is_found(
    shared: EvidenceCountry, acts: list[tuple[str, int, bool]], end: str, data: st.DataObject
) -> None:
    """However it was cut into segments and wherever it broke; a leaf left out, doubled or changed turns the verdict."""
    talk = shared.stream()
    lost = False
    for who, messages, is_carried in acts:
        lost = lost or not is_carried
        heard = None if lost else "taken"
        if who == "ask":
            talk.ask(1 + messages, heard=heard)
        else:
            talk.answer(1 + messages, heard=heard)
    _end(talk, end, lost=lost)

    for side, parts in zip((shared.pns, shared.anip), gathered(shared, talk), strict=True):
        whole = verified(shared, parts)
        assert whole.verdict is Verdict.VALID, [step for step in whole.steps if step.findings]
        _require_found(shared, side, parts, data)


def _end(talk: Talk, end: str, *, lost: bool) -> None:
    heard = None if lost else "taken"
    if end == "final" and not lost:
        talk.ask(0, final=True)
        talk.answer(1, final=True)
    elif end in ("cancel", "abandon"):
        talk.end(end, heard=heard)
    elif end == "refusal":
        talk.refuse(heard=heard)


def _require_found(country: EvidenceCountry, side: Side, parts: Parts, data: st.DataObject) -> None:
    leaves = parse_manifest(parts[MANIFEST]).leaves
    numbers: dict[str, list[int]] = {"request": [], "response": []}
    for one in leaves:
        kind, _, number = one.path.removesuffix(".json").partition("-")[2].partition("-")
        if kind in numbers and number.isdigit():
            numbers[kind].append(int(number))
    middle = [(kind, one) for kind, some in numbers.items() for one in some if one < max(some)]
    if middle:
        way, missing = data.draw(st.sampled_from(middle))
        assert verified(country, without(parts, f"-{way}-{missing}.json")).verdict is Verdict.INVALID
    path = data.draw(st.sampled_from([one.path for one in leaves]))
    # Numbers of leaves get longer as the log grows: what is drawn must not hang on that.
    at = data.draw(st.integers(0, 2**20)) % len(parts[path])
    changed = bytearray(parts[path])
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert verified(country, parts | {path: bytes(changed)}).verdict is Verdict.INVALID
