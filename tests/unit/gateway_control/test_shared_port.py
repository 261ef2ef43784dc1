"""One port for several workers: nobody else gets a share of it, and who has the fewest connections takes the next."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.reasons import ExchangeError, Reason
from gateway.settings import HostPort
from gateway.shared_port import Share, SharedPorts

pytestmark = pytest.mark.unit


@pytest.fixture
def port() -> Iterator[SharedPorts]:
    found = SharedPorts([HostPort("127.0.0.1", 0)], 2)
    found.bind()
    yield found
    found.close()


def share_of(port: SharedPorts, worker: int) -> Share:
    """As a worker inherits it."""
    return Share.inherited([os.dup(one) for one in port.descriptors], 2, worker)


def can_connect(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5):
            return True
    except ConnectionRefusedError:
        return False


def test_whoever_comes_second_is_refused_even_with_so_reuseport(port: SharedPorts) -> None:
    """A grpcio server of the same user, which asks to share its port by default, gets none of our connections."""
    worker = share_of(port, 0)
    worker.sockets[0].listen()

    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port.ports[0]))
    worker.sockets[0].close()


def test_a_port_that_another_program_shares_out_is_refused_by_its_name() -> None:
    """The stranger came first, and would have let us in."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as stranger:
        ours = SharedPorts([HostPort("127.0.0.1", stranger.getsockname()[1])], 2)

        with pytest.raises(ExchangeError) as refused:
            ours.bind()

        assert refused.value.reason is Reason.PORT_IN_USE
        assert f"(pid {os.getpid()})" in str(refused.value)
        ours.close()


def test_a_second_gateway_of_the_same_user_is_refused(port: SharedPorts) -> None:
    """Whatever the order in which its workers and ours start to listen."""
    second = SharedPorts([HostPort("127.0.0.1", port.ports[0])], 2)
    worker = share_of(port, 0)
    worker.sockets[0].listen()

    with pytest.raises(ExchangeError) as refused:
        second.bind()

    assert refused.value.reason is Reason.PORT_IN_USE
    worker.sockets[0].close()
    second.close()


def test_workers_keep_the_port_when_control_is_gone(port: SharedPorts) -> None:
    """They have the socket itself: programs are served on, and control comes back to a port that is taken."""
    worker = share_of(port, 0)
    worker.sockets[0].listen()
    number = port.ports[0]
    again = SharedPorts([HostPort("127.0.0.1", number)], 2)
    port._sockets[0][1].close()

    assert can_connect(number)
    with pytest.raises(ExchangeError):
        again.bind()
    worker.sockets[0].close()
    again.bind()
    again.close()


def test_programs_are_told_at_once_that_no_worker_runs(port: SharedPorts) -> None:
    """Refused, not left waiting; the next worker listens on the same port."""
    worker = share_of(port, 0)
    worker.sockets[0].listen()
    worker.sockets[0].close()
    assert can_connect(port.ports[0])

    port.hang_up()
    refused = not can_connect(port.ports[0])
    worker = share_of(port, 1)
    worker.sockets[0].listen()

    assert refused
    assert can_connect(port.ports[0])
    worker.sockets[0].close()
    port.hang_up()
    port.hang_up()


def test_ports_of_routes_are_shared_beside_the_programs() -> None:
    """In the order in which they were named; one memory for all of them. One that is taken is told, the rest is kept."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = HostPort("127.0.0.1", stranger.getsockname()[1])
        ports = SharedPorts([HostPort("127.0.0.1", 0), taken], 2)
        with pytest.raises(ExchangeError, match=str(taken.port)):
            ports.bind()
        first = ports.ports[0]
    ports.bind()
    worker = share_of(ports, 1)
    for one in worker.sockets:
        one.listen()

    assert ports.ports == [first, taken.port]
    assert all(map(can_connect, ports.ports))
    for one in worker.sockets:
        one.close()
    ports.hang_up()
    assert not any(map(can_connect, ports.ports))
    ports.close()


def test_a_port_of_ipv6_takes_no_ipv4_and_an_unknown_name_is_told() -> None:
    """As with a worker that is alone."""
    ports = SharedPorts([HostPort("::1", 0)], 2)
    (_, made), *_ = ports._sockets
    assert made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    ports.close()

    with pytest.raises(ExchangeError) as refused:
        SharedPorts([HostPort("no.such.name.invalid", 8443)], 2)

    assert refused.value.reason is Reason.PORT_IN_USE


def test_the_memory_is_seen_by_another_process(port: SharedPorts) -> None:
    """Workers are processes: what one writes the others read."""
    code = "import sys; from gateway.shared_port import Loads; Loads(int(sys.argv[1]), 2).say(1, 7)"
    memory = port.descriptors[0]

    subprocess.run([sys.executable, "-c", code, str(memory)], pass_fds=(memory,), check=True, timeout=30)

    assert port.loads.of(1) == 7
    assert port.loads.of(0) is None


def test_who_has_the_fewest_connections_is_first(port: SharedPorts) -> None:
    """Connections in their handshake count, and one that ended counts until its worker says so."""
    one, two = share_of(port, 0), share_of(port, 1)
    one.is_open = two.is_open = True
    one.say(0)
    two.say(0)
    assert (one.is_first, two.is_first) == (True, True)

    one.took()
    assert (one.is_first, two.is_first) == (False, True)
    one.settled()
    assert (one.is_first, two.is_first) == (False, True)
    two.say(2)

    assert (one.is_first, two.is_first) == (True, False)
    one.sockets[0].close()
    two.sockets[0].close()


def test_who_has_more_than_the_least_knows_how_many(port: SharedPorts) -> None:
    """So many could go; nobody to go to, or nothing taken here, is no surplus."""
    one, two = share_of(port, 0), share_of(port, 1)
    one.is_open = True
    one.say(6)
    alone = one.surplus
    two.is_open = True
    two.say(2)

    assert (alone, one.surplus, two.surplus) == (0, 4, 0)
    one.is_open = False
    assert one.surplus == 0
    one.sockets[0].close()
    two.sockets[0].close()


def test_a_worker_that_carries_no_exchanges_leaves_programs_to_the_others(port: SharedPorts) -> None:
    """Its log is not registered, or was stopped. Where none of them can, it takes them: somebody must say why."""
    one, two = share_of(port, 0), share_of(port, 1)
    two.is_open = True
    one.say(0)
    two.say(50)

    assert (one.is_first, two.is_first) == (False, True)
    assert one.has_others
    two.close()

    assert one.is_first
    assert not one.has_others
    one.sockets[0].close()
    two.sockets[0].close()
