"""Checks of the disk, the log on it, and the index over it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from core.language import Text
from core.reasons import Reason
from core.succession import OWN_STATE
from gateway.channel import WriteFailure
from gateway.control.forecast import FORESEEN_DAYS
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level, Value, good
from gateway.remains import LogOnDisk
from gateway.stopped import what_and_remedy
from ledger.glance import older_damage
from rpc.figures import at_moment, number, size

_REMEMBERED_MS: Final = 7 * 86_400_000
_INDEX_BEHIND: Final = 10_000
# For the older segments of one log: a few hundred MB of them.
_OLDER_S: Final = 3.0


def check_disk(case: Case) -> Iterator[Finding]:
    """Room on the disk of the log: below the reserve, low, or enough."""
    free, reserve = case.free_bytes, case.settings.log.reserve_bytes
    where = case.directory.root / "log"
    if free is None:
        yield Finding(
            "DISK_RESERVE",
            Level.FAULT,
            Text(f"{where} ne peut pas être lu", f"{where} cannot be read"),
            Text(f"`df -h {case.directory.root}`", f"`df -h {case.directory.root}`"),
        )
        return
    left, used = size(free), size(sum(log.seen.used_bytes for log in case.logs if log.seen is not None))
    mount = _mount_of(where)
    occupied = f"`sudo du -xhd2 {mount} | sort -h | tail`"
    remedy = Text(
        f"libérer de la place hors de {where} : {occupied} montre ce qui l'occupe ; ou agrandir le disque. Le service "
        "reprend seul. Ne supprimez aucun segment",
        f"free some room outside {where}: {occupied} shows what takes it; or enlarge the disk. Service resumes alone. "
        "Delete no segment",
    )
    if mount == where.resolve():
        remedy = Text(
            f"agrandir le disque {mount}, qui est celui du journal seul ; en retirer ce qui n'est pas à la passerelle "
            f"(`ls -la {mount}`). Le service reprend seul. Ne supprimez aucun segment",
            f"enlarge the disk {mount}, which is the log's own; take away what is not the gateway's (`ls -la {mount}`). "
            "Service resumes alone. Delete no segment",
        )
    values = {"free_bytes": free, "reserve_bytes": reserve} | (
        {} if case.days_left is None else {"days_left": round(case.days_left, 1)}
    )
    if free < reserve:
        yield Finding(
            "DISK_RESERVE",
            Level.FAULT,
            Text(
                f"{left.fr} libres sur {where}, moins que la réserve de {size(reserve).fr} ; nouveaux échanges refusés, "
                f"rien n'est perdu (le journal occupe {used.fr})",
                f"{left.en} left on {where}, less than the reserve of {size(reserve).en}; new exchanges refused, nothing "
                f"lost (the log takes up {used.en})",
            ),
            remedy,
            values,
        )
    elif case.days_left is not None and case.days_left < case.settings.log.low_days:
        yield Finding(
            "DISK_LOW",
            Level.WARNING,
            Text(
                f"{left.fr} libres sur {where} ; à ce rythme la réserve est atteinte dans {case.days_left:.0f} jours",
                f"{left.en} left on {where}; at the present pace the reserve is reached in {case.days_left:.0f} days",
            ),
            remedy,
            values,
        )
    else:
        forecast = _forecast(case.days_left)
        yield good(
            "DISK_LOW",
            f"{left.fr} libres sur {where}{forecast.fr}",
            f"{left.en} left on {where}{forecast.en}",
            **values,
        )


def _forecast(days_left: float | None) -> Text:
    """When the disk is full; further off than a year nobody can tell."""
    if days_left is None:
        return Text("", "")
    if days_left > FORESEEN_DAYS:
        return Text(", pas plein avant un an à ce rythme", ", not full within a year at the present pace")
    return Text(f", plein dans {days_left:.0f} jours", f", full in {days_left:.0f} days")


def _mount_of(path: Path) -> Path:
    found = path.resolve()
    while not os.path.ismount(found) and found != found.parent:
        found = found.parent
    return found


def check_write_failures(case: Case) -> Iterator[Finding]:
    """Writes that the disk refused, newest of each worker, as long as they matter."""
    told = False
    for worker in range(case.settings.workers):
        failure = _newest_failure(case, worker)
        if failure is None:
            continue
        is_over = _is_ready(case, worker)
        if is_over and case.now_ms - failure.at > _REMEMBERED_MS:
            continue
        told = True
        yield _write_failure(case, worker, failure, is_over=is_over)
    if not told:
        yield good(
            "LOG_WRITE_FAILED",
            "le disque n'a refusé aucune écriture du journal",
            "the disk refused no write of the log",
        )


def _newest_failure(case: Case, worker: int) -> WriteFailure | None:
    """From the worker's own file, or from control: the disk may have refused the file as well."""
    known = [case.write_failures[worker]] if worker in case.write_failures else []
    for one in case.status.workers if case.status else ():
        if one.worker == worker and one.HasField("write_failure"):
            at = one.write_failure.at.ToMilliseconds()
            known.append(
                WriteFailure(at=at, error=one.write_failure.error, segment=one.write_failure.segment)
            )
    return max(known, key=lambda one: one.at, default=None)


def _is_ready(case: Case, worker: int) -> bool:
    return case.is_live and any(
        one.worker == worker and one.state == "ready" for one in (case.status.workers if case.status else ())
    )


def _write_failure(case: Case, worker: int, failure: WriteFailure, *, is_over: bool) -> Finding:
    at = at_moment(failure.at, case.now_ms)
    segment = f", segment {failure.segment}" if failure.segment else ""
    begun = Text(
        f"Écriture refusée par le disque ({failure.error}{segment}) {at.fr}",
        f"The disk refused a write ({failure.error}{segment}) {at.en}",
    )
    if is_over:
        then = Text(
            "le worker est reparti depuis et n'a rien perdu",
            "the worker has been started again since and lost nothing",
        )
    else:
        then = Text(
            f"le worker {worker} s'est arrêté pour ne rien perdre",
            f"worker {worker} stopped so as to lose nothing",
        )
    full = failure.error in ("ENOSPC", "EDQUOT")
    look = Text(
        f"`df -h {case.directory.root}` et libérer de la place"
        if full
        else "vérifier le disque (`sudo dmesg --level=err,warn | tail -50`), le remplacer s'il le faut",
        f"`df -h {case.directory.root}` and free some room"
        if full
        else "check the disk (`sudo dmesg --level=err,warn | tail -50`), replace it if need be",
    )
    start = "`systemctl start passerelle-gateway`"
    return Finding(
        "LOG_WRITE_FAILED",
        Level.WARNING if is_over else Level.FAULT,
        Text(f"{begun.fr} ; {then.fr}", f"{begun.en}; {then.en}"),
        look
        if is_over
        else Text(
            f"{look.fr}, puis {start} : reprise automatique",
            f"{look.en}, then {start}: recovery is automatic",
        ),
        {"worker": worker, "error": failure.error, "segment": failure.segment, "at": failure.at},
    )


def check_log(case: Case) -> Iterator[Finding]:
    """Whether each log is whole, as long as what was signed of it, and not behind what a peer has seen."""
    told = False
    for log in case.logs:
        for finding in (*_stopped(case, log.worker), *_damage(case, log)):
            told = True
            yield finding
    if told:
        return
    leaves = number(sum(log.seen.size for log in case.logs if log.seen is not None))
    yield good(
        "LOG_BEHIND_PEERS",
        f"{leaves.fr} feuilles, aucun pair n'en a vu davantage",
        f"{leaves.en} leaves, no peer has seen more",
    )
    if case.is_live and case.status is not None and "LOG_UNCONFIRMED" in case.status.faults:
        yield Finding(
            "LOG_UNCONFIRMED",
            Level.WARNING,
            Text(
                "Depuis le démarrage, ni pair ni registre n'a pu dire quelle tête de ce journal il détient",
                "Since the start neither a peer nor the registry could say which head of this log it holds",
            ),
            Text(
                "rien si tous sont éteints (`passerelle doctor PEER_UNREACHABLE REGISTRY_UNREACHABLE`) ; après une "
                "restauration, attendre le premier pair avant de se fier au journal",
                "nothing if all are down (`passerelle doctor PEER_UNREACHABLE REGISTRY_UNREACHABLE`); after a restore, "
                "wait for the first peer before relying on the log",
            ),
        )


def _stopped(case: Case, worker: int) -> Iterator[Finding]:
    """A log that stopped because somebody holds a head of it that it cannot extend."""
    for one in case.status.workers if case.status is not None and case.is_live else ():
        if one.worker == worker and one.HasField("stopped"):
            told = one.stopped
            yield _stopped_log(one.state, worker, told.here, told.there, told.witness)
            return
    log = next(log for log in case.logs if log.worker == worker)
    if not case.is_live and log.stopped is not None:
        witness, head = log.stopped.highest
        here = log.seen.size if log.seen is not None else log.stopped.size
        yield _stopped_log(log.stopped.state, worker, here, head.size, witness)
    elif (
        not case.living
        and log.seen is not None
        and log.head is not None
        and log.head.log == log.seen.log
        and log.head.size > log.seen.size
    ):
        yield _stopped_log(Reason.LOG_BEHIND_PEERS, worker, log.seen.size, log.head.size, OWN_STATE)


def _stopped_log(state: str, worker: int, here: int, there: int, witness: str) -> Finding:
    text, remedy = what_and_remedy(state, here, there, witness)
    values: dict[str, Value] = {"worker": worker, "here": here, "there": there, "witness": witness}
    return Finding(state, Level.FAULT, text, remedy, values)


def _damage(case: Case, log: LogOnDisk) -> Iterator[Finding]:
    keep = Text(
        "ne rien réparer à la main ; remettre le disque d'origine ou sa copie la plus récente, sinon appeler l'ASIN",
        "repair nothing by hand; put the original disk or its newest copy back, otherwise call ASIN",
    )
    where = case.directory.log(log.worker)
    seen = log.seen
    if seen is None:
        yield Finding(
            "LOG_DAMAGED",
            Level.FAULT,
            Text(f"{where} ne peut pas être lu : {log.problem}", f"{where} cannot be read: {log.problem}"),
            keep,
            {"worker": log.worker},
        )
    elif told := _told_by_index(case, log.worker):
        yield _damage_of_old(case, log.worker, told, is_read=False)
    elif damage := seen.damage or older_damage(where, within_s=_OLDER_S):
        if _is_ready(case, log.worker):
            yield _damage_of_old(case, log.worker, damage, is_read=True)
            return
        yield Finding(
            "LOG_DAMAGED",
            Level.FAULT,
            Text(
                f"{where} est abîmé ailleurs qu'à sa fin ({damage}) : le worker {log.worker} ne peut pas l'ouvrir",
                f"{where} is damaged elsewhere than at its end ({damage}): worker {log.worker} cannot open it",
            ),
            keep,
            {"worker": log.worker, "damage": damage},
        )
    elif told := _told_by_worker(case, log.worker):
        yield Finding(
            "LOG_DAMAGED",
            Level.FAULT,
            Text(
                f"Le worker {log.worker} n'a pas pu ouvrir {where} à son dernier démarrage ({told})",
                f"Worker {log.worker} could not open {where} when it was last started ({told})",
            ),
            keep,
            {"worker": log.worker, "damage": told},
        )


def _told_by_worker(case: Case, worker: int) -> str:
    """What a worker said of its log, the last time that it could not open it; the look here is short and may miss it."""
    for one in case.status.workers if case.status is not None else ():
        if one.worker == worker and one.failed_start.reason == Reason.LOG_DAMAGED:
            return one.failed_start.why
    return ""


def _told_by_index(case: Case, worker: int) -> str:
    """What the index cannot read, if the worker could: it reads every segment, a worker those behind its checkpoint."""
    if not case.is_live or case.status is None or _told_by_worker(case, worker):
        return ""
    return next((one.log_damage for one in case.status.workers if one.worker == worker), "")


def _damage_of_old(case: Case, worker: int, damage: str, *, is_read: bool) -> Finding:
    """Damage that a worker passes over; ``is_read``: the index is past it, until control starts again."""
    where, root = case.directory.log(worker), case.directory.root
    ends = Text(
        "l'index n'avance plus, « passerelle exchange show » et les preuves s'arrêtent devant",
        "the index goes no further, 'passerelle exchange show' and proofs end before it",
    )
    if is_read:
        ends = Text(
            "à la relance l'index n'avancera plus, « passerelle exchange show » et les preuves s'arrêteront devant",
            "after the next start the index will go no further, 'passerelle exchange show' and proofs will end before it",
        )
    return Finding(
        "LOG_DAMAGED",
        Level.FAULT,
        Text(
            f"{where} est abîmé ({damage}) : le worker {worker} l'a ouvert et continue sans ; {ends.fr}",
            f"{where} is damaged ({damage}): worker {worker} opened it and goes on without; {ends.en}",
        ),
        Text(
            f"`passerelle audit verify-log {root}` dit la place ; remettre ce segment, et lui seul, d'une sauvegarde "
            "(docs/operations/recovery.md, § 5). Ne rien réparer à la main, ne pas effacer l'index",
            f"`passerelle audit verify-log {root}` tells the place; put this segment, and no other, back from a backup "
            "(docs/operations/recovery.md, section 5). Repair nothing by hand, do not remove the index",
        ),
        {"worker": worker, "damage": damage},
    )


def check_index(case: Case) -> Iterator[Finding]:
    """How far the index of a running gateway is behind."""
    if not case.is_live or case.status is None:
        return
    behind = sum(max(0, one.size - one.indexed_size) for one in case.status.workers)
    damaged = [one for one in case.status.workers if one.log_damage]
    if damaged:
        numbers = ", ".join(str(one.worker) for one in damaged)
        yield Finding(
            "INDEX_BEHIND",
            Level.WARNING,
            Text(
                f"L'index n'avance plus, journal {numbers} abîmé : {number(behind).fr} feuilles n'y sont pas",
                f"The index goes no further, log {numbers} is damaged: {number(behind).en} leaves are not in it",
            ),
            Text(
                "`passerelle doctor LOG_DAMAGED` dit quoi remettre ; effacé, l'index perdrait ce qui est derrière",
                "`passerelle doctor LOG_DAMAGED` tells what to put back; removed, the index would lose what lies behind",
            ),
            {"behind": behind},
        )
        return
    if behind <= _INDEX_BEHIND:
        yield good("INDEX_BEHIND", "l'index suit le journal", "the index follows the log", behind=behind)
        return
    count = number(behind)
    yield Finding(
        "INDEX_BEHIND",
        Level.WARNING,
        Text(
            f"L'index a {count.fr} feuilles de retard ; les échanges n'en souffrent pas, les recherches si",
            f"The index is {count.en} leaves behind; exchanges do not suffer, searches do",
        ),
        Text(
            f"rien s'il rattrape (`passerelle log status`) ; sinon arrêter la passerelle, `rm {case.directory.index}*`, "
            "relancer : il se refait",
            f"nothing if it catches up (`passerelle log status`); otherwise stop the gateway, "
            f"`rm {case.directory.index}*`, start it: it is built anew",
        ),
        {"behind": behind},
    )
