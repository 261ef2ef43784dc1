"""What the registry's commands share: each asks the registry one thing and tells the answer in one of four ways.

A command is written as its question, ``question(client, …)``; the way its answer is told is a decorator:

- ``shows``: a row, or rows, in the form of ``--output``;
- ``publishes``: a change in force at once; its configuration version is told;
- ``revokes``: the same for good, after a confirmation;
- ``submits``: a request that waits for two operators; its number is told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from core.language import Language, Text
from core.reasons import ExchangeError, Reason
from registry.hints import read_hints
from rpc.commandline import (
    Output,
    Row,
    confirm,
    dry_run_option,
    lang_option,
    output_option,
    show_one,
    show_rows,
    yes_option,
)

if TYPE_CHECKING:
    from registry.client import RegistryClient

_Command = TypeVar("_Command", bound=Callable[..., Any])
Columns = Mapping[str, Text]

FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW_FILE: Final = click.Path(path_type=Path, dir_okay=False)
DIRECTORY: Final = click.Path(path_type=Path, exists=True, file_okay=False)

_UNCHANGED: Final = Text("Vérifié, rien n'est changé.", "Checked, nothing is changed.")


class Connection:
    """Where the registry is and who asks; from options, or from the identity directory's own hints."""

    def __init__(self, identity: Path, address: str | None, registry_id: str | None) -> None:
        hints = None if address and registry_id else read_hints(identity)
        address = address or (hints.address if hints else None)
        registry_id = registry_id or (hints.registry if hints else None)
        if address is None or registry_id is None:
            raise click.UsageError(
                "--registry et --registry-id sont nécessaires / are needed: "
                f"{identity} n'a pas de passerelle.toml / has no passerelle.toml"
            )
        self._identity, self._address, self._registry_id = identity, address, registry_id

    @contextmanager
    def open(self) -> Iterator[RegistryClient]:
        """A connection, closed at the end."""
        # grpcio is imported only by commands that talk to somebody.
        from registry.client import RegistryClient
        from rpc.identity import Identity

        with RegistryClient(self._address, Identity.read(self._identity), self._registry_id) as client:
            yield client


def connected(command: _Command) -> _Command:
    """``--identity``, ``--registry``, ``--registry-id``; the command gets ``connection``."""

    @click.option(
        "--identity", type=DIRECTORY, required=True, help="répertoire d'identité / identity directory"
    )
    @click.option(
        "--registry", "address", default=None, metavar="HOST:PORT", help="adresse du registre / address"
    )
    @click.option("--registry-id", default=None, metavar="ID", help="BJ/GOV/ASIN/registre")
    @functools.wraps(command)
    def wrapped(
        *args: Any, identity: Path, address: str | None, registry_id: str | None, **options: Any
    ) -> Any:
        return command(*args, connection=Connection(identity, address, registry_id), **options)

    return wrapped  # type: ignore[return-value]  # functools.wraps keeps the command's own signature


def reason_option(command: _Command) -> _Command:
    """``--reason``, which a stop always needs; the command gets ``reason``."""
    return click.option("--reason", required=True)(command)


# --- the four ways ---


def shows(
    columns: Columns, nothing: Text | None = None
) -> Callable[[Callable[..., Row | list[Row]]], Callable[..., None]]:
    """The question returns one row, or a list of them; a ``Text`` in it is told in the reader's language.

    ``nothing`` is said in the place of a table without rows.
    """

    def decorate(question: Callable[..., Row | list[Row]]) -> Callable[..., None]:
        @connected
        @output_option
        @lang_option
        @functools.wraps(question)
        def command(*, connection: Connection, output: Output, lang: Language, **asked: Any) -> None:
            with connection.open() as client:
                found = question(client, **asked)
            if found == [] and nothing is not None and output == "table":
                say(nothing, lang)
            elif isinstance(found, list):
                show_rows([_told(row, lang) for row in found], columns, output, lang)
            else:
                show_one(_told(found, lang), columns, output, lang)

        return command

    return decorate


def publishes(question: Callable[..., int]) -> Callable[..., None]:
    """The question takes ``dry_run`` too, and returns the version that publishes the change."""
    return _changes(question, _published)


def submits(question: Callable[..., int]) -> Callable[..., None]:
    """The question takes ``dry_run`` too, and returns the number of the request that it made."""

    def told(number: int) -> Text:
        return Text(
            f"Demande n° {number} : attend l'avis de deux opérateurs.",
            f"Request no. {number}: waits for two operators.",
        )

    return _changes(question, told)


def revokes(question: Callable[..., int]) -> Callable[..., None]:
    """The question takes ``name``, what is ended for good, and ``dry_run``; it returns the version."""

    @connected
    @dry_run_option
    @yes_option
    @lang_option
    @functools.wraps(question)
    def command(
        *, name: str, connection: Connection, dry_run: bool, yes: bool, lang: Language, **asked: Any
    ) -> None:
        sure = Text(f"Révoquer {name} pour de bon ?", f"Revoke {name} for good?")
        confirm(sure, lang, yes=yes or dry_run)
        with connection.open() as client:
            version = question(client, name=name, dry_run=dry_run, **asked)
        say(_UNCHANGED if dry_run else _published(version), lang)

    return command


def _changes(question: Callable[..., int], told: Callable[[int], Text]) -> Callable[..., None]:
    @connected
    @dry_run_option
    @lang_option
    @functools.wraps(question)
    def command(*, connection: Connection, dry_run: bool, lang: Language, **asked: Any) -> None:
        with connection.open() as client:
            number = question(client, dry_run=dry_run, **asked)
        say(_UNCHANGED if dry_run else told(number), lang)

    return command


def _published(version: int) -> Text:
    return Text(f"Publié : configuration v{version}.", f"Published: configuration v{version}.")


def _told(row: Row, lang: Language) -> Row:
    return {key: value.in_(lang) if isinstance(value, Text) else value for key, value in row.items()}


# --- words and files ---


def say(text: Text, lang: Language) -> None:
    """Print a sentence."""
    click.echo(text.in_(lang))


def state_name(number: int) -> str:
    """``active`` for ``STATE_ACTIVE``."""
    from passerelle.registry.v1 import members_pb2

    return members_pb2.State.Name(members_pb2.State.ValueType(number)).removeprefix("STATE_").lower()


def ascii_text(file: Path) -> str:
    """A document's text; raises ``ExchangeError``."""
    try:
        return file.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"{file} is not ASCII text") from None
