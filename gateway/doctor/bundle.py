"""The file that an administrator sends to ASIN: what doctor saw, without personal data and without keys.

It holds findings, states, sizes, public certificates and settings. Nothing of the logs' leaves goes in: dossiers, users
and exchanges are the member's own business.
"""

from __future__ import annotations

import json
import platform
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec
from google.protobuf.json_format import MessageToJson

from core.reasons import ExchangeError
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding
from pki.keys import load_chain
from rpc.names import issuer_of, subject_of

_PACKAGES: Final = ("passerelle", "grpcio", "protobuf", "cryptography", "ngh2", "tuf", "SQLAlchemy")


def write_bundle(path: Path, case: Case, findings: Sequence[Finding]) -> list[str]:
    """Write the file, 0600; returns the names in it.

    Raises:
        OSError: It cannot be written, or is there already.
    """
    parts = {
        "findings.json": _json([finding_json(one) for one in findings]),
        "system.json": _json(_system(case)),
        "configuration.json": _json(_configuration(case)),
        "logs.json": _json([msgspec.to_builtins(one) for one in case.logs]),
        "probes.json": _json(msgspec.to_builtins([case.registry, *case.peers, *case.adapters])),
        "certificates.json": _json(_certificates(case)),
        "gateway.toml": case.directory.settings.read_text(encoding="utf-8"),
    }
    if case.status is not None:
        parts["status.json"] = MessageToJson(case.status, indent=1)
    path.touch(mode=0o600, exist_ok=False)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return sorted(parts)


def finding_json(finding: Finding, lang: str | None = None) -> dict[str, Any]:
    """A finding for machines; in one language, or both."""
    told = {"code": finding.code, "level": str(finding.level)}
    for key, text in (("text", finding.text), ("remedy", finding.remedy)):
        if lang is not None:
            told[key] = (text.fr if lang == "fr" else text.en) if text is not None else ""
        elif text is not None:
            told |= {f"{key}_fr": text.fr, f"{key}_en": text.en}
    return told | {"values": dict(finding.values)}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


def _system(case: Case) -> dict[str, Any]:
    return {
        "at": datetime.fromtimestamp(case.now_ms / 1000, UTC).isoformat(),
        "gateway": case.settings.gateway,
        "live": case.is_live,
        "workers": dict(case.living),
        "free_bytes": case.free_bytes,
        "days_left": case.days_left,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _configuration(case: Case) -> dict[str, Any]:
    current = case.current
    if current is None:
        return {}
    return {
        "version": current.version,
        "digest": current.digest,
        "fresh_at": current.fresh_at,
        "expires_at": current.expires_at,
        "members": {member.member: member.state for member in current.members},
        "agreements": sorted(one.mark.id for one in case.agreements),
    }


def _certificates(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {}
    directory = case.directory
    for files in (directory.auth, directory.seal, directory.programs, directory.programs_server):
        try:
            chain = load_chain(files.certificate.read_bytes())
        except (OSError, ExchangeError) as error:
            found[files.certificate.name] = str(error)
            continue
        found[files.certificate.name] = [
            {
                "subject": subject_of(one),
                "issuer": issuer_of(one),
                "serial": f"{one.serial_number:x}",
                "not_before": one.not_valid_before_utc.isoformat(),
                "not_after": one.not_valid_after_utc.isoformat(),
            }
            for one in chain
        ]
    return found
