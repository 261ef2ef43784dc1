"""One more worker for a gateway: its log, and its line in ``gateway.toml``.

The worker starts with the gateway's next start. Its log takes part in no exchange before the member key has signed a
registration that names it and two operators have approved that (PROTOCOL M5); until then, and always while it cannot
carry exchanges, programs are left to the other workers (``gateway.shared_port``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from core.clock import Clock
from core.language import Text
from core.reasons import ExchangeError, Reason
from core.registrations import RegisteredLog
from gateway.founding import new_genesis_leaf, registered_logs
from gateway.hints import toml_text
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings, HostPort, SettingsError, road_of
from gateway.succession import genesis_of, registration_in_force
from ledger.log import create_log, segments
from rpc.files import replace_file
from rpc.settings import load_settings

_WORKERS: Final = re.compile(r"^workers[ \t]*=[ \t]*[0-9]+", re.MULTILINE)
_LISTEN: Final = re.compile(r"^\[listen\][ \t]*(#.*)?$", re.MULTILINE)
_TABLE: Final = re.compile(r"^\[", re.MULTILINE)
_ROAD: Final = re.compile(r"^road[ \t]*=[ \t]*\[[^\]]*\]", re.MULTILINE)


def enlarged(settings: GatewaySettings, road: HostPort | None) -> GatewaySettings:
    """The settings with one more worker, whose road port is ``road`` or the next by the rule of DESIGN section 3.

    Raises:
        ExchangeError: ``CONFIG_FILE_INVALID``: the port is taken by another part of the gateway, or there are 64 workers.
    """
    listen = settings.listen
    address = road or road_of(HostPort.parse(listen.road[0]), settings.workers)
    used = [HostPort.parse(one) for one in (listen.programs, listen.admin, listen.http, *listen.road)]
    if address.port and address.port in [one.port for one in used]:
        raise ExchangeError(
            Reason.CONFIG_FILE_INVALID,
            f"port {address.port} is another one's of this gateway",
            remedy=Text("nommer un port libre : --road", "name a free port: --road"),
        )
    try:
        return msgspec.structs.replace(
            settings,
            workers=settings.workers + 1,
            listen=msgspec.structs.replace(listen, road=(*listen.road, str(address))),
        )
    except SettingsError as error:
        raise ExchangeError(Reason.CONFIG_FILE_INVALID, str(error)) from error


def worker_without_log(directory: GatewayDirectory, settings: GatewaySettings) -> int | None:
    """The first worker that ``gateway.toml`` names and that has no log yet; ``None`` if each has one."""
    return next((one for one in range(settings.workers) if not _has_log(directory, one)), None)


def add_worker(
    directory: GatewayDirectory, settings: GatewaySettings, larger: GatewaySettings, worker: int, clock: Clock
) -> RegisteredLog:
    """Make the log of ``worker``, then write ``gateway.toml`` as ``larger`` has it, if that is not as it is.

    Cut off in between, it is called again: a log that is there already is the worker's.

    Raises:
        ExchangeError: ``CONFIG_FILE_INVALID``: the file has a form that cannot be changed by itself; nothing was changed.
            ``ALREADY_EXISTS``: the worker's log is registered and lost, or what is there is another gateway's.
    """
    registered = registration_in_force(directory, settings)
    ids = [one.id for one in registered.logs if one.worker == worker] if registered is not None else []
    text = _rewritten(directory.settings, larger) if larger != settings else None
    where = directory.log(worker)
    if _has_log(directory, worker):
        genesis = genesis_of(where)
        if (genesis.gateway, genesis.worker) != (settings.gateway, worker):
            raise ExchangeError(
                Reason.ALREADY_EXISTS, f"{where} holds a log of worker {genesis.worker} of {genesis.gateway}"
            )
    elif ids:
        raise ExchangeError(
            Reason.ALREADY_EXISTS,
            f"worker {worker} has the registered log {ids[0][:16]}, which is not here",
            remedy=Text(
                f"remettre son disque ; s'il est perdu : passerelle log succeed --worker {worker}",
                f"put its disk back; if it is lost: passerelle log succeed --worker {worker}",
            ),
        )
    else:
        create_log(where, new_genesis_leaf(settings.gateway_id, worker, clock))
    if text is not None:
        replace_file(directory.settings, text.encode())
    return registered_logs(directory, larger)[worker]


def _has_log(directory: GatewayDirectory, worker: int) -> bool:
    where = directory.log(worker)
    return where.is_dir() and bool(segments(where))


def _rewritten(path: Path, larger: GatewaySettings) -> str:
    """``gateway.toml`` with two lines changed, all else as the administrator left it; read back before it is used."""
    before = path.read_text(encoding="utf-8")
    workers = f"workers = {larger.workers}"
    road = f"road = {toml_text(list(larger.listen.road))}"
    text = _in_part(before, 0, _WORKERS, workers)
    listen = _LISTEN.search(text)
    text = _in_part(text, listen.end(), _ROAD, road) if listen else f"{text}\n[listen]\n{road}\n"
    trial = path.with_name(f".{path.name}.trial")
    try:
        replace_file(trial, text.encode())
        is_right = load_settings(trial, GatewaySettings) == larger
    except ValueError:
        is_right = False
    finally:
        trial.unlink(missing_ok=True)
    if not is_right:
        raise ExchangeError(
            Reason.CONFIG_FILE_INVALID,
            f"{path} cannot be changed by itself",
            remedy=Text(
                f"y écrire soi-même `{workers}` et, sous [listen], `{road}`, puis redonner la commande",
                f"write `{workers}` and, under [listen], `{road}` into it, then give the command again",
            ),
        )
    return text


def _in_part(text: str, begin: int, line: re.Pattern[str], new: str) -> str:
    """Replace ``line`` in the part that begins at ``begin`` and ends with the next table; add it if it is not there."""
    table = _TABLE.search(text, begin)
    end = table.start() if table else len(text)
    found = line.search(text, begin, end)
    if found:
        return text[: found.start()] + new + text[found.end() :]
    if begin:
        return f"{text[:begin]}\n{new}{text[begin:]}"
    return f"{text[:end]}{new}\n\n{text[end:]}"
