"""How a gateway comes to be."""

import shutil
import stat
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from core.clock import ManualClock
from core.configuration import RegistrationEntry, encode_current
from core.identifiers import GatewayId, ProgramId, RegistryId, SubsystemId, urn
from core.jws import DocumentKind
from core.language import Text
from core.leaves import parse_genesis, parse_leaf
from core.pseudonyms import key_id
from core.reasons import ExchangeError, Reason
from core.registrations import parse_registration
from gateway.commands import gateway as gateway_commands
from gateway.commands import log as log_commands
from gateway.control.programs import PinnedPrograms
from gateway.founding import (
    InitResult,
    Plan,
    add_adapter,
    add_program,
    init_gateway,
    install_certificates,
    programs_issuer,
    registered_logs,
    registration_payload,
    sign_registration,
)
from gateway.settings import HostPort, Listen
from gateway.succession import open_successor, read_old_log
from ledger.log import Log
from ledger.reader import LogReader
from ledger.vault import read_wrapping_key
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest
from pki.chain import verify_chain
from pki.documents import verify_document
from pki.keys import chain_pem, generate_key, key_thumbprint, load_chain, read_key, write_key
from pki.profiles import Profile, issue, read_csr, utc
from pki.pseudonyms import key_file, read_keys, years_held
from rpc.identity import Identity
from tests.support.evidence import EvidenceCountry
from tests.support.published_country import REGISTRY, PublishedCountry
from tests.support.tuf_repository import TufRepository
from tests.support.worker_country import WorkerCountry

NOW = 1_795_000_000_000
MEMBER_KEY = generate_key()
PLAN = Plan(
    gateway=GatewayId.parse("BJ/GOV/ANIP/gw1"),
    member_key=key_thumbprint(MEMBER_KEY.public_key()),
    registry=RegistryId.parse(REGISTRY),
    registry_address=HostPort("127.0.0.1", 42000),
    hosts=("127.0.0.1", "gw1.anip.bj"),
    listen=Listen(
        programs="127.0.0.1:42011",
        road=("127.0.0.1:42012", "127.0.0.1:42016"),
        admin="127.0.0.1:42013",
        http="127.0.0.1:42014",
    ),
    adapters={SubsystemId.parse("BJ/GOV/ANIP/RNPP"): HostPort("127.0.0.1", 42015)},
    allowed_networks=("127.0.0.0/8",),
    lang="en",
    reserve_bytes=1000,
)


class Founder:
    """A country that answers a gateway's requests."""

    def __init__(self, root: Path) -> None:
        self.country = PublishedCountry(NOW)
        self.clock = ManualClock(NOW)
        self.root = root
        fields = {SPKI_MEMBER: spki_digest(self.country.root.certificate)}
        anchor = Anchor(self.country.root.certificate, TufRepository(root_fields=fields).root)
        self.anchor = root / "anchor.pem"
        anchor.write(self.anchor)
        self.member_key = root / "member.key"
        write_key(self.member_key, MEMBER_KEY)

    def init(self, name: str = "gw1", plan: Plan = PLAN, shared: InitResult | None = None) -> InitResult:
        ca = shared.directory if shared else None
        return init_gateway(self.root / name, plan, self.anchor, clock=self.clock, programs_ca=ca)

    def chain(self, made: InitResult, profile: Profile, gateway: str | None = None) -> bytes:
        issuer = self.country.auth if profile is Profile.AUTH else self.country.seal
        certificate = issue(
            profile,
            issuer,
            read_csr(made.requests[profile]),
            urn("gateway", gateway or made.settings.gateway),
            now_ms=NOW,
            hosts=made.settings.hosts if profile is Profile.AUTH else (),
        )
        return chain_pem([certificate, issuer.certificate])

    def install(self, made: InitResult) -> None:
        install_certificates(
            made.directory,
            made.settings,
            self.chain(made, Profile.AUTH),
            self.chain(made, Profile.SEAL),
        )


@pytest.fixture
def founder(tmp_path: Path) -> Founder:
    return Founder(tmp_path)


def test_keys_of_pseudonyms_are_made_years_ahead(founder: Founder) -> None:
    """A year begins without anybody's help (PROTOCOL M13)."""
    made = founder.init()

    assert years_held(made.directory.pseudonym_keys) == list(range(2026, 2036))


def test_gateways_of_a_member_have_the_same_keys_of_pseudonyms(founder: Founder) -> None:
    """Those of the first, whatever the clock of the second says; of two members they differ."""
    first = founder.init()

    second = founder.init("gw2", shared=first)
    other = founder.init("gw3")

    keys = [read_keys(one.directory.pseudonym_keys) for one in (first, second, other)]
    assert keys[0] == keys[1]
    assert not set(keys[0].values()) & set(keys[2].values())


def test_a_gateway_that_has_no_keys_of_pseudonyms_is_given_them(founder: Founder) -> None:
    """One that was founded before there were any: made there, then shared with the others."""
    first, second = founder.init(), founder.init("gw2")
    for made in (first, second):
        shutil.rmtree(made.directory.pseudonym_keys)

    def run(made: InitResult, *more: str) -> Result:
        config = ["--config", str(made.directory.settings), "--lang", "en"]
        return CliRunner().invoke(gateway_commands, ["pseudonym-keys", *config, *more])

    alone = run(first)
    shared = run(second, "--from", str(first.directory.pseudonym_keys))
    again = run(second, "--from", str(first.directory.pseudonym_keys))

    keys = read_keys(first.directory.pseudonym_keys)
    assert keys == read_keys(second.directory.pseudonym_keys)
    assert len(keys) == 10
    assert "To be backed up" in alone.output
    assert ("added: none" in shared.output, "added: none" in again.output) == (False, True)
    assert not [key for key in keys.values() if key.hex() in alone.output + shared.output]


def test_a_key_that_made_annexes_is_not_made_anew_unless_it_is_given_up(
    founder: Founder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would be found in them; a year to come has none yet."""
    monkeypatch.setattr("gateway.commands.SystemClock", lambda: founder.clock)
    made = founder.init()
    country = EvidenceCountry(tmp_path / "country")
    country.exchange(subjects=[b"4999999901"])
    shutil.rmtree(made.directory.log(0))
    shutil.copytree(country.anip.directory / "log/0", made.directory.log(0))
    country.close()
    keys = made.directory.pseudonym_keys
    config = ["--config", str(made.directory.settings), "--lang", "en"]

    def run(*more: str) -> Result:
        return CliRunner().invoke(gateway_commands, ["pseudonym-keys", *config, *more])

    key_file(keys, 2027).unlink()
    other_year = run()
    key_file(keys, 2026).unlink()
    refused = run()
    held = years_held(keys)
    given_up = run("--anew")

    assert "added: 2027;" in other_year.output
    assert isinstance(refused.exception, ExchangeError)
    assert refused.exception.reason is Reason.STATE_CONFLICT
    assert f"annexes of 2026, made by key {key_id(country.anip.pseudonym_key)}" in str(refused.exception)
    assert "--anew" in (refused.exception.remedy or Text("", "")).en
    assert 2026 not in held
    assert "added: 2026;" in given_up.output


def test_the_settings_are_those_of_the_plan(founder: Founder) -> None:
    """Written as TOML, read back through the one reader."""
    made = founder.init()

    settings = made.settings
    assert settings.gateway_id == PLAN.gateway
    assert settings.listen == PLAN.listen
    assert settings.hosts == PLAN.hosts
    assert settings.workers == 2
    assert settings.adapter[0].address == "127.0.0.1:42015"
    assert settings.allowed_networks == ("127.0.0.0/8",)
    assert settings.log.reserve_bytes == 1000
    assert (settings.lang, settings.member_key) == ("en", PLAN.member_key)
    assert made.anchor_fingerprint == Anchor.read(founder.anchor).fingerprint


def test_keys_are_private_and_each_request_is_for_its_own(founder: Founder) -> None:
    """Nobody else on the machine can read a key."""
    made = founder.init()

    for files in (made.directory.auth, made.directory.seal, made.directory.programs):
        assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.directory.keys.stat().st_mode) == 0o700
    for files, profile in ((made.directory.auth, Profile.AUTH), (made.directory.seal, Profile.SEAL)):
        assert read_csr(made.requests[profile]) == read_key(files.key).public_key()
        assert files.request.read_bytes() == made.requests[profile]
    read_wrapping_key(made.directory.wrapping_key(made.settings), made.directory.root / "log")


def test_each_worker_has_a_log_whose_id_is_known_before_the_registration(founder: Founder) -> None:
    """The genesis leaf names gateway and worker; its hash is the id."""
    made = founder.init()

    assert [(log.worker, log.address) for log in made.logs] == [
        (0, "127.0.0.1:42012"),
        (1, "127.0.0.1:42016"),
    ]
    for log in made.logs:
        reader = LogReader(made.directory.log(log.worker))
        (stored,) = reader.follow()
        genesis = parse_genesis(parse_leaf(stored.leaf).body)
        assert (genesis.gateway, genesis.worker, genesis.time) == ("BJ/GOV/ANIP/gw1", log.worker, NOW)
        assert reader.log_id == log.id


def test_a_directory_that_holds_a_gateway_is_left_alone(founder: Founder) -> None:
    """Its keys and logs can never be made again."""
    founder.init()

    with pytest.raises(ExchangeError) as refused:
        founder.init()

    assert refused.value.reason is Reason.ALREADY_EXISTS


def test_the_programs_door_is_certified_by_the_members_own_authority(founder: Founder) -> None:
    """Programs need to trust nobody else."""
    made = founder.init()

    (door,) = load_chain(made.directory.programs_server.certificate.read_bytes())
    verified = verify_chain(
        door,
        intermediates=[],
        roots=[programs_issuer(made.directory).certificate],
        crls=[],
        at=utc(NOW),
        profile=Profile.PROGRAMS_DOOR,
    )
    assert verified.urn == urn("gateway", "BJ/GOV/ANIP/gw1")


def test_gateways_of_one_member_may_share_the_programs_authority(founder: Founder) -> None:
    """A program then needs one identity for both."""
    first = founder.init()

    second = founder.init("gw2", shared=first)

    assert programs_issuer(second.directory).certificate == programs_issuer(first.directory).certificate


def test_the_wrapping_key_may_lie_elsewhere(founder: Founder, tmp_path: Path) -> None:
    """On another disk than the bodies."""
    plan = Plan(**{**_fields(PLAN), "wrapping_key": tmp_path / "usb" / "wrapping.key"})  # type: ignore[arg-type]
    (tmp_path / "usb").mkdir()

    made = founder.init(plan=plan)

    assert made.directory.wrapping_key(made.settings) == tmp_path / "usb" / "wrapping.key"
    assert (tmp_path / "usb" / "wrapping.key").is_file()


def _fields(plan: Plan) -> dict[str, object]:
    return {name: getattr(plan, name) for name in plan.__slots__}


def test_certificates_are_installed_and_registered_under_the_member_key(founder: Founder) -> None:
    """What the member signs names the certificates and the logs."""
    made = founder.init()
    founder.install(made)

    payload = registration_payload(made.directory, made.settings, founder.clock)
    jws = sign_registration(payload, founder.member_key, made.settings)

    verified = verify_document(DocumentKind.REGISTRATION, jws, MEMBER_KEY.public_key())
    registration = parse_registration(verified)
    assert registration.gateway == "BJ/GOV/ANIP/gw1"
    assert registration.logs == list(made.logs)
    assert len(load_chain(registration.auth[0].chain)) == 2
    assert registration.serial == NOW // 1000


def test_certificates_for_another_key_name_or_use_are_not_installed(founder: Founder) -> None:
    """A mix-up shows here and not at the peers."""
    made, other = founder.init(), founder.init("other")
    auth, seal = founder.chain(made, Profile.AUTH), founder.chain(made, Profile.SEAL)
    stranger = Founder.__new__(Founder)
    stranger.country = PublishedCountry(NOW)
    wrong = [
        (founder.chain(other, Profile.AUTH), seal),
        (founder.chain(made, Profile.AUTH, "BJ/GOV/PNS/gw1"), seal),
        (seal, auth),
        (auth, auth),
        (stranger.chain(made, Profile.AUTH), seal),
        (b"nonsense", seal),
    ]

    for one, two in wrong:
        with pytest.raises(ExchangeError):
            install_certificates(made.directory, made.settings, one, two)


def test_without_certificates_there_is_nothing_to_register(founder: Founder) -> None:
    """The administrator is told which file is missing."""
    made = founder.init()

    with pytest.raises(ExchangeError, match=r"auth\.crt"):
        registration_payload(made.directory, made.settings, founder.clock)


def test_a_registered_log_does_not_vanish_from_the_next_registration(founder: Founder) -> None:
    """``workers`` was lowered: told before the member key signs what no registry takes."""
    made = founder.init()
    founder.install(made)
    jws = sign_registration(
        registration_payload(made.directory, made.settings, founder.clock), founder.member_key, made.settings
    )
    current = WorkerCountry().current()
    members = [
        msgspec.structs.replace(one, registrations=[RegistrationEntry(jws, "active")])
        if one.member == "BJ/GOV/ANIP"
        else one
        for one in current.members
    ]
    made.directory.current.write_bytes(encode_current(msgspec.structs.replace(current, members=members)))
    listen = msgspec.structs.replace(made.settings.listen, road=made.settings.listen.road[:1])
    fewer = msgspec.structs.replace(made.settings, workers=1, listen=listen)

    with pytest.raises(ExchangeError) as refused:
        registration_payload(made.directory, fewer, founder.clock)

    assert refused.value.reason is Reason.STATE_CONFLICT
    assert refused.value.remedy is not None
    assert "set `workers` to 2 at least" in refused.value.remedy.en
    assert registration_payload(made.directory, made.settings, founder.clock)


def test_only_the_pinned_member_key_signs_the_registration(founder: Founder, tmp_path: Path) -> None:
    """Another key would register nothing."""
    made = founder.init()
    founder.install(made)
    write_key(tmp_path / "wrong.key", generate_key())
    payload = registration_payload(made.directory, made.settings, founder.clock)

    with pytest.raises(ExchangeError) as refused:
        sign_registration(payload, tmp_path / "wrong.key", made.settings)

    assert refused.value.reason is Reason.KEY_UNREADABLE


def test_a_program_gets_an_identity_and_is_admitted(founder: Founder, tmp_path: Path) -> None:
    """Key, certificate, whom to trust, where to call; the thumbprint is pinned."""
    made = founder.init()
    program = ProgramId.parse("BJ/GOV/ANIP/GUICHET/web")

    add_program(made.directory, made.settings, program, tmp_path / "web", founder.clock)

    (entry,) = PinnedPrograms(made.directory.pinned_programs).entries()
    identity = Identity.read(tmp_path / "web")
    verified = verify_chain(
        load_chain(identity.chain)[0],
        intermediates=[],
        roots=load_chain(identity.roots)[:1],
        crls=[],
        at=utc(NOW),
        profile=Profile.PROGRAM,
    )
    hints = tomllib.loads((tmp_path / "web" / "passerelle.toml").read_text())
    assert entry.id == str(program) == str(verified.identifier)
    assert load_chain(identity.roots)[1] == founder.country.root.certificate
    assert hints == {
        "subsystem": "BJ/GOV/ANIP/GUICHET",
        "gateway_id": "BJ/GOV/ANIP/gw1",
        "gateway": "127.0.0.1:42011",
        "directory": "127.0.0.1:42013",
    }


def test_a_program_of_another_member_or_in_a_used_directory_is_refused(
    founder: Founder, tmp_path: Path
) -> None:
    """Nobody is admitted by a command that fails."""
    made = founder.init()
    foreign = ProgramId.parse("BJ/GOV/PNS/PORTAIL/web")
    with pytest.raises(ExchangeError) as another:
        add_program(made.directory, made.settings, foreign, tmp_path / "web", founder.clock)
    assert another.value.remedy is not None
    assert "une passerelle de BJ/GOV/PNS" in another.value.remedy.fr
    own = ProgramId.parse("BJ/GOV/ANIP/GUICHET/web")
    add_program(made.directory, made.settings, own, tmp_path / "web", founder.clock)

    with pytest.raises(ExchangeError) as refused:
        add_program(made.directory, made.settings, own, tmp_path / "web", founder.clock)

    assert refused.value.reason is Reason.ALREADY_EXISTS
    assert len(PinnedPrograms(made.directory.pinned_programs).entries()) == 1


def test_an_adapter_gets_an_identity_of_its_member(founder: Founder, tmp_path: Path) -> None:
    """A server certificate under the member's own authority, and the anchor for the gateway's."""
    made = founder.init()

    add_adapter(
        made.directory, SubsystemId.parse("BJ/GOV/ANIP/RNPP"), ["127.0.0.1"], tmp_path / "rnpp", founder.clock
    )

    (certificate,) = load_chain((tmp_path / "rnpp" / "adapter.crt").read_bytes())
    verified = verify_chain(
        certificate,
        intermediates=[],
        roots=[programs_issuer(made.directory).certificate],
        crls=[],
        at=utc(NOW),
        profile=Profile.ADAPTER,
    )
    assert verified.urn == "urn:passerelle:adapter:BJ/GOV/ANIP/RNPP"
    assert (tmp_path / "rnpp" / "anchor.pem").read_bytes() == founder.anchor.read_bytes()


def succeed(made: InitResult, *options: str) -> Result:
    """The command, with nobody at the registry's address."""
    config = str(made.directory.settings)
    arguments = [
        "succeed",
        "--config",
        config,
        "--lang",
        "en",
        "--worker",
        "1",
        "--reason",
        "disque perdu",
        *options,
    ]
    return CliRunner().invoke(log_commands, arguments, catch_exceptions=False)


def test_a_log_is_succeeded_by_one_command_with_every_process_dead(founder: Founder) -> None:
    """The registration that follows names it as closed, and the one that goes on; other workers keep their logs."""
    made = founder.init()
    founder.install(made)
    before = registered_logs(made.directory, made.settings)

    result = succeed(made, "--yes")

    assert result.exit_code == 0, result.output
    assert "The registry did not answer" in result.output
    registration = parse_registration(registration_payload(made.directory, made.settings, founder.clock))
    assert registration.logs[0] == before[0]
    (closed,) = registration.closed
    assert (closed.id, closed.size, closed.successor) == (before[1].id, 1, registration.logs[1].id)
    again = succeed(made, "--yes")
    assert again.exit_code == 0, again.output
    names = [one.id for one in parse_registration(payload(made, founder)).closed]
    assert names == [registration.logs[1].id, before[1].id]


def payload(made: InitResult, founder: Founder) -> bytes:
    return registration_payload(made.directory, made.settings, founder.clock)


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_a_log_is_not_closed_without_consent(founder: Founder, options: tuple[str, ...]) -> None:
    """It cannot be undone: a dry run and an answer that does not come change nothing."""
    made = founder.init()
    founder.install(made)

    result = succeed(made, *options)

    assert (result.exit_code == 0) == bool(options)
    assert not made.directory.next_log(1).exists()
    assert not made.directory.closed()


def test_a_succession_that_was_cut_is_finished_by_the_same_command(founder: Founder) -> None:
    """The successor was written, and the two were not switched."""
    made = founder.init()
    founder.install(made)
    old, _ = read_old_log(made.directory, made.settings, 1)
    successor = open_successor(made.directory, made.settings, 1, old, "cut", founder.clock, is_asked=False)

    result = succeed(made)

    assert result.exit_code == 0, result.output
    assert registered_logs(made.directory, made.settings)[1].id == successor.log


def test_a_log_that_a_process_holds_is_not_closed(founder: Founder) -> None:
    """Nothing speaks against it: the command refuses, and says how it could be closed all the same."""
    made = founder.init()
    founder.install(made)
    held = Log.open(made.directory.log(1))

    with pytest.raises(ExchangeError) as refused:
        succeed(made, "--yes")

    assert refused.value.reason is Reason.STATE_CONFLICT
    assert refused.value.remedy is not None
    held.close()
