"""Checks of processes: control and workers, and the ports of a gateway that does not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from core.language import Text
from core.reasons import ExchangeError, Reason
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level, good
from rpc.figures import counted, moment, plural
from rpc.ports import require_free

_SILENT: Final = ("WORKER_DOWN", "WORKER_SILENT")


def check_processes(case: Case) -> Iterator[Finding]:
    """Whether control answers and every worker lives and speaks."""
    start = Text(
        f"`passerelle gateway serve --config {case.directory.settings}` (ou `systemctl start passerelle-gateway`)",
        f"`passerelle gateway serve --config {case.directory.settings}` (or `systemctl start passerelle-gateway`)",
    )
    if not case.is_live:
        known = (
            moment(case.status.as_of.ToMilliseconds(), case.now_ms)
            if case.status is not None
            else Text("jamais", "never")
        )
        if case.living:
            alive = counted(
                len(case.living),
                Text("worker vit encore", "worker lives on"),
                Text("workers vivent encore", "workers live on"),
            )
            workers, until = ", ".join(map(str, case.living.values())), _until_expiry(case)
            text = Text(
                f"Le processus de contrôle ne répond pas (dernier état noté : {known.fr}) ; {alive.fr} "
                f"(pid {workers}) : les échanges des programmes continuent{until.fr}, mais rien de nouveau "
                "n'arrive du registre, et `passerelle call`, `exchange list` et `show`, /etat et les métriques ne "
                "répondent pas",
                f"The control process does not answer (last state noted: {known.en}); {alive.en} "
                f"(pid {workers}): exchanges of programs go on{until.en}, but no news comes from the registry, and "
                "`passerelle call`, `exchange list` and `show`, /etat and the metrics do not answer",
            )
        else:
            text = Text(
                f"La passerelle ne tourne pas ; dernier état noté : {known.fr}",
                f"The gateway does not run; last state noted: {known.en}",
            )
        yield Finding("GATEWAY_DOWN", Level.FAULT, text, start, {"workers": len(case.living)})
        return
    status = case.status
    down = [one for one in (status.faults if status else ()) if one in _SILENT]
    if status is not None and down:
        gone = [str(worker.worker) for worker in status.workers if not worker.pid]
        restarts = sum(worker.restarts for worker in status.workers)
        again = counted(restarts, Text("relance", "restart"), Text("relances", "restarts"))
        which = f"{'Worker' if len(gone) == 1 else 'Workers'} {', '.join(gone)}" if gone else ""
        why = "".join(
            f" ({one.failed_start.reason}: {one.failed_start.why})"
            for one in status.workers
            if one.HasField("failed_start")
        )
        yield Finding(
            "GATEWAY_DOWN",
            Level.FAULT,
            Text(
                f"{which or 'Workers muets'} : {', '.join(down)}, {again.fr} depuis le démarrage{why}",
                f"{which or 'Silent workers'}: {', '.join(down)}, {again.en} since the start{why}",
            ),
            Text(
                "il est relancé seul ; s'il retombe, `passerelle doctor LOG_WRITE_FAILED LOG_DAMAGED KEY_UNREADABLE` "
                "dit pourquoi",
                "it is started again by itself; if it falls again, "
                "`passerelle doctor LOG_WRITE_FAILED LOG_DAMAGED KEY_UNREADABLE` says why",
            ),
            {"restarts": restarts},
        )
    else:
        count = plural(len(status.workers) if status else 0, "worker")
        yield good("GATEWAY_DOWN", f"contrôle et {count.fr} tournent", f"control and {count.en} run")


def _until_expiry(case: Case) -> Text:
    """How long workers go on alone: as long as the configuration that they hold."""
    if case.current is None:
        return Text("", "")
    at = moment(case.current.expires_at, case.now_ms)
    return Text(
        f" jusqu'à l'expiration de la configuration ({at.fr})", f" until the configuration expires ({at.en})"
    )


def check_routes(case: Case) -> Iterator[Finding]:
    """Whether anybody on this machine may call without saying who."""
    open_ones = [route for route in case.settings.routes if route.allow_unauthenticated_loopback]
    if not open_ones:
        yield good(
            "UNAUTHENTICATED_ROUTE",
            "tout programme qui appelle est authentifié",
            "every program that calls is authenticated",
        )
    for route in open_ones:
        yield Finding(
            "UNAUTHENTICATED_ROUTE",
            Level.WARNING,
            Text(
                f"La route {route.name} ({route.listen}) ne demande pas qui appelle : tout ce qui tourne sur cette "
                f"machine y appelle au nom de {route.client}",
                f"The route {route.name} ({route.listen}) asks nobody who calls: whatever runs on this machine calls "
                f"there as {route.client}",
            ),
            Text(
                "donner un certificat au programme (`passerelle program add`) et ôter allow_unauthenticated_loopback de "
                "cette route dans gateway.toml",
                "give the program a certificate (`passerelle program add`) and take allow_unauthenticated_loopback off "
                "this route in gateway.toml",
            ),
            {"route": route.name, "address": route.listen, "client": str(route.client)},
        )


def check_ports(case: Case) -> Iterator[Finding]:
    """Whether a gateway that does not run could take its ports, or what its workers say who could not."""
    remedy = Text(
        "arrêter ce processus (`ss -ltnp` le nomme), ou changer l'adresse dans gateway.toml",
        "stop that process (`ss -ltnp` names it), or change the address in gateway.toml",
    )
    if case.is_live:
        for worker in case.status.workers if case.status is not None else ():
            if worker.failed_start.reason == Reason.PORT_IN_USE:
                text = Text(
                    f"Le worker {worker.worker} ne démarre pas, un port est déjà pris ({worker.failed_start.why})",
                    f"Worker {worker.worker} does not start, a port is in use ({worker.failed_start.why})",
                )
                yield Finding("PORT_IN_USE", Level.FAULT, text, remedy, {"worker": worker.worker})
        return
    if case.living:
        return
    busy = False
    for address in (*case.settings.listen.addresses, *(route.listen for route in case.settings.routes)):
        try:
            require_free(address)
        except ExchangeError as error:
            busy = True
            text = Text(f"{address} est déjà pris ({error})", f"{address} is in use ({error})")
            yield Finding("PORT_IN_USE", Level.FAULT, text, remedy, {"address": address})
    if not busy:
        yield good("PORT_IN_USE", "les ports de la passerelle sont libres", "the gateway's ports are free")
