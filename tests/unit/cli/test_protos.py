"""Which files ``service protos`` would write, and where: names come from a provider, who may be anybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from adapters.descriptors import descriptor_set, standard_set
from bj.identity.v1 import identity_pb2
from cli.protos import Published, _path, proto_files
from core.reasons import ExchangeError, Reason

RNPP = "BJ/GOV/ANIP/RNPP"
IDENTITY = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name


def published(*files: FileDescriptorProto) -> Published:
    return Published("a.S", FileDescriptorSet(file=files).SerializeToString())


def test_all_files_of_several_services_but_what_compilers_bring() -> None:
    """One file each, whoever imports it."""
    found = proto_files(
        RNPP, [Published(IDENTITY, descriptor_set(IDENTITY)), Published("health", standard_set("health"))]
    )

    assert set(found) == {
        "bj/common/v1/options.proto",
        "bj/common/v1/rules.proto",
        "bj/identity/v1/identity.proto",
        "buf/validate/validate.proto",
        "grpc_health/v1/health.proto",
    }
    assert found["bj/identity/v1/identity.proto"].services == [IDENTITY]
    assert found["bj/identity/v1/identity.proto"].text.startswith(f"// {RNPP} ")


def test_two_files_of_one_name_are_refused() -> None:
    """Neither may take the other's place."""
    with pytest.raises(ExchangeError) as refused:
        proto_files(
            RNPP,
            [
                published(FileDescriptorProto(name="a.proto", package="a")),
                published(FileDescriptorProto(name="a.proto", package="b")),
            ],
        )

    assert refused.value.reason is Reason.DOCUMENT_INVALID


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ("a.proto", "a.proto/b.proto"),
            r"'a\.proto/b\.proto' of BJ/GOV/ANIP/RNPP would lie within file 'a\.proto'",
        ),
        (("a/b.proto/c/d.proto", "a/B.proto"), r"would lie within file 'a/B\.proto'"),
        (
            ("a/b.proto", "A/b.proto"),
            r"'A/b\.proto' and 'a/b\.proto' of BJ/GOV/ANIP/RNPP differ in nothing but case",
        ),
    ],
)
def test_two_files_that_cannot_lie_side_by_side_are_refused(names: tuple[str, ...], told: str) -> None:
    """Before anything is written; of several services, too."""
    files = [FileDescriptorProto(name=name, package=f"p{number}") for number, name in enumerate(names)]

    for services in ([published(*files)], [published(one) for one in files]):
        with pytest.raises(ExchangeError, match=told) as refused:
            proto_files(RNPP, services)
        assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_damaged_descriptors_are_refused() -> None:
    """With the service's name."""
    with pytest.raises(ExchangeError, match=r"a\.S"):
        proto_files(RNPP, [Published("a.S", b"\xff")])


@pytest.mark.parametrize(
    "name",
    [
        "../a.proto",
        "a/../../b.proto",
        "/etc/a.proto",
        "a//b.proto",
        "./a.proto",
        ".ssh/a.proto",
        "a\\b.proto",
        "a b.proto",
        "a.txt",
        "",
        "é.proto",
        "a\n.proto",
        "a/" * 30 + "b.proto",
        "a" * 200 + ".proto",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    """Nothing is written outside of --out, nor hidden in it."""
    with pytest.raises(ExchangeError) as refused:
        _path(tmp_path, name)

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """A directory of the name may be a link to another place."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "bj").symlink_to(elsewhere)

    with pytest.raises(ExchangeError, match="leads out"):
        _path(out, "bj/a.proto")
