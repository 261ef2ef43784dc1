"""What ``status``, ``exchange show``, ``log status`` and ``config show`` put on a screen, in French or English."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from core.configuration import CurrentConfiguration, RegistrationEntry
from core.jws import DocumentKind, parse_document
from core.language import Text
from core.registrations import parse_registration
from gateway.control.forecast import FORESEEN_DAYS
from gateway.control.state import shown_state
from gateway.remains import GATEWAY_DOWN
from gateway.stopped import in_words
from passerelle.gateway.v1 import log_pb2, status_pb2
from rpc.figures import counted, duration, plural, utc_time
from rpc.words import Coded, coded

_STATES: Final = {
    status_pb2.STATE_WAITING: Text("EN ATTENTE", "WAITING"),
    status_pb2.STATE_READY: Text("EN SERVICE", "IN SERVICE"),
    status_pb2.STATE_DEGRADED: Text("EN SERVICE, ATTENTION REQUISE", "IN SERVICE, NEEDS ATTENTION"),
    status_pb2.STATE_CLOSED: Text("À L'ARRÊT", "CLOSED"),
}
_OUTCOMES: Final = {
    log_pb2.EXCHANGE_OUTCOME_GRANTED: Text("accordé", "granted"),
    log_pb2.EXCHANGE_OUTCOME_REFUSED: Text("refusé", "refused"),
    log_pb2.EXCHANGE_OUTCOME_ERROR: Text("erreur du fournisseur", "provider's error"),
    log_pb2.EXCHANGE_OUTCOME_OPEN: Text("en cours", "open"),
    log_pb2.EXCHANGE_OUTCOME_IN_DOUBT: Text("en doute", "in doubt"),
    log_pb2.EXCHANGE_OUTCOME_CANCELLED: Text("annulé", "cancelled"),
    log_pb2.EXCHANGE_OUTCOME_INVALID: Text("réponse non valable", "answer not valid"),
    log_pb2.EXCHANGE_OUTCOME_NOT_TAKEN: Text("jamais prise", "never taken"),
    log_pb2.EXCHANGE_OUTCOME_TAKEN: Text("prise, réponse perdue", "taken, answer lost"),
    log_pb2.EXCHANGE_OUTCOME_LOST: Text("sans trace chez le pair", "no trace at the peer"),
}
# The program has its status.
_ANSWERED: Final = (
    log_pb2.EXCHANGE_OUTCOME_GRANTED,
    log_pb2.EXCHANGE_OUTCOME_ERROR,
    log_pb2.EXCHANGE_OUTCOME_REFUSED,
)
_SIDES: Final = {
    log_pb2.SIDE_CONSUMER: Text("consommateur", "consumer"),
    log_pb2.SIDE_PROVIDER: Text("fournisseur", "provider"),
}


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a screen; ``keys`` name its columns for machines, English headings if there are none."""

    title: Text
    header: Sequence[Text]
    rows: Sequence[Sequence[str | Coded]]
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Screen:
    """Lines, then tables."""

    lines: Sequence[Text]
    tables: Sequence[Table]


def status_screen(status: status_pb2.GetStatusResponse, now_ms: int) -> Screen:
    """``passerelle status``."""
    state = _STATES.get(status.state, Text("?", "?"))
    configuration = _configuration_line(status, now_ms)
    lines = [
        Text(
            f"{status.gateway} · {state.fr} · {configuration.fr}",
            f"{status.gateway} · {state.en} · {configuration.en}",
        )
    ]
    if GATEWAY_DOWN in status.faults:
        lines.append(_from_files(status))
    if status.faults:
        codes = ", ".join(status.faults)
        lines.append(
            Text(f"À traiter (passerelle doctor) : {codes}", f"To attend to (passerelle doctor): {codes}")
        )
    lines += [*stopped_lines(status), *_damage_lines(status)]
    if status.registry.problem:
        problem = f"{status.registry.address} : {status.registry.problem}"
        lines.append(Text(f"Registre {problem}", f"Registry {problem}"))
    return Screen(lines, [_workers(status), *_peers(status), *_adapters(status), *_routes(status)])


def stopped_lines(status: status_pb2.GetStatusResponse) -> list[Text]:
    """Of each log that was stopped: sizes here and there, who says so, what to do."""
    return [
        in_words(worker.state, worker.stopped.here, worker.stopped.there, worker.stopped.witness)
        for worker in status.workers
        if worker.HasField("stopped")
    ]


def _damage_lines(status: status_pb2.GetStatusResponse) -> list[Text]:
    """Of each log that the index cannot read on: why, and what that ends."""
    return [
        Text(
            f"Journal {worker.worker} abîmé ({worker.log_damage}) : l'index n'avance plus, « exchange show » et "
            "preuves s'arrêtent devant ; les échanges continuent",
            f"Log {worker.worker} is damaged ({worker.log_damage}): the index goes no further, 'exchange show' and "
            "proofs end before it; exchanges go on",
        )
        for worker in status.workers
        if worker.log_damage
    ]


def _from_files(status: status_pb2.GetStatusResponse) -> Text:
    """What is shown comes from files: since when nobody keeps them up to date."""
    noted = _time(status.as_of) if status.HasField("as_of") else None
    return Text(
        "Personne ne répond à admin.sock : d'après les fichiers de la passerelle"
        + (f" ; dernier état noté par elle à {noted}" if noted else ""),
        "Nobody answers at admin.sock: as the gateway's files tell"
        + (f"; it last noted its state at {noted}" if noted else ""),
    )


def log_screen(status: status_pb2.GetStatusResponse, heads: Sequence[log_pb2.SignedHead]) -> Screen:
    """``passerelle log status``."""
    newest = {head.log: head for head in heads}
    rows = [
        (
            str(worker.worker),
            worker.log,
            str(worker.size),
            str(worker.signed_size),
            newest[worker.log].root[:16] + "…" if worker.log in newest else "–",
            # Only control knows, and only while it runs.
            "–" if GATEWAY_DOWN in status.faults else str(worker.indexed_size),
            f"{worker.free_bytes / 1e9:.1f}",
        )
        for worker in status.workers
    ]
    header = (
        Text("n°", "no."),
        Text("journal", "log"),
        Text("entrées", "entries"),
        Text("signées", "signed"),
        Text("racine", "root"),
        Text("indexées", "indexed"),
        Text("libre (Go)", "free (GB)"),
    )
    lines = [_from_files(status)] if GATEWAY_DOWN in status.faults else []
    lines += [*stopped_lines(status), *_damage_lines(status)]
    return Screen([*lines, *_forecast(status)], [Table(Text("Journaux", "Logs"), header, rows)])


def heads_json(found: log_pb2.GetHeadResponse) -> str:
    """The newest heads as JSON, each ``jws`` as it was signed: what ``audit verify-log --head`` takes from a file."""
    document = MessageToDict(found)
    for shown, head in zip(document.get("heads", ()), found.heads, strict=False):
        shown["jws"] = head.jws.decode("ascii")
    return json.dumps(document, ensure_ascii=False)


def _forecast(status: status_pb2.GetStatusResponse) -> list[Text]:
    """When the disk reaches its reserve, if that is foreseen."""
    if not status.HasField("days_left"):
        return []
    if status.days_left > FORESEEN_DAYS:
        return [
            Text(
                "réserve du disque pas atteinte avant un an, à ce rythme",
                "the disk's reserve is not reached within a year, at the present pace",
            )
        ]
    days = f"{status.days_left:.0f}"
    return [
        Text(f"réserve du disque atteinte dans {days} jours", f"the disk's reserve is reached in {days} days")
    ]


def exchange_screen(found: log_pb2.GetExchangeResponse) -> Screen:
    """``passerelle exchange show``: where each request of it stands, both sides as known here."""
    lines = []
    for number, one in enumerate(found.exchanges, 1):
        if number > 1:
            lines.append(Text("", ""))
        side, outcome = _SIDES.get(one.side, Text("?", "?")), _OUTCOMES.get(one.outcome, Text("?", "?"))
        what = f"{one.client or '?'} → {one.service or '?'} {one.method}"
        reason = f" ({one.reason})" if one.reason else ""
        lines.append(
            Text(
                f"{one.exchange_id} · {side.fr} · {outcome.fr}{reason}",
                f"{one.exchange_id} · {side.en} · {outcome.en}{reason}",
            )
        )
        asked = f"{number} · {one.request_hash[:16]}… · {_time(one.requested_at)}"
        lines.append(Text(f"demande {asked}", f"request {asked}"))
        lines.append(Text(what, what))
        door = Text(f" · porte {one.door}", f" · door {one.door}") if one.door else Text("", "")
        lines.append(
            Text(
                f"finalité {one.purpose or '–'} · dossier {one.issue or '–'} · "
                f"convention {one.agreement or '–'} v{one.agreement_version}{door.fr}",
                f"purpose {one.purpose or '–'} · issue {one.issue or '–'} · "
                f"agreement {one.agreement or '–'} v{one.agreement_version}{door.en}",
            )
        )
        lines += _directions(one)
        entries = [entry for entry in found.entries if entry.row == number - 1]
        lines += _cut(one, entries)
        lines += _end(one, entries)
    if found.further:
        lines.append(
            Text(
                f"et {found.further} autres demandes sous cet identifiant : passerelle audit list --exchange",
                f"and {found.further} further requests under this id: passerelle audit list --exchange",
            )
        )
    rows = [
        (
            str(entry.row + 1),
            "↔" if entry.from_peer else "·",
            coded(entry.label),
            coded(entry.kind),
            str(entry.sequence) if entry.HasField("sequence") else "–",
            str(entry.index),
            f"{entry.log[:16]}…",
            f"{entry.leaf_hash[:16]}…" if entry.leaf_hash else "–",
            _time(entry.issued_at) if entry.HasField("issued_at") else "–",
        )
        for entry in found.entries
    ]
    header = (
        Text("demande", "request"),
        Text("pair", "peer"),
        Text("feuille", "leaf"),
        Text("genre", "kind"),
        Text("segment", "segment"),
        Text("rang", "index"),
        Text("journal", "log"),
        Text("empreinte", "leaf hash"),
        Text("écrit à", "written at"),
    )
    return Screen(lines, [Table(Text("Feuilles", "Leaves"), header, rows)])


def _cut(one: log_pb2.Exchange, entries: Sequence[log_pb2.ExchangeEntry]) -> list[Text]:
    """What the provider's gateway says to have cut; of a long stream not all segments are here."""
    if not any(entry.HasField("fields_cut") for entry in entries):
        return []
    count = sum(entry.fields_cut for entry in entries)
    is_all = sum(entry.kind == "response" for entry in entries) >= one.answered.segments
    least = Text("", "") if is_all else Text("au moins ", "at least ")
    return [
        Text(
            f"réponse réduite aux champs que la convention accorde ; champs retirés : {least.fr}{count}",
            f"answer cut to the fields that the agreement grants; fields cut: {least.en}{count}",
        )
    ]


def _directions(one: log_pb2.Exchange) -> list[Text]:
    """What went each way; nothing for a call that was one segment each way and is over."""
    is_whole = one.outcome in _ANSWERED or not one.answered.segments
    if max(one.asked.segments, one.answered.segments) <= 1 and is_whole:
        return []
    is_ours = one.side == log_pb2.SIDE_CONSUMER
    asked, answered = _counted(one.asked), _counted(one.answered)
    said, taken = Text("dits ici", "said here"), Text("pris ici", "taken here")
    here = (said, taken) if is_ours else (taken, said)
    # What was taken before the end is released before the end (docs/protocol/stream.md).
    is_unsaid = not one.answered.HasField("handed") and not one.answered.handed_uncertain
    is_released = is_ours and is_unsaid and one.outcome in _ANSWERED
    to_adapter = _handed(one.asked, Text("à l'adaptateur", "to the adapter"), is_ours=not is_ours)
    to_program = _handed(
        log_pb2.Direction(handed=one.answered.segments) if is_released else one.answered,
        Text("au programme", "to the program"),
        is_ours=is_ours,
    )
    return [
        Text(
            f"demandé : {asked.fr} {here[0].fr}, {to_adapter.fr}",
            f"asked: {asked.en} {here[0].en}, {to_adapter.en}",
        ),
        Text(
            f"répondu : {answered.fr} {here[1].fr}, {to_program.fr}",
            f"answered: {answered.en} {here[1].en}, {to_program.en}",
        ),
    ]


# The statement that ends a call of each outcome.
_ENDINGS: Final = {
    log_pb2.EXCHANGE_OUTCOME_GRANTED: ("response",),
    log_pb2.EXCHANGE_OUTCOME_ERROR: ("response",),
    log_pb2.EXCHANGE_OUTCOME_REFUSED: ("refusal",),
    log_pb2.EXCHANGE_OUTCOME_CANCELLED: ("cancel", "deadline"),
    log_pb2.EXCHANGE_OUTCOME_IN_DOUBT: ("abandon",),
}


def _end(one: log_pb2.Exchange, entries: Sequence[log_pb2.ExchangeEntry]) -> list[Text]:
    """How a call ended, and who said so; of a stream, how many of its segments are not shown below."""
    lines = []
    kinds = _ENDINGS.get(one.outcome, ())
    ends = [entry for entry in entries if entry.label == "said" and entry.kind in kinds]
    if ends:
        end, kind = ends[-1], coded(ends[-1].kind).shown
        status = one.reason or ("OK" if one.outcome == log_pb2.EXCHANGE_OUTCOME_GRANTED else "–")
        said = Text("dit par le pair", "said by the peer") if end.from_peer else Text("dit ici", "said here")
        lines.append(
            Text(
                f"fin : {kind.fr}, {said.fr} à {_time(end.issued_at)} · {status}",
                f"end: {kind.en}, {said.en} at {_time(end.issued_at)} · {status}",
            )
        )
    hidden = one.asked.segments + one.answered.segments - sum(entry.HasField("sequence") for entry in entries)
    if entries and hidden > 0:
        segments = plural(hidden, "segment")
        lines.append(
            Text(
                f"{segments.fr} du milieu sans feuilles ci-dessous : passerelle audit export les donne toutes",
                f"{segments.en} in between whose leaves are not shown: passerelle audit export gives all",
            )
        )
    return lines


def _counted(way: log_pb2.Direction) -> Text:
    messages, segments = plural(way.messages, "message"), plural(way.segments, "segment")
    return Text(
        f"{messages.fr}, {way.bytes} octets, en {segments.fr}",
        f"{messages.en}, {way.bytes} bytes, in {segments.en}",
    )


def _handed(way: log_pb2.Direction, to_whom: Text, *, is_ours: bool) -> Text:
    """How much of it reached a program, as the gateway beside that program says."""
    segments = plural(way.handed, "segment")
    if way.handed_uncertain and way.handed < way.segments:
        how_many = Text("nul ne sait combien", "nobody knows how many")
        if way.handed:
            how_many = Text(
                f"au moins {segments.fr}, nul ne sait si davantage",
                f"at least {segments.en}, nobody knows whether more",
            )
    elif way.HasField("handed") or way.handed_uncertain:
        how_many = segments
    elif is_ours:
        how_many = Text("pas encore noté", "not on record yet")
    else:
        how_many = Text("seule sa passerelle le sait", "known to its gateway alone")
    return Text(f"remis {to_whom.fr} : {how_many.fr}", f"handed {to_whom.en}: {how_many.en}")


def exchanges_screen(found: log_pb2.SearchResponse) -> Screen:
    """``passerelle exchange list --dossier``: what the index knows of a dossier, newest first."""
    rows = [
        (
            _time(one.requested_at),
            one.exchange_id,
            one.client,
            one.service,
            one.method,
            one.purpose,
            Coded(log_pb2.ExchangeOutcome.Name(one.outcome), _OUTCOMES.get(one.outcome, Text("?", "?"))),
            one.reason,
            str(one.asked.messages),
            str(one.answered.messages),
        )
        for one in found.exchanges
    ]
    header = (
        Text("demandé à", "asked at"),
        Text("échange", "exchange"),
        Text("consommateur", "consumer"),
        Text("fournisseur", "provider"),
        Text("méthode", "method"),
        Text("finalité", "purpose"),
        Text("issue", "outcome"),
        Text("motif", "reason"),
        Text("messages demandés", "messages asked"),
        Text("messages répondus", "messages answered"),
    )
    nothing = [] if rows else [Text("Aucun échange trouvé.", "No exchange was found.")]
    return Screen(nothing, [Table(Text("Échanges", "Exchanges"), header, rows, _EXCHANGE_KEYS)])


# As ``audit list`` names the same columns.
_EXCHANGE_KEYS: Final = (
    "time",
    "exchange",
    "client",
    "service",
    "method",
    "purpose",
    "outcome",
    "reason",
    "asked_messages",
    "answered_messages",
)


def doubts_screen(found: log_pb2.SearchResponse, gateways: Mapping[str, str], now_ms: int) -> Screen:
    """``passerelle exchange list --in-doubt``: what is known of each, what the gateway does, what people may do.

    Args:
        found: The exchanges that the log leaves in doubt at this moment.
        gateways: Gateways by log, for names of peers.
        now_ms: UTC milliseconds.
    """
    count = len(found.exchanges)
    lines = [Text("Aucun échange en doute.", "No exchange is in doubt.")]
    if count:
        lines = _about_doubts(count)
    rows = [
        (
            one.exchange_id,
            _doubted(one.in_doubt_since, now_ms),
            gateways.get(one.peer, one.peer[:16]),
            one.service,
            one.method,
            one.issue,
            _known(one),
        )
        for one in found.exchanges
    ]
    header = (
        Text("échange", "exchange"),
        Text("depuis", "since"),
        Text("pair", "peer"),
        Text("fournisseur", "provider"),
        Text("méthode", "method"),
        Text("dossier", "issue"),
        Text("ce qui est su", "known"),
    )
    return Screen(lines, [Table(Text("Échanges en doute", "Exchanges in doubt"), header, rows)])


def _about_doubts(count: int) -> list[Text]:
    """What the gateway does about them, and what people may do."""
    return [
        counted(
            count,
            Text("échange en doute", "exchange in doubt"),
            Text("échanges en doute", "exchanges in doubt"),
        ),
        Text(
            "La passerelle interroge le pair dès que leur liaison est ouverte ; une réponse tardive, ou sa parole sur ce "
            "que la demande est devenue, lève le doute.",
            "The gateway asks the peer as soon as their link is open; a late answer, or its word what became of the "
            "request, ends the doubt.",
        ),
        Text(
            "En attendant : ne pas renvoyer une opération qui ne doit avoir lieu qu'une fois ; pour le savoir, "
            "donner le numéro d'échange à l'administrateur du pair (« passerelle exchange show » chez lui).",
            "Meanwhile: do not send again what may happen only once; to know at once, give the exchange id to the peer's "
            "administrator ('passerelle exchange show' there).",
        ),
    ]


def _doubted(since: Timestamp, now_ms: int) -> Coded:
    at, age = _time(since), _lasting(now_ms - since.ToMilliseconds())
    return Coded(at, Text(f"{at} ({age.fr})", f"{at} ({age.en})"))


def _known(one: log_pb2.Exchange) -> Coded:
    """What the log holds of an exchange in doubt beside the request itself."""
    if one.answered.segments:
        messages = plural(one.answered.messages, "message")
        return Coded(
            "answered_in_part",
            Text(
                f"répondue en partie ({messages.fr} pris), fin manquante",
                f"answered in part ({messages.en} taken), end missing",
            ),
        )
    if one.receipt == "taken":
        return Coded(
            "taken", Text("prise par le pair, réponse manquante", "taken by the peer, answer missing")
        )
    if one.receipt:
        return Coded(
            one.receipt,
            Text(f"refusée par le pair ({one.receipt})", f"refused by the peer ({one.receipt})"),
        )
    return Coded(
        "sent", Text("envoyée, ni reçu ni réponse du pair", "sent, neither receipt nor answer of the peer")
    )


def configuration_screen(
    current: CurrentConfiguration, left_out: Sequence[status_pb2.LeftOut], now_ms: int
) -> Screen:
    """``passerelle config show``."""
    age, left = _lasting(now_ms - current.fresh_at), _lasting(current.expires_at - now_ms)
    lines = [
        Text(
            f"configuration v{current.version} · {current.digest}",
            f"configuration v{current.version} · {current.digest}",
        ),
        Text(
            f"confirmée il y a {age.fr} · arrêt dans {left.fr}",
            f"confirmed {age.en} ago · stops in {left.en}",
        ),
    ]
    members = [
        (
            member.member,
            Coded(member.name.fr, Text(member.name.fr, member.name.en)),
            coded(member.state),
            ", ".join(_gateways(member.registrations)),
            ", ".join(f"{one.subsystem}:{one.service}" for one in member.services),
            str(len(member.agreements)),
        )
        for member in current.members
    ]
    tables = [
        Table(
            Text("Membres", "Members"),
            (
                Text("membre", "member"),
                Text("nom", "name"),
                Text("état", "state"),
                Text("passerelles", "gateways"),
                Text("services", "services"),
                Text("conventions avec nous", "agreements with us"),
            ),
            members,
        )
    ]
    if left_out:
        tables.append(
            Table(
                Text("Écartés", "Left out"),
                (Text("document", "document"), Text("partie", "part"), Text("raison", "why")),
                [(one.target, one.part, one.why) for one in left_out],
            )
        )
    return Screen(lines, tables)


def _gateways(registrations: Sequence[RegistrationEntry]) -> list[str]:
    return [
        parse_registration(parse_document(DocumentKind.REGISTRATION, one.jws).unverified_payload).gateway
        for one in registrations
    ]


def _configuration_line(status: status_pb2.GetStatusResponse, now_ms: int) -> Text:
    if not status.HasField("configuration"):
        return Text("aucune configuration", "no configuration")
    found = status.configuration
    age = _lasting(now_ms - found.fetched_at.ToMilliseconds())
    countdown = _countdown(found, now_ms)
    return Text(
        f"configuration v{found.version} (il y a {age.fr}){countdown.fr}",
        f"configuration v{found.version} ({age.en} ago){countdown.en}",
    )


def _countdown(found: status_pb2.ConfigurationStatus, now_ms: int) -> Text:
    """How old a configuration may still become; nothing while it is fresh."""
    left = _lasting(found.expires_at.ToMilliseconds() - now_ms)
    match found.freshness:
        case status_pb2.FRESHNESS_STALE:
            return Text(f", ancienne : arrêt dans {left.fr}", f", stale: stops in {left.en}")
        case status_pb2.FRESHNESS_EXPIRED:
            return Text(", expirée : tout échange est refusé", ", expired: every exchange is refused")
        case _:
            return Text("", "")


def _workers(status: status_pb2.GetStatusResponse) -> Table:
    rows = [
        (
            str(worker.worker),
            str(worker.pid or "–"),
            coded(shown_state(worker.state, worker.faults)),
            str(worker.in_flight),
            str(worker.size),
            str(worker.in_doubt),
            str(worker.restarts),
            ", ".join(worker.faults) or "–",
        )
        for worker in status.workers
    ]
    header = (
        Text("n°", "no."),
        Text("pid", "pid"),
        Text("état", "state"),
        Text("en cours", "in flight"),
        Text("entrées", "entries"),
        Text("en doute", "in doubt"),
        Text("relances", "restarts"),
        Text("à traiter", "to attend to"),
    )
    return Table(Text("Processus", "Processes"), header, rows)


def _peers(status: status_pb2.GetStatusResponse) -> list[Table]:
    if not status.peers:
        return []
    header = (
        Text("n°", "no."),
        Text("passerelle", "gateway"),
        Text("journal", "log"),
        Text("état", "state"),
        Text("depuis", "since"),
        Text("taille vérifiée", "verified size"),
    )
    rows = [
        (
            str(peer.worker),
            peer.gateway,
            f"{peer.log[:16]}…",
            coded(peer.state),
            _since(status, peer),
            str(peer.size),
        )
        for peer in status.peers
    ]
    return [Table(Text("Liaisons", "Links"), header, rows)]


def _adapters(status: status_pb2.GetStatusResponse) -> list[Table]:
    if not status.adapters:
        return []
    header = (
        Text("sous-système", "subsystem"),
        Text("adresse", "address"),
        Text("état", "state"),
        Text("depuis", "since"),
        Text("appels refusés", "calls refused"),
        Text("sans réponse", "unanswered"),
    )
    rows = [
        (
            one.subsystem,
            one.address,
            coded(one.state),
            _since(status, one),
            str(one.refused),
            str(one.unanswered),
        )
        for one in status.adapters
    ]
    return [Table(Text("Adaptateurs", "Adapters"), header, rows)]


def _routes(status: status_pb2.GetStatusResponse) -> list[Table]:
    if not status.routes:
        return []
    header = (Text("route", "route"), Text("adresse", "address"), Text("qui appelle", "who calls"))
    rows = [
        (route.name, route.address, coded("unauthenticated" if route.unauthenticated else "authenticated"))
        for route in status.routes
    ]
    return [Table(Text("Routes fixes", "Fixed routes"), header, rows)]


def _since(
    status: status_pb2.GetStatusResponse, part: status_pb2.PeerStatus | status_pb2.AdapterStatus
) -> str | Coded:
    """How long a part has been in its state."""
    if not part.HasField("since") or not status.HasField("as_of"):
        return "–"
    found = _lasting(status.as_of.ToMilliseconds() - part.since.ToMilliseconds())
    return Coded(found.en, found)


def _lasting(ms: int) -> Text:
    """A clock that was set back makes no time negative."""
    return duration(max(0, ms))


def _time(moment: Timestamp) -> str:
    return utc_time(moment.ToMilliseconds(), "milliseconds")
