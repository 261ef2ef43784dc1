"""Entry point of ``passerelle``: finds the sub-commands of each package and loads them when they are asked for."""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

import click

from core.language import Language, Text
from core.reasons import ExchangeError
from rpc.commandline import FAULT, fail, language_from_environment
from rpc.remote import RemoteError, printable

# Name -> module, attribute, one line of help. Listing them imports nothing: `passerelle --help` stays fast.
COMMANDS: Final = {
    "adapter": (
        "adapters.commands",
        "adapter",
        "servir un registre / serve a registry: serve, seed, migrate",
    ),
    "agreement": ("registry.commands", "agreement", "conventions / agreements"),
    "anchor": ("pki.commands", "anchor", "empreinte de l'ancre / fingerprint of the anchor"),
    "audit": ("audit.commands", "audit", "preuves / evidence: list, export, verify, verify-log, …"),
    "ca": ("pki.commands", "ca", "autorités de certification / certification authorities"),
    "call": ("cli.call", "call", "appeler une méthode / call a method"),
    "config": ("gateway.commands", "config", "configuration en vigueur / configuration in force"),
    "country": ("cli.commands", "country", "un pays d'essai / a country in a box: found, up, demo"),
    "doctor": ("gateway.doctor.command", "doctor", "fautes et remèdes / faults and remedies"),
    "document": (
        "adapters.document_commands",
        "document",
        "documents délivrés / documents given out: verify",
    ),
    "exchange": ("gateway.commands", "exchange", "où en est un échange / where an exchange stands"),
    "gateway": ("gateway.commands", "gateway", "passerelle d'un membre / a member's gateway"),
    "log": ("gateway.commands", "log", "journal de la passerelle / the gateway's log"),
    "member": ("registry.commands", "member", "membres / members"),
    "pki": ("pki.commands", "pki", "certificats / certificates"),
    "program": ("gateway.commands", "program", "programmes du ministère / the ministry's programs"),
    "registry": ("registry.commands", "registry", "registre central / central registry"),
    "request": ("registry.commands", "request", "demandes à approuver / requests to approve"),
    "sandbox": ("adapters.commands", "sandbox", "personnes de test / test persons"),
    "service": ("registry.commands", "service", "services publiés / published services"),
    "status": ("gateway.commands", "status", "état sur un écran / state on one screen"),
    "subsystem": ("registry.commands", "subsystem", "systèmes d'information / subsystems"),
}

# What the system says, by number, in both languages, and what to do about it; all else is told as the system does.
_PLACE = Text("vérifier le chemin ; le répertoire doit exister", "check the path; the directory must exist")
_RIGHTS = Text(
    "donner les droits à cet utilisateur, ou choisir un autre chemin",
    "give this user the right, or choose another path",
)
_SYSTEM: Final = {
    errno.ENOENT: (Text("fichier ou répertoire absent", "no such file or directory"), _PLACE),
    errno.ENOTDIR: (Text("n'est pas un répertoire", "not a directory"), _PLACE),
    errno.EISDIR: (
        Text("est un répertoire", "is a directory"),
        Text("nommer un fichier de ce répertoire", "name a file in that directory"),
    ),
    errno.EACCES: (Text("accès refusé", "permission denied"), _RIGHTS),
    errno.EPERM: (Text("opération refusée", "operation not permitted"), _RIGHTS),
    errno.EROFS: (Text("système de fichiers en lecture seule", "read-only file system"), _RIGHTS),
    errno.ENOSPC: (
        Text("plus de place sur le disque", "no space left on the disk"),
        Text("libérer de la place, puis recommencer", "free some space, then try again"),
    ),
}
_OTHERWISE: Final = Text("écarter la cause, puis recommencer", "remove the cause, then try again")
# As ``rpc.files.replace_file`` names a file that it writes: people know it by the name they gave.
_TEMPORARY = re.compile(r"\.(.+)\.\d+\.new")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All areas, by name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one area's command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found: object = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, click.Command):
            raise TypeError(f"{module}:{attribute} is no command")
        if cmd_name == "gateway" and isinstance(found, click.Group):
            # What the registry's operators order of a gateway stands beside what its own administrator does.
            for order in importlib.import_module("registry.commands").GATEWAY_ORDERS:
                found.add_command(order)
        if cmd_name == "service" and isinstance(found, click.Group):
            # Asks the registry, or a gateway on behalf of its program: above both.
            found.add_command(importlib.import_module("cli.protos").protos)
        if isinstance(found, click.Group):
            for command in found.commands.values():
                # click would cut a line of help where its second language begins.
                command.short_help = command.short_help or (command.help or "").partition("\n\n")[0]
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the areas without importing them."""
        with formatter.section("Commandes / Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="passerelle", prog_name="passerelle")
def passerelle() -> None:
    """Passerelle : des échanges signés, journalisés, vérifiables / signed, logged, verifiable exchanges."""


def language_of(arguments: Sequence[str]) -> Language:
    """``--lang`` where an error must be told, as ``rpc.commandline.lang_option`` reads it; else the environment's."""
    given = [
        value
        for name, value in pairwise([*(part for one in arguments for part in one.split("=", 1)), ""])
        if name == "--lang"
    ]
    return cast("Language", given[-1]) if given and given[-1] in ("fr", "en") else language_from_environment()


def tell_system_error(error: OSError, lang: Language) -> int:
    """Tell what the system refused: path, cause, remedy; returns the exit code. A process that serves logs the place."""
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        structlog.get_logger().error("process_failed", exc_info=error)
    known = _SYSTEM.get(error.errno or 0)
    cause = known[0].in_(lang) if known else error.strerror or str(error) or type(error).__name__
    remedy = (known[1] if known else _OTHERWISE).in_(lang)
    path = error.filename if isinstance(error.filename, (str, bytes)) else None
    if path:
        directory, name = os.path.split(os.fsdecode(path))
        written = _TEMPORARY.fullmatch(name)
        cause = f"{os.path.join(directory, written[1] if written else name)}: {cause}"
    click.echo(click.style(printable(cause), fg="red"), err=True)
    click.echo(f"Remède : {remedy}" if lang == "fr" else f"Remedy: {remedy}", err=True)
    return FAULT


def main() -> int:
    """Run one command; exit 0 good, 1 fault or refused, 2 usage."""
    try:
        # Outside its standalone mode click returns the code that a command ended with.
        ended = passerelle.main(prog_name="passerelle", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo(Text("Abandonné.", "Aborted.").in_(language_of(sys.argv)), err=True)
        return 1
    except (ExchangeError, RemoteError) as error:
        return fail(error, language_of(sys.argv))
    except OSError as error:
        return tell_system_error(error, language_of(sys.argv))
    except KeyboardInterrupt:
        return 1
    return ended if isinstance(ended, int) else 0


if __name__ == "__main__":
    sys.exit(main())
