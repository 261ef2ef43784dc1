"""Codes and the French words for them: people read the word, commands, JSON and CSV keep the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.language import Text


@dataclass(frozen=True, slots=True)
class Coded:
    """A cell of a table: ``code`` where a machine reads, ``shown`` where people do."""

    code: str
    shown: Text


_FRENCH: Final[Mapping[str, str]] = {
    # States of members, gateways, agreements, programs
    "active": "actif",
    "suspended": "suspendu",
    "revoked": "révoqué",
    "superseded": "remplacé",
    "removed": "retiré",
    "mtls": "certificat",
    "jwt": "jetons",
    # Of requests to the registry, and what they ask for
    "pending": "en attente",
    "approved": "approuvée",
    "refused": "refusée",
    "member": "membre",
    "registration": "enregistrement",
    "agreement": "convention",
    "member-resumption": "reprise d'un membre",
    "gateway-resumption": "reprise d'une passerelle",
    "agreement-resumption": "reprise d'une convention",
    # Of workers, links and adapters
    "starting": "démarre",
    "ready": "en service",
    "waiting": "attend son enregistrement",
    "draining": "finit ses appels",
    "closed": "à l'arrêt",
    "stopped": "arrêté",
    "silent": "muet",
    "open": "ouverte",
    "connecting": "connexion en cours",
    "lost": "rompue",
    "up": "répond",
    "down": "ne répond pas",
    "unknown": "inconnu",
    "authenticated": "authentifié",
    "unauthenticated": "non authentifié",
    # Leaves of a log: labels, kinds of statements, verdicts of records
    "said": "dit",
    "heard": "entendu",
    "request": "demande",
    "response": "réponse",
    "refusal": "refus",
    "cancel": "annulation",
    "deadline": "délai dépassé",
    "abandon": "abandon",
    "outcome": "issue",
    "taken": "reçu",
    "late": "trop tard",
}


def coded(code: str) -> Coded:
    """A code with its French word before it; one that is not known here, a reason say, stands alone."""
    # A verdict names its reason behind a colon: refused:NO_AGREEMENT.
    head, colon, _ = code.partition(":")
    word = "refusé" if colon and head == "refused" else _FRENCH.get(code)
    return Coded(code, Text(f"{word} ({code})" if word else code, code))
