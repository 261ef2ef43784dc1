"""Reads published descriptors: a FileDescriptorSet, its imports first, that stands by itself.

The one place where descriptors that somebody handed in, published or keeps become types.
"""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from core.reasons import MalformedError, Reason


def read_descriptors(data: bytes) -> FileDescriptorSet:
    """A serialised FileDescriptorSet; raises ``MalformedError`` (``DOCUMENT_INVALID``)."""
    try:
        return FileDescriptorSet.FromString(data)
    except DecodeError:
        raise MalformedError(Reason.DOCUMENT_INVALID, "the descriptors are no FileDescriptorSet") from None


def link_descriptors(files: FileDescriptorSet) -> DescriptorPool:
    """The types of ``files``, every import and every name in them found.

    Raises:
        MalformedError: ``DOCUMENT_INVALID``: an import is missing or behind, a type unknown, a name there twice.
    """
    pool = DescriptorPool()
    try:
        for file in files.file:
            pool.Add(file)
        for file in files.file:
            # Some implementations link what they are asked for, and no sooner.
            pool.FindFileByName(file.name)
    except (TypeError, KeyError, ValueError) as error:
        why = " ".join(str(error).split())[:100]
        raise MalformedError(
            Reason.DOCUMENT_INVALID, f"the descriptors cannot be linked, their imports first: {why!a}"
        ) from None
    return pool


def load_descriptors(data: bytes) -> DescriptorPool:
    """The types of a serialised FileDescriptorSet; raises ``MalformedError`` (``DOCUMENT_INVALID``)."""
    return link_descriptors(read_descriptors(data))
