"""Whose clock is wrong: this machine's, or a peer's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from core.language import Text
from gateway.doctor.case import Case
from gateway.doctor.findings import Finding, Level, good
from rpc.figures import counted, duration

# PROTOCOL M19; heads of peers are up to 30 s old, the registry's clock is told within a round trip.
MAX_SKEW_S: Final = 60
WARN_SKEW_S: Final = 20

_SET_CLOCK: Final = Text(
    "`sudo timedatectl set-ntp true`, puis `passerelle doctor CLOCK_SKEW` ; si UDP 123 est fermé, demander un serveur "
    "de temps interne",
    "`sudo timedatectl set-ntp true`, then `passerelle doctor CLOCK_SKEW`; if UDP 123 is closed, ask for an internal "
    "time server",
)


def check_clock(case: Case) -> Iterator[Finding]:
    """Our clock against the registry's, the peers' and our own last signed head."""
    registry_s = None if case.registry.ahead_ms is None else case.registry.ahead_ms / 1000
    peers = _peer_clocks(case)
    wrong_at = [gateway for gateway, ahead_s in peers.items() if abs(ahead_s) > MAX_SKEW_S]
    if registry_s is not None and abs(registry_s) > MAX_SKEW_S:
        yield _own_clock(registry_s, wrong_at, asked_registry=True)
    elif registry_s is None and wrong_at and len(wrong_at) == len(peers):
        yield _own_clock(peers[wrong_at[0]], wrong_at, asked_registry=False)
    elif (behind_s := _behind_own_head_s(case)) > MAX_SKEW_S:
        behind = duration(behind_s * 1000)
        yield Finding(
            "CLOCK_SKEW",
            Level.FAULT,
            Text(
                f"L'horloge retarde de {behind.fr} au moins sur la dernière tête que cette passerelle a signée ; rien "
                "n'est plus signé, les échanges sont refusés",
                f"The clock is at least {behind.en} behind the last head that this gateway signed; nothing is signed, "
                "exchanges are refused",
            ),
            _SET_CLOCK,
            {"ahead_s": -round(behind_s)},
        )
    elif wrong_at:
        yield from (_peer_clock(gateway, peers[gateway], registry_s) for gateway in wrong_at)
    elif registry_s is not None and abs(registry_s) > WARN_SKEW_S:
        off = duration(registry_s * 1000)
        fr, en = ("avance", "ahead of") if registry_s > 0 else ("retarde", "behind")
        yield Finding(
            "CLOCK_SKEW",
            Level.WARNING,
            Text(
                f"L'horloge {fr} de {off.fr} sur le registre ; au-delà de {MAX_SKEW_S} s les échanges seront refusés",
                f"The clock is {off.en} {en} the registry; beyond {MAX_SKEW_S} s exchanges will be refused",
            ),
            _SET_CLOCK,
            {"ahead_s": round(registry_s)},
        )
    elif registry_s is not None:
        apart = f"{abs(registry_s):.1f}"
        yield good(
            "CLOCK_SKEW",
            f"horloge à {apart.replace('.', ',')} s de celle du registre",
            f"clock within {apart} s of the registry's",
            ahead_s=round(registry_s, 1),
        )
    elif peers:
        known = counted(len(peers), *_PEERS)
        yield good(
            "CLOCK_SKEW",
            f"horloge d'accord avec {known.fr} au dernier contact ; le registre n'a pas pu être interrogé",
            f"clock agreed with {known.en} at the last contact; the registry could not be asked",
        )
    else:
        yield Finding(
            "CLOCK_SKEW",
            Level.WARNING,
            Text(
                "Ni le registre ni un pair n'a pu être interrogé : l'heure n'est comparée à aucune autre",
                "Neither the registry nor a peer could be asked: the time is compared with no other",
            ),
            Text("`timedatectl status`", "`timedatectl status`"),
        )


def _peer_clocks(case: Case) -> dict[str, int]:
    """By how many seconds our clock is ahead of each peer's, as the workers last saw it."""
    if case.status is None:
        return {}
    return {
        peer.gateway: peer.clock_ahead_s
        for peer in case.status.peers
        if peer.gateway and peer.HasField("clock_ahead_s")
    }


def _behind_own_head_s(case: Case) -> float:
    return max((log.head.iat - case.now_ms / 1000 for log in case.logs if log.head), default=0.0)


_PEERS: Final = (Text("pair", "peer"), Text("pairs", "peers"))


def _own_clock(ahead_s: float, peers: list[str], *, asked_registry: bool) -> Finding:
    off = duration(ahead_s * 1000)
    fr, en = ("avance", "ahead of") if ahead_s > 0 else ("retarde", "behind")
    known = counted(len(peers), *_PEERS)
    whom_fr = ["le registre"] * asked_registry + [known.fr] * bool(peers)
    whom_en = ["the registry"] * asked_registry + [known.en] * bool(peers)
    return Finding(
        "CLOCK_SKEW",
        Level.FAULT,
        Text(
            f"L'horloge {fr} de {off.fr} sur {' et '.join(whom_fr)} ; les échanges sont refusés",
            f"The clock is {off.en} {en} {' and '.join(whom_en)}; exchanges are refused",
        ),
        _SET_CLOCK,
        {"ahead_s": round(ahead_s), "peers": peers},
    )


def _peer_clock(gateway: str, ahead_s: int, registry_s: float | None) -> Finding:
    off = duration(ahead_s * 1000)
    fr, en = ("retarde", "behind") if ahead_s > 0 else ("avance", "ahead of")
    proof = (
        Text("la vôtre est juste", "yours is right")
        if registry_s is not None
        else Text("d'autres pairs sont d'accord avec la vôtre", "other peers agree with yours")
    )
    return Finding(
        "CLOCK_SKEW",
        Level.WARNING,
        Text(
            f"L'horloge de {gateway} {fr} de {off.fr} sur celle-ci ; {proof.fr} : la panne est chez eux",
            f"The clock of {gateway} is {off.en} {en} this one; {proof.en}: the fault is theirs",
        ),
        Text(
            f"prévenir l'administrateur de {gateway} : `sudo timedatectl set-ntp true` chez lui",
            f"tell the administrator of {gateway}: `sudo timedatectl set-ntp true` there",
        ),
        {"gateway": gateway, "ahead_s": ahead_s},
    )
