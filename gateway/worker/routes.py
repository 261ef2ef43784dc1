"""The doors through which programs call: the programs' port, and fixed routes that fill in metadata (PROTOCOL M14).

A route writes the entries that its program cannot write, before anybody reads them; from there on a call takes the steps
that all calls take. Whoever writes an entry himself and means something else is refused, not overruled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.payloads import Metadata
from gateway.settings import Route
from gateway.worker.callers import LOOPBACK, Caller
from gateway.worker.trust import method_name


@dataclass(frozen=True, slots=True)
class Door:
    """Where a call came in.

    Attributes:
        name: ``door`` of its statements.
        fixed: Entries that it adds to each call.
        methods: How the names of methods that it leads to begin; to all if empty.
        unasked: Who calls through it if nobody is asked; ``None`` where a program authenticates itself.
    """

    name: str
    fixed: Metadata = ()
    methods: tuple[str, ...] = ()
    unasked: Caller | None = None

    def fill_in(self, metadata: Metadata) -> Metadata:
        """The entries of a call with those of the route.

        What the program sent as the route has it stands once. What it sent otherwise stands beside the route's entry, and
        an entry that is there twice is ``METADATA_INVALID`` for who reads claims. The route's own come first: they
        are what a refusal is recorded with.
        """
        if not self.fixed:
            return metadata
        sent = frozenset(metadata)
        return tuple([one for one in self.fixed if one not in sent]) + metadata

    def method_of(self, path: bytes) -> str | None:
        """The method that a call names; ``None`` if it is none, or none that this door leads to."""
        method = method_name(path)
        if method is None or not self.methods or method.startswith(self.methods):
            return method
        return None


PROGRAMS: Final = Door("grpc")
# Through the same port: calls whose body is JSON.
JSON: Final = Door("json")


def door_of(route: Route) -> Door:
    """The door that a route of ``gateway.toml`` opens."""
    named = (
        (b"x-road-client", route.client),
        (b"x-road-service", route.service),
        (b"x-road-purpose", route.purpose),
        (b"x-road-issue", route.issue),
        (b"x-road-userid", route.userid),
        (b"x-road-represented-party", route.represented_party),
    )
    return Door(
        name=route.name,
        fixed=tuple((name, value.encode("ascii")) for name, value in named if value is not None),
        methods=route.methods,
        # The name is no program's: what it holds, and what it makes us log, is counted apart.
        unasked=Caller(f"{route.client}/loopback:{route.name}", LOOPBACK)
        if route.allow_unauthenticated_loopback
        else None,
    )
