"""What a provider publishes about a service: one self-contained set of descriptors.

The registry keeps these bytes, gateways and developers read them: nothing outside the set is needed to
understand a message, neither ``google/protobuf`` nor ``buf/validate`` files.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor


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


def _collect(file: FileDescriptor, files: dict[str, FileDescriptor]) -> None:
    if file.name in files:
        return
    for dependency in file.dependencies:
        _collect(dependency, files)
    files[file.name] = file
