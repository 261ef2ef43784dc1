"""12 Whether an answer of a peer may be believed, and what of it reaches the program.

Head, chain and inclusion were verified with the frame that brought it (``peerlog``). Here it is bound to the request that
it answers: the same call, by a gateway of the provider that the agreement names, cut to what the agreement grants.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from core.masks import objection_to_cut
from core.payloads import Metadata, decode_metadata
from core.reasons import MalformedError, Reason
from core.statements import BOUND_FIELDS, Statement
from gateway.worker.context import passed_on
from gateway.worker.exchange import MAX_METADATA_BLOB_BYTES, Exchange, Messages, Parts
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.refusal import Ending
from gateway.worker.road import Road

_bound: Final = attrgetter(*BOUND_FIELDS)


def objection_to_answer(parts: Parts, road: Road, entry: VerifiedEntry, exchange: Exchange) -> Reason | None:
    """Head, chain and inclusion were verified with the frame; here the binding to our request."""
    statement = entry.statement
    if statement is None:
        return Reason.STATEMENT_INVALID
    reason = parts.objection_to(road, entry, statement)
    if reason is not None:
        return reason
    asked, view, grant, received = exchange.statement, parts.trust, exchange.grant, entry.parts
    if asked is None or view is None or grant is None:
        return Reason.STATEMENT_INVALID
    if _bound(statement) != _bound(asked):
        return Reason.STATEMENT_INVALID
    gateway = view.by_log.get(road.peer.log)
    named = grant.agreement.terms.provider.member_key
    if gateway is None or not view.is_party(gateway, grant.provider, named):
        return Reason.PEER_NOT_REGISTERED
    flow, heard = exchange.flow, statement.heard
    if not (heard in (0, None) if flow is None else flow.is_possible(heard)):
        return Reason.STATEMENT_INVALID
    is_first, is_last = statement.sequence == 0, statement.final
    is_stream = grant.provision.method.server_streaming and statement.kind == "response"
    if not (is_stream or (is_first and is_last)):
        return Reason.CALL_KIND_NOT_SUPPORTED
    if statement.kind == "refusal":
        return Reason.STATEMENT_INVALID if received or statement.status == 0 else None
    count = len(received) - is_first - is_last
    if count < 0 or (count > 1 and not is_stream):
        return Reason.STATEMENT_INVALID
    blobs = (len(received[0][1]) if is_first else 0, len(received[-1][1]) if is_last else 0)
    return Reason.LIMIT_EXCEEDED if max(blobs) > MAX_METADATA_BLOB_BYTES else None


def objection_to_fields(parts: Parts, entry: VerifiedEntry, exchange: Exchange) -> Reason | None:
    """Whether an answer was cut as the agreement says: by its statement, and by what is in it.

    The agreement is that of the request, its descriptors may have changed since: they are those of our configuration
    now, to which older ones have only been added to. A provider that is ahead of us may know newer ones still, by
    which it can grant no more than the outline of the mask.
    """
    statement, view, grant = entry.statement, parts.trust, exchange.grant
    if statement is None or view is None or grant is None:
        return Reason.STATEMENT_INVALID
    if grant.mask is None and statement.cut is None:
        return None
    if objection_to_cut(statement, grant.agreement.terms.field_mask):
        return Reason.RESPONSE_INVALID
    theirs, messages = statement.configuration, messages_of(entry, statement)
    mask = view.mask_of(grant.agreement.mark, statement.method or "") or grant.mask
    is_ahead = theirs is not None and theirs.version > view.mark.version
    if mask is None or mask.is_kept(messages, parts.terms.max_message, is_ahead=is_ahead):
        return None
    return Reason.RESPONSE_INVALID


def answer_of(
    exchange: Exchange, entry: VerifiedEntry, statement: Statement
) -> tuple[Metadata | None, Ending | None] | None:
    """Initial metadata and ending that a segment brings, without what is reserved; ``None`` if they are malformed."""
    parts, initial, trailing = entry.parts, None, None
    try:
        if statement.sequence == 0:
            initial = passed_on(decode_metadata(parts[0][1]))
        if statement.final:
            trailing = passed_on(decode_metadata(parts[-1][1]))
    except MalformedError:
        return None
    if initial is not None and statement.encoding and statement.encoding != "identity":
        initial += ((b"grpc-encoding", statement.encoding.encode("ascii")),)
    if trailing is None:
        return initial, None
    trailing += (
        (b"x-road-exchange-id", exchange.id.encode("ascii")),
        (b"x-road-request-hash", exchange.leaf_hash.hex().encode("ascii")),
    )
    return initial, Ending(statement.status or 0, "", trailing)


def messages_of(entry: VerifiedEntry, statement: Statement) -> Messages:
    """The messages of a response, without its metadata."""
    parts = entry.parts
    return list(parts[statement.sequence == 0 : len(parts) - statement.final])
