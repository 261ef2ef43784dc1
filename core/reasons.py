"""Every reason for which the layer refuses or fails, with what people are told.

One table. The reason is stable and stands on the wire, in statements and in metrics; the texts may improve.
``docs/erreurs.md`` has a longer entry for each; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Literal, Never

from core.language import Text

Retry = Literal["safe", "ask", "no"]
Delivery = Literal["not_sent", "unknown", "delivered"]


class Code(IntEnum):
    """The canonical gRPC status codes, as plain integers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class ReasonEntry:
    """What a reason means to a caller: status code, sentence, remedy, and whether to try again."""

    code: Code
    text: Text
    remedy: Text
    retry: Retry


class Reason(StrEnum):
    """A named cause, stable for ever; ``entry`` holds its code and texts."""

    # The caller
    PROGRAM_UNKNOWN = "PROGRAM_UNKNOWN"
    CLIENT_NOT_YOURS = "CLIENT_NOT_YOURS"
    METADATA_INVALID = "METADATA_INVALID"
    PERSONAL_NUMBER_IN_METADATA = "PERSONAL_NUMBER_IN_METADATA"
    PURPOSE_REQUIRED = "PURPOSE_REQUIRED"
    ISSUE_REQUIRED = "ISSUE_REQUIRED"
    JSON_INVALID = "JSON_INVALID"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    CALL_KIND_NOT_SUPPORTED = "CALL_KIND_NOT_SUPPORTED"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    PEER_ABUSE = "PEER_ABUSE"
    # Rights
    NO_AGREEMENT = "NO_AGREEMENT"
    PURPOSE_NOT_ALLOWED = "PURPOSE_NOT_ALLOWED"
    REPRESENTATION_NOT_ALLOWED = "REPRESENTATION_NOT_ALLOWED"
    LOOPBACK_NOT_ALLOWED = "LOOPBACK_NOT_ALLOWED"
    SERVICE_AMBIGUOUS = "SERVICE_AMBIGUOUS"
    TERM_NOT_SUPPORTED = "TERM_NOT_SUPPORTED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    MEMBER_SUSPENDED = "MEMBER_SUSPENDED"
    GATEWAY_SUSPENDED = "GATEWAY_SUSPENDED"
    NOT_AUTHORISED = "NOT_AUTHORISED"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    # The road
    PEER_UNREACHABLE = "PEER_UNREACHABLE"
    PEER_LOST = "PEER_LOST"
    PEER_NOT_REGISTERED = "PEER_NOT_REGISTERED"
    LOG_NOT_REGISTERED = "LOG_NOT_REGISTERED"
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
    FRAME_INVALID = "FRAME_INVALID"
    HEAD_INVALID = "HEAD_INVALID"
    STATEMENT_INVALID = "STATEMENT_INVALID"
    STATEMENT_EXPIRED = "STATEMENT_EXPIRED"
    REPLAYED = "REPLAYED"
    VERSION_NOT_SUPPORTED = "VERSION_NOT_SUPPORTED"
    CLOCK_SKEW = "CLOCK_SKEW"
    RESPONSE_INVALID = "RESPONSE_INVALID"
    INTERRUPTED = "INTERRUPTED"
    # The provider
    ADAPTER_DOWN = "ADAPTER_DOWN"
    ADAPTER_LOST = "ADAPTER_LOST"
    ADAPTER_PROTOCOL = "ADAPTER_PROTOCOL"
    # The log
    RECORDING_FAILED = "RECORDING_FAILED"
    DISK_RESERVE = "DISK_RESERVE"
    LOG_WRITE_FAILED = "LOG_WRITE_FAILED"
    LOG_DAMAGED = "LOG_DAMAGED"
    LOG_BEHIND_PEERS = "LOG_BEHIND_PEERS"
    FORKED = "FORKED"
    LOG_CLOSED = "LOG_CLOSED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    # Configuration and trust
    CONFIG_MISSING = "CONFIG_MISSING"
    CONFIG_STALE = "CONFIG_STALE"
    CONFIG_EXPIRED = "CONFIG_EXPIRED"
    CONFIG_SPLIT = "CONFIG_SPLIT"
    REGISTRY_UNREACHABLE = "REGISTRY_UNREACHABLE"
    ANCHOR_MISMATCH = "ANCHOR_MISMATCH"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 (a reason, no secret)
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 (a reason, no secret)
    # Documents, files and requests to the layer's own services
    IDENTIFIER_INVALID = "IDENTIFIER_INVALID"
    DOCUMENT_INVALID = "DOCUMENT_INVALID"
    PROOF_INVALID = "PROOF_INVALID"
    EVIDENCE_TOO_LARGE = "EVIDENCE_TOO_LARGE"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    STATE_CONFLICT = "STATE_CONFLICT"
    GRANTED_FIELD_LOST = "GRANTED_FIELD_LOST"
    CONFIG_FILE_INVALID = "CONFIG_FILE_INVALID"
    KEY_UNREADABLE = "KEY_UNREADABLE"
    PORT_IN_USE = "PORT_IN_USE"
    INTERNAL = "INTERNAL"

    @property
    def entry(self) -> ReasonEntry:
        """Code, texts and retry advice of this reason."""
        return _ENTRIES[self]


class ExchangeError(Exception):
    """Something the layer refuses or cannot do, told in words that the caller may see.

    The text starts in lower case, names the parties and has no final period. It holds no personal
    number, no key and no payload. Whatever reaches a caller and is not an ``ExchangeError`` is ``INTERNAL``.

    Args:
        reason: Why.
        text: What happened, in English; the reason's own sentence if there is nothing to add.
        remedy: What to do here, where the reason's own remedy would send people elsewhere; for people at this
            machine, it does not travel.
    """

    reason: Reason = Reason.INTERNAL
    remedy: Text | None = None

    def __init__(self, reason: Reason, text: str = "", *, remedy: Text | None = None) -> None:
        super().__init__(text or reason.entry.text.en)
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[ExchangeError], tuple[Reason, str]]:
        return (type(self), (self.reason, str(self)))


class MalformedError(ExchangeError, ValueError):
    """Bytes or text that a strict parser refuses."""


def refuse(reason: Reason, text: str = "") -> Never:
    """Raise ``ExchangeError`` with ``reason``."""
    raise ExchangeError(reason, text)


def _entry(code: Code, retry: Retry, fr: str, en: str, remedy_fr: str, remedy_en: str) -> ReasonEntry:
    return ReasonEntry(code, Text(fr, en), Text(remedy_fr, remedy_en), retry)


_ASK_ADMIN = ("prévenir l'administrateur de la passerelle", "tell the administrator of the gateway")
_ASK_ASIN = ("appeler l'ASIN", "call ASIN")

_ENTRIES: dict[Reason, ReasonEntry] = {
    Reason.PROGRAM_UNKNOWN: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "ce programme n'est pas connu de la passerelle : ni certificat admis, ni jeton",
        "the gateway does not know this program: neither an admitted certificate nor a token",
        "se connecter avec le certificat écrit par « passerelle program add », ou envoyer un jeton signé par "
        "une clé admise (authorization: Bearer)",
        "connect with the certificate that 'passerelle program add' wrote, or send a token signed by an admitted key "
        "(authorization: Bearer)",
    ),
    Reason.CLIENT_NOT_YOURS: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "le sous-système annoncé n'est pas celui de ce programme",
        "the claimed subsystem does not belong to this program",
        "corriger x-road-client ou prendre le certificat du bon programme",
        "correct x-road-client or use the right program's certificate",
    ),
    Reason.METADATA_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "une métadonnée x-road-* manque, est répétée, mal formée, ou contredit la route fixe",
        "an x-road-* metadata entry is missing, repeated, malformed, or contradicts the fixed route",
        "corriger l'appel selon docs/protocol/exchange.md",
        "correct the call as docs/protocol/exchange.md says",
    ),
    Reason.PERSONAL_NUMBER_IN_METADATA: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "une métadonnée contient un numéro personnel",
        "a metadata entry holds a personal number",
        "mettre une référence opaque à la place du numéro",
        "put an opaque handle in place of the number",
    ),
    Reason.PURPOSE_REQUIRED: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "la convention exige une finalité (x-road-purpose)",
        "the agreement demands a purpose (x-road-purpose)",
        "ajouter le code de finalité, par exemple P01",
        "add the purpose code, for example P01",
    ),
    Reason.ISSUE_REQUIRED: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "la convention exige une référence de dossier (x-road-issue)",
        "the agreement demands a dossier reference (x-road-issue)",
        "ajouter la référence du dossier",
        "add the dossier reference",
    ),
    Reason.JSON_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "le corps JSON n'est pas une demande de cette méthode, ou n'a pas un seul sens",
        "the JSON body is no request of this method, or has more than one meaning",
        "corriger le champ nommé dans les détails, d'après le .proto (« passerelle service protos »)",
        "correct the field that the details name, by the .proto ('passerelle service protos')",
    ),
    Reason.MESSAGE_TOO_LARGE: _entry(
        Code.RESOURCE_EXHAUSTED,
        "no",
        "le message dépasse la taille permise",
        "the message is larger than allowed",
        "découper la demande ; la limite est dans gateway.toml (4 Mio par défaut)",
        "split the request; the limit is in gateway.toml (4 MiB by default)",
    ),
    Reason.CALL_KIND_NOT_SUPPORTED: _entry(
        Code.UNIMPLEMENTED,
        "no",
        "l'appel n'a pas la forme de sa méthode (un message, ou un flux)",
        "the call does not have the form of its method (one message, or a stream)",
        "régénérer le client depuis le contrat enregistré du service",
        "generate the client again from the registered contract of the service",
    ),
    Reason.CANCELLED: _entry(
        Code.CANCELLED,
        "ask",
        "l'appel a été annulé par l'appelant",
        "the caller cancelled the call",
        "aucun",
        "none",
    ),
    Reason.DEADLINE_EXCEEDED: _entry(
        Code.DEADLINE_EXCEEDED,
        "ask",
        "le délai de l'appel est passé",
        "the deadline of the call has passed",
        "donner un délai plus long, ou voir pourquoi le fournisseur est lent",
        "give a longer deadline, or see why the provider is slow",
    ),
    Reason.PEER_ABUSE: _entry(
        Code.RESOURCE_EXHAUSTED,
        "no",
        "la connexion abuse du protocole HTTP/2 et a été fermée",
        "the connection abused HTTP/2 and was closed",
        "corriger le client",
        "correct the client",
    ),
    Reason.NO_AGREEMENT: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "aucune convention en vigueur ne permet cet appel",
        "no agreement in force allows this call",
        "conclure une convention avec le fournisseur, ou vérifier le nom de la méthode",
        "conclude an agreement with the provider, or check the name of the method",
    ),
    Reason.PURPOSE_NOT_ALLOWED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "la convention n'accorde pas cette finalité",
        "the agreement does not grant this purpose",
        "utiliser une finalité accordée ou amender la convention",
        "use a granted purpose or amend the agreement",
    ),
    Reason.REPRESENTATION_NOT_ALLOWED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "la convention ne permet pas de représenter ce tiers",
        "the agreement does not allow this represented party",
        "retirer x-road-represented-party ou amender la convention",
        "remove x-road-represented-party or amend the agreement",
    ),
    Reason.LOOPBACK_NOT_ALLOWED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "la convention refuse les appels non authentifiés de la boucle locale",
        "the agreement refuses unauthenticated loopback calls",
        "appeler avec un certificat de programme",
        "call with a program certificate",
    ),
    Reason.SERVICE_AMBIGUOUS: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "plusieurs sous-systèmes offrent ce service",
        "several subsystems provide this service",
        "nommer le fournisseur dans x-road-service",
        "name the provider in x-road-service",
    ),
    Reason.TERM_NOT_SUPPORTED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "la convention contient une clause que cette passerelle ne sait pas encore appliquer",
        "the agreement has a term that this gateway cannot enforce yet",
        "mettre la passerelle à jour ou amender la convention",
        "upgrade the gateway or amend the agreement",
    ),
    Reason.QUOTA_EXCEEDED: _entry(
        Code.RESOURCE_EXHAUSTED,
        "safe",
        "le quota de la convention est épuisé",
        "the quota of the agreement is used up",
        "attendre la période suivante ou amender la convention",
        "wait for the next period or amend the agreement",
    ),
    Reason.LIMIT_EXCEEDED: _entry(
        Code.RESOURCE_EXHAUSTED,
        "safe",
        "trop d'appels ou d'octets en cours",
        "too many calls or bytes in flight",
        "ralentir et réessayer",
        "slow down and try again",
    ),
    Reason.MEMBER_SUSPENDED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "le membre est suspendu",
        "the member is suspended",
        *_ASK_ASIN,
    ),
    Reason.GATEWAY_SUSPENDED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "la passerelle est suspendue ou révoquée",
        "the gateway is suspended or revoked",
        *_ASK_ASIN,
    ),
    Reason.NOT_AUTHORISED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "ce rôle n'a pas le droit de faire cela",
        "this role may not do that",
        "utiliser une identité qui porte le rôle voulu",
        "use an identity that has the role",
    ),
    Reason.APPROVAL_REQUIRED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "il faut l'avis d'un second opérateur",
        "a second operator must approve",
        "faire approuver la demande par un autre opérateur",
        "have another operator approve the request",
    ),
    Reason.PEER_UNREACHABLE: _entry(
        Code.UNAVAILABLE,
        "safe",
        "aucune passerelle du fournisseur n'est joignable",
        "no gateway of the provider can be reached",
        "réessayer ; si cela dure, prévenir le fournisseur",
        "try again; if it lasts, tell the provider",
    ),
    Reason.PEER_LOST: _entry(
        Code.UNAVAILABLE,
        "ask",
        "la liaison avec l'autre passerelle s'est rompue pendant l'échange",
        "the link to the other gateway broke during the exchange",
        "demander où en est l'échange avant de renvoyer",
        "ask where the exchange stands before sending again",
    ),
    Reason.PEER_NOT_REGISTERED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "cette passerelle n'est pas enregistrée pour ce membre",
        "this gateway is not registered for that member",
        "enregistrer la passerelle, ou corriger le client annoncé",
        "register the gateway, or correct the claimed client",
    ),
    Reason.LOG_NOT_REGISTERED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "ce journal n'est pas enregistré pour cette passerelle",
        "this log is not registered for this gateway",
        "publier l'enregistrement signé par la clé du membre",
        "publish the registration signed by the member key",
    ),
    Reason.ADDRESS_NOT_ALLOWED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        "l'adresse n'est pas dans un réseau permis",
        "the address is not in an allowed network",
        "corriger l'adresse enregistrée ou allowed_networks",
        "correct the registered address or allowed_networks",
    ),
    Reason.FRAME_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "trame refusée : mal formée ou racine fausse",
        "frame refused: malformed or wrong root",
        *_ASK_ADMIN,
    ),
    Reason.HEAD_INVALID: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "tête de journal refusée : signature, certificat ou forme",
        "tree head refused: signature, certificate or form",
        *_ASK_ADMIN,
    ),
    Reason.STATEMENT_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "déclaration refusée : champ faux ou non canonique",
        "statement refused: wrong field or not canonical",
        *_ASK_ADMIN,
    ),
    Reason.STATEMENT_EXPIRED: _entry(
        Code.DEADLINE_EXCEEDED,
        "safe",
        "la demande est arrivée après son délai ; elle n'a pas été remise",
        "the request arrived after its deadline; it was not delivered",
        "réessayer avec un délai plus long",
        "try again with a longer deadline",
    ),
    Reason.REPLAYED: _entry(
        Code.ALREADY_EXISTS,
        "no",
        "cette déclaration a déjà été vue",
        "this statement has been seen before",
        *_ASK_ADMIN,
    ),
    Reason.VERSION_NOT_SUPPORTED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "aucune version commune du protocole",
        "no common version of the protocol",
        "mettre à jour la passerelle la plus ancienne",
        "upgrade the older gateway",
    ),
    Reason.CLOCK_SKEW: _entry(
        Code.FAILED_PRECONDITION,
        "safe",
        "les horloges des deux passerelles diffèrent de plus de 60 s",
        "the clocks of the two gateways differ by more than 60 s",
        "prévenir l'administrateur de sa passerelle : `passerelle doctor CLOCK_SKEW` dit laquelle est fausse, "
        "et de combien (à celle-là : sudo timedatectl set-ntp true)",
        "tell the administrator of your gateway: `passerelle doctor CLOCK_SKEW` says which one is wrong, and by how much "
        "(at that one: sudo timedatectl set-ntp true)",
    ),
    Reason.RESPONSE_INVALID: _entry(
        Code.DATA_LOSS,
        "ask",
        "la réponse du fournisseur n'a pas pu être vérifiée",
        "the provider's response could not be verified",
        "ne pas s'y fier ; prévenir l'administrateur",
        "do not rely on it; tell the administrator",
    ),
    Reason.INTERRUPTED: _entry(
        Code.UNAVAILABLE,
        "ask",
        "la passerelle du fournisseur a redémarré pendant l'échange",
        "the provider's gateway restarted during the exchange",
        "demander au fournisseur si la demande a été traitée",
        "ask the provider whether the request was processed",
    ),
    Reason.ADAPTER_DOWN: _entry(
        Code.UNAVAILABLE,
        "safe",
        "l'adaptateur du fournisseur ne répond pas ; rien ne lui a été remis",
        "the provider's adapter does not answer; nothing was delivered to it",
        "le fournisseur doit relancer son adaptateur",
        "the provider must restart its adapter",
    ),
    Reason.ADAPTER_LOST: _entry(
        Code.UNAVAILABLE,
        "ask",
        "la liaison avec l'adaptateur s'est rompue après la remise",
        "the link to the adapter broke after delivery",
        "demander au fournisseur si la demande a été traitée",
        "ask the provider whether the request was processed",
    ),
    Reason.ADAPTER_PROTOCOL: _entry(
        Code.UNAVAILABLE,
        "ask",
        "l'adaptateur a répondu autre chose que du gRPC",
        "the adapter answered something that is not gRPC",
        "le fournisseur doit corriger son adaptateur",
        "the provider must correct its adapter",
    ),
    Reason.RECORDING_FAILED: _entry(
        Code.UNAVAILABLE,
        "safe",
        "le journal ne peut pas être écrit ; rien n'est parti",
        "the log cannot be written; nothing was sent",
        *_ASK_ADMIN,
    ),
    Reason.DISK_RESERVE: _entry(
        Code.UNAVAILABLE,
        "safe",
        "la réserve du disque est atteinte ; les nouveaux échanges sont refusés",
        "the disk reserve is reached; new exchanges are refused",
        "libérer de la place ; ne supprimer aucun segment",
        "free some space; delete no segment",
    ),
    Reason.LOG_WRITE_FAILED: _entry(
        Code.UNAVAILABLE,
        "safe",
        "le disque a refusé une écriture ; la passerelle s'arrête pour ne rien perdre",
        "the disk refused a write; the gateway stops so as to lose nothing",
        "vérifier le disque, puis relancer la passerelle",
        "check the disk, then start the gateway again",
    ),
    Reason.LOG_DAMAGED: _entry(
        Code.DATA_LOSS,
        "no",
        "le journal est abîmé ailleurs qu'à sa fin",
        "the log is damaged elsewhere than at its end",
        "ne rien réparer à la main ; remettre le disque d'origine",
        "repair nothing by hand; put the original disk back",
    ),
    Reason.LOG_BEHIND_PEERS: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "un pair détient une tête plus récente de ce journal",
        "a peer holds a newer head of this log",
        "remettre le disque d'origine ; s'il est perdu, ouvrir un journal successeur (« passerelle log succeed »)",
        "put the original disk back; if it is lost, open a successor log ('passerelle log succeed')",
    ),
    Reason.FORKED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "deux têtes de ce journal se contredisent",
        "two heads of this log contradict each other",
        "prévenir l'ASIN, garder le disque ; puis ouvrir un journal successeur (« passerelle log succeed »)",
        "tell ASIN, keep the disk; then open a successor log ('passerelle log succeed')",
    ),
    Reason.LOG_CLOSED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "ce journal est clos : un autre lui a succédé",
        "this log is closed: another succeeded it",
        "arrêter le processus qui l'écrit encore ; ses preuves restent valables",
        "stop the process that still writes it; its evidence stays good",
    ),
    Reason.SHUTTING_DOWN: _entry(
        Code.UNAVAILABLE,
        "safe",
        "la passerelle s'arrête",
        "the gateway is shutting down",
        "réessayer",
        "try again",
    ),
    Reason.CONFIG_MISSING: _entry(
        Code.UNAVAILABLE,
        "safe",
        "la passerelle n'a pas encore de configuration",
        "the gateway has no configuration yet",
        "attendre le premier contact avec le registre",
        "wait for the first contact with the registry",
    ),
    Reason.CONFIG_STALE: _entry(
        Code.UNAVAILABLE,
        "safe",
        "la configuration est plus ancienne que la convention ne l'admet",
        "the configuration is older than the agreement admits",
        "rétablir la liaison avec le registre",
        "restore the link to the registry",
    ),
    Reason.CONFIG_EXPIRED: _entry(
        Code.UNAVAILABLE,
        "safe",
        "la configuration a expiré ; les échanges sont arrêtés",
        "the configuration has expired; exchanges are stopped",
        "rétablir la liaison avec le registre ; sinon appeler l'ASIN (importer son fichier : commande à venir)",
        "restore the link to the registry; otherwise call ASIN (importing its file: a command to come)",
    ),
    Reason.CONFIG_SPLIT: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "les deux passerelles tiennent une même version de configuration au contenu différent",
        "the two gateways hold one configuration version with different content",
        *_ASK_ASIN,
    ),
    Reason.REGISTRY_UNREACHABLE: _entry(
        Code.UNAVAILABLE,
        "safe",
        "le registre n'est pas joignable",
        "the registry cannot be reached",
        "ouvrir la sortie TCP vers le registre ; les échanges continuent",
        "open outbound TCP to the registry; exchanges go on",
    ),
    Reason.ANCHOR_MISMATCH: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "l'ancre ne correspond pas au registre",
        "the anchor does not match the registry",
        "comparer l'empreinte de l'ancre avec l'ASIN",
        "compare the fingerprint of the anchor with ASIN",
    ),
    Reason.CERTIFICATE_INVALID: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "certificat refusé",
        "certificate refused",
        "demander un certificat du bon profil",
        "ask for a certificate of the right profile",
    ),
    Reason.CERTIFICATE_EXPIRED: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "certificat expiré ou pas encore valable",
        "certificate expired or not yet valid",
        "renouveler le certificat ; vérifier l'horloge",
        "renew the certificate; check the clock",
    ),
    Reason.CERTIFICATE_REVOKED: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "certificat révoqué",
        "certificate revoked",
        *_ASK_ASIN,
    ),
    Reason.SIGNATURE_INVALID: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "signature refusée",
        "signature refused",
        "signer de nouveau avec la bonne clé",
        "sign again with the right key",
    ),
    Reason.TOKEN_INVALID: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "le jeton de l'appelant est refusé",
        "the caller's token is refused",
        "signer ES256 avec une clé de « passerelle program list », kid son empreinte, aud cette passerelle, "
        "iss et sub ce programme, 5 min au plus, par le programme même dont le certificat est présenté",
        "sign ES256 with a key of 'passerelle program list', kid its thumbprint, aud this gateway, iss and sub "
        "this program, 5 min at most, by the very program whose certificate is shown",
    ),
    Reason.TOKEN_EXPIRED: _entry(
        Code.UNAUTHENTICATED,
        "no",
        "le jeton de l'appelant est expiré",
        "the caller's token has expired",
        "signer un jeton neuf, puis appeler ; si cela se répète, régler l'horloge du programme",
        "sign a fresh token, then call; if it happens again, set the program's clock",
    ),
    Reason.IDENTIFIER_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "identifiant mal formé",
        "malformed identifier",
        "écrire l'identifiant sous sa forme, par exemple BJ/GOV/ANIP/RNPP ou l'UUID d'un échange",
        "write the identifier in its form, for example BJ/GOV/ANIP/RNPP or an exchange's UUID",
    ),
    Reason.DOCUMENT_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "document mal formé",
        "malformed document",
        "corriger ce que le texte nomme (formes : docs/protocol ; champs d'une demande : le .proto du service)",
        "correct what the text names (forms: docs/protocol; fields of a request: the service's .proto)",
    ),
    Reason.PROOF_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        "preuve refusée",
        "proof refused",
        "demander la preuve à nouveau",
        "ask for the proof again",
    ),
    Reason.EVIDENCE_TOO_LARGE: _entry(
        Code.RESOURCE_EXHAUSTED,
        "no",
        "la preuve dépasse ce qu'un conteneur peut tenir",
        "the evidence is longer than a container may be",
        "l'exporter sans les contenus, ou faire vérifier le journal entier (« passerelle audit verify-log »)",
        "export it without the bodies, or have the whole log verified ('passerelle audit verify-log')",
    ),
    Reason.NOT_FOUND: _entry(
        Code.NOT_FOUND,
        "no",
        "introuvable",
        "not found",
        "vérifier le nom",
        "check the name",
    ),
    Reason.ALREADY_EXISTS: _entry(
        Code.ALREADY_EXISTS,
        "no",
        "existe déjà",
        "exists already",
        "choisir un autre nom ou modifier l'existant",
        "choose another name or change what exists",
    ),
    Reason.STATE_CONFLICT: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "l'état présent ne permet pas cela",
        "the present state does not allow that",
        "voir l'état avec la commande show",
        "see the state with the show command",
    ),
    Reason.GRANTED_FIELD_LOST: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "ces descripteurs retirent ou changent un champ qu'une convention accorde",
        "these descriptors take away or change a field that an agreement grants",
        "garder le champ, son numéro et son type, ou amender d'abord la convention",
        "keep the field, its number and its type, or amend the agreement first",
    ),
    Reason.CONFIG_FILE_INVALID: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "fichier de réglages mal formé",
        "malformed settings file",
        "corriger la ligne nommée",
        "correct the place that is named",
    ),
    Reason.KEY_UNREADABLE: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        "clé absente, illisible, trop ouverte, ou qui ne correspond pas au certificat",
        "key missing, unreadable, too open, or not the certificate's",
        "« passerelle doctor KEY_UNREADABLE » nomme le fichier",
        "'passerelle doctor KEY_UNREADABLE' names the file",
    ),
    Reason.PORT_IN_USE: _entry(
        Code.UNAVAILABLE,
        "no",
        "le port est déjà pris",
        "the port is in use",
        "arrêter l'autre processus ou changer de port",
        "stop the other process or change the port",
    ),
    Reason.INTERNAL: _entry(
        Code.INTERNAL,
        "ask",
        "défaut interne de la passerelle",
        "internal fault of the gateway",
        "donner l'identifiant de l'échange à l'administrateur",
        "give the exchange id to the administrator",
    ),
}
