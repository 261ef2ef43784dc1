"""What a plan marks in a message, read field by field without any haste: the measure for ``core.marks``."""

from __future__ import annotations

from collections.abc import Iterator

from core.wire import Mark, Plan, read_field

Noted = tuple[list[bytes], int | None, int]
"""Subjects, highest class, records."""


def noted(plan: Plan, data: bytes) -> Noted:
    """What ``plan`` marks in ``data``, a message that ``core.wire.walk`` takes."""
    marked = list(_marked(plan, 0, data))
    return (
        [value for mark, value in marked if mark.is_subject],
        max((mark.sensitivity for mark, _ in marked), default=None),
        sum(mark.is_record for mark, _ in marked),
    )


def _marked(plan: Plan, table: int, data: bytes) -> Iterator[tuple[Mark, bytes]]:
    at = 0
    while at < len(data):
        tag, _, value, at = read_field(data, at)
        rule = plan[table].get(tag)
        if rule is not None and rule.mark is not None:
            yield rule.mark, data[value:at]
        if rule is not None and rule.into >= 0:
            yield from _marked(plan, rule.into, data[value:at])
