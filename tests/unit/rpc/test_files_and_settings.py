"""Settings, files, identities, events, lifelines: what every process shares without grpcio."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from core.identifiers import GatewayId
from core.language import Text
from core.reasons import ExchangeError, MalformedError, Reason
from pki.profiles import Profile
from rpc.files import read_private, replace_file, write_private
from rpc.identity import CHAIN_FILE, KEY_FILE, Identity
from rpc.lifeline import Lifeline, stop_event, wait_for_end
from rpc.logs import MAX_VALUE_CHARACTERS, _LibraryEvents, configure_logs
from rpc.remote import MAX_TEXT_CHARACTERS, printable
from rpc.settings import SettingsError, load_settings
from tests.support.certified import OPERATOR, CertifiedCountry, write_identity


class Adapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    threads: int = 4


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gateway: str
    log: Path
    adapter: list[Adapter] = []


class Loose(msgspec.Struct, frozen=True):
    name: str = ""


GOOD = """
gateway = "BJ/GOV/ANIP/gw1"
log = "log/0"
[[adapter]]
address = "127.0.0.1:9101"
"""


def load(tmp_path: Path, text: str | bytes) -> Settings:
    path = tmp_path / "gateway.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(path, Settings)


def test_settings_become_types(tmp_path: Path) -> None:
    """Paths are relative to the file; what is not said has its default."""
    found = load(tmp_path, GOOD)

    assert found.gateway == "BJ/GOV/ANIP/gw1"
    assert found.log == tmp_path / "log" / "0"
    assert found.adapter == [Adapter("127.0.0.1:9101")]


FAULTS: dict[str, tuple[str | bytes, str, str, str]] = {
    "unknown key": ("top = 1\n" + GOOD, "top", "clé inconnue", "unknown key"),
    "misspelt": (GOOD.replace("address", "adress"), "adapter[0].adress", "clé inconnue", "unknown key"),
    "missing": (GOOD.replace('log = "log/0"', ""), "log", "clé manquante", "missing key"),
    "type": (GOOD + "threads = '4'", "adapter[0].threads", "attendu int", "expected int"),
    "path": (GOOD.replace('"log/0"', "7"), "log", "attendu str", "expected str"),
    "no TOML": ("gateway =\n", "", "n'est pas du TOML", "line 1"),
    "twice": (GOOD.replace("[[", 'log = "x"\n[[', 1), "", "n'est pas du TOML", "line 4"),
    "not UTF-8": (b"\xff", "", "n'est pas du TOML", "is not TOML"),
    "too long": ("#" * 2_000_000, "", "trop long", "too long"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_settings_is_told_with_its_place(tmp_path: Path, fault: str) -> None:
    """File, key and what is wrong, in both languages."""
    text, place, french, english = FAULTS[fault]

    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)

    error = caught.value
    assert (error.reason, error.place) == (Reason.CONFIG_FILE_INVALID, place)
    assert french in error.in_("fr")
    assert english in error.in_("en")
    assert str(tmp_path / "gateway.toml") in str(error)


def test_missing_settings_are_told(tmp_path: Path) -> None:
    """The file is named, and why it cannot be read."""
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.toml", Settings)


def test_settings_errors_cross_process_borders(tmp_path: Path) -> None:
    """A supervisor gets them from its children."""
    error = pickle.loads(pickle.dumps(SettingsError(tmp_path, "", FAULT_TEXT)))

    assert isinstance(error, MalformedError)
    assert error.reason is Reason.CONFIG_FILE_INVALID


FAULT_TEXT = SettingsError(Path("x"), "", Text("a", "b")).text


def test_a_type_that_would_accept_misspelt_keys_is_a_mistake_of_ours(tmp_path: Path) -> None:
    """It is found by the first test that loads it, not by an operator."""
    with pytest.raises(TypeError, match="Loose"):
        load_settings(tmp_path / "x.toml", Loose)


# --- Files --------------------------------------------------------------------------------------------------------


def test_replacing_keeps_mode_and_leaves_no_rest(tmp_path: Path) -> None:
    """The new bytes under the old name, and nothing beside."""
    path = tmp_path / "state.json"
    replace_file(path, b"one", mode=0o600)
    replace_file(path, b"two", mode=0o600)

    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]


def test_a_failed_replacement_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk loses the new bytes, never the old ones."""
    path = tmp_path / "state.json"
    replace_file(path, b"old")

    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        replace_file(path, b"new")

    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]


def test_private_files_ignore_the_umask(tmp_path: Path) -> None:
    """0600, no more and no less."""
    before = os.umask(0o277)
    try:
        write_private(tmp_path / "key", b"x")
    finally:
        os.umask(before)

    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert read_private(tmp_path / "key") == b"x"


def test_a_private_pipe_is_no_file(tmp_path: Path) -> None:
    """What is read has to be a plain file."""
    with pytest.raises(ExchangeError, match="not a plain file"):
        read_private(Path("/dev/null"))


def test_an_identity_is_a_directory(tmp_path: Path) -> None:
    """Key, chain and roots; each missing one is named."""
    identity = CertifiedCountry().identity(Profile.OPERATOR, OPERATOR)
    write_identity(tmp_path / "akossou", identity)

    assert Identity.read(tmp_path / "akossou") == identity
    assert "PRIVATE" not in repr(identity)
    (tmp_path / "akossou" / CHAIN_FILE).unlink()
    with pytest.raises(ExchangeError, match=CHAIN_FILE):
        Identity.read(tmp_path / "akossou")
    (tmp_path / "akossou" / KEY_FILE).unlink()
    with pytest.raises(ExchangeError, match=KEY_FILE):
        Identity.read(tmp_path / "akossou")


# --- Events -------------------------------------------------------------------------------------------------------


@pytest.fixture
def events() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logs("test", stream=stream)
    yield stream
    structlog.reset_defaults()


HOSTILE = 'x\r\n{"event":"forged"}\x1b[2J\x00\u202e\u2028\ud7ff'


def test_one_event_is_one_line(events: io.StringIO) -> None:
    """Line ends, terminal codes and direction marks of a stranger stay inside the string."""
    structlog.get_logger().info("call_refused", peer=HOSTILE)

    (line,) = events.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["peer"] == HOSTILE


@given(st.text(), st.text())
def test_no_text_breaks_the_log(name: str, value: str) -> None:
    """One event, one parseable line, whatever stands in it."""
    stream = io.StringIO()
    configure_logs("test", stream=stream)
    structlog.get_logger().info("event", value=value, name=name)
    structlog.reset_defaults()

    assert len(stream.getvalue().splitlines()) == 1
    json.loads(stream.getvalue())


def test_fields_are_bounded_and_bytes_are_not_shown(events: io.StringIO) -> None:
    """A megabyte of somebody's name is cut; keys and payloads are bytes and stay out."""
    structlog.get_logger().warning(
        "event", long="x" * 1_000_000, data=b"secret", id=GatewayId.parse("BJ/GOV/A/g")
    )
    structlog.get_logger().debug("not shown")

    (line,) = events.getvalue().splitlines()
    event = json.loads(line)
    assert len(event["long"]) == MAX_VALUE_CHARACTERS + 1
    assert event["data"] == "(bytes)"
    assert event["id"] == "BJ/GOV/A/g"


def test_events_of_other_threads_name_their_process(events: io.StringIO) -> None:
    """The name of the process does not hang on a thread."""
    thread = threading.Thread(target=lambda: structlog.get_logger().info("event"))
    thread.start()
    thread.join()

    assert json.loads(events.getvalue())["process"] == "test"


@given(st.text(max_size=50))
def test_printable_text_is_one_line(text: str) -> None:
    """Fit for a terminal, whoever wrote it."""
    assert printable(text).isprintable()


def test_printable_text_is_bounded() -> None:
    """Cut, and it shows."""
    assert printable("x" * (MAX_TEXT_CHARACTERS + 1)).endswith("x…")


# --- Lifelines ----------------------------------------------------------------------------------------------------

CHILD = """
import sys
from rpc.lifeline import stop_event
stop = stop_event(int(sys.argv[2]) if len(sys.argv) > 2 else None)
print("ready", flush=True)
stop.wait()
print("stopped", flush=True)
"""


def start(arguments: list[str], pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
        cwd=Path(__file__).parents[3],
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def by_cutting(lifeline: Lifeline, _child: subprocess.Popen[str]) -> None:
    lifeline.cut()
    lifeline.cut()


def by_signal(number: int) -> Callable[[Lifeline, subprocess.Popen[str]], None]:
    return lambda _lifeline, child: child.send_signal(number)


@pytest.mark.parametrize(
    "stop", [by_cutting, by_signal(signal.SIGTERM), by_signal(signal.SIGINT)], ids=["cut", "TERM", "INT"]
)
def test_a_child_stops_in_order(stop: Callable[[Lifeline, subprocess.Popen[str]], None]) -> None:
    """By the end of its parent or by a signal, the same way."""
    lifeline = Lifeline()
    child = start(lifeline.arguments, lifeline.pass_fds)
    lifeline.given()

    stop(lifeline, child)
    output, _ = child.communicate(timeout=30)

    assert (output, child.returncode) == ("stopped\n", 0)
    lifeline.cut()


def test_a_process_by_hand_needs_no_lifeline() -> None:
    """It stops by signal only."""
    child = start([])
    child.terminate()

    assert child.communicate(timeout=30)[0] == "stopped\n"


def test_the_end_of_the_parent_is_noticed() -> None:
    """Reading the pipe ends when the last writer is gone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    lifeline = Lifeline()
    try:
        stopped = stop_event(os.dup(lifeline.pass_fds[0]))
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(20)
        other = stop_event(os.dup(lifeline.pass_fds[0]))
        end = os.dup(lifeline.pass_fds[0])
        lifeline.cut()
        wait_for_end(end)
        assert other.wait(20)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_a_library_logs_is_an_event_too(events: io.StringIO) -> None:
    """Its text may quote a stranger; a traceback stays inside its line."""
    handler = _LibraryEvents()
    record = logging.LogRecord("asyncio", logging.ERROR, "", 1, "failed: %s", (HOSTILE,), None)
    broken = logging.LogRecord("asyncio", logging.ERROR, "", 1, "failed: %d", (HOSTILE,), None)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record.exc_info = sys.exc_info()

    handler.emit(record)
    handler.emit(broken)

    first, second = (json.loads(line) for line in events.getvalue().splitlines())
    assert (first["event"], first["library"], first["text"]) == ("library", "asyncio", f"failed: {HOSTILE}")
    assert "Traceback" in first["exception"]
    assert second["text"] == "failed: %d"
