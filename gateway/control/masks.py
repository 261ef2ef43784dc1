"""Compiles the field masks of our agreements, so that workers need no descriptors (PROTOCOL M11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.descriptor_pool import DescriptorPool

from core.agreements import Agreement, parse_agreement
from core.configuration import MaskPlan, MemberDocument, ServiceEntry, descriptors_target, member_target
from core.documents import digest
from core.jws import DocumentKind, parse_document
from core.reasons import MalformedError
from core.wire import pack_plan
from gateway.control.state import LeftOut
from rpc.descriptors import load_descriptors
from rpc.plans import PlanError, find_messages, mask_plan, outline_plan


def compile_masks(
    members: Sequence[MemberDocument], documents: Mapping[str, bytes]
) -> tuple[list[MaskPlan], list[LeftOut]]:
    """The plan of each mask, and the masks of which none can be made, with the reason for whoever wrote the agreement.

    An agreement stays although one of its masks cannot be enforced: workers refuse it as ``TERM_NOT_SUPPORTED``, which
    tells more than that there is none.

    Args:
        members: As they were judged: services with their descriptors, agreements of our own member.
        documents: All documents of the version, by target.
    """
    services = {
        (one.subsystem, one.service): one
        for member in members
        for one in member.services
        if one.state == "active"
    }
    pools: dict[str, DescriptorPool] = {}

    def pool_of(service: ServiceEntry) -> DescriptorPool:
        if service.descriptors not in pools:
            pools[service.descriptors] = load_descriptors(documents[descriptors_target(service.descriptors)])
        return pools[service.descriptors]

    plans: list[MaskPlan] = []
    left_out: list[LeftOut] = []
    for member, payload, terms in _masked(members):
        service = services.get((terms.provider.subsystem, terms.service))
        if service is None:
            continue  # not provided: no call comes as far as the mask
        for method, paths in (terms.field_mask or {}).items():
            try:
                _, returned = find_messages(pool_of(service), terms.service, method)
                plan, outline = mask_plan(returned, paths), outline_plan(returned, paths)
            except (MalformedError, PlanError) as error:
                why = (
                    f"the field mask of agreement {terms.id}, version {terms.version}, for {method}: {error}"
                )
                left_out.append(LeftOut(member_target(member.member), "field mask", why))
            else:
                plans.append(MaskPlan(digest(payload), method, pack_plan(plan), pack_plan(outline)))
    return plans, left_out


def _masked(members: Sequence[MemberDocument]) -> Iterator[tuple[MemberDocument, bytes, Agreement]]:
    """The agreements that have a mask and may still count."""
    for member in members:
        for entry in member.agreements:
            if entry.state == "revoked":
                continue
            payload = parse_document(DocumentKind.AGREEMENT, entry.provider_jws).unverified_payload
            terms = parse_agreement(payload)
            if terms.field_mask:
                yield member, payload, terms
