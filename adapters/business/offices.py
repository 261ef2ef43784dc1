"""The two offices that number a new firm after the register: DGI (tax number) and CNSS (employer's number).

Neither is a member of the sandbox. Here each is a small stand-in behind the interface that a call on the road would
have: it gives numbers of the reserved ranges from books of its own, may be declared closed or refusing (table
``office``, read at every call, so that a running adapter shows the degraded mode), and gives one dossier one number,
however often it is asked. The day DGI joins, ``Office`` is implemented by a call to ``BJ/GOV/DGI/CFISC`` and nothing
else changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import sqlalchemy as sa

from adapters.business.forms import FORMS, IFU_COMPANY, IFU_MAN, IFU_WOMAN, LegalForm
from adapters.business.tables import OFFICE, OFFICE_NUMBER
from adapters.kit.calendar import day_of
from adapters.kit.numbers import next_number
from adapters.kit.store import Store
from core.clock import Clock

DGI: Final = "dgi"
CNSS: Final = "cnss"

# Reserved ranges (DOMAIN section 6): ranks of tax numbers from 900000. Numbers of the CNSS have no published form:
# seven to ten digits, here nine.
_FIRST_RANK: Final = 900_000
_LAST_RANK: Final = 999_999
_FIRST_EMPLOYER: Final = 995_000_000


class OfficeState(StrEnum):
    """How an office stands."""

    OPEN = "open"
    CLOSED = "closed"
    """It does not answer: whoever asks tries again."""
    REFUSING = "refusing"
    """It refuses for good; ``reason`` tells why."""


class OfficeClosedError(Exception):
    """The office does not answer; the same may be asked again."""


class OfficeRefusedError(Exception):
    """The office refuses for good. The text tells the applicant why, and names nobody."""


@dataclass(frozen=True, slots=True)
class NewFirm:
    """What an office is told of a firm that was registered."""

    reference: str
    rccm: str
    legal_form: LegalForm
    owner_sex: str
    """``M`` or ``F``; of firms that are their owner."""


class Office(Protocol):
    """An office that numbers firms."""

    def assign(self, firm: NewFirm) -> str:
        """The number of ``firm``; asked again for the same dossier, the same number.

        Raises:
            OfficeClosedError: It does not answer.
            OfficeRefusedError: It refuses for good.
        """
        ...

    def give_back(self, reference: str) -> bool:
        """The registration behind a number is undone: the number is never given to anybody else.

        Returns whether there was a number.

        Raises:
            OfficeClosedError: It does not answer.
        """
        ...


def office(store: Store, clock: Clock, name: str) -> Office:
    """The office of that name."""
    return SandboxOffice(name, store, clock)


class SandboxOffice:
    """A stand-in of one office: its books are tables beside the register's."""

    def __init__(self, name: str, store: Store, clock: Clock) -> None:
        self._name = name
        self._store = store
        self._clock = clock

    def assign(self, firm: NewFirm) -> str:
        """As ``Office``."""
        return self._store.write(lambda tx: self._assign(tx, firm))

    def give_back(self, reference: str) -> bool:
        """As ``Office``."""

        def work(tx: sa.Connection) -> bool:
            if office_state(tx, self._name)[0] is OfficeState.CLOSED:
                raise OfficeClosedError
            given = (OFFICE_NUMBER.c.office == self._name, OFFICE_NUMBER.c.reference == reference)
            return tx.execute(OFFICE_NUMBER.update().where(*given).values(given_back=True)).rowcount > 0

        return self._store.write(work)

    def _assign(self, tx: sa.Connection, firm: NewFirm) -> str:
        state, reason = office_state(tx, self._name)
        if state is OfficeState.CLOSED:
            raise OfficeClosedError
        given = (OFFICE_NUMBER.c.office == self._name, OFFICE_NUMBER.c.reference == firm.reference)
        known = tx.execute(sa.select(OFFICE_NUMBER.c.number).where(*given)).scalar()
        if known is not None:
            # Given before it began to refuse: the answer is lost, the number is not.
            return str(known)
        if state is OfficeState.REFUSING:
            raise OfficeRefusedError(reason)
        number = self._next(tx, firm)
        row = {"office": self._name, "reference": firm.reference, "number": number, "given_back": False}
        tx.execute(OFFICE_NUMBER.insert(), row)
        return number

    def _next(self, tx: sa.Connection, firm: NewFirm) -> str:
        if self._name == CNSS:
            return f"{_FIRST_EMPLOYER + next_number(tx, 'office/cnss'):09d}"
        kind = holder_digit(firm.legal_form, firm.owner_sex)
        branch = "0" if FORMS[firm.legal_form].is_person else "1"
        year = day_of(self._clock.now_ms()).year
        for rank in _ranks(tx, f"office/dgi/{year}"):
            # How the last digit is computed is not published: here it says nothing.
            number = f"{kind}{year}{rank:06d}{branch}{rank % 10}"
            if not tx.execute(
                sa.select(OFFICE_NUMBER.c.number).where(OFFICE_NUMBER.c.number == number)
            ).first():
                return number
        raise OfficeRefusedError("le livre des numéros de l'année est plein")


def _ranks(tx: sa.Connection, series: str) -> Iterator[int]:
    """The ranks that are left in a book, one after the other."""
    while (rank := _FIRST_RANK - 1 + next_number(tx, series)) <= _LAST_RANK:
        yield rank


def holder_digit(legal_form: LegalForm, owner_sex: str) -> str:
    """The first digit of a tax number."""
    if FORMS[legal_form].is_person:
        return IFU_WOMAN if owner_sex == "F" else IFU_MAN
    return IFU_COMPANY


def office_state(tx: sa.Connection, name: str) -> tuple[OfficeState, str]:
    """How an office stands, and why it refuses."""
    row = tx.execute(sa.select(OFFICE.c.state, OFFICE.c.reason).where(OFFICE.c.name == name)).first()
    return (OfficeState(row.state), row.reason) if row else (OfficeState.OPEN, "")


def declare_office(tx: sa.Connection, name: str, state: OfficeState, reason: str = "") -> None:
    """Say how an office stands from now on; a running adapter goes by it at its next call."""
    if name not in (DGI, CNSS):
        raise ValueError("the offices are dgi and cnss")
    if state is OfficeState.REFUSING and len(reason) < 5:
        raise ValueError("an office that refuses says why, in five characters or more")
    tx.execute(OFFICE.delete().where(OFFICE.c.name == name))
    tx.execute(OFFICE.insert(), {"name": name, "state": state, "reason": reason})
