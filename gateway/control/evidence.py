"""Evidence over the admin API: the same parts that ``audit export`` gathers from the gateway's directory."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from core.clock import Clock
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from ledger.evidence import Evidence, require_bodies_allowed
from ledger.places import LogPlace
from ledger.trail import OpenBody
from ledger.vault import BodyVault, read_wrapping_key


@dataclass(frozen=True, slots=True)
class EvidenceOfGateway:
    """Gathers what proves one exchange; see ``gateway.control.log_service.EvidenceGatherer``."""

    directory: GatewayDirectory
    settings: GatewaySettings
    clock: Clock

    def __call__(
        self, exchange_id: str, with_bodies: bool, mandate: str, purpose: str
    ) -> Iterator[tuple[str, bytes]]:
        """The parts, by path in the container, one after the other.

        Raises:
            ExchangeError: The exchange is not here, no signed head covers it yet, or bodies may not be opened.
        """
        if not with_bodies:
            yield from Evidence(self.directory.root, exchange_id).parts()
            return
        require_bodies_allowed(purpose, mandate)
        wrapping_key = read_wrapping_key(
            self.directory.wrapping_key(self.settings), self.directory.root / "log"
        )
        with ExitStack() as opened:

            def open_bodies(place: LogPlace, log: str) -> OpenBody:
                vault = BodyVault(place.bodies, log, wrapping_key, self.clock)
                opened.callback(vault.close)
                return vault.open

            yield from Evidence(self.directory.root, exchange_id).parts(open_bodies)
