"""The documents as they were last made, so that a change makes one member's anew and not a country's.

Which members a change touched is read off the rows that were flushed, not told by whoever changed them: nothing can
be forgotten. A test compares with all documents made from scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from core.configuration import COMMON_TARGET, RegistryParty, descriptors_target, member_target
from core.documents import encode
from registry import models
from registry.documents import all_documents, common_document, member_document


class Editions:
    """The newest edition of every document."""

    def __init__(self, party: RegistryParty, instance: str, personal_numbers: str) -> None:
        self._party = party
        self._instance = instance
        self._personal_numbers = personal_numbers
        self._documents: dict[str, bytes] | None = None
        self._touched: set[str] = set()

    @contextmanager
    def watching(self, session: Session) -> Iterator[None]:
        """Notice whose documents the changes of ``session`` touch."""
        event.listen(session, "after_flush", self._notice)
        try:
            yield
        finally:
            event.remove(session, "after_flush", self._notice)

    def from_scratch(self, session: Session) -> dict[str, bytes]:
        """Every target, made from the database alone."""
        return all_documents(session, self._party, self._instance, self._personal_numbers)

    def newest(self, session: Session) -> dict[str, bytes]:
        """Every target, as the database has it now; only what was touched is made anew."""
        if self._documents is None:
            self._documents = self.from_scratch(session)
        else:
            self._documents = self._renewed(session, self._documents)
        self._touched.clear()
        return dict(self._documents)

    def _renewed(self, session: Session, documents: dict[str, bytes]) -> dict[str, bytes]:
        renewed = {path: data for path, data in documents.items() if not path.startswith("descriptors/")}
        common = common_document(session, self._party, self._instance, self._personal_numbers)
        renewed[COMMON_TARGET] = encode(common)
        for member_id in sorted(self._touched):
            member = session.get(models.Member, member_id)
            if member is not None:
                renewed[member_target(member_id)] = encode(member_document(session, member))
        used = select(models.Service.descriptors).where(models.Service.state == "active").distinct()
        for digest in session.scalars(used):
            path = descriptors_target(digest)
            known = documents.get(path)
            renewed[path] = known or session.get_one(models.DescriptorSet, digest).data
        return renewed

    def _notice(self, session: Session, _context: object) -> None:
        for row in (*session.new, *session.dirty, *session.deleted):
            owner = _OWNERS.get(type(row))
            if owner is not None:
                self._touched.add("/".join(owner(row).split("/")[:3]))


# Whose document a row stands in; a row of another table stands in the common document or in none.
_OWNERS: dict[type, Callable[..., str]] = {
    models.Member: lambda row: str(row.id),
    models.MemberKey: lambda row: str(row.member_id),
    models.Subsystem: lambda row: str(row.member_id),
    models.Gateway: lambda row: str(row.member_id),
    models.Registration: lambda row: str(row.gateway_id),
    models.Service: lambda row: str(row.subsystem_id),
    models.Method: lambda row: str(row.subsystem_id),
    models.Agreement: lambda row: str(row.provider_id),
}
