"""The road to ANIP for tests of other ministries: ANIP's own servicer answers, without gateways in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.context import serving
from adapters.identity.seed import population
from adapters.identity.service import IdentityService
from adapters.identity.store import MIGRATIONS, open_store
from adapters.kit.road import Away, Metadata, Refused, Road
from adapters.reasons import ProviderError
from bj.identity.v1 import identity_pb2
from core.clock import ManualClock
from core.identifiers import SubsystemId
from core.reasons import Code
from tests.support.callers import NO_CONTEXT, caller
from tests.support.registers import make_register

ANIP = "BJ/GOV/ANIP/RNPP"


class AnipRoad(Road):
    """Hands calls to a register of personas.

    Attributes:
        asked: The numbers that were asked for, in order.
        purposes: Purpose and dossier of each call.
        is_away: Whether ANIP does not answer.
        refusal: A reason of the layer for which every call is refused; empty for none.
    """

    def __init__(self, directory: Path, client: str) -> None:
        super().__init__(None, SubsystemId.parse(client))
        url = f"sqlite:///{directory}/rnpp.sqlite"
        make_register(url, MIGRATIONS)
        self._register = open_store(url)
        self._register.replace_all(population(size=19))
        self._service = IdentityService(self._register, ManualClock())
        self.asked: list[str] = []
        self.purposes: list[dict[str, str]] = []
        self.is_away = False
        self.refusal = ""

    def stub(self, make: Any, provider: str) -> Any:
        """Itself."""
        assert provider == ANIP
        return self

    def metadata(self, purpose: str, issue: str = "") -> Metadata:
        """What the real one says of purpose and dossier."""
        return (("x-road-purpose", purpose), ("x-road-issue", issue))

    def GetPerson(  # named as in the proto
        self, request: identity_pb2.GetPersonRequest, *, metadata: Metadata
    ) -> identity_pb2.GetPersonResponse:
        """One record, or ``Away``, or ``Refused`` with ANIP's reason."""
        if self.is_away:
            raise Away("connection refused")
        if self.refusal:
            raise Refused(self.refusal, "passerelle", Code.PERMISSION_DENIED)
        self.asked.append(request.npi)
        told = dict(metadata)
        self.purposes.append(told)
        asking = caller(
            ANIP, purpose=told["x-road-purpose"], client=str(self._client), issue=told["x-road-issue"]
        )
        try:
            with serving(asking):
                return self._service.GetPerson(request, NO_CONTEXT)
        except ProviderError as refused:
            raise Refused(str(refused.reason), ANIP, Code.NOT_FOUND) from None

    def close(self) -> None:
        """End the register."""
        self._register.close()
