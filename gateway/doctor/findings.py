"""What a check finds, and the codes by which findings are known; codes never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from core.language import Text


class Level(StrEnum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    FAULT = "fault"

    @property
    def label(self) -> Text:
        """As it stands in brackets."""
        return _LABELS[self]


_LABELS: Final = {
    Level.GOOD: Text("BON", "OK"),
    Level.WARNING: Text("AVERTISSEMENT", "WARNING"),
    Level.FAULT: Text("FAUTE", "FAULT"),
}

Value = str | int | float | bool | list[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        code: What was looked for, ``CLOCK_SKEW``; the fault itself unless the level is good.
        level: How bad it is.
        text: One sentence with the values.
        remedy: A command, or whom to call; none where nothing is to be done.
        values: The values of the text, for machines.
    """

    code: str
    level: Level
    text: Text
    remedy: Text | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


def good(code: str, fr: str, en: str, **values: Value) -> Finding:
    """Nothing to do."""
    return Finding(code, Level.GOOD, Text(fr, en), None, values)


# Each code with what it means. The ten of USERS section 3 first, in its order.
CODES: Final[Mapping[str, Text]] = {
    "CLOCK_SKEW": Text(
        "l'horloge de cette machine, ou d'un pair, est fausse de plus de 60 s : les échanges sont refusés",
        "the clock of this machine, or of a peer, is wrong by more than 60 s: exchanges are refused",
    ),
    "CONFIG_STALE": Text(
        "le registre n'a pas confirmé la configuration depuis un moment ; les échanges continuent, le délai court",
        "the registry has not confirmed the configuration for a while; exchanges go on, the time left is counted down",
    ),
    "CONFIG_EXPIRED": Text(
        "la configuration est trop ancienne : tous les échanges sont refusés",
        "the configuration is too old: every exchange is refused",
    ),
    "REGISTRY_UNREACHABLE": Text(
        "le registre ne répond pas : nom (DNS), port (TCP), TLS ou identité, ce que le texte dit",
        "the registry does not answer: name (DNS), port (TCP), TLS or identity, as the text says",
    ),
    "CERT_EXPIRED": Text(
        "un certificat de cette passerelle n'est plus valable, ou pas encore",
        "a certificate of this gateway is not valid any more, or not yet",
    ),
    "CERT_EXPIRING": Text(
        "un certificat de cette passerelle expire bientôt",
        "a certificate of this gateway expires soon",
    ),
    "DISK_RESERVE": Text(
        "il reste moins de place que la réserve : les nouveaux échanges sont refusés, rien n'est perdu",
        "less room is left than the reserve: new exchanges are refused, nothing is lost",
    ),
    "DISK_LOW": Text(
        "le disque du journal atteindra bientôt sa réserve",
        "the disk of the log will reach its reserve soon",
    ),
    "LOG_WRITE_FAILED": Text(
        "le disque a refusé une écriture du journal : le processus s'est arrêté pour ne rien perdre",
        "the disk refused a write of the log: the process stopped so as to lose nothing",
    ),
    "LOG_BEHIND_PEERS": Text(
        "un pair détient une tête plus récente de ce journal : une copie ancienne a été remise à sa place",
        "a peer holds a newer head of this log: an older copy was put in its place",
    ),
    "FORKED": Text(
        "deux têtes de ce journal se contredisent",
        "two heads of this log contradict each other",
    ),
    "PEER_UNREACHABLE": Text(
        "les passerelles d'un membre, ou de tous, ne répondent pas",
        "the gateways of a member, or of all, do not answer",
    ),
    "ADAPTER_DOWN": Text(
        "l'adaptateur d'un sous-système ne répond pas",
        "the adapter of a subsystem does not answer",
    ),
    "KEY_UNREADABLE": Text(
        "une clé ne peut pas être lue, est trop ouverte, ou n'est pas celle du certificat",
        "a key cannot be read, is too open, or is not the certificate's",
    ),
    "GATEWAY_DOWN": Text(
        "la passerelle ne tourne pas, ou un de ses processus",
        "the gateway does not run, or one of its processes",
    ),
    "WORKER_DOWN": Text(
        "un worker ne tourne pas, ou retombe à chaque relance ; le contrôle le relance toutes les quelques secondes",
        "a worker does not run, or falls again at each start; control starts it again every few seconds",
    ),
    "WORKER_SILENT": Text(
        "un worker tourne mais ne dit plus rien depuis 10 s : il est figé, ou la machine l'est",
        "a worker runs but has said nothing for 10 s: it hangs, or the machine does",
    ),
    "CONFIG_MISSING": Text(
        "cette passerelle n'a encore reçu aucune configuration",
        "this gateway has not received any configuration yet",
    ),
    "GATEWAY_SUSPENDED": Text(
        "le registre a suspendu ou révoqué cette passerelle ou son membre",
        "the registry suspended or revoked this gateway or its member",
    ),
    "LOG_NOT_REGISTERED": Text(
        "la configuration ne connaît pas les journaux de cette passerelle : les pairs la refusent",
        "the configuration does not know the logs of this gateway: peers refuse it",
    ),
    "LOG_DAMAGED": Text(
        "le journal est abîmé, ou plus court que ce qui en a été signé",
        "the log is damaged, or shorter than what was signed of it",
    ),
    "LOG_UNCONFIRMED": Text(
        "depuis le démarrage, ni pair ni registre n'a pu dire quelle tête de ce journal il détient",
        "since the start neither a peer nor the registry could say which head of this log it holds",
    ),
    "PORT_IN_USE": Text(
        "un port de cette passerelle est tenu par un autre processus",
        "a port of this gateway is held by another process",
    ),
    "UNAUTHENTICATED_ROUTE": Text(
        "une route fixe ne demande pas qui appelle : tout ce qui tourne sur cette machine peut s'en servir",
        "a fixed route asks nobody who calls: whatever runs on this machine may use it",
    ),
    "CONFIG_FILE_INVALID": Text(
        "gateway.toml ne peut pas être lu ; le texte nomme la ligne ou la clé",
        "gateway.toml cannot be read; the text names the line or the key",
    ),
    "ANCHOR_MISMATCH": Text(
        "l'ancre n'est pas celle dont descendent les certificats de cette passerelle",
        "the anchor is not the one that the certificates of this gateway descend from",
    ),
    "INDEX_BEHIND": Text(
        "l'index est en retard sur le journal : les recherches ne voient pas les derniers échanges",
        "the index is behind the log: searches do not see the newest exchanges",
    ),
    "REVOCATION_LIST_ENDING": Text(
        "une liste de révocation de la configuration se termine bientôt, ou s'est terminée",
        "a revocation list of the configuration ends soon, or has ended",
    ),
    "WRAPPING_KEY_BESIDE_LOG": Text(
        "la clé d'enveloppe des contenus est sur le disque du journal : qui prend le disque prend les deux",
        "the wrapping key of bodies is on the disk of the log: who takes the disk takes both",
    ),
}
