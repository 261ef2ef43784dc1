"""SearchPerson finds by words and years what reading the whole register would find, on either database."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from adapters.identity.comparison import divided
from adapters.identity.person import Person, RecordState
from adapters.identity.seed import population, record_of
from adapters.identity.service import IdentityService
from adapters.identity.store import PersonStore, migrate, open_store
from bj.identity.v1 import identity_pb2 as pb
from core.clock import ManualClock


class Scanned:
    """A register without words: everybody whom searches may see, of the years asked for or of an unknown one."""

    def __init__(self, people: list[Person]) -> None:
        self._people = sorted(people, key=lambda one: one.npi)

    def search(
        self, last_name: str, first_names: str, years: tuple[int, int] | None, limit: int
    ) -> list[Person]:
        return [
            one
            for one in self._people
            if one.state == RecordState.ACTIVE and not one.death_date
            if years is None or not one.birth_date or years[0] <= int(one.birth_date[:4]) <= years[1]
        ][:limit]


def people() -> list[Person]:
    """A country of 150, and some whose names are divided oddly, whose year is unknown, or very early."""
    koffi = record_of("0000000001")
    odd = [
        replace(
            koffi, npi="0000000801", last_name="DOSSOU", marital_name="AHOUAN SOU", first_names="AMA LEA"
        ),
        replace(koffi, npi="0000000802", last_name="AMA", marital_name="", first_names="DOSSOU SOU"),
        replace(koffi, npi="0000000803", birth_date=""),
        replace(koffi, npi="0000000804", birth_date="0001"),
        replace(koffi, npi="0000000805", birth_date="9999"),
    ]
    return [*population(size=150), *odd]


@pytest.fixture
def store(database: str) -> Iterator[PersonStore]:
    """The register of those people."""
    migrate(database)
    store = open_store(database)
    store.replace_all(people())
    yield store
    store.close()


def requests() -> Iterator[pb.SearchPersonRequest]:
    """What somebody may write who means one of them, or nobody."""
    draw = random.Random(5)
    everybody = people()
    for one in [*everybody[-5:] * 6, *draw.choices(everybody, k=120)]:
        last = draw.choice(
            [one.last_name, one.marital_name or one.last_name, f"{one.last_name} {one.marital_name}"]
        )
        first = " ".join(draw.sample(one.first_names.split(), draw.randint(1, len(one.first_names.split()))))
        names = [_written(draw, last), _written(draw, first)]
        if draw.random() < 0.2:
            names.reverse()
        born = draw.choice(
            ["", one.birth_date, one.birth_date[:4], one.birth_date[:7], "1990", "0002", "9998"]
        )
        yield pb.SearchPersonRequest(
            last_name=names[0],
            first_names=names[1],
            birth_date=born,
            birth_years_around=draw.randint(0, 2) if born else 0,
            mother_last_name=draw.choice(["", one.mother_last_name]),
        )
    yield pb.SearchPersonRequest(
        last_name="Adjovi", first_names="Koffi", birth_date="0001", birth_years_around=2
    )
    yield pb.SearchPersonRequest(last_name="a " * 49 + "Adjovi", first_names="b " * 99, birth_date="1987")
    for odd in ("DO SSOU AHOUANSOU", "DOSSOUAHOUAN SOU", "dossouahouansou", "--", "ahouansou dossou dossou"):
        yield pb.SearchPersonRequest(last_name=odd, first_names="Léa", birth_date="1987")


def _written(draw: random.Random, name: str) -> str:
    """As it stands, in one, divided elsewhere, in another order, in other letters, or with a word too many."""
    words, whole = divided(name)
    cut = draw.randint(0, len(whole))
    shuffled = draw.sample(words, len(words))
    return draw.choice(
        [
            name,
            name,
            whole,
            f"{whole[:cut]} {whole[cut:]}",
            " ".join(shuffled),
            name.title(),
            f"{name}-{draw.choice(words)}x",
        ]
    )


Answer = tuple[pb.SearchPersonRequest, list[tuple[int, Person]]]


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    """What reading the whole register finds."""
    scan = IdentityService(cast(PersonStore, Scanned(people())), ManualClock())
    found = [(request, scan._matching(request, is_own=False)) for request in requests()]
    assert sum(len(matching) for _, matching in found) > 50
    return found


def test_a_search_finds_whom_a_reading_of_the_whole_register_finds(
    store: PersonStore, answers: list[Answer]
) -> None:
    """The same people with the same scores in the same order, however they are written, whatever the years."""
    service = IdentityService(store, ManualClock())

    for request, expected in answers:
        assert service._matching(request, is_own=False) == expected, request
