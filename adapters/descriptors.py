"""What a provider publishes about a service: one self-contained set of descriptors.

The registry keeps these bytes, gateways and developers read them: nothing outside the set is needed to
understand a message, neither ``google/protobuf`` nor ``buf/validate`` files.
"""

from __future__ import annotations

from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor

# What servers of gRPC have beside their own services, and what their providers may publish of them.
STANDARD_SERVICES: Final = {
    "health": "grpc.health.v1.Health",
    "reflection": "grpc.reflection.v1.ServerReflection",
}


def descriptor_set(service: str) -> bytes:
    """The FileDescriptorSet of a service whose generated module is imported, dependencies first.

    The same service gives the same bytes. Comments are not part of generated modules, so not of the set.

    Raises:
        KeyError: No imported module has such a service.
    """
    found = descriptor_pool.Default().FindServiceByName(service)
    files: dict[str, FileDescriptor] = {}
    _collect(found.file, files)
    descriptors = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(descriptors.file.add())
    return descriptors.SerializeToString(deterministic=True)


def standard_set(kind: str) -> bytes:
    """The FileDescriptorSet of ``health`` or ``reflection``; raises ``KeyError``."""
    service = STANDARD_SERVICES[kind]
    if kind == "health":
        import grpc_health.v1.health_pb2  # noqa: F401 - fills the pool of descriptors

        return descriptor_set(service)
    from grpc_reflection.v1alpha import reflection_pb2

    # grpcio brings v1alpha only; v1 is the same file with its final name throughout.
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    renamed = str(file).replace("v1alpha", "v1")
    final = text_format.Parse(renamed, descriptor_pb2.FileDescriptorProto())
    return descriptor_pb2.FileDescriptorSet(file=[final]).SerializeToString(deterministic=True)


def _collect(file: FileDescriptor, files: dict[str, FileDescriptor]) -> None:
    if file.name in files:
        return
    for dependency in file.dependencies:
        _collect(dependency, files)
    files[file.name] = file
