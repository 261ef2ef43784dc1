"""Keeps the global configuration in force: fetched, verified, judged, handed to the workers.

Promises:

- Only a version whose signatures hold and whose common document holds comes into force; anything else is an event
  and the version before stays.
- The version never goes down, and one version never has two digests, not even across a restart.
- What workers read is complete: written, synced and renamed before they are told.
- The registry may be away: the mirror brings the last version back at a start, and its age is counted from the
  last moment at which a new timestamp of the registry was seen.
- Whatever fails, the registry, the disk, this code, the version in force goes on, and it is tried again within seconds.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from core.clock import Clock
from core.configuration import CurrentConfiguration, ProgramEntry, decode_current, encode_current
from core.documents import MalformedDocumentError
from core.reasons import ExchangeError, Reason
from gateway.channel import ConfigurationChanged, ConfigurationConfirmed, ToWorker
from gateway.control.mirror import Mirror
from gateway.control.programs import PinnedPrograms
from gateway.control.repository import (
    RegistryAwayError,
    Repository,
    TrustedVersion,
    UntrustedConfigurationError,
)
from gateway.control.state import ConfigurationState, LeftOut, RegistryState
from gateway.control.verification import JudgedConfiguration
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from rpc.files import replace_file

_log = structlog.get_logger("gateway.control.configuration")

# How often the file of pinned programs is looked at.
_TICK_S = 0.5
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 5.0
# Peers and the registry may wake a fetch; as often as this, and no more.
_LEAST_PAUSE_S = 0.2
# What the registry served holds and cannot be written here: the version before stays in force, and is confirmed.
CONFIG_NOT_STORED = "CONFIG_NOT_STORED"
# Certificates expire and revocation lists grow old without a new version.
_JUDGE_AGAIN_MS = 10 * 60 * 1000


class RegistrySource(Protocol):
    """The registry, as far as the configuration needs it."""

    def fetch(self, path: str) -> Iterator[bytes]:
        """One raw file; raises ``FileMissingError`` or ``RegistryAwayError``."""
        ...

    def watch(self, version: int) -> Iterator[int]:
        """Versions that can be fetched, the newest at once; raises ``RegistryAwayError`` at its end."""
        ...

    def cancel(self) -> None:
        """End a ``watch`` that waits."""
        ...


@dataclass(frozen=True, slots=True)
class InForce:
    """The version in force: where it came from and what it says."""

    trusted: TrustedVersion
    judged: JudgedConfiguration
    judged_at: int
    current: CurrentConfiguration


class ConfigurationKeeper:
    """Looks after the configuration of one gateway, on two threads of its own.

    Args:
        settings: The gateway's settings.
        directory: Its directory.
        anchor_root: Root metadata from the anchor.
        judge: Judges the documents of a version at a moment.
        registry: The registry.
        clock: The clock.
        tell: Tells all workers.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        directory: GatewayDirectory,
        anchor_root: bytes,
        judge: Callable[[Mapping[str, bytes], int], JudgedConfiguration],
        registry: RegistrySource,
        clock: Clock,
        tell: Callable[[ToWorker], None],
    ) -> None:
        self._ages = settings.configuration
        self._directory = directory
        self._judge = judge
        self._registry = registry
        self._clock = clock
        self._tell = tell
        self._repository = Repository(anchor_root, directory.tuf, Mirror(directory.mirror))
        self._programs = PinnedPrograms(directory.pinned_programs)
        self._in_force: InForce | None = None
        self._before = _read_current(directory)
        self._programs_problem = ""
        self._programs_unwritten = ""
        self._last_programs = self._before.programs if self._before is not None else []
        self._registry_state = RegistryState(settings.registry.address)
        self._hinted = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._threads = (
            threading.Thread(target=self._keep, name="configuration", daemon=True),
            threading.Thread(target=self._watch, name="configuration-watch", daemon=True),
        )

    @property
    def in_force(self) -> InForce | None:
        """The version in force, or ``None`` before the first."""
        return self._in_force

    def require(self) -> InForce:
        """The version in force.

        Raises:
            ExchangeError: ``CONFIG_MISSING`` before the first; ``CONFIG_EXPIRED`` if one is held from before that is too
                old to be put in force again.
        """
        if self._in_force is not None:
            return self._in_force
        held = self.state
        is_expired = held is not None and self._clock.now_ms() >= held.expires_at
        raise ExchangeError(Reason.CONFIG_EXPIRED if is_expired else Reason.CONFIG_MISSING)

    @property
    def registry(self) -> RegistryState:
        """How the last attempt to ask the registry ended."""
        return self._registry_state

    @property
    def state(self) -> ConfigurationState | None:
        """The version that workers use, for people: before this process has verified one, that of the process before."""
        in_force = self._in_force
        current = in_force.current if in_force is not None else self._before
        if current is None:
            return None
        return ConfigurationState(
            version=current.version,
            digest=current.digest,
            fresh_at=current.fresh_at,
            expires_at=current.expires_at,
            members=len(current.members),
            left_out=in_force.judged.left_out if in_force is not None else (),
        )

    def greeting(self) -> tuple[ToWorker, ...]:
        """What a worker that starts is told."""
        in_force = self._in_force
        return () if in_force is None else (self._changed(in_force.current),)

    def read_target(self, target: str) -> bytes:
        """A target of the version in force, from the mirror."""
        return self._repository.read_mirrored(self.require().trusted, target)

    def start(self) -> None:
        """Bring back what the mirror holds, then keep up with the registry."""
        self.restore()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop keeping up; the last version stays on the disk."""
        self._stopping.set()
        self._wake.set()
        self._registry.cancel()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    def ask_again(self) -> None:
        """Ask the registry soon: a peer has something that we do not."""
        self._wake.set()

    def restore(self) -> None:
        """Put the last version in force from the mirror alone, verified like any other."""
        try:
            self._take(self._repository.refresh_from_mirror(), self._repository.read_mirrored, lambda: None)
        except RegistryAwayError as error:
            # It is the mirror that lacks something, not the registry: at the first start, all of it.
            _log.info("no_configuration_kept", missing=str(error))
        except ExchangeError as error:
            _log.info("configuration_not_restored", reason=error.reason, error=str(error))
        except OSError as error:
            _log.error("configuration_not_restored", reason=CONFIG_NOT_STORED, error=str(error))

    def refresh(self) -> None:
        """Ask the registry once; whatever goes wrong leaves the version in force as it is.

        Raises:
            ExchangeError: The registry is away, or what it serves does not hold.
            OSError: It holds, and the disk does not take it.
        """
        try:
            trusted = self._repository.refresh(self._registry.fetch)
            self._take(
                trusted,
                lambda version, target: self._repository.read(version, target, self._registry.fetch),
                self._repository.keep,
            )
        except ExchangeError as error:
            self._note_registry(error.reason, str(error))
            raise
        except OSError as error:
            self._note_registry(CONFIG_NOT_STORED, str(error))
            raise
        self._note_registry("", "")

    def refresh_programs(self) -> None:
        """Hand over the pinned programs if they changed."""
        in_force = self._in_force
        if in_force is not None and self._admitted() != in_force.current.programs:
            self._put_in_force(
                in_force.trusted, in_force.judged, in_force.judged_at, in_force.current.fresh_at
            )

    def _keep(self) -> None:
        retry = _FIRST_RETRY_S
        while not self._stopping.is_set():
            self._wake.clear()
            if self._is_behind():
                retry = min(retry * 2, _LONGEST_RETRY_S)
                self._idle(_about(retry))
            else:
                retry = _FIRST_RETRY_S
                self._idle(self._ages.refresh_s)

    def _is_behind(self) -> bool:
        """Ask the registry once; whether it must be asked again soon."""
        try:
            self.refresh()
        except (ExchangeError, OSError):
            if self._in_force is None:
                # What kept it from being restored, a full disk, may have passed.
                self.restore()
            return True
        except Exception:
            # The configuration in force must outlive any fault of this loop.
            _log.exception("configuration_refresh_failed")
            return True
        return self._hinted > (self._in_force.current.version if self._in_force else 0)

    def _idle(self, seconds: float) -> None:
        """Wait until it is time or somebody wakes us; meanwhile programs come and go."""
        due = time.monotonic() + seconds
        self._stopping.wait(_LEAST_PAUSE_S)
        while not self._stopping.is_set():
            self._mind_programs()
            left = due - time.monotonic()
            if left <= 0 or self._wake.wait(min(_TICK_S, left)):
                return

    def _mind_programs(self) -> None:
        try:
            self.refresh_programs()
            problem = ""
        except OSError as error:
            problem = str(error)
        if problem and problem != self._programs_unwritten:
            _log.error("programs_not_handed_over", error=problem)
        self._programs_unwritten = problem

    def _watch(self) -> None:
        delay = _FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                held = self._in_force.current.version if self._in_force else 0
                for version in self._registry.watch(held):
                    delay = _FIRST_RETRY_S
                    self._hinted = version
                    self._wake.set()
            except ExchangeError as error:
                _log.info("configuration_watch_ended", reason=error.reason, error=str(error))
            self._stopping.wait(_about(delay))
            delay = min(delay * 2, _LONGEST_RETRY_S)

    def _take(
        self,
        trusted: TrustedVersion,
        read: Callable[[TrustedVersion, str], bytes],
        keep: Callable[[], None],
    ) -> None:
        """Put a trusted version in force, or confirm the one that is; ``keep`` it for a start without registry."""
        self._require_forward(trusted)
        in_force = self._in_force
        now = self._clock.now_ms()
        if (
            in_force is not None
            and in_force.trusted.version == trusted.version
            and now - in_force.judged_at < _JUDGE_AGAIN_MS
        ):
            if trusted.renewed:
                self._confirm(in_force, trusted)
                keep()
            return
        documents = {target: read(trusted, target) for target in trusted.targets}
        fresh_at = self._fresh_at(trusted, now)
        # Judged as of the last contact: revocation lists that were fresh then do not turn an absence of the
        # registry into a stop before its time.
        judged = self._judge(documents, fresh_at)
        self._report_left_out(judged.left_out)
        # Before the file that workers read: a crash between the two leaves a mirror that leads on, not back.
        keep()
        self._put_in_force(trusted, judged, now, fresh_at)

    def _require_forward(self, trusted: TrustedVersion) -> None:
        before = self._before
        if before is None:
            return
        if trusted.version < before.version:
            raise UntrustedConfigurationError(
                f"version {trusted.version} would go back behind {before.version}", Reason.CONFIG_SPLIT
            )
        if trusted.version == before.version and trusted.digest != before.digest:
            raise UntrustedConfigurationError(
                f"version {trusted.version} has a second digest: {trusted.digest}, not {before.digest}",
                Reason.CONFIG_SPLIT,
            )

    def _put_in_force(
        self, trusted: TrustedVersion, judged: JudgedConfiguration, judged_at: int, fresh_at: int
    ) -> None:
        current = CurrentConfiguration(
            v=1,
            version=trusted.version,
            digest=trusted.digest,
            fresh_at=fresh_at,
            expires_at=min(trusted.expires_at, fresh_at + self._ages.expires_s * 1000),
            common=judged.common,
            members=judged.members,
            programs=self._admitted(),
            masks=judged.masks,
            marks=judged.marks,
        )
        self._write(current)
        # Workers first: whoever sees it in force here knows that they were told.
        self._tell(self._changed(current))
        self._in_force = InForce(trusted, judged, judged_at, current)
        _log.info("configuration_in_force", version=current.version, digest=current.digest)

    def _confirm(self, in_force: InForce, trusted: TrustedVersion) -> None:
        now = self._clock.now_ms()
        current = msgspec.structs.replace(
            in_force.current,
            fresh_at=now,
            expires_at=min(trusted.expires_at, now + self._ages.expires_s * 1000),
        )
        self._in_force = InForce(trusted, in_force.judged, in_force.judged_at, current)
        self._tell(
            ConfigurationConfirmed(
                version=current.version, fetched_at=current.fresh_at, expires_at=current.expires_at
            )
        )
        # For the next start only: a disk that takes nothing must not let the configuration of this one grow old.
        self._write(current)

    def _fresh_at(self, trusted: TrustedVersion, now: int) -> int:
        if trusted.renewed:
            return now
        if self._before is not None:
            return self._before.fresh_at
        # Nothing tells when it was fetched; it was signed so long before it expires.
        return trusted.expires_at - self._ages.expires_s * 1000

    def _admitted(self) -> list[ProgramEntry]:
        problem = ""
        try:
            self._last_programs = self._programs.entries()
        except ExchangeError as error:
            # A slip of the administrator's pen must neither lock programs out nor hold up a revocation.
            problem = str(error)
        if problem and problem != self._programs_problem:
            _log.error("programs_not_read", error=problem)
        self._programs_problem = problem
        return self._last_programs

    def _write(self, current: CurrentConfiguration) -> None:
        replace_file(self._directory.current, encode_current(current))
        self._before = current

    def _changed(self, current: CurrentConfiguration) -> ConfigurationChanged:
        return ConfigurationChanged(
            path=str(self._directory.current), version=current.version, digest=current.digest
        )

    def _report_left_out(self, left_out: tuple[LeftOut, ...]) -> None:
        known = self._in_force.judged.left_out if self._in_force is not None else ()
        for one in left_out:
            if one not in known:
                _log.error("configuration_left_out", target=one.target, part=one.part, why=one.why)

    def _note_registry(self, reason: str, problem: str) -> None:
        before = self._registry_state
        self._registry_state = RegistryState(before.address, problem, reason)
        # Tried again every few seconds, told once.
        if reason != before.reason:
            _log.warning("registry_failed" if problem else "registry_reachable", reason=reason, error=problem)


def _read_current(directory: GatewayDirectory) -> CurrentConfiguration | None:
    """What was in force when control last ran: the floor below which no version may go."""
    try:
        return decode_current(directory.current.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, MalformedDocumentError) as error:
        _log.error("current_configuration_unreadable", error=str(error))
        return None


def _about(seconds: float) -> float:
    """So that the gateways of a country do not come back to their registry in step."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311
