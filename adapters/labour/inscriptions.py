"""What the ministry's officers write of their own accord: inspectorates' subsystems, work permits, labour disputes."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.kit import forms
from adapters.kit.aliases import merger_inscription
from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.inscriptions import Field, Inscription, Inscriptions, Values, require
from adapters.labour.contracts import find_permit
from adapters.labour.employers import find_by_ifu, has_open_dispute
from adapters.labour.tables import DISPUTES, INSPECTORATES, PERMITS, TRAIL
from adapters.labour.workers import follow_merger
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from core.language import Text

_TERM: Final = Text("ne doit pas être avant valid_from", "must not be before valid_from")


def _link(desk: Desk, tx: sa.Connection, values: Values) -> None:
    known = sa.select(INSPECTORATES).filter_by(**values)
    require(tx.execute(known).first() is None)
    tx.execute(INSPECTORATES.insert().values(**values))


def _unlink(desk: Desk, tx: sa.Connection, values: Values) -> None:
    ended = tx.execute(INSPECTORATES.delete().filter_by(**values))
    if not ended.rowcount:
        raise ProviderError(ProviderReason.NOT_FOUND)


def _permit(desk: Desk, tx: sa.Connection, values: Values) -> None:
    """A renewal is a permit of another number."""
    require(find_permit(tx, values["permit_no"]) is None)
    if values["valid_until"] < values["valid_from"]:
        raise InvalidFieldsError({"valid_until": _TERM})
    tx.execute(PERMITS.insert().values(**values))


def _open_dispute(desk: Desk, tx: sa.Connection, values: Values) -> None:
    """One at a time for each employer: the attestation hangs on whether there is any."""
    employer_id = _employer(tx, values)
    today = _today(desk)
    begun = sa.select(DISPUTES.c.employer_id).where(
        DISPUTES.c.employer_id == employer_id, DISPUTES.c.opened_on == today
    )
    require(not has_open_dispute(tx, employer_id) and tx.execute(begun).first() is None)
    tx.execute(DISPUTES.insert().values(employer_id=employer_id, opened_on=today, closed_on=""))


def _close_dispute(desk: Desk, tx: sa.Connection, values: Values) -> None:
    employer_id = _employer(tx, values)
    require(has_open_dispute(tx, employer_id))
    tx.execute(
        DISPUTES.update()
        .where(DISPUTES.c.employer_id == employer_id, DISPUTES.c.closed_on == "")
        .values(closed_on=_today(desk))
    )


def _employer(tx: sa.Connection, values: Values) -> int:
    employer = find_by_ifu(tx, values["ifu"])
    if employer is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    return employer.id


def _today(desk: Desk) -> str:
    return day_of(desk.clock.now_ms()).isoformat()


_SUBSYSTEM: Final = (
    Field("client", Text("sous-système de l'inspection", "the inspectorate's subsystem"), forms.subsystem),
    Field(
        "inspectorate_code",
        Text("son ressort, LI", "its district, LI"),
        forms.matching(
            r"[A-Z]{2}(-[A-Z]{3}(-[0-9]{2}(-[0-9]{3})?)?)?",
            Text(
                "doit être écrit LI, LI-COT, LI-COT-05 ou LI-COT-05-012",
                "must be written LI, LI-COT, LI-COT-05 or LI-COT-05-012",
            ),
        ),
    ),
)
# Of a sole trader, it is a person's number.
_EMPLOYER: Final = Field("ifu", Text("IFU de l'employeur", "the employer's IFU"), forms.ifu, is_personal=True)

INSCRIPTIONS: Final = Inscriptions(
    TRAIL,
    Inscription(
        "inspectorate",
        Text("le sous-système d'une inspection", "the subsystem of an inspectorate"),
        _SUBSYSTEM,
        _link,
    ),
    Inscription(
        "inspectorate-end",
        Text("la fin de ce lien", "the end of that link"),
        _SUBSYSTEM,
        _unlink,
    ),
    merger_inscription(follow_merger),
    Inscription(
        "permit",
        Text("un permis de travail", "a work permit"),
        (
            Field(
                "permit_no",
                Text("son numéro, PT-2026-000123", "its number, PT-2026-000123"),
                forms.matching(
                    r"PT-20[0-9]{2}-[0-9]{4,8}",
                    Text("doit être écrit PT-2026-000123", "must be written PT-2026-000123"),
                ),
            ),
            Field("npi", Text("NPI du travailleur", "the worker's NPI"), forms.npi, is_personal=True),
            Field("valid_from", Text("premier jour", "first day"), forms.day),
            Field("valid_until", Text("dernier jour", "last day"), forms.day),
        ),
        _permit,
    ),
    Inscription("dispute", Text("un litige du travail", "a labour dispute"), (_EMPLOYER,), _open_dispute),
    Inscription(
        "dispute-end",
        Text("la fin d'un litige", "a dispute settled"),
        (_EMPLOYER,),
        _close_dispute,
        is_final=True,
    ),
)
