"""What a verification says: numbered steps, each with its verdict, and one verdict over all."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from audit.streams import Progress
from core.language import Text


class Verdict(StrEnum):
    """The three verdicts over evidence (PROTOCOL M9)."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNDETERMINED = "UNDETERMINED"

    @property
    def text(self) -> Text:
        """The verdict in words."""
        return _VERDICTS[self]


class StepVerdict(StrEnum):
    """How one step went."""

    GOOD = "GOOD"
    FAILED = "FAILED"
    OPEN = "OPEN"
    ABSENT = "ABSENT"

    @property
    def text(self) -> Text:
        """The same in words."""
        return _STEPS[self]


_VERDICTS: Final = {
    Verdict.VALID: Text("AUTHENTIQUE", "VALID"),
    Verdict.INVALID: Text("NON VALABLE", "INVALID"),
    Verdict.UNDETERMINED: Text("INDÉTERMINÉ", "UNDETERMINED"),
}
_STEPS: Final = {
    StepVerdict.GOOD: Text("BON", "GOOD"),
    StepVerdict.FAILED: Text("FAUTE", "FAILED"),
    StepVerdict.OPEN: Text("INDÉTERMINÉ", "UNDETERMINED"),
    StepVerdict.ABSENT: Text("SANS OBJET", "NOT PRESENT"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a verification.

    Attributes:
        number: Its number, from 1.
        title: What it establishes.
        verdict: How it went.
        findings: What failed or is missing, in English, with the parts' names.
    """

    number: int
    title: Text
    verdict: StepVerdict
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All steps over one container.

    Attributes:
        exchange: The exchange; empty if the container does not tell.
        steps: The steps in order; those behind a container that cannot be read are left out.
        facts: What is proved if the verdict is VALID: names as statements have them.
        remarks: What a reader must know about the verdict.
        streams: How far each call of several segments came, if the verdict is VALID.
        cuts: By request, both as leaf hashes, the answers that say what they were cut from, if the verdict is VALID.
    """

    exchange: str
    steps: tuple[Step, ...]
    facts: dict[str, str]
    remarks: tuple[Text, ...]
    streams: tuple[Progress, ...] = ()
    cuts: Mapping[str, Set[str]] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """INVALID if a step failed, UNDETERMINED if one is open, else VALID."""
        found = {step.verdict for step in self.steps}
        if StepVerdict.FAILED in found or not self.steps:
            return Verdict.INVALID
        return Verdict.UNDETERMINED if StepVerdict.OPEN in found else Verdict.VALID
