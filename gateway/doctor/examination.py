"""The checks in order, and what they find."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final

from core.clock import Clock
from core.language import Text
from core.reasons import ExchangeError, Reason
from gateway.doctor.case import Case, gather
from gateway.doctor.clock import check_clock
from gateway.doctor.configuration import (
    check_configuration,
    check_registration,
    check_registry,
    check_revocation_lists,
)
from gateway.doctor.disk import check_disk, check_index, check_log, check_write_failures
from gateway.doctor.findings import Finding, Level, good
from gateway.doctor.keys import check_anchor, check_certificates, check_keys, check_wrapping_key
from gateway.doctor.neighbours import check_adapters, check_peers
from gateway.doctor.processes import check_ports, check_processes, check_routes
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from passerelle.gateway.v1 import status_pb2


@dataclass(frozen=True, slots=True)
class Check:
    """One check: the codes that it can find, and whether it needs the outside to be tried."""

    run: Callable[[Case], Iterator[Finding]]
    codes: tuple[str, ...]
    outside: bool = False


CHECKS: Final = (
    Check(check_processes, ("GATEWAY_DOWN", "WORKER_DOWN", "WORKER_SILENT")),
    Check(check_clock, ("CLOCK_SKEW",), outside=True),
    Check(check_configuration, ("CONFIG_STALE", "CONFIG_EXPIRED", "CONFIG_MISSING")),
    Check(check_registration, ("GATEWAY_SUSPENDED", "LOG_NOT_REGISTERED")),
    Check(check_registry, ("REGISTRY_UNREACHABLE",), outside=True),
    Check(check_certificates, ("CERT_EXPIRED", "CERT_EXPIRING")),
    Check(check_revocation_lists, ("REVOCATION_LIST_ENDING",)),
    Check(check_disk, ("DISK_RESERVE", "DISK_LOW")),
    Check(check_write_failures, ("LOG_WRITE_FAILED",)),
    Check(check_log, ("LOG_BEHIND_PEERS", "FORKED", "LOG_DAMAGED", "LOG_UNCONFIRMED")),
    Check(check_peers, ("PEER_UNREACHABLE",), outside=True),
    Check(check_adapters, ("ADAPTER_DOWN",), outside=True),
    Check(check_keys, ("KEY_UNREADABLE",)),
    Check(check_anchor, ("ANCHOR_MISMATCH",)),
    Check(check_ports, ("PORT_IN_USE",)),
    Check(check_routes, ("UNAUTHENTICATED_ROUTE",)),
    Check(check_index, ("INDEX_BEHIND",)),
    Check(check_wrapping_key, ("WRAPPING_KEY_BESIDE_LOG",)),
)


def examine(
    settings: GatewaySettings, directory: GatewayDirectory, clock: Clock, codes: Collection[str] = ()
) -> tuple[Case, list[Finding]]:
    """Run the checks that can find one of ``codes``; all of them if none is named."""
    wanted = [one for one in CHECKS if not codes or set(codes) & set(one.codes)]
    case = gather(settings, directory, clock, outside=any(one.outside for one in wanted))
    findings = [finding for one in wanted for finding in _run(one, case)]
    reported = list(_reported(case, {one.code for one in findings if one.level is not Level.GOOD}))
    findings += _unchecked(codes, case, reported) if codes else reported
    return case, [_with_config(one, directory) for one in findings]


def _unchecked(codes: Collection[str], case: Case, reported: Collection[Finding]) -> Iterator[Finding]:
    """Of codes that no check can find, what the gateway itself says."""
    for code in codes:
        if any(code in one.codes for one in CHECKS):
            continue
        told = [one for one in reported if one.code == code]
        yield from told
        if not told and case.is_live:
            yield good(code, "la passerelle ne le signale pas", "the gateway does not report it")
        elif not told:
            yield good(
                code,
                "rien ne le dit : la passerelle ne tourne pas",
                "nothing tells: the gateway does not run",
            )


# A command of this gateway, up to where its settings would be named.
_OWN_COMMAND: Final = re.compile(
    r"passerelle (doctor|status|log (?:status|succeed)|gateway (?:register|install|pseudonym-keys))(?![^`'»]* --config)"
)


def _with_config(found: Finding, directory: GatewayDirectory) -> Finding:
    """Whoever copies a command of a remedy is not always in the gateway's directory."""
    if found.remedy is None:
        return found

    def named(text: str) -> str:
        return _OWN_COMMAND.sub(lambda command: f"{command[0]} --config {directory.settings}", text)

    return replace(found, remedy=Text(named(found.remedy.fr), named(found.remedy.en)))


def _reported(case: Case, told: Collection[str]) -> Iterator[Finding]:
    """What a running gateway reports of itself and no check has told, such as ``DOCUMENT_INVALID``."""
    status = case.status
    if status is None or not case.is_live:
        return
    level = Level.WARNING if status.state == status_pb2.STATE_DEGRADED else Level.FAULT
    for code in status.faults:
        if code in told or code not in Reason.__members__:
            continue
        entry, detail = Reason(code).entry, _detail(status, code)
        yield Finding(
            code,
            level,
            Text(
                f"La passerelle signale : {entry.text.fr}{detail}",
                f"The gateway reports: {entry.text.en}{detail}",
            ),
            entry.remedy,
        )


def _detail(status: status_pb2.GetStatusResponse, code: str) -> str:
    """What it is about, as the gateway noted it."""
    if code == status.registry.reason:
        return f" ({status.registry.problem})"
    if code == Reason.DOCUMENT_INVALID:
        return (
            f" ({', '.join(f'{one.target}: {one.part}, {one.why}' for one in status.configuration.left_out)})"
        )
    return ""


def _run(check: Check, case: Case) -> list[Finding]:
    """What a check finds; what breaks one check, a mistake of ours included, must not keep the others from speaking."""
    try:
        return list(check.run(case))
    except (ExchangeError, OSError, ValueError) as error:
        return [_broken_off(check, str(error))]
    except Exception as error:
        # Its text may hold anything; what it is and where it was raised is what we need to mend it.
        place = traceback.extract_tb(error.__traceback__)[-1]
        return [_broken_off(check, f"{type(error).__name__}, {PurePath(place.filename).name}:{place.lineno}")]


def _broken_off(check: Check, why: str) -> Finding:
    return Finding(
        check.codes[0],
        Level.FAULT,
        Text(f"ce contrôle n'a pas abouti ({why})", f"this check did not come to an end ({why})"),
        Text(
            "envoyer à l'ASIN le fichier de `passerelle doctor --report rapport.zip`",
            "send ASIN the file of `passerelle doctor --report report.zip`",
        ),
    )
