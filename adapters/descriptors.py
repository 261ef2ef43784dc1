"""What a provider publishes about a service: one self-contained set of descriptors.

The registry keeps these bytes, gateways and developers read them: nothing outside the set is needed to
understand a message, neither ``google/protobuf`` nor ``buf/validate`` files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor

# What servers of gRPC have beside their own services, and what their providers may publish of them.
STANDARD_SERVICES: Final = {
    "health": "grpc.health.v1.Health",
    "reflection": "grpc.reflection.v1.ServerReflection",
}

# Those of which ``tools/protoc_gen_comments.py`` writes the comments.
_MINISTRIES: Final = "bj/"


def descriptor_set(service: str) -> bytes:
    """The FileDescriptorSet of a service whose generated module is imported, dependencies first.

    The same service gives the same bytes. Comments, which generated modules have not, come from the file that
    ``make protos`` writes beside each of the ministries' modules; files of others stay without.

    Raises:
        KeyError: No imported module has such a service.
    """
    found = descriptor_pool.Default().FindServiceByName(service)
    files: dict[str, FileDescriptor] = {}
    _collect(found.file, files)
    descriptors = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        described = descriptors.file.add()
        file.CopyToProto(described)
        _add_comments(described)
    return descriptors.SerializeToString(deterministic=True)


def missing_comments(descriptors: bytes) -> tuple[str, ...]:
    """The ministries' protos in a set that has none of their comments, by the names of the files."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
    return tuple(
        one.name for one in files if one.name.startswith(_MINISTRIES) and not one.source_code_info.location
    )


def standard_set(kind: str) -> bytes:
    """The FileDescriptorSet of ``health`` or ``reflection``; raises ``KeyError``."""
    service = STANDARD_SERVICES[kind]
    if kind == "health":
        import grpc_health.v1.health_pb2  # noqa: F401 - fills the pool of descriptors

        return descriptor_set(service)
    from grpc_reflection.v1alpha import reflection_pb2

    # grpcio brings v1alpha only; v1 is the same file under its final name.
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    _rename(file, service.rpartition(".")[0])
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString(deterministic=True)


def _rename(file: descriptor_pb2.FileDescriptorProto, package: str) -> None:
    """Give a file another version of its package in all that names it: its paths, its types, the methods."""
    old, new = file.package, package
    old_version, new_version = old.rpartition(".")[2], new.rpartition(".")[2]
    file.package = new
    file.name = file.name.replace(f"/{old_version}/", f"/{new_version}/")
    file.options.java_package = f"io.{new}"
    file.options.go_package = file.options.go_package.removesuffix(old_version) + new_version
    for field in (field for message in file.message_type for field in message.field if field.type_name):
        field.type_name = f".{new}." + field.type_name.removeprefix(f".{old}.")
    for method in (method for service in file.service for method in service.method):
        method.input_type = f".{new}." + method.input_type.removeprefix(f".{old}.")
        method.output_type = f".{new}." + method.output_type.removeprefix(f".{old}.")


def _add_comments(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Give a file the comments of its proto, in the order of the source; nothing where none were written down."""
    stem = file.name.removesuffix(".proto")
    module = sys.modules.get(stem.replace("/", ".") + "_pb2")
    if module is None or module.__file__ is None:
        return
    written = Path(module.__file__).with_name(f"{stem.rpartition('/')[2]}_comments.json")
    if not written.exists():
        return
    for path, told in json.loads(written.read_text(encoding="utf-8")).items():
        file.source_code_info.location.add(
            path=map(int, path.split(".")) if path else (),
            leading_comments=told.get("leading"),
            trailing_comments=told.get("trailing"),
            leading_detached_comments=told.get("detached", ()),
        )


def _collect(file: FileDescriptor, files: dict[str, FileDescriptor]) -> None:
    if file.name in files:
        return
    for dependency in file.dependencies:
        _collect(dependency, files)
    files[file.name] = file
