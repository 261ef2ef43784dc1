"""The registry's gRPC API: who may ask is settled here by certificate, what may be done by the office.

One module for each service of the API; generated types end in this package.
"""

from __future__ import annotations

from typing import Final

from core.clock import Clock
from passerelle.registry.v1 import (
    agreements_pb2_grpc,
    configuration_pb2_grpc,
    heads_pb2_grpc,
    members_pb2_grpc,
    requests_pb2_grpc,
    services_pb2_grpc,
)
from registry.heads import HeadBook
from registry.office import Office
from registry.server.agreements import AgreementsServer
from registry.server.configuration import ConfigurationServer
from registry.server.desk import Door
from registry.server.heads import HeadsServer
from registry.server.members import MembersServer
from registry.server.requests import RequestsServer
from registry.server.services import ServicesServer
from rpc.server import RpcServer

SERVICES: Final = (
    "passerelle.registry.v1.ConfigurationService",
    "passerelle.registry.v1.MembersService",
    "passerelle.registry.v1.ServicesService",
    "passerelle.registry.v1.AgreementsService",
    "passerelle.registry.v1.RequestsService",
    "passerelle.registry.v1.HeadsService",
)


def add_services(server: RpcServer, office: Office, clock: Clock) -> None:
    """Put the six services on a server, and let watchers hear of publications."""
    door = Door(office, clock)
    configuration = ConfigurationServer(office, door)
    office.on_publication = configuration.announce
    configuration_pb2_grpc.add_ConfigurationServiceServicer_to_server(configuration, server.grpc)
    members_pb2_grpc.add_MembersServiceServicer_to_server(MembersServer(office, door), server.grpc)
    services_pb2_grpc.add_ServicesServiceServicer_to_server(ServicesServer(office, door), server.grpc)
    agreements_pb2_grpc.add_AgreementsServiceServicer_to_server(AgreementsServer(office, door), server.grpc)
    requests_pb2_grpc.add_RequestsServiceServicer_to_server(RequestsServer(office, door), server.grpc)
    heads = HeadsServer(office, door, HeadBook(office, clock))
    heads_pb2_grpc.add_HeadsServiceServicer_to_server(heads, server.grpc)
