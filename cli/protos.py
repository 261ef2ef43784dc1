"""``passerelle service protos``: the ``.proto`` files of what a subsystem provides, from its published descriptors."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from core.documents import digest
from core.identifiers import SubsystemId
from core.language import Language, Text
from core.reasons import ExchangeError, MalformedError, Reason
from gateway.hints import HINTS_FILE, ProgramHints
from rpc.commandline import Output, confirm, lang_option, output_option, show_rows, yes_option
from rpc.files import replace_file
from rpc.settings import load_settings
from rpc.words import Coded

_COLUMNS: Final = {
    "file": Text("fichier", "file"),
    "services": Text("services", "services"),
    "state": Text("état", "state"),
}
_STATES: Final = {
    "written": Text("écrit", "written"),
    "unchanged": Text("inchangé", "unchanged"),
}
# Every compiler of protos brings these itself.
_BROUGHT: Final = "google/protobuf/"
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_MAX_PARTS: Final = 20


@dataclass(frozen=True, slots=True)
class Published:
    """A service as its provider published it."""

    service: str
    descriptors: bytes


@dataclass(slots=True)
class ProtoFile:
    """A file to be written, and the services that are in it."""

    text: str
    services: list[str] = field(default_factory=list)


@click.command()
@click.argument("subsystem", metavar="BJ/GOV/ANIP/RNPP")
@click.option("--service", "wanted", multiple=True, help="seulement ceux-ci / only these")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="répertoire des fichiers .proto / directory of the .proto files",
)
@click.option(
    "--identity",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="d'un programme, écrite par « program add », ou d'un opérateur / of a program, or of an operator",
)
@yes_option
@output_option
@lang_option
def protos(
    subsystem: str,
    wanted: tuple[str, ...],
    out: Path,
    identity: Path,
    yes: bool,
    output: Output,
    lang: Language,
) -> None:
    """Écrire les .proto d'un fournisseur / write a provider's .proto files.

    Faits des descripteurs publiés : commentaires, règles et options y sont, et protoc comme buf en refont les mêmes
    descripteurs. Les fichiers google/protobuf/ manquent exprès : chaque compilateur a les siens.

    Made from the published descriptors, with comments, rules and options; protoc and buf make the same descriptors again.
    """
    provider = str(SubsystemId.parse(subsystem))
    files = proto_files(provider, _published(identity, provider, wanted))
    paths = {name: _path(out, name) for name in files}
    # "newline": as bytes, so that a file of another system's line ends counts as another.
    present = {name: path.read_bytes() for name, path in paths.items() if path.exists()}
    changed = {name for name, found in files.items() if present.get(name) != found.text.encode("utf-8")}
    if others := sorted(changed & set(present)):
        shown = ", ".join(others)
        confirm(Text(f"Remplacer {shown} ?", f"Replace {shown}?"), lang, yes=yes)
    for name in sorted(changed):
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        replace_file(paths[name], files[name].text.encode("utf-8"))
    rows = [
        {"file": str(paths[name]), "services": found.services, "state": _state(name in changed)}
        for name, found in sorted(files.items())
    ]
    show_rows(rows, _COLUMNS, output, lang)


def proto_files(provider: str, published: Sequence[Published]) -> dict[str, ProtoFile]:
    """The files of several services, by name.

    Raises:
        ExchangeError: ``DOCUMENT_INVALID``: descriptors that cannot be written, or files that cannot lie side by side.
    """
    from cli.protosource import proto_source
    from rpc.descriptors import read_descriptors

    found: dict[str, ProtoFile] = {}
    origin: dict[str, bytes] = {}
    for one in published:
        try:
            files = read_descriptors(one.descriptors)
            for file in files.file:
                if file.name.startswith(_BROUGHT):
                    continue
                described = file.SerializeToString(deterministic=True)
                if origin.setdefault(file.name, described) != described:
                    raise _invalid(f"two services of {provider} have different files {file.name!a}")
                if file.name not in found:
                    text = proto_source(file, files, _heading(provider, described))
                    found[file.name] = ProtoFile(text, [f"{file.package}.{it.name}" for it in file.service])
        except MalformedError as error:
            raise _invalid(f"{one.service}: {error}") from None
    _require_room(provider, found)
    return found


def _require_room(provider: str, names: Iterable[str]) -> None:
    """Refuse a name that another file needs as its directory, and two that are one to disks which fold case."""
    held: dict[str, str] = {}
    for name in sorted(names):
        other = held.setdefault(name.casefold(), name)
        if other != name:
            raise _invalid(f"files {other!a} and {name!a} of {provider} differ in nothing but case")
    for folded, name in held.items():
        for at, letter in enumerate(folded):
            if letter == "/" and folded[:at] in held:
                raise _invalid(f"file {name!a} of {provider} would lie within file {held[folded[:at]]!a}")


def _heading(provider: str, described: bytes) -> Iterator[str]:
    yield f"{provider} ; écrit par / written by « passerelle service protos »."
    yield f"Descripteur / descriptor : sha256:{digest(described)}"


def _state(is_written: bool) -> Coded:
    code = "written" if is_written else "unchanged"
    return Coded(code, _STATES[code])


def _path(out: Path, name: str) -> Path:
    """Where a file of that name lies: below ``out``, whatever a provider calls it."""
    parts = name.split("/")
    if len(parts) > _MAX_PARTS or not name.endswith(".proto") or not all(map(_PART.fullmatch, parts)):
        raise _invalid(f"the descriptors have a file of the name {name!a}")
    path = out.joinpath(*parts)
    if not path.parent.resolve().is_relative_to(out.resolve()):
        raise _invalid(f"{path} leads out of {out}")
    return path


def _published(identity: Path, provider: str, wanted: Sequence[str]) -> list[Published]:
    """What the identity may see of the provider's services; all that were ``wanted``, or else all there are."""
    hints = _hints(identity)
    is_operator = "registry" in hints
    found = list((_from_registry if is_operator else _from_gateway)(identity, provider, wanted))
    missing = sorted(set(wanted) - {one.service for one in found})
    if missing or not found:
        what = ", ".join(missing) or "service"
        # To a program what is not granted looks like what does not exist.
        reason = Reason.NOT_FOUND if is_operator else Reason.NO_AGREEMENT
        raise ExchangeError(reason, f"no {what} of {provider} is open to this identity")
    return found


def _hints(identity: Path) -> Mapping[str, object]:
    path = identity / HINTS_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise click.UsageError(
            f"{path} manque : donner le répertoire d'un programme ou d'un opérateur / is missing: "
            "give the directory of a program or an operator"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}  # read again, strictly, and told by whoever knows the file


def _from_registry(identity: Path, provider: str, wanted: Sequence[str]) -> Iterator[Published]:
    from registry.commands.asking import Connection

    with Connection(identity, None, None).open() as client:
        for one in client.list_services(provider):
            if not wanted or one.service in wanted:
                yield Published(one.service, client.get_service(provider, one.service).file_descriptor_set)


def _from_gateway(identity: Path, provider: str, wanted: Sequence[str]) -> Iterator[Published]:
    from cli.program import Program
    from rpc.identity import Identity

    program = Program(Identity.read(identity), load_settings(identity / HINTS_FILE, ProgramHints))
    for one in program.list_services():
        if one.provider == provider and (not wanted or one.service in wanted):
            yield Published(one.service, program.get_descriptors(one.service, provider))


def _invalid(text: str) -> ExchangeError:
    return ExchangeError(Reason.DOCUMENT_INVALID, text)
