"""Where the adapters meet other parts: the gateway's metadata, and the page that tells developers."""

import re
from pathlib import Path

from adapters.context import _GRAMMAR, User, parse_context
from adapters.reasons import ProviderReason
from core.heads import ConfigurationMark
from core.identifiers import GatewayId
from core.statements import AgreementMark, Statement
from core.statements import User as SaidUser
from gateway.worker.context import caller_context

PAGE = Path(__file__).parents[3] / "docs" / "adapters.md"
LOG = "0" * 64
REQUEST = Statement(
    v=1,
    kind="request",
    from_=LOG,
    to="1" * 64,
    exchange="01920000-0000-7000-8000-000000000000",
    reference="ref:1",
    attempt=1,
    previous=None,
    sequence=0,
    final=True,
    client="BJ/GOV/PNS/PORTAIL",
    service="BJ/GOV/ANIP/RNPP",
    method="bj.identity.v1.IdentityService/GetPerson",
    represented="ETUDE-1",
    purpose="P01",
    issue="ACT-202611-0001",
    user=SaidUser("agent-7", "verified"),
    caller="loopback",
    door="grpc",
    agreement=AgreementMark("CV-0042", 3, LOG),
    configuration=ConfigurationMark(812, LOG),
    descriptors=LOG,
    issued_at=1_790_000_000_000,
    deadline_us=None,
    encoding=None,
    payloads=[LOG],
    nonce="0" * 32,
)


def test_an_adapter_reads_all_that_a_gateway_writes() -> None:
    """Gateway and adapter never import each other: this is where they agree on the entries."""
    written = [(name.decode(), value.decode()) for name, value in caller_context(REQUEST, "ab" * 32)]

    caller = parse_context(GatewayId.parse("BJ/GOV/ANIP/gw1"), written)

    assert {name for name, _ in written} == set(_GRAMMAR)
    assert (caller.agreement, caller.request_hash) == ("CV-0042/3", "ab" * 32)
    assert (caller.purpose, caller.issue, caller.reference) == ("P01", "ACT-202611-0001", "ref:1")
    assert caller.user == User("agent-7", "verified")
    assert caller.represented_party == "ETUDE-1"


def test_the_page_names_every_entry_of_the_context() -> None:
    """A ministry in another language implements the context from the page."""
    assert set(
        re.findall(r"^\| `(x-road-[a-z-]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    ) == set(_GRAMMAR)


def test_the_page_explains_every_reason() -> None:
    """Reason, status and both texts of the page are those of the code."""
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| `([A-Z_]+)` \| (.+) · (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert rows == [(r, r.entry.code.name, r.entry.text.fr, r.entry.text.en) for r in ProviderReason]
