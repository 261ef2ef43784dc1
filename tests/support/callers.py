"""Who calls a ministry, for tests that call its servicers without a gateway."""

from __future__ import annotations

from typing import cast

import grpc

from adapters.context import CallerContext
from core.identifiers import GatewayId, SubsystemId

# Servicers never look at it: who calls stands in the caller's context.
NO_CONTEXT = cast(grpc.ServicerContext, None)
PORTAL = "BJ/GOV/PNS/PORTAIL"


def caller(
    service: str = "BJ/GOV/ANDF/CADASTRE",
    *,
    purpose: str | None = "P01",
    client: str = PORTAL,
    issue: str | None = "DOS-202611-0001",
) -> CallerContext:
    """A call as the member's own gateway vouches for it."""
    provider = SubsystemId.parse(service)
    return CallerContext(
        gateway=GatewayId.parse(f"{provider.member}/gw1"),
        client=SubsystemId.parse(client),
        service=provider,
        exchange_id="01920000-0000-7000-8000-000000000000",
        request_hash="0" * 64,
        agreement="CV-0042/1",
        issued_at_ms=1_790_000_000_000,
        purpose=purpose,
        issue=issue,
    )
