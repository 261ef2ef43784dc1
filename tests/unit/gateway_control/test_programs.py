"""The programs of a member, pinned by certificate."""

import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.identifiers import ProgramId
from core.reasons import ExchangeError, MalformedError, Reason
from gateway.control.programs import PinnedPrograms
from pki.keys import generate_key, key_pem, key_thumbprint, public_key_pem

WEB = ProgramId.parse("BJ/GOV/PNS/PORTAIL/web")
BATCH = ProgramId.parse("BJ/GOV/PNS/PORTAIL/nuit")
THUMBPRINTS = [letter * 43 for letter in "abcdefghij"]


def _spki(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def programs(tmp_path: Path) -> PinnedPrograms:
    return PinnedPrograms(tmp_path / "state" / "programs.json")


def test_nobody_is_admitted_before_the_first_program(programs: PinnedPrograms) -> None:
    """No file, no program."""
    assert programs.entries() == []


def test_a_program_that_was_added_is_admitted(programs: PinnedPrograms) -> None:
    """Under its own certificate."""
    programs.add(WEB, THUMBPRINTS[0])

    (entry,) = programs.entries()
    assert (entry.id, entry.thumbprint, entry.state) == (str(WEB), THUMBPRINTS[0], "active")


def test_a_renewed_program_keeps_its_old_certificate_until_it_is_removed(programs: PinnedPrograms) -> None:
    """So that a renewal loses no call."""
    programs.add(WEB, THUMBPRINTS[0])
    programs.add(WEB, THUMBPRINTS[1])

    assert len(programs.entries()) == 2
    assert programs.remove(WEB) == 2


def test_a_removed_program_is_kept_as_removed(programs: PinnedPrograms) -> None:
    """Who was admitted once can still be told; the others are untouched."""
    programs.add(WEB, THUMBPRINTS[0])
    programs.add(BATCH, THUMBPRINTS[1])

    programs.remove(WEB)

    assert [(entry.id, entry.state) for entry in programs.entries()] == [
        (str(BATCH), "active"),
        (str(WEB), "removed"),
    ]


def test_a_program_that_is_not_there_cannot_be_removed(programs: PinnedPrograms) -> None:
    """Nor can one be removed twice."""
    programs.add(WEB, THUMBPRINTS[0])
    programs.remove(WEB)

    for program in (WEB, BATCH):
        with pytest.raises(ExchangeError):
            programs.remove(program)


def test_a_key_for_tokens_is_admitted_beside_certificates(programs: PinnedPrograms) -> None:
    """Under its thumbprint; the private half never comes here."""
    key = generate_key().public_key()
    programs.add(WEB, THUMBPRINTS[0])

    thumbprint = programs.add_key(WEB, public_key_pem(key))

    assert thumbprint == key_thumbprint(key)
    found = {entry.thumbprint: entry.public_key for entry in programs.entries()}
    assert found == {THUMBPRINTS[0]: None, thumbprint: public_key_pem(key)}


def test_one_credential_goes_and_the_others_stay(programs: PinnedPrograms) -> None:
    """So that a key can be changed without a pause."""
    old = programs.add_key(WEB, public_key_pem(generate_key().public_key()))
    new = programs.add_key(WEB, public_key_pem(generate_key().public_key()))

    assert programs.remove(WEB, old) == 1

    assert {entry.thumbprint: entry.state for entry in programs.entries()} == {old: "removed", new: "active"}


def test_one_key_speaks_for_one_program(programs: PinnedPrograms) -> None:
    """Else a token would not tell who calls; once removed, it may be given to another."""
    key = public_key_pem(generate_key().public_key())
    programs.add_key(WEB, key)

    with pytest.raises(ExchangeError) as refused:
        programs.add_key(BATCH, key)

    assert refused.value.reason is Reason.ALREADY_EXISTS
    programs.remove(WEB)
    programs.add_key(BATCH, key)
    assert [(entry.id, entry.state) for entry in programs.entries()] == [(str(BATCH), "active")]


@pytest.mark.parametrize("name", ["private", "ed25519", "p384", "rsa", "text"])
def test_another_thing_than_a_p256_public_key_is_refused(name: str, programs: PinnedPrograms) -> None:
    """A private key above all: it stays with its program."""
    pem = {
        "private": key_pem(generate_key()),
        "ed25519": _spki(ed25519.Ed25519PrivateKey.generate().public_key()),
        "p384": _spki(ec.generate_private_key(ec.SECP384R1()).public_key()),
        "rsa": _spki(rsa.generate_private_key(65537, 2048).public_key()),
        "text": b"key",
    }[name]

    with pytest.raises(MalformedError):
        programs.add_key(WEB, pem.decode())

    assert programs.entries() == []


def test_a_key_under_anothers_thumbprint_admits_nobody(programs: PinnedPrograms, tmp_path: Path) -> None:
    """A file that was written by hand, in error or not."""
    programs.add_key(WEB, public_key_pem(generate_key().public_key()))
    path = tmp_path / "state" / "programs.json"
    (entry,) = programs.entries()
    path.write_text(path.read_text().replace(entry.thumbprint, "A" * 43))

    with pytest.raises(ExchangeError):
        programs.entries()


def test_two_administrators_do_not_lose_each_others_programs(
    programs: PinnedPrograms, tmp_path: Path
) -> None:
    """Writers take turns."""
    others = [PinnedPrograms(tmp_path / "state" / "programs.json") for _ in THUMBPRINTS]
    threads = [
        threading.Thread(target=other.add, args=(WEB, thumbprint))
        for other, thumbprint in zip(others, THUMBPRINTS, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert [entry.thumbprint for entry in programs.entries()] == THUMBPRINTS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"v":1}',
        b'{"v":2,"programs":[]}',
        b'{"v":1,"programs":[],"more":1}',
        b'{"v":1,"v":1,"programs":[]}',
        b'{"v":1,"programs":[{"id":"x"}]}',
    ],
)
def test_a_malformed_file_admits_nobody(content: bytes, programs: PinnedPrograms, tmp_path: Path) -> None:
    """It is refused, never guessed at."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "programs.json").write_bytes(content)

    with pytest.raises(ExchangeError):
        programs.entries()
