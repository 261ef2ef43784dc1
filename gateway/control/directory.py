"""What a program may find out: the services that its subsystem may call, and their descriptors.

Existence is hidden as it is on the road: a service that no agreement opens to the caller is not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from core.agreements import Agreement, parse_agreement
from core.configuration import AgreementEntry, MemberDocument, ServiceEntry
from core.identifiers import SubsystemId
from core.jws import DocumentKind, parse_document
from core.reasons import ExchangeError, Reason
from core.times import parse_time_ms


@dataclass(frozen=True, slots=True)
class VisibleService:
    """A service that the caller may know of, and the methods that an agreement in force grants it."""

    entry: ServiceEntry
    granted: frozenset[str]


class Directory:
    """The services of one configuration as one caller may see them.

    Args:
        members: Judged member documents.
        now_ms: The moment, UTC milliseconds; agreements count within their validity.
        caller: The calling subsystem, or ``None`` for the administrator on the machine, who sees all.
    """

    def __init__(self, members: list[MemberDocument], now_ms: int, caller: SubsystemId | None) -> None:
        self._members = members
        self._now_ms = now_ms
        self._caller = caller

    def services(self, name: str = "", provider: str = "") -> list[VisibleService]:
        """Visible services of this name and provider, empty for any, in order of provider and name."""
        found = [
            visible
            for visible in self._visible()
            if name in ("", visible.entry.service) and provider in ("", visible.entry.subsystem)
        ]
        return sorted(found, key=lambda visible: (visible.entry.subsystem, visible.entry.service))

    def require(self, name: str, provider: str) -> VisibleService:
        """The one visible service of this name.

        Raises:
            ExchangeError: There is none, or several and no provider was named.
        """
        found = self.services(name, provider)
        if not found:
            # As on the road: what does not exist and what is not granted look the same.
            reason = Reason.NOT_FOUND if self._caller is None else Reason.NO_AGREEMENT
            raise ExchangeError(reason, f"no service {name} is open to {self._caller or 'anybody'}")
        if len(found) > 1:
            providers = ", ".join(visible.entry.subsystem for visible in found)
            raise ExchangeError(Reason.SERVICE_AMBIGUOUS, f"{name} is provided by {providers}")
        return found[0]

    def _visible(self) -> Iterator[VisibleService]:
        for member in self._members:
            grants = list(self._grants(member))
            for entry in member.services:
                granted = frozenset(
                    method
                    for agreement in grants
                    if (agreement.provider.subsystem, agreement.service) == (entry.subsystem, entry.service)
                    for method in agreement.methods
                )
                if entry.state == "active" and (granted or self._is_home(member)):
                    yield VisibleService(entry, granted)

    def _is_home(self, member: MemberDocument) -> bool:
        return self._caller is None or str(self._caller.member) == member.member

    def _grants(self, member: MemberDocument) -> Iterator[Agreement]:
        for entry in member.agreements:
            agreement = _terms(entry)
            in_time = parse_time_ms(agreement.not_before) <= self._now_ms < parse_time_ms(agreement.not_after)
            if entry.state == "active" and in_time and agreement.consumer.subsystem == str(self._caller):
                yield agreement


def _terms(entry: AgreementEntry) -> Agreement:
    # Its signatures were verified when the configuration was judged.
    return parse_agreement(parse_document(DocumentKind.AGREEMENT, entry.consumer_jws).unverified_payload)
