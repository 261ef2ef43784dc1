"""Checks of the global configuration and of the registry it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from core.language import Text
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level, good
from gateway.doctor.probes import RegistryProbe
from pki.keys import load_crl
from rpc.figures import counted, day, duration, moment, since
from rpc.names import issuer_of

_LIST_ENDING_MS: Final = 14 * 86_400_000


def check_configuration(case: Case) -> Iterator[Finding]:
    """How old the configuration is, and when it stops everything."""
    current = case.current
    if current is None and case.directory.current.exists():
        yield _unreadable(case)
        return
    if current is None:
        yield Finding(
            "CONFIG_MISSING",
            Level.FAULT,
            Text(
                "Aucune configuration n'a été reçue du registre : aucun échange n'est possible",
                "No configuration was received from the registry: no exchange is possible",
            ),
            Text("`passerelle doctor REGISTRY_UNREACHABLE`", "`passerelle doctor REGISTRY_UNREACHABLE`"),
        )
        return
    age, left = duration(case.now_ms - current.fresh_at), duration(current.expires_at - case.now_ms)
    until, ended = moment(current.expires_at, case.now_ms), since(current.expires_at, case.now_ms)
    values = {"version": current.version, "fresh_at": current.fresh_at, "expires_at": current.expires_at}
    if case.now_ms >= current.expires_at:
        yield Finding(
            "CONFIG_EXPIRED",
            Level.FAULT,
            Text(
                f"Configuration v{current.version} vieille de {age.fr} : tout échange est refusé {ended.fr}",
                f"Configuration v{current.version} is {age.en} old: every exchange is refused {ended.en}",
            ),
            Text(
                "rétablir la liaison avec le registre (`passerelle doctor REGISTRY_UNREACHABLE`) ; si l'ASIN confirme "
                "une panne, appeler l'ASIN",
                "restore the link to the registry (`passerelle doctor REGISTRY_UNREACHABLE`); if ASIN confirms an "
                "outage, call ASIN",
            ),
            values,
        )
    elif case.now_ms - current.fresh_at > case.settings.configuration.fresh_s * 1000:
        yield Finding(
            "CONFIG_STALE",
            Level.WARNING,
            Text(
                f"Configuration v{current.version} vieille de {age.fr} ; arrêt de tous les échanges dans {left.fr} "
                f"({until.fr})",
                f"Configuration v{current.version} is {age.en} old; all exchanges stop in {left.en} ({until.en})",
            ),
            Text(
                "rien à faire si l'ASIN confirme une panne ; sinon `passerelle doctor REGISTRY_UNREACHABLE`",
                "nothing to do if ASIN confirms an outage; otherwise `passerelle doctor REGISTRY_UNREACHABLE`",
            ),
            values,
        )
    else:
        yield good(
            "CONFIG_STALE",
            f"configuration v{current.version}, confirmée il y a {age.fr}",
            f"configuration v{current.version}, confirmed {age.en} ago",
            version=current.version,
        )


def _unreadable(case: Case) -> Finding:
    """A configuration came, and what workers read of it is spoilt; it is made again from the mirror, or fetched."""
    path = case.directory.current
    kept = any(case.directory.mirror.glob("metadata/*.json"))
    lasts = Text(
        " ; le miroir est là, une relance la refait sans le registre" if kept else "",
        "; the mirror is here, a restart makes it anew without the registry" if kept else "",
    )
    restart = f"`passerelle gateway serve --config {case.directory.settings}`"
    return Finding(
        "CONFIG_MISSING",
        Level.FAULT,
        Text(
            f"La configuration reçue est illisible ici : {path} est abîmé ou ne peut pas être lu{lasts.fr}",
            f"The configuration that was received cannot be read here: {path} is damaged or unreadable{lasts.en}",
        ),
        Text(
            f"relancer la passerelle ({restart} ou `systemctl restart passerelle-gateway`)"
            + ("" if kept else " ; sans miroir il y faut le registre"),
            f"start the gateway again ({restart} or `systemctl restart passerelle-gateway`)"
            + ("" if kept else "; without a mirror that needs the registry"),
        ),
        {"file": str(path), "mirror": kept},
    )


def check_registration(case: Case) -> Iterator[Finding]:
    """Whether the configuration knows this gateway and its logs, and admits them."""
    if case.view is None or case.current is None:
        return
    own = case.own_gateway
    logs = {log.seen.log for log in case.logs if log.seen is not None}
    missing = sorted(logs - {one.id for one in own.logs}) if own is not None else sorted(logs)
    if own is not None and not own.admitted:
        is_member = str(case.settings.member) in case.view.suspended_members
        who = str(case.settings.member) if is_member else own.id
        yield Finding(
            "GATEWAY_SUSPENDED",
            Level.FAULT,
            Text(
                f"{who} est suspendu ou révoqué par le registre (configuration v{case.current.version}) : les pairs "
                "refusent cette passerelle",
                f"{who} is suspended or revoked by the registry (configuration v{case.current.version}): peers refuse "
                "this gateway",
            ),
            Text(
                "appeler l'ASIN : l'opérateur qui l'a fait en a noté la raison",
                "call ASIN: the operator who did it noted the reason",
            ),
            {"suspended": who, "version": case.current.version},
        )
    elif missing:
        unknown = counted(len(missing), Text("journal", "log"), Text("journaux", "logs"))
        them = "le refusent" if len(missing) == 1 else "les refusent"
        yield Finding(
            "LOG_NOT_REGISTERED",
            Level.FAULT,
            Text(
                f"La configuration v{case.current.version} ne connaît pas {unknown.fr} de cette "
                f"passerelle ({missing[0][:16]}…) : les pairs {them}",
                f"Configuration v{case.current.version} does not know {unknown.en} of this gateway "
                f"({missing[0][:16]}…): peers refuse {'it' if len(missing) == 1 else 'them'}",
            ),
            Text(
                "« passerelle gateway register », puis deux avis à l'ASIN ; déjà envoyé : attendre les avis",
                "'passerelle gateway register', then two approvals at ASIN; sent already: wait for them",
            ),
            {"logs": missing},
        )
    else:
        yield good(
            "GATEWAY_SUSPENDED",
            f"{case.settings.gateway} est enregistrée et admise",
            f"{case.settings.gateway} is registered and admitted",
        )


def check_registry(case: Case) -> Iterator[Finding]:
    """Four different faults: name, port, TLS, identity; and a registry that answers with a refusal."""
    probe, address = case.registry, case.settings.registry.address
    if not probe.stage:
        yield good(
            "REGISTRY_UNREACHABLE", f"le registre répond ({address})", f"the registry answers ({address})"
        )
        return
    if probe.stage == "key":
        yield Finding(
            "REGISTRY_UNREACHABLE",
            Level.WARNING,
            Text(
                f"{address} : port ouvert, mais cette passerelle n'a pas d'identité à montrer",
                f"{address}: port open, but this gateway has no identity to show",
            ),
            Text("`passerelle doctor KEY_UNREADABLE`", "`passerelle doctor KEY_UNREADABLE`"),
            {"stage": "key"},
        )
        return
    text, remedy = _registry_fault(case)
    goes_on = _goes_on(case)
    yield Finding(
        "REGISTRY_UNREACHABLE",
        Level.FAULT,
        Text(f"{text.fr} ; {goes_on.fr}", f"{text.en}; {goes_on.en}"),
        remedy,
        {"stage": probe.stage, "address": probe.address, "detail": probe.detail},
    )


def _registry_fault(case: Case) -> tuple[Text, Text]:
    """What is wrong at the stage that the probe reached, and what to do about it."""
    probe, address = case.registry, case.settings.registry.address
    host, _, port = address.rpartition(":")
    match probe.stage:
        case "dns":
            return (
                Text(
                    f"{host} : nom introuvable ({probe.detail})",
                    f"{host}: name not found ({probe.detail})",
                ),
                Text(
                    f"`getent hosts {host}` ; corriger le serveur DNS (`resolvectl status`) ou registry.address dans "
                    "gateway.toml",
                    f"`getent hosts {host}`; correct the DNS server (`resolvectl status`) or registry.address in "
                    "gateway.toml",
                ),
            )
        case "tcp":
            return _closed_port(probe, host, port)
        case "tls" if probe.detail == "ETIMEDOUT":
            return (
                Text(
                    f"{address} : connecté, aucune réponse en 3 s : le registre est figé ou surchargé, ou un boîtier a "
                    "pris la connexion à sa place",
                    f"{address}: connected, no answer in 3 s: the registry hangs or is overloaded, or a box took the "
                    "connection in its place",
                ),
                Text(
                    "appeler l'ASIN ; si le registre répond à d'autres, vérifier le pare-feu d'ici",
                    "call ASIN; if the registry answers others, check the firewall here",
                ),
            )
        case "tls":
            return (
                Text(
                    f"{address} : connecté, mais TLS échoue ({probe.detail}) : un boîtier intercepte la liaison, une "
                    "horloge est fausse, ou un certificat est refusé",
                    f"{address}: connected, but TLS fails ({probe.detail}): a box intercepts the link, a clock is "
                    "wrong, or a certificate is refused",
                ),
                Text(
                    "`passerelle doctor CLOCK_SKEW CERT_EXPIRED`, puis exempter cette adresse de l'inspection TLS",
                    "`passerelle doctor CLOCK_SKEW CERT_EXPIRED`, then exempt this address from TLS inspection",
                ),
            )
        case "identity":
            return (
                Text(
                    f"{address} : TLS est établi, mais le certificat est celui de {probe.detail}, pas de "
                    f"{case.settings.registry.id}",
                    f"{address}: TLS is up, but the certificate is that of {probe.detail}, not of "
                    f"{case.settings.registry.id}",
                ),
                Text(
                    "corriger registry.address et registry.id dans gateway.toml ; s'ils sont justes, appeler l'ASIN : "
                    "c'est une alarme",
                    "correct registry.address and registry.id in gateway.toml; if they are right, call ASIN: it is an "
                    "alarm",
                ),
            )
        case "answer":
            return (
                Text(
                    f"{address} : le registre est là, mais refuse de répondre ({probe.detail})",
                    f"{address}: the registry is there, but refuses to answer ({probe.detail})",
                ),
                Text(
                    "`passerelle doctor GATEWAY_SUSPENDED CERT_EXPIRED` ; sinon appeler l'ASIN",
                    "`passerelle doctor GATEWAY_SUSPENDED CERT_EXPIRED`; otherwise call ASIN",
                ),
            )
        case "" | "key":
            raise ValueError("the registry was not found at fault")


def _closed_port(probe: RegistryProbe, host: str, port: str) -> tuple[Text, Text]:
    shown = f" ({probe.address})" if probe.address and probe.address != host else ""
    if probe.detail == "ECONNREFUSED":
        state = Text("fermé (connexion refusée)", "closed (connection refused)")
    else:
        state = Text(
            f"injoignable d'ici ({probe.detail}, délai 3 s)",
            f"cannot be reached from here ({probe.detail}, 3 s)",
        )
    return (
        Text(
            f"{host} : nom trouvé{shown}, port {port} {state.fr}",
            f"{host}: name found{shown}, port {port} {state.en}",
        ),
        Text(
            f"ouvrir la sortie TCP {port} vers {probe.address} (pare-feu) ; si elle est ouverte, appeler l'ASIN",
            f"open outbound TCP {port} to {probe.address} (firewall); if it is open, call ASIN",
        ),
    )


def _goes_on(case: Case) -> Text:
    """What becomes of exchanges meanwhile."""
    current = case.current
    if current is None or case.now_ms >= current.expires_at:
        return Text("les échanges sont arrêtés", "exchanges are stopped")
    left = duration(current.expires_at - case.now_ms)
    if not case.is_live and not case.living:
        return Text(
            f"la configuration tenue vaut encore {left.fr}", f"the configuration held is good for {left.en}"
        )
    if case.is_live and not any(one.state == "ready" for one in (case.status.workers if case.status else ())):
        return Text(
            f"aucun worker n'est en service, les échanges sont arrêtés (la configuration tenue vaut encore {left.fr})",
            f"no worker is in service, exchanges are stopped (the configuration held is good for {left.en})",
        )
    return Text(f"les échanges continuent {left.fr} encore", f"exchanges go on for {left.en} more")


def check_revocation_lists(case: Case) -> Iterator[Finding]:
    """When the lists end by which certificates are judged."""
    ending: list[tuple[int, str]] = []
    for pem in case.current.common.crls if case.current else ():
        crl = load_crl(pem.encode("ascii"))
        if crl.next_update_utc is not None:
            ending.append((round(crl.next_update_utc.timestamp() * 1000), issuer_of(crl)))
    if not ending:
        return
    first, issuer = min(ending)
    at, left = day(first), first - case.now_ms
    if left > _LIST_ENDING_MS:
        yield good(
            "REVOCATION_LIST_ENDING",
            f"listes de révocation valables jusqu'au {at.fr}",
            f"revocation lists are valid until {at.en}",
        )
        return
    has_ended = left <= 0
    yield Finding(
        "REVOCATION_LIST_ENDING",
        Level.FAULT if has_ended else Level.WARNING,
        Text(
            f"La liste de révocation de {issuer} {'a pris fin' if has_ended else 'prend fin'} le {at.fr}"
            + (" : les certificats qu'elle couvre ne sont plus admis" if has_ended else ""),
            f"The revocation list of {issuer} {'ended' if has_ended else 'ends'} on {at.en}"
            + (": certificates under it are not admitted any more" if has_ended else ""),
        ),
        Text(
            "appeler l'ASIN, qui publie une liste neuve (« passerelle ca renew-lists » chez elle)",
            "call ASIN, who publishes a fresh list ('passerelle ca renew-lists' there)",
        ),
        {"ends_at": first, "issuer": issuer},
    )
