"""Calls about persons: what the ministries' descriptors mark, compiled as control does, and what logs note of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from bj.identity.v1 import identity_pb2
from core.agreements import Agreement
from core.configuration import MarkedMethod, Marks, MemberDocument, ServiceEntry, descriptors_target
from core.documents import digest
from core.leaves import HEARD, Heard, parse_heard, parse_leaf
from core.pseudonyms import Annex, read_annex
from gateway.control.marks import compile_marks
from ledger.places import LogPlace
from ledger.reader import LogReader
from ledger.records import AttachmentKind
from tests.support.federation import PROVIDER, SERVICE, STREAMS
from tests.support.published_country import PublishedCountry, conclude

NOW_MS: Final = 1_795_425_600_000
PERSON: Final = b"4999999901"
OTHER: Final = b"4999999902"


def descriptors(file: FileDescriptor = identity_pb2.DESCRIPTOR) -> bytes:
    """A file with its imports, as a provider publishes it."""
    found: dict[str, FileDescriptor] = {}

    def take(one: FileDescriptor) -> None:
        for imported in one.dependencies:
            take(imported)
        found.setdefault(one.name, one)

    take(file)
    published = FileDescriptorSet()
    for one in found.values():
        one.CopyToProto(published.file.add())
    return published.SerializeToString()


def marks_of(data: bytes, service: str, *methods: str) -> Marks:
    """What control notes of methods that an agreement names, by the descriptors ``data``."""
    country = PublishedCountry(NOW_MS)
    pns, anip = country.member("BJ/GOV/PNS"), country.member("BJ/GOV/ANIP")
    terms: Agreement = msgspec.structs.replace(
        country.agreement(pns, anip), service=service, methods=list(methods)
    )
    entry = ServiceEntry(PROVIDER, service, digest(data), [], "active")
    anip.change(services=[entry], agreements=[conclude(terms, pns.key, anip.key)])
    members: list[MemberDocument] = [pns.document, anip.document]
    return compile_marks(members, {descriptors_target(digest(data)): data})


def federation_marks() -> Marks:
    """Those of ``IdentityService``; the invented streams of a federation carry the messages of ``GetPerson``."""
    found = marks_of(descriptors(), SERVICE, "GetPerson", "VerifyPerson", "SearchPerson")
    (get,) = [one for one in found.methods if one.method.endswith("/GetPerson")]
    streams = [msgspec.structs.replace(get, method=f"{SERVICE}/{name}") for name in STREAMS]
    return Marks([*found.methods, *streams], found.plans)


def marked(marks: Marks, method: str) -> MarkedMethod:
    """What is noted of one method."""
    (found,) = [one for one in marks.methods if one.method.endswith(f"/{method}")]
    return found


@dataclass(frozen=True, slots=True)
class Noted:
    """A record of a log and its annex."""

    heard: Heard
    annex: Annex | None


def noted(place: LogPlace | Path) -> list[Noted]:
    """Every record of a log, with its annex read as who holds the log reads it."""
    reader = LogReader(place if isinstance(place, Path) else place.segments)
    reader.read_all()
    found = []
    for stored in reader:
        leaf = parse_leaf(stored.leaf)
        if leaf.label == HEARD:
            heard = parse_heard(leaf.body)
            kept = [data for kind, data in stored.attachments if kind is AttachmentKind.ANNEX]
            assert len(kept) == (heard.annex is not None)
            found.append(Noted(heard, read_annex(kept[0], heard.annex) if kept else None))
    return found
