"""Why a register refuses: the ministries' own reasons, beside those of the layer in ``core.reasons``.

Names: DOMAIN section 3. They travel in ``ErrorInfo`` with the provider's service id as domain, so that a caller never
takes a refusal of the register for one of the layer. ``docs/adapters.md`` has a row for each; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from core.language import Language, Text
from core.reasons import Code, ReasonEntry, Retry


class ProviderReason(StrEnum):
    """A named cause at the provider, stable for ever; ``entry`` holds its code and texts."""

    FORMAT_INVALID = "FORMAT_INVALID"
    NOT_FOUND = "NOT_FOUND"
    AMBIGUOUS = "AMBIGUOUS"
    PURPOSE_NOT_ALLOWED = "PURPOSE_NOT_ALLOWED"
    CONSENT_REQUIRED = "CONSENT_REQUIRED"
    RECORD_LOCKED = "RECORD_LOCKED"
    DECEASED = "DECEASED"
    IDENTITY_MISMATCH = "IDENTITY_MISMATCH"
    DUPLICATE_REQUEST = "DUPLICATE_REQUEST"
    PAYMENT_REQUIRED = "PAYMENT_REQUIRED"
    STATE_CONFLICT = "STATE_CONFLICT"
    TOO_MANY_RECORDS = "TOO_MANY_RECORDS"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    RATE_LIMITED = "RATE_LIMITED"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    NOT_THROUGH_GATEWAY = "NOT_THROUGH_GATEWAY"

    @property
    def entry(self) -> ReasonEntry:
        """Code, texts and retry advice of this reason."""
        return _ENTRIES[self]


class ProviderError(Exception):
    """A register refuses. The text is the reason's own: it never repeats what was asked, or about whom."""

    def __init__(self, reason: ProviderReason) -> None:
        super().__init__(reason.entry.text.en)
        self.reason = reason

    @property
    def code(self) -> Code:
        """The status of this refusal: its reason's, but for ``ContendedError``."""
        return self.reason.entry.code


class ContendedError(ProviderError):
    """STATE_CONFLICT with status ABORTED: something else under way holds what is asked for (a parcel, a name, a firm).

    The protos of the ministries tell it from FAILED_PRECONDITION, STATE_CONFLICT, where the thing's own state forbids.
    """

    def __init__(self) -> None:
        super().__init__(ProviderReason.STATE_CONFLICT)

    @property
    def code(self) -> Code:
        """ABORTED."""
        return Code.ABORTED


class InvalidFieldsError(ProviderError):
    """A request with malformed fields: per field its path and what it must be, never the value it has.

    What programs alone read is in English; what an officer may read, in both languages.
    """

    def __init__(self, violations: Mapping[str, str | Text]) -> None:
        super().__init__(ProviderReason.FORMAT_INVALID)
        self._violations = violations

    @property
    def violations(self) -> dict[str, str]:
        """Per field what it must be, for programs."""
        return self.told("en")

    def told(self, language: Language) -> dict[str, str]:
        """The same, for people."""
        return {
            field: must.in_(language) if isinstance(must, Text) else must
            for field, must in self._violations.items()
        }


def _entry(code: Code, retry: Retry, text: Text, remedy: Text) -> ReasonEntry:
    return ReasonEntry(code, text, remedy, retry)


_ENTRIES: dict[ProviderReason, ReasonEntry] = {
    ProviderReason.FORMAT_INVALID: _entry(
        Code.INVALID_ARGUMENT,
        "no",
        Text("un champ de la demande est mal formé", "a field of the request is malformed"),
        Text("corriger les champs nommés dans BadRequest", "correct the fields that BadRequest names"),
    ),
    ProviderReason.NOT_FOUND: _entry(
        Code.NOT_FOUND,
        "no",
        Text("aucune fiche ne répond à cette demande", "no record answers this request"),
        Text("vérifier le numéro avec la personne", "check the number with the person"),
    ),
    ProviderReason.AMBIGUOUS: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text("plusieurs fiches répondent à cette demande", "several records answer this request"),
        Text(
            "préciser la demande, de préférence par le numéro unique",
            "be more precise, best by the unique number",
        ),
    ),
    ProviderReason.PURPOSE_NOT_ALLOWED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        Text("cette méthode n'est pas ouverte à cette finalité", "this method is not open to this purpose"),
        Text(
            "utiliser la méthode prévue pour la finalité, par exemple VerifyPerson",
            "use the method meant for the purpose, for example VerifyPerson",
        ),
    ),
    ProviderReason.CONSENT_REQUIRED: _entry(
        Code.PERMISSION_DENIED,
        "no",
        Text(
            "la finalité P03 exige un consentement de la personne, en vigueur",
            "purpose P03 needs a consent of that person, in force",
        ),
        Text(
            "le faire inscrire au registre interrogé, puis remplir consent_ref",
            "have it written in at the register that is asked, then fill in consent_ref",
        ),
    ),
    ProviderReason.RECORD_LOCKED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text("la fiche est verrouillée par le registre", "the record is locked by the register"),
        Text("orienter la personne vers l'ANIP", "send the person to ANIP"),
    ),
    ProviderReason.DECEASED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text("un décès est enregistré pour cette personne", "a death is registered for this person"),
        Text(
            "clore la démarche ; une succession relève de la finalité P02",
            "close the matter; an inheritance comes under purpose P02",
        ),
    ),
    ProviderReason.IDENTITY_MISMATCH: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text(
            "le registre connaît cette personne ou ce droit autrement",
            "the register knows this person or this right otherwise",
        ),
        Text("vérifier les pièces avec la personne", "check the papers with the person"),
    ),
    ProviderReason.DUPLICATE_REQUEST: _entry(
        Code.ALREADY_EXISTS,
        "no",
        Text(
            "cette clé ou ce paiement a déjà servi à une autre demande",
            "this key or payment has served another request already",
        ),
        Text(
            "une clé neuve par démarche ; la même clé pour la même demande",
            "a fresh key for each intent; the same key for the same request",
        ),
    ),
    ProviderReason.PAYMENT_REQUIRED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text("les frais du dossier ne sont pas réglés", "the dossier's fee is not paid"),
        Text("régler les frais, puis ReportPayment", "pay the fee, then ReportPayment"),
    ),
    ProviderReason.STATE_CONFLICT: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text("l'état présent ne permet pas cela", "the present state does not allow that"),
        Text("relire l'état : GetDossier, ou la fiche", "read the state again: GetDossier, or the record"),
    ),
    ProviderReason.TOO_MANY_RECORDS: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text("trop de personnes répondent à ces critères", "too many persons answer to these criteria"),
        Text(
            "ajouter un prénom, la date au jour près ou le nom de la mère",
            "add a first name, the date to the day or the mother's name",
        ),
    ),
    ProviderReason.CURSOR_EXPIRED: _entry(
        Code.FAILED_PRECONDITION,
        "no",
        Text(
            "les événements après ce curseur ne sont plus conservés",
            "the events after this cursor are kept no more",
        ),
        Text(
            "relire ce qui est suivi, puis repartir sans curseur",
            "read afresh what is followed, then start without a cursor",
        ),
    ),
    ProviderReason.RATE_LIMITED: _entry(
        Code.RESOURCE_EXHAUSTED,
        "safe",
        Text("trop de demandes à la fois", "too many requests at a time"),
        Text("attendre, ou fermer un flux ouvert", "wait, or close an open stream"),
    ),
    ProviderReason.UPSTREAM_UNAVAILABLE: _entry(
        Code.UNAVAILABLE,
        "safe",
        Text(
            "le registre, ou un service dont il dépend, ne répond pas",
            "the register, or a service that it needs, does not answer",
        ),
        Text(
            "réessayer ; si cela dure, prévenir le fournisseur", "try again; if it lasts, tell the provider"
        ),
    ),
    ProviderReason.NOT_THROUGH_GATEWAY: _entry(
        Code.PERMISSION_DENIED,
        "no",
        Text(
            "l'appel n'est pas venu par une passerelle de ce membre",
            "the call did not come through a gateway of this member",
        ),
        Text("appeler par sa propre passerelle", "call through your own gateway"),
    ),
}
