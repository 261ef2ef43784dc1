"""Checks of the keys of pseudonyms: one for each year; without this year's, calls about persons are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from core.language import Text
from core.pseudonyms import year_of
from core.reasons import ExchangeError
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level
from gateway.doctor.private_files import file_fault, key_finding, put_back
from pki.pseudonyms import key_file, read_key, years_held

_NEXT_YEAR_MS: Final = 60 * 86_400_000


def pseudonym_key_faults(case: Case) -> Iterator[Finding]:
    """Each key that is there, and this year's; a warning if the next year has none and is near."""
    directory, year = case.directory.pseudonym_keys, year_of(case.now_ms)
    try:
        held = years_held(directory)
    except ExchangeError:
        held = []
    for one in sorted({year, *held}):
        path = key_file(directory, one)
        name = Text(f"Clé des pseudonymes {one}", f"Key of pseudonyms {one}")
        fault = file_fault(case, name, path)
        if fault is None:
            try:
                read_key(directory, one)
                continue
            except ExchangeError:
                fault = key_finding(name, path, Text("n'est pas une clé", "is no key"), put_back(path))
        if one == year and one not in held:
            fault = replace(fault, remedy=_add_keys(fault.remedy))
        yield fault
    if year in held and year + 1 not in held and year_of(case.now_ms + _NEXT_YEAR_MS) > year:
        path = key_file(directory, year + 1)
        what = Text(
            "absente : au 1er janvier, les appels qui portent sur des personnes seront refusés",
            "missing: from 1 January on, calls about persons will be refused",
        )
        name = Text(f"Clé des pseudonymes {year + 1}", f"Key of pseudonyms {year + 1}")
        yield replace(key_finding(name, path, what, _add_keys(None)), level=Level.WARNING)


def _add_keys(otherwise: Text | None) -> Text:
    """Made only if no gateway of the member ever had one: a second key of a year gives a person a second pseudonym."""
    new = Text(
        "si aucune passerelle du membre n'en a : `passerelle gateway pseudonym-keys` ; si l'une en a : la même commande "
        "avec --from",
        "if no gateway of the member has one: `passerelle gateway pseudonym-keys`; if one has: the same command "
        "with --from",
    )
    return new if otherwise is None else Text(f"{otherwise.fr} ; {new.fr}", f"{otherwise.en}; {new.en}")
