"""What keeps a gateway from using one of its private files."""

from __future__ import annotations

import errno
import pwd
from pathlib import Path

from core.language import Text
from core.reasons import ExchangeError
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level
from rpc.files import read_private


def file_fault(case: Case, name: Text, path: Path) -> Finding | None:
    """What keeps the gateway's own user from using a private file."""
    owner = case.directory.root.stat().st_uid
    user = _user(owner)
    try:
        found = path.stat()
    except OSError as error:
        missing = error.errno == errno.ENOENT
        return key_finding(
            name,
            path,
            Text("absente", "missing")
            if missing
            else Text(f"illisible ({_code(error)})", f"unreadable ({_code(error)})"),
            put_back(path),
        )
    # Who runs doctor may read everything; who runs the gateway must.
    if found.st_uid != owner:
        holder = _user(found.st_uid)
        return key_finding(
            name,
            path,
            Text(
                f"lecture refusée (propriétaire {holder}, attendu {user})",
                f"not readable (owner {holder}, expected {user})",
            ),
            Text(f"`sudo chown {user} {path}`", f"`sudo chown {user} {path}`"),
        )
    if found.st_mode & 0o077:
        return key_finding(
            name,
            path,
            Text(
                f"ouverte à d'autres (mode {found.st_mode & 0o7777:04o}) : la passerelle la refuse",
                f"open to others (mode {found.st_mode & 0o7777:04o}): the gateway refuses it",
            ),
            Text(f"`chmod 600 {path}`", f"`chmod 600 {path}`"),
        )
    try:
        read_private(path)
    except ExchangeError:
        return key_finding(
            name,
            path,
            Text("lecture refusée par le système", "reading is refused by the system"),
            Text(
                f"`sudo chown {user} {path} && sudo chmod 600 {path}`",
                f"`sudo chown {user} {path} && sudo chmod 600 {path}`",
            ),
        )
    return None


def key_finding(name: Text, path: Path, what: Text, remedy: Text) -> Finding:
    """A fault of a key, named with its file."""
    return Finding(
        "KEY_UNREADABLE",
        Level.FAULT,
        Text(f"{name.fr} {path} : {what.fr}", f"{name.en} {path}: {what.en}"),
        remedy,
        {"file": str(path)},
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def put_back(path: Path) -> Text:
    """What helps where a key is gone, or is none any more."""
    return Text(f"remettre la copie sauvegardée de {path}", f"put back the copy of {path} that was backed up")
