"""Reads a FileDescriptorSet as it was handed in: which services it has, and whether it stands by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto, MethodOptions

from core.identifiers import MethodName, ServiceName
from core.reasons import ExchangeError, Reason
from registry.policy import require_service_name
from rpc.descriptors import link_descriptors, read_descriptors

MAX_DESCRIPTOR_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 500

_IDEMPOTENT: Final = (MethodOptions.IDEMPOTENT, MethodOptions.NO_SIDE_EFFECTS)


@dataclass(frozen=True, slots=True)
class DescribedMethod:
    """One method as the proto tells it."""

    name: str
    client_streaming: bool
    server_streaming: bool
    idempotent: bool


def described_services(
    data: bytes, wanted: list[str], allowed: Sequence[str] = ()
) -> dict[ServiceName, list[DescribedMethod]]:
    """The services of a descriptor set, or those ``wanted`` of it; reserved packages only if they are ``allowed``.

    Raises:
        ExchangeError: It cannot be read or linked, lacks an import or a wanted service, or names a reserved one.
    """
    files = _parse(data)
    found = {
        f"{file.package}.{service.name}": [_method(method) for method in service.method]
        for file in files.file
        for service in file.service
    }
    missing = set(wanted) - set(found)
    if missing:
        raise ExchangeError(
            Reason.NOT_FOUND, f"the descriptor set has no service {', '.join(sorted(missing))}"
        )
    named = {ServiceName.parse(name): found[name] for name in wanted or sorted(found)}
    if not named:
        raise ExchangeError(Reason.DOCUMENT_INVALID, "the descriptor set has no service")
    for service, methods in named.items():
        require_service_name(service, allowed)
        for method in methods:
            MethodName.parse(f"{service}/{method.name}")
    return named


def _parse(data: bytes) -> FileDescriptorSet:
    if not data or len(data) > MAX_DESCRIPTOR_BYTES:
        raise ExchangeError(
            Reason.DOCUMENT_INVALID, f"a descriptor set has 1 to {MAX_DESCRIPTOR_BYTES} bytes"
        )
    files = read_descriptors(data)
    if len(files.file) > MAX_FILES:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"a descriptor set has at most {MAX_FILES} files")
    link_descriptors(files)
    return files


def _method(method: MethodDescriptorProto) -> DescribedMethod:
    return DescribedMethod(
        name=method.name,
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
        idempotent=method.options.idempotency_level in _IDEMPOTENT,
    )
