"""``passerelle registry | member | subsystem | service | agreement | request``, and orders to gateways.

One module for each area; ``asking`` holds what they share.
"""

from collections.abc import Sequence
from typing import Final

from click import Command

from registry.commands.agreements import agreement
from registry.commands.central import registry
from registry.commands.members import member, revoke_gateway, suspend_gateway
from registry.commands.requests import request
from registry.commands.services import service, subsystem

__all__ = [
    "GATEWAY_ORDERS",
    "agreement",
    "member",
    "registry",
    "request",
    "revoke_gateway",
    "service",
    "subsystem",
    "suspend_gateway",
]

# cli.main adds these to ``passerelle gateway``, beside what a gateway's own administrator does.
GATEWAY_ORDERS: Final[Sequence[Command]] = (suspend_gateway, revoke_gateway)
