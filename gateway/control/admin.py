"""The admin API's two doors: mutual TLS with one service per role, and a socket for the administrator.

On the TLS door the caller's certificate is judged on every call: a program by its pinned thumbprint, an
auditor or operator by its chain and the revocation lists of the configuration in force.
"""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
from cryptography import x509

from core.clock import Clock
from core.identifiers import ProgramId, SubsystemId
from core.language import Language
from core.reasons import ExchangeError, Reason
from gateway.control.configuration import ConfigurationKeeper
from gateway.control.index import Indexer
from gateway.control.log_service import EvidenceGatherer, LogServicer
from gateway.control.logbook import LogBook
from gateway.control.services import (
    DirectoryServicer,
    ProgramCheck,
    RoleCheck,
    StatusServicer,
)
from gateway.control.state import GatewayState
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from ledger.index import ExchangeIndex
from passerelle.gateway.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    log_pb2,
    log_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)
from pki.chain import verify_chain
from pki.keys import certificate_pem, load_chain, load_crl
from pki.profiles import Profile, utc
from rpc.credentials import peer, server_credentials
from rpc.limits import Limits
from rpc.server import RpcServer

_SERVICES = (
    directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
    log_pb2.DESCRIPTOR.services_by_name["LogService"].full_name,
    status_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name,
)
# A path of a Unix socket ends at 107 bytes.
_MAX_SOCKET_PATH = 107
# The whole configuration of a country in one message.
_MAX_LOCAL_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Served:
    """What the admin API serves, whoever asks."""

    keeper: ConfigurationKeeper
    state: Callable[[], GatewayState]
    book: LogBook
    index: ExchangeIndex
    indexer: Indexer
    gather: EvidenceGatherer
    clock: Clock

    def add_to(
        self, server: grpc.Server, program: ProgramCheck, auditor: RoleCheck, operator: RoleCheck
    ) -> None:
        """Put the three services on a server, each with the check of its role."""
        directory = DirectoryServicer(self.keeper, self.clock, program)
        log = LogServicer(self.book, self.index, self.indexer, self.gather, auditor)
        status = StatusServicer(self.keeper, self.state, operator)
        directory_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, server)
        log_pb2_grpc.add_LogServiceServicer_to_server(log, server)
        status_pb2_grpc.add_StatusServiceServicer_to_server(status, server)


class Roles:
    """Judges the caller of the TLS door, on every call."""

    def __init__(self, keeper: ConfigurationKeeper, root: x509.Certificate, clock: Clock) -> None:
        self._keeper = keeper
        self._root = root
        self._clock = clock

    def program(self, context: grpc.ServicerContext) -> SubsystemId:
        """The subsystem of a program that is pinned here; raises ``ExchangeError``."""
        caller = peer(context, clock=self._clock)
        if not isinstance(caller.identifier, ProgramId):
            raise ExchangeError(Reason.NOT_AUTHORISED, f"{caller.urn} is no program")
        admitted = self._keeper.require().current.programs
        wanted = (str(caller.identifier), caller.thumbprint, "active")
        if wanted not in [(one.id, one.thumbprint, one.state) for one in admitted]:
            raise ExchangeError(Reason.PROGRAM_UNKNOWN, f"{caller.urn} is not admitted here")
        return caller.identifier.subsystem

    def auditor(self, context: grpc.ServicerContext) -> None:
        """Require a certificate of profile auditor; raises ``ExchangeError``."""
        self._require(context, Profile.AUDITOR)

    def operator(self, context: grpc.ServicerContext) -> None:
        """Require a certificate of profile operator; raises ``ExchangeError``."""
        self._require(context, Profile.OPERATOR)

    def _require(self, context: grpc.ServicerContext, profile: Profile) -> None:
        caller = peer(context, clock=self._clock)
        if caller.kind != profile.rules.kind:
            raise ExchangeError(Reason.NOT_AUTHORISED, f"{caller.urn} is no {profile}")
        common = self._keeper.require().current.common
        verify_chain(
            caller.certificate,
            intermediates=[load_chain(pem)[0] for pem in common.authorities.auth],
            roots=[self._root],
            crls=[load_crl(pem.encode()) for pem in common.crls],
            at=utc(self._clock.now_ms()),
            profile=profile,
        )


def tls_door(
    served: Served, settings: GatewaySettings, directory: GatewayDirectory, root: x509.Certificate
) -> tuple[RpcServer, int]:
    """The admin port, listening but not started, and the port it is bound to.

    It shows the auth certificate, and takes certificates under the anchor's root or the member's programs CA.
    """
    roles = Roles(served.keeper, root, served.clock)
    credentials = server_credentials(
        directory.auth.key.read_bytes(),
        directory.auth.certificate.read_bytes(),
        certificate_pem(root) + directory.programs.certificate.read_bytes(),
    )
    server = RpcServer(credentials, limits=settings.admin, language=settings.lang)
    served.add_to(server.grpc, roles.program, roles.auditor, roles.operator)
    return server, server.listen(settings.listen.admin)


def local_door(served: Served, directory: GatewayDirectory, language: Language) -> RpcServer:
    """The admin socket, listening but not started: whoever may open the file may ask everything.

    Raises:
        ExchangeError: Its path is too long for a socket.
    """
    path = directory.admin_socket
    if len(str(path).encode()) > _MAX_SOCKET_PATH:
        raise ExchangeError(Reason.CONFIG_FILE_INVALID, f"{path} is too long for a socket: move the gateway")
    path.unlink(missing_ok=True)
    credentials = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
    server = RpcServer(credentials, limits=Limits(max_message_bytes=_MAX_LOCAL_BYTES), language=language)
    served.add_to(server.grpc, lambda context: None, lambda context: None, lambda context: None)
    server.grpc.add_secure_port(f"unix:{path}", credentials)
    # The directory is 0700, so nobody else came in before this.
    path.chmod(0o600)
    return server


def start_door(server: RpcServer) -> None:
    """Answer calls."""
    server.start(_SERVICES)
