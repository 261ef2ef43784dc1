"""ANIP without the road between: its real servicer over a real register, called as a stub is.

What lies between two members has tests of its own; here ANIP may be away, be asked side by side, and counts who asks.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import grpc
import sqlalchemy as sa

from adapters.context import CallerContext, serving
from adapters.identity.person import RecordState
from adapters.identity.seed import population
from adapters.identity.service import IdentityService
from adapters.identity.store import MIGRATIONS, PERSONS, open_store
from adapters.kit.road import Away, Metadata, Refused
from adapters.reasons import ProviderError
from adapters.validation import require_valid
from bj.identity.v1 import identity_pb2
from core.clock import Clock
from core.identifiers import SubsystemId
from tests.support.registers import make_register


@dataclass
class AnipNextDoor:
    """In the place of ``Desk.road``.

    Attributes:
        is_away: Whether it answers nobody.
        answers_left: It answers so many more, then nobody; None for all.
        asked: How often it was asked for each number, answered or not.
        most_at_once: How many calls it had at once, at most.
        purposes: For which, and of which dossiers.
    """

    directory: Path
    clock: Clock
    caller: CallerContext
    is_away: bool = False
    answers_left: int | None = None
    asked: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    purposes: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._url = f"sqlite:///{self.directory}/rnpp.sqlite"
        make_register(self._url, MIGRATIONS)
        self._store = open_store(self._url)
        self._store.replace_all(population(size=60))
        self._service = IdentityService(self._store, self.clock)
        self._lock = threading.Lock()
        self._now = 0

    def stub(self, make: object, provider: str) -> Any:
        """As ``Road``."""
        assert provider == "BJ/GOV/ANIP/RNPP"
        return self

    def metadata(self, purpose: str, issue: str = "") -> Metadata:
        """As ``Road``."""
        return (("x-road-purpose", purpose), ("x-road-issue", issue))

    def close(self) -> None:
        """As ``Road``."""
        self._store.close()

    def GetPerson(
        self, request: identity_pb2.GetPersonRequest, *, metadata: Metadata
    ) -> identity_pb2.GetPersonResponse:
        """As the stub's method: the response, or ``Away`` or ``Refused``."""
        require_valid(request)
        told = dict(metadata)
        with self._lock:
            self.asked[request.npi] += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.purposes.add((told["x-road-purpose"], told["x-road-issue"]))
            is_away = self.is_away or self.answers_left == 0
            if self.answers_left:
                self.answers_left -= 1
        caller = replace(
            self.caller,
            purpose=told["x-road-purpose"],
            issue=told["x-road-issue"],
            client=self.caller.service,
            service=SubsystemId.parse("BJ/GOV/ANIP/RNPP"),
        )
        try:
            if is_away:
                raise Away("UNAVAILABLE")
            with serving(caller):
                return self._service.GetPerson(request, cast(grpc.ServicerContext, None))
        except Away:
            raise
        except ProviderError as error:
            domain = "BJ/GOV/ANIP/RNPP/bj.identity.v1.IdentityService"
            raise Refused(str(error.reason), domain, error.code) from None
        finally:
            with self._lock:
                self._now -= 1

    def merge(self, npi: str, into: str) -> None:
        """ANIP finds that two records are of one person."""
        self._change(npi, state=RecordState.MERGED, merged_into=into)

    def lock(self, npi: str) -> None:
        """ANIP examines a record."""
        self._change(npi, state=RecordState.LOCKED)

    def unlock(self, npi: str) -> None:
        """It is done with it."""
        self._change(npi, state=RecordState.ACTIVE)

    def _change(self, npi: str, **values: str) -> None:
        engine = sa.create_engine(self._url)
        with engine.begin() as connection:
            connection.execute(PERSONS.update().where(PERSONS.c.npi == npi).values(**values))
        engine.dispose()
