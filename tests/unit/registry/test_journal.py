"""The tree log of the registry: every change is a leaf before its effect is published."""

import errno
import json
import shutil
from datetime import timedelta

import pytest

from core.clock import ManualClock
from core.heads import parse_head
from core.leaves import parse_leaf, parse_registry_change
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from ledger.reader import LogReader
from pki.heads import verify_head
from pki.keys import certificate_thumbprint, load_chain
from registry.models import Change, Request
from registry.serving import Registry
from tests.support.registry_country import ANIP, PNS, RegistryCountry


def changes(country: RegistryCountry) -> list[str]:
    """What the log on disk says was done, in order."""
    return [parse_registry_change(parse_leaf(leaf).body).change for leaf in leaves(country)[1:]]


def leaves(country: RegistryCountry) -> list[bytes]:
    """Every leaf, as an auditor reads them from the disk."""
    reader = LogReader(country.root / "registry" / "log" / "0")
    return [stored.leaf for stored in reader.follow()]


def _size(country: RegistryCountry) -> int:
    return parse_head(country.office.journal.head).unverified.size


def test_every_change_is_on_record(country: RegistryCountry) -> None:
    """Founding, a request, two approvals, the effect: each a leaf, in order."""
    country.add_member(ANIP)

    assert changes(country) == [
        "purpose-added",
        "purpose-added",
        "authorities-changed",
        "request-submitted",
        "request-approved",
        "request-approved",
        "member-added",
    ]


def test_the_record_names_all_who_took_part(country: RegistryCountry) -> None:
    """Submitter and both operators stand in the leaf, and the digest of what they approved."""
    country.add_member(ANIP)

    change = parse_registry_change(parse_leaf(leaves(country)[-1]).body)

    operators = [f"urn:passerelle:operator:BJ/GOV/ASIN/operateur-{number}" for number in (1, 2)]
    assert change.actors == [operators[0], *operators]
    assert change.object == ANIP
    assert change.digest is not None


def test_the_head_is_signed_by_the_seal_key_that_is_published(country: RegistryCountry) -> None:
    """Anybody can check the registry's own record from the common document."""
    country.add_member(ANIP)
    with country.office.sessions() as session:
        common = json.loads(country.office.documents(session)["common.json"])
    certificate = load_chain(common["registry"]["certificates"][0])[0]

    verified = verify_head(country.office.journal.head, {certificate_thumbprint(certificate): certificate})

    assert verified.head.log == common["registry"]["logs"][0]
    assert verified.head.gateway == "BJ/GOV/ASIN/registre"
    assert verified.head.cfg is not None
    assert verified.head.cfg.version == country.version


def test_a_change_committed_before_a_crash_is_logged_at_the_next_start(
    country: RegistryCountry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was committed, the process died: the leaf is made from the very bytes on record."""
    office = country.office
    before = _size(country)
    monkeypatch.setattr(office, "bring_out", _die)
    with pytest.raises(KeyboardInterrupt):
        office.propose_member(country.operator(), country.member_document(ANIP))

    country.reopen()

    assert _size(country) == before + 1
    assert changes(country)[-1] == "request-submitted"


def test_nothing_is_taken_while_the_log_is_dead(
    country: RegistryCountry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one failed write the handle is dead: changes are refused before they are committed."""
    office = country.office
    monkeypatch.setattr(office.journal._log.disk, "fdatasync", _refuse)
    with pytest.raises(ExchangeError):
        office.propose_member(country.operator(), country.member_document(ANIP))
    monkeypatch.undo()

    with pytest.raises(ExchangeError) as refused:
        office.propose_member(country.operator(), country.member_document(PNS))

    assert refused.value.reason is Reason.RECORDING_FAILED
    country.reopen()
    assert changes(country)[-1] == "request-submitted"
    with country.office.sessions() as session:
        assert session.query(Request).count() == 1


def test_an_old_database_is_refused(country: RegistryCountry) -> None:
    """Restoring yesterday's database under today's log would rewrite what was done."""
    directory = country.root / "registry"
    country.registry.close()
    shutil.copy(directory / "registry.sqlite", country.root / "yesterday.sqlite")
    country.registry = Registry.open(directory / "registry.toml", country.clock)
    country.add_member(ANIP)
    country.registry.close()
    for file in directory.glob("registry.sqlite*"):
        file.unlink()
    shutil.copy(country.root / "yesterday.sqlite", directory / "registry.sqlite")

    with pytest.raises(ExchangeError) as refused:
        Registry.open(directory / "registry.toml", country.clock)

    assert refused.value.reason is Reason.LOG_DAMAGED
    # What is published belongs to the database that was taken away.
    country.office.is_behind = True


def test_a_changed_row_of_the_record_is_noticed(country: RegistryCountry) -> None:
    """The newest change must be the leaf that the log holds."""
    with country.office.sessions() as session:
        row = session.query(Change).order_by(Change.number.desc()).first()
        assert row is not None
        row.body = row.body.replace(b"authorities-changed", b"authorities-chanced")
        session.commit()

    with pytest.raises(ExchangeError) as refused:
        country.office.bring_out()

    assert refused.value.reason is Reason.LOG_DAMAGED


def test_a_log_shorter_than_its_last_head_is_refused(country: RegistryCountry) -> None:
    """Log and database from one backup, put under a head that was signed since."""
    directory = country.root / "registry"
    country.registry.close()
    shutil.copytree(directory, country.root / "yesterday")
    country.registry = Registry.open(directory / "registry.toml", country.clock)
    country.add_member(ANIP)
    country.registry.close()
    head = (directory / "log" / "0" / "head.jws").read_bytes()
    country.office.is_behind = True

    (country.root / "yesterday" / "log" / "0" / "head.jws").write_bytes(head)

    with pytest.raises(ExchangeError) as refused:
        Registry.open(country.root / "yesterday" / "registry.toml", country.clock)
    assert refused.value.reason is Reason.LOG_DAMAGED


def test_times_of_heads_never_fall(country: RegistryCountry, clock: ManualClock) -> None:
    """A clock set back a little is waited for; one set back a lot stops the signing, with its name."""
    before = parse_head(country.office.journal.head).unverified.iat
    clock.step(timedelta(seconds=-30))
    country.add_member(ANIP)
    country.reopen()
    assert parse_head(country.office.journal.head).unverified.iat == before

    clock.step(timedelta(seconds=-60))

    with pytest.raises(ExchangeError) as refused:
        country.add_member(PNS)
    assert refused.value.reason is Reason.CLOCK_SKEW


def test_leaves_are_bound_to_this_log(country: RegistryCountry) -> None:
    """The log id stands in each leaf, and leaf 0 hashes to it."""
    genesis, first, *_ = leaves(country)

    assert leaf_hash(genesis).hex() == country.office.journal.log_id
    assert parse_leaf(first).log == country.office.journal.log_id


def _refuse(_fd: int) -> None:
    raise OSError(errno.EIO, "the disk refused")


def _die() -> None:
    raise KeyboardInterrupt
