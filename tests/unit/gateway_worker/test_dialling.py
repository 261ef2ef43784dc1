"""Where a worker may connect to, and that every attempt comes to an end."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.settings import GatewaySettings
from gateway.worker.dialling import PolicyDialler
from gateway.worker.link import LinkDialler


@pytest.mark.parametrize("name", ["a" * 64 + ".bj", "no-such-host.invalid"])
def test_a_name_that_cannot_be_resolved_is_told(name: str) -> None:
    """Also one that IDNA cannot write: else the peer would count as being dialled for ever."""

    async def dial() -> str:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        dialler = PolicyDialler(cast(GatewaySettings, None), cast(LinkDialler, None))
        dialler.dial(name, 7443, lambda _: None, told.set_result)
        return await asyncio.wait_for(told, 20)

    assert asyncio.run(dial()).startswith("name not found")
