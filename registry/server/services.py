"""``ServicesService``: services with their descriptors."""

from __future__ import annotations

from grpc import ServicerContext as Context
from sqlalchemy import select, tuple_

from core.identifiers import ServiceName, SubsystemId
from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import services_pb2 as pb
from passerelle.registry.v1.services_pb2_grpc import ServicesServiceServicer
from registry import models
from registry.server.desk import Desk, read_page


class ServicesServer(Desk, ServicesServiceServicer):
    """Services with their descriptors."""

    def PublishServices(
        self, request: pb.PublishServicesRequest, context: Context
    ) -> pb.PublishServicesResponse:
        """See the proto."""
        actor = self._door.enter(context)
        names = self._office.publish_services(
            actor,
            request.subsystem,
            request.file_descriptor_set,
            list(request.services),
            dry_run=request.dry_run,
        )
        if request.dry_run:
            listed = [pb.Service(subsystem=request.subsystem, service=name) for name in names]
            return pb.PublishServicesResponse(services=listed)
        with self._office.sessions() as session:
            rows = [session.get_one(models.Service, (request.subsystem, name)) for name in names]
            listed = [_service(row) for row in rows]
            return pb.PublishServicesResponse(services=listed, version=self._version(dry_run=False))

    def ListServices(self, request: pb.ListServicesRequest, context: Context) -> pb.ListServicesResponse:
        """See the proto."""
        self._door.enter(context)
        key = tuple_(models.Service.subsystem_id, models.Service.name)
        rows = select(models.Service).where(models.Service.state == "active")
        if request.subsystem:
            rows = rows.where(models.Service.subsystem_id == str(SubsystemId.parse(request.subsystem)))
        if request.page_token:
            subsystem, _, name = request.page_token.partition(" ")
            rows = rows.where(key > (str(SubsystemId.parse(subsystem)), str(ServiceName.parse(name))))
        rows = rows.order_by(models.Service.subsystem_id, models.Service.name)
        with self._office.sessions() as session:
            found, more = read_page(
                session, rows, request.page_size, lambda row: f"{row.subsystem_id} {row.name}"
            )
            return pb.ListServicesResponse(services=[_service(row) for row in found], next_page_token=more)

    def GetService(self, request: pb.GetServiceRequest, context: Context) -> pb.GetServiceResponse:
        """See the proto."""
        self._door.enter(context)
        with self._office.sessions() as session:
            key = str(SubsystemId.parse(request.subsystem)), str(ServiceName.parse(request.service))
            row = session.get(models.Service, key)
            if row is None or row.state != "active":
                raise ExchangeError(Reason.NOT_FOUND, "there is no such service")
            descriptors = session.get_one(models.DescriptorSet, row.descriptors)
            return pb.GetServiceResponse(service=_service(row), file_descriptor_set=descriptors.data)

    def RetireService(self, request: pb.RetireServiceRequest, context: Context) -> pb.RetireServiceResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.retire_service(actor, request.subsystem, request.service, dry_run=request.dry_run)
        return pb.RetireServiceResponse(version=self._version(request.dry_run))


def _service(row: models.Service) -> pb.Service:
    return pb.Service(
        subsystem=row.subsystem_id,
        service=row.name,
        methods=[
            pb.Method(
                name=method.name,
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
                idempotent=method.idempotent,
            )
            for method in row.methods
        ],
        descriptors_digest=row.descriptors,
    )
