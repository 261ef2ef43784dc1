"""``/etat``: the state of a gateway on one page that only tells, in French or English.

No script, no form, no file from elsewhere; every value is escaped. It holds no personal data and no key.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from core.language import Language, Text
from gateway.channel import PeerState
from gateway.control.state import (
    Condition,
    ConfigurationState,
    Freshness,
    GatewayState,
    shown_state,
)
from gateway.stopped import in_words
from rpc.figures import utc_time

# The one style sheet of the page, allowed by its hash.
STYLE: Final = """
body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;
color:#111;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #bbb}
.state{font-weight:bold;padding:.1rem .5rem;border:2px solid}
.ready{color:#0a5c2b}.degraded,.waiting{color:#7a4b00}.closed{color:#9b1c1c}
code{overflow-wrap:anywhere}
"""

_CONDITIONS: Final = {
    Condition.WAITING: Text("EN ATTENTE", "WAITING"),
    Condition.READY: Text("EN SERVICE", "IN SERVICE"),
    Condition.DEGRADED: Text("EN SERVICE, ATTENTION REQUISE", "IN SERVICE, NEEDS ATTENTION"),
    Condition.CLOSED: Text("À L'ARRÊT : TOUT ÉCHANGE EST REFUSÉ", "CLOSED: EVERY EXCHANGE IS REFUSED"),
}
_FRESHNESS: Final = {
    Freshness.FRESH: Text("à jour", "up to date"),
    Freshness.STALE: Text("ancienne", "stale"),
    Freshness.EXPIRED: Text("expirée", "expired"),
}
_PARTS: Final = {
    "starting": Text("démarre", "starting"),
    "ready": Text("en service", "in service"),
    "waiting": Text("attend son enregistrement", "waits for its registration"),
    "draining": Text("s'arrête", "draining"),
    "closed": Text("arrêté", "closed"),
    "silent": Text("muet", "silent"),
    "open": Text("ouverte", "open"),
    "connecting": Text("connexion en cours", "connecting"),
    "lost": Text("perdue", "lost"),
    "PEER_UNREACHABLE": Text("injoignable", "not reached"),
    "up": Text("répond", "up"),
    "down": Text("ne répond pas", "down"),
    "unknown": Text("pas encore connu", "not known yet"),
}
_TITLE = Text("État de la passerelle", "State of the gateway")
_OTHER: Final = {"fr": Text("English", "English"), "en": Text("Français", "Français")}
_NO_FAULT = Text("rien", "nothing")
_NO_PEER = Text("aucune", "none")
_NO_ADAPTER = Text("aucun", "none")
_NO_CONFIGURATION = Text("aucune configuration reçue", "no configuration received")
_DAYS_LEFT = Text("jours avant la réserve du disque", "days until the disk's reserve")
_STOPS_IN = Text(
    "sans nouvelle du registre, tout échange s'arrête dans", "without news of the registry, all stops in"
)
_FAULTS = Text("À traiter", "To attend to")
_CONFIGURATION = Text("Configuration", "Configuration")
_WORKERS = Text("Processus et journaux", "Processes and logs")
_PEERS = Text("Liaisons", "Links")
_ADAPTERS = Text("Adaptateurs", "Adapters")
_REGISTRY = Text("Registre", "Registry")
_ROUTES = Text("Routes fixes", "Fixed routes")
_ASKED = Text("certificat ou jeton", "certificate or token")
_UNASKED = Text("PERSONNE N'EST AUTHENTIFIÉ", "NOBODY IS AUTHENTICATED")


def _part_state(code: str) -> Text:
    """The state of a worker, a link or an adapter in words; a code that has none, as it is."""
    return _PARTS.get(code, Text(code, code))


def _peer_state(peer: PeerState) -> Text:
    """The same of a link, with how far the clock at its other end is ahead, where that is what ended it."""
    state = _part_state(peer.state)
    ahead = f" ({-peer.ahead_s:+d} s)" if peer.state == "CLOCK_SKEW" and peer.ahead_s else ""
    return Text(f"{state.fr}{ahead}", f"{state.en}{ahead}")


def render_page(state: GatewayState, language: Language) -> str:
    """The page as HTML."""
    other: Language = "en" if language == "fr" else "fr"
    body = [
        f"<h1>{_say(_TITLE, language)} <code>{escape(state.gateway)}</code></h1>",
        f'<p><span class="state {state.condition}">{_say(_CONDITIONS[state.condition], language)}</span> '
        f'· {utc_time(state.now_ms)} · <a href="/etat?lang={other}" lang="{other}">'
        f"{escape(_OTHER[language].in_(language))}</a></p>",
        _section(_FAULTS, language, _faults(state, language)),
        _section(_CONFIGURATION, language, _configuration(state, language)),
        _section(_WORKERS, language, _workers(state, language)),
        _section(_PEERS, language, _peers(state, language)),
        _section(_ADAPTERS, language, _adapters(state, language)),
        _section(_ROUTES, language, _routes(state, language)) if state.routes else "",
    ]
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_say(_TITLE, language)} {escape(state.gateway)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _faults(state: GatewayState, language: Language) -> str:
    if not state.faults:
        return f"<p>{_say(_NO_FAULT, language)}</p>"
    items = "".join(f"<li><code>{escape(code)}</code></li>" for code in state.faults)
    return f"<ul>{items}</ul>{_stopped(state, language)}"


def _stopped(state: GatewayState, language: Language) -> str:
    """Of each log that was stopped: sizes here and there, who says so, what to do."""
    told = [
        in_words(worker.report.state, stopped.here, stopped.there, stopped.witness)
        for worker in state.workers
        if worker.report is not None and (stopped := worker.report.stopped) is not None
    ]
    return "".join(f"<p>{_say(text, language)}</p>" for text in told)


def _configuration(state: GatewayState, language: Language) -> str:
    registry = f"<p>{_say(_REGISTRY, language)} <code>{escape(state.registry.address)}</code>"
    registry += f" · {escape(state.registry.problem)}</p>" if state.registry.problem else " · OK</p>"
    configuration = state.configuration
    if configuration is None:
        return f"<p>{_say(_NO_CONFIGURATION, language)}</p>{registry}"
    table = _configuration_table(configuration, state.freshness, language)
    return table + _countdown(state, language) + registry


def _countdown(state: GatewayState, language: Language) -> str:
    """While the registry is silent: how long exchanges still go on."""
    if state.freshness is not Freshness.STALE or state.expires_in_s is None:
        return ""
    hours, minutes = divmod(state.expires_in_s // 60, 60)
    return f"<p><strong>{_say(_STOPS_IN, language)} {hours} h {minutes:02} min</strong></p>"


def _configuration_table(configuration: ConfigurationState, freshness: Freshness, language: Language) -> str:
    table = _table(
        (
            Text("version", "version"),
            Text("état", "state"),
            Text("confirmée à", "confirmed at"),
            Text("arrêt sans nouvelle à", "stops without news at"),
            Text("membres", "members"),
        ),
        [
            (
                str(configuration.version),
                _FRESHNESS[freshness].in_(language),
                utc_time(configuration.fresh_at),
                utc_time(configuration.expires_at),
                str(configuration.members),
            )
        ],
        language,
    )
    left_out = "".join(
        f"<li><code>{escape(one.target)}</code> {escape(one.part)}: {escape(one.why)}</li>"
        for one in configuration.left_out
    )
    return table + (f"<ul>{left_out}</ul>" if left_out else "")


def _workers(state: GatewayState, language: Language) -> str:
    header = (
        Text("n°", "no."),
        Text("pid", "pid"),
        Text("état", "state"),
        Text("entrées", "entries"),
        Text("signées", "signed"),
        Text("en cours", "in flight"),
        Text("en doute", "in doubt"),
        Text("libre (Go)", "free (GB)"),
        Text("relances", "restarts"),
        Text("à traiter", "to attend to"),
    )
    rows = []
    for worker in state.workers:
        report = worker.report
        values = (
            ("–",) * 6
            if report is None
            else (
                _part_state(shown_state(worker.state, report.faults)).in_(language),
                str(report.size),
                str(report.signed_size),
                str(report.in_flight),
                str(report.in_doubt),
                f"{report.free_bytes / 1e9:.1f}",
            )
        )
        rows.append(
            (
                str(worker.number),
                str(worker.pid or "–"),
                *values,
                str(worker.restarts),
                ", ".join(state.faults_of(worker)) or "–",
            )
        )
    return _table(header, rows, language) + _forecast(state.days_left, language)


def _forecast(days_left: float | None, language: Language) -> str:
    return "" if days_left is None else f"<p>{_say(_DAYS_LEFT, language)} : {days_left:.0f}</p>"


def _peers(state: GatewayState, language: Language) -> str:
    rows = [
        (
            peer.gateway,
            str(worker.number),
            f"{peer.log[:16]}…",
            _peer_state(peer).in_(language),
            str(peer.size),
        )
        for worker in state.workers
        for peer in (worker.report.peers if worker.report else ())
    ]
    header = (
        Text("passerelle", "gateway"),
        Text("processus", "process"),
        Text("journal", "log"),
        Text("état", "state"),
        Text("taille vérifiée", "verified size"),
    )
    return _table(header, sorted(rows), language) if rows else f"<p>{_say(_NO_PEER, language)}</p>"


def _adapters(state: GatewayState, language: Language) -> str:
    rows = [
        (adapter.subsystem, adapter.address, _part_state(adapter.state).in_(language))
        for adapter in state.adapters
    ]
    header = (Text("sous-système", "subsystem"), Text("adresse", "address"), Text("état", "state"))
    return _table(header, rows, language) if rows else f"<p>{_say(_NO_ADAPTER, language)}</p>"


def _routes(state: GatewayState, language: Language) -> str:
    rows = [
        (route.name, route.address, (_UNASKED if route.is_unauthenticated else _ASKED).in_(language))
        for route in state.routes
    ]
    header = (Text("route", "route"), Text("adresse", "address"), Text("qui appelle", "who calls"))
    return _table(header, rows, language)


def _section(title: Text, language: Language, content: str) -> str:
    return f"<section><h2>{_say(title, language)}</h2>{content}</section>"


def _table(header: Iterable[Text], rows: Iterable[Iterable[str]], language: Language) -> str:
    head = "".join(f'<th scope="col">{_say(text, language)}</th>' for text in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _say(text: Text, language: Language) -> str:
    return escape(text.in_(language))
