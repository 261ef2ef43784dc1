"""Checks of those this gateway talks to: peers and adapters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from core.language import Text
from core.reasons import Reason
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level, good
from gateway.doctor.probes import PeerProbe
from passerelle.gateway.v1 import status_pb2
from rpc.figures import counted, since


def check_peers(case: Case) -> Iterator[Finding]:
    """Which members cannot be reached, and whose fault it is."""
    by_member: dict[str, list[PeerProbe]] = defaultdict(list)
    for probe in case.peers:
        by_member[probe.member].append(probe)
    silent = {member: probes for member, probes in by_member.items() if all(one.problem for one in probes)}
    if not by_member:
        yield good(
            "PEER_UNREACHABLE",
            "aucune convention en vigueur ne mène à un pair",
            "no agreement in force leads to a peer",
        )
    elif len(silent) == len(by_member) and case.registry.stage in ("dns", "tcp"):
        yield _nobody(case, sorted(silent))
    else:
        for member, probes in sorted(by_member.items()):
            yield from _member(case, member, probes, others_answer=len(silent) < len(by_member))


def _nobody(case: Case, members: list[str]) -> Finding:
    """Neither a peer nor the registry: our own link, unless machines that can be reached refuse us."""
    broken = _since_of_peers(case, [one.gateway for one in case.peers])
    refused = {case.registry.detail, *(one.problem for one in case.peers)} == {"ECONNREFUSED"}
    why = (
        Text(
            "tous refusent la connexion : un pare-feu d'ici les rejette, ou tous sont arrêtés",
            "all refuse the connection: a firewall here rejects them, or all are stopped",
        )
        if refused
        else Text("la panne est dans votre liaison", "the fault is in your link")
    )
    tried = counted(
        len(case.peers),
        Text("adresse essayée", "address tried"),
        Text("adresses essayées", "addresses tried"),
    )
    return Finding(
        "PEER_UNREACHABLE",
        Level.FAULT,
        Text(
            f"Aucun pair ne répond ({tried.fr}), et le registre non plus{broken.fr} : {why.fr}",
            f"No peer answers ({tried.en}), nor does the registry{broken.en}: {why.en}",
        ),
        Text(
            "`ip route`, puis le pare-feu et le fournisseur d'accès : ouvrir la sortie TCP 7444",
            "`ip route`, then the firewall and the access provider: open outbound TCP 7444",
        ),
        {"members": members, "own_link": not refused},
    )


def _member(case: Case, member: str, probes: list[PeerProbe], *, others_answer: bool) -> Iterator[Finding]:
    away = [one for one in probes if one.problem]
    if not away:
        yield _reached(case, member, probes)
        return
    names = " et ".join(sorted({one.gateway.rpartition("/")[2] for one in away}))
    names_en = names.replace(" et ", " and ")
    unreachable = "injoignables" if " et " in names else "injoignable"
    problem = _problem(away[0].problem)
    broken = _since_of_peers(case, [one.gateway for one in away])
    if len(away) < len(probes):
        why = Text("une autre de leurs passerelles répond", "another gateway of theirs answers")
    elif others_answer:
        why = Text(
            "les autres membres répondent : la panne est chez eux",
            "other members answer: the fault is theirs",
        )
    elif not case.registry.stage:
        why = Text("le registre répond : la panne est chez eux", "the registry answers: the fault is theirs")
    else:
        why = Text(
            "rien ne dit si la panne est ici ou chez eux", "nothing tells whether the fault is here or theirs"
        )
    yield Finding(
        "PEER_UNREACHABLE",
        Level.WARNING if len(away) < len(probes) else Level.FAULT,
        Text(
            f"{member} {names} {unreachable}{broken.fr} ({problem.fr}) ; {why.fr}",
            f"{member} {names_en} cannot be reached{broken.en} ({problem.en}); {why.en}",
        ),
        _remedy_for_peer(case, away[0], member),
        {"member": member, "gateways": sorted({one.gateway for one in away}), "problem": away[0].problem},
    )


def _reached(case: Case, member: str, probes: list[PeerProbe]) -> Finding:
    """All ports take connections: that a gateway answers behind them, only a link of a worker can tell."""
    links = [peer for peer in _links(case) if peer.gateway.rpartition("/")[0] == member]
    away = [peer for peer in links if peer.state == Reason.PEER_UNREACHABLE]
    if any(peer.state == "open" for peer in links):
        return good(
            "PEER_UNREACHABLE", f"{member} répond, lien ouvert", f"{member} answers, link open", member=member
        )
    ports = ", ".join(sorted({one.address for one in probes}))
    if not away:
        return good(
            "PEER_UNREACHABLE",
            f"{member} prend les connexions ({ports}) ; aucun lien n'est ouvert, aucun n'a été essayé en vain",
            f"{member} takes connections ({ports}); no link is open, none was tried in vain",
            member=member,
        )
    names = sorted({peer.gateway for peer in away})
    broken = _since_of_peers(case, names)
    return Finding(
        "PEER_UNREACHABLE",
        Level.FAULT,
        Text(
            f"{member} prend les connexions ({ports}), mais aucun lien ne s'établit{broken.fr} : la passerelle d'en "
            "face ne répond pas, ou un boîtier répond à sa place ; les appels vers ce membre sont refusés",
            f"{member} takes connections ({ports}), but no link comes about{broken.en}: the gateway there does not "
            "answer, or a box answers in its place; calls to this member are refused",
        ),
        Text(
            f"appeler le contact de {member} (l'ASIN le connaît) : son worker est figé ou surchargé, comme doctor "
            "le dit chez lui",
            f"call the contact of {member} (ASIN knows it): its worker hangs or is overloaded, doctor tells it there",
        ),
        {"member": member, "gateways": names, "problem": "NO_LINK"},
    )


def _links(case: Case) -> list[status_pb2.PeerStatus]:
    """What workers say of their roads; what control noted before it died may have changed since."""
    return list(case.status.peers) if case.status is not None and case.is_live else []


def _remedy_for_peer(case: Case, probe: PeerProbe, member: str) -> Text:
    if probe.problem == "ADDRESS_NOT_ALLOWED":
        return Text(
            f"l'adresse enregistrée {probe.address} n'est pas permise ici : allowed_networks dans gateway.toml, ou "
            f"prévenir {member}",
            f"the registered address {probe.address} is not allowed here: allowed_networks in gateway.toml, or tell "
            f"{member}",
        )
    host, _, port = probe.address.rpartition(":")
    return Text(
        f"appeler le contact de {member} (l'ASIN le connaît) ; depuis ici : `nc -vz {host} {port}`",
        f"call the contact of {member} (ASIN knows it); from here: `nc -vz {host} {port}`",
    )


def _since_of_peers(case: Case, gateways: list[str]) -> Text:
    """`` depuis 02:11``, if control saw their roads break."""
    broken = [
        peer.since.ToMilliseconds()
        for peer in (case.status.peers if case.status else ())
        if peer.gateway in gateways and peer.state != "open" and peer.HasField("since")
    ]
    if not broken:
        return Text("", "")
    begun = since(max(broken), case.now_ms)
    return Text(f" {begun.fr}", f" {begun.en}")


def _problem(code: str) -> Text:
    known = {
        "ECONNREFUSED": Text("connexion refusée", "connection refused"),
        "ETIMEDOUT": Text("aucune réponse en 3 s", "no answer in 3 s"),
        "EHOSTUNREACH": Text("aucune route", "no route"),
        "ENETUNREACH": Text("aucune route", "no route"),
        "ADDRESS_NOT_ALLOWED": Text("adresse non permise", "address not allowed"),
        "NOT_SERVING": Text("il dit lui-même ne pas servir", "it says itself that it does not serve"),
        "TLS": Text("connecté, mais TLS échoue", "connected, but TLS fails"),
        "NO_ANSWER": Text("connecté, aucune réponse en 2,5 s", "connected, no answer in 2.5 s"),
    }
    return known.get(code, Text(code, code))


def check_adapters(case: Case) -> Iterator[Finding]:
    """Whether each adapter says that it serves."""
    told = {one.subsystem: one for one in (case.status.adapters if case.status else ())}
    for probe in case.adapters:
        if not probe.problem:
            yield good(
                "ADAPTER_DOWN",
                f"l'adaptateur de {probe.subsystem} répond ({probe.address})",
                f"the adapter of {probe.subsystem} answers ({probe.address})",
                subsystem=probe.subsystem,
            )
            continue
        problem, seen = _problem(probe.problem), told.get(probe.subsystem)
        refused = _refused(seen, case.now_ms)
        unit = probe.subsystem.rpartition("/")[2].lower()
        yield Finding(
            "ADAPTER_DOWN",
            Level.FAULT,
            Text(
                f"L'adaptateur de {probe.subsystem} ({probe.address}) ne répond pas à grpc.health ({problem.fr})"
                f"{refused.fr}",
                f"The adapter of {probe.subsystem} ({probe.address}) does not answer its health check ({problem.en})"
                f"{refused.en}",
            ),
            Text(
                f"`systemctl status passerelle-adapter-{unit}` ; lancé à la main : "
                "`passerelle adapter serve --config DIR/adapter.toml`",
                f"`systemctl status passerelle-adapter-{unit}`; started by hand: "
                "`passerelle adapter serve --config DIR/adapter.toml`",
            ),
            {
                "subsystem": probe.subsystem,
                "address": probe.address,
                "problem": probe.problem,
                "refused": seen.refused if seen else 0,
            },
        )


def _refused(seen: status_pb2.AdapterStatus | None, now_ms: int) -> Text:
    if seen is None or seen.state != "down" or not seen.HasField("since"):
        return Text("", "")
    begun = since(seen.since.ToMilliseconds(), now_ms)
    refused = counted(
        seen.refused, Text("appel refusé", "call refused"), Text("appels refusés", "calls refused")
    )
    return Text(f" ; {refused.fr} {begun.fr}", f"; {refused.en} {begun.en}")
