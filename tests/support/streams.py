"""Stock streaming calls of raw bytes, and what is left when they have ended."""

from __future__ import annotations

import grpc

from tests.support.calls import worker_of
from tests.support.federation import SERVICE, Federation

COLLECT, WATCH, CONVERSE = (f"/{SERVICE}/{name}" for name in ("CollectPersons", "WatchPersons", "Converse"))


def collect(channel: grpc.Channel) -> grpc.StreamUnaryMultiCallable[bytes, bytes]:
    return channel.stream_unary(COLLECT, None, None)


def watch(channel: grpc.Channel) -> grpc.UnaryStreamMultiCallable[bytes, bytes]:
    return channel.unary_stream(WATCH, None, None)


def converse(channel: grpc.Channel) -> grpc.StreamStreamMultiCallable[bytes, bytes]:
    return channel.stream_stream(CONVERSE, None, None)


def at_rest(federation: Federation) -> bool:
    """Nothing is open at either gateway, and nothing is held for anyone."""
    stations = [worker_of(one).station for one in (federation.pns, federation.anip)]
    return all(
        not one.pipeline.in_flight and not one.pipeline.consumer.doubts and not one.budget.held_bytes
        for one in stations
    )
