"""What officers write is read strictly: one form for each thing, within what a register can hold and reckon with."""

from collections.abc import Callable

import pytest

from adapters.kit import forms

# As long as any can be; a register's column has 100 characters.
LONGEST = "BJ/ABCDE/" + "M" * 32 + "/" + "S" * 32


@pytest.mark.parametrize(
    ("read", "written", "kept"),
    [
        (forms.day, "2026-11-28", "2026-11-28"),
        (forms.day, "2199-12-31", "2199-12-31"),
        (forms.purposes, "P03", "P03"),
        (forms.purposes, "P08,P01,P01", "P01 P08"),
        (forms.subsystem, "BJ/COM/BANQUE/CREDIT", "BJ/COM/BANQUE/CREDIT"),
        (forms.subsystem, LONGEST, LONGEST),
        (forms.handle, "AD-COT/2026-41", "AD-COT/2026-41"),
        (forms.text(20), "limite contestée", "limite contestée"),
        (forms.text(40), "dossier 22021900003040, 7202190000304", "dossier 22021900003040, 7202190000304"),
    ],
)
def test_what_is_in_its_form_is_kept(read: Callable[[str], str], written: str, kept: str) -> None:
    """In one form."""
    assert read(written) == kept


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (forms.day, "9999-12-31"),
        (forms.day, "2200-01-01"),
        (forms.day, "1899-12-31"),
        (forms.day, "20261128"),
        (forms.day, "2026-W48-6"),
        (forms.day, "2026-02-30"),
        (forms.purposes, "P3"),
        (forms.purposes, "P09"),
        (forms.purposes, "P00"),
        (forms.purposes, "P01 P03"),
        (forms.purposes, "P02,"),
        (forms.purposes, ",".join(f"P{number:02d}" for number in range(1, 30))),
        (forms.subsystem, LONGEST + "S"),
        (forms.subsystem, "BJ/COM/BANQUES"),
        (forms.handle, ""),
        (forms.handle, "A" * 65),
        (forms.handle, "NPI/0000000001"),
        (forms.handle, "IFU-2202190000304"),
        (forms.text(40), "de 2202190000304, commerçante"),
        (forms.text(20), ""),
        (forms.text(20), "x" * 21),
        (forms.text(20), "deux\nlignes"),
        (forms.text(40), "contre 0000000001"),
    ],
)
def test_whatever_else_is_refused_and_not_repeated(read: Callable[[str], str], written: str) -> None:
    """In both languages; also what a database of one kind would take and the other would not."""
    with pytest.raises(forms.FormError, match=r"^must ") as refused:
        read(written)
    assert refused.value.must.fr.startswith(("doit ", "ne doit "))
    assert not written or not any(written in must for must in refused.value.must)
