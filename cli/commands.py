"""``passerelle country found | up | demo``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from adapters.descriptors import STANDARD_SERVICES
from cli.country import founder
from cli.demo import run_demo, tell_what_is_left
from cli.plan import DEFAULT_PLAN, AgreementPlan, CountryPlan, Layout, Ports, load_plan
from cli.processes import Country, free_base
from core.language import Text
from core.reasons import ExchangeError, Reason

DEFAULT_BASE: Final = 42_000
DEFAULT_DIRECTORY: Final = Path("var/up")
_WRAPPER: Final = """\
#!/bin/sh
# Écrit par « make up » : la commande passerelle avec les identités du pays d'essai.
# Written by 'make up': the passerelle command with the identities of the country in a box.
given=" $* "
add=
value=
case "$1 $2" in
"call "*)
    previous=
    client=
    for argument in "$@"; do
        case "$argument" in --as=*) client=${{argument#--as=}} ;; esac
        if [ "$previous" = --as ]; then client=$argument; fi
        previous=$argument
    done
    case "$given" in *" --identity "* | *" --identity="*) ;;
    *)
        add=--identity
        case "$client" in
        '') ;;
{cases}
        *)
            echo "pas d'identité pour / no identity for $client: {clients}" >&2
            exit 2 ;;
        esac ;;
    esac ;;
"member "* | "subsystem "* | "service "* | "agreement "* | "request "*)
    case "$given" in *" --identity "* | *" --identity="* | *" --help "* | *" -h "*) ;;
    *) add=--identity value={operator} ;; esac ;;
# Made with the program's own key, wherever that lies.
"program token") ;;
"status "* | "doctor "* | "exchange "* | "log "* | "config "* | "program "* | "gateway register")
    case "$given" in *" --config "* | *" --config="* | *" --help "* | *" -h "*) ;;
    *) add=--config value={config} ;; esac ;;
esac
exec {python} -m cli "$@" ${{value:+"$add" "$value"}}
"""
_LIST_SERVICES: Final = '{"listServices":"*"}'
# By which a file is known to be a wrapper of ours.
_END_IT_FIRST: Final = Text(
    "arrêter d'abord ce pays (Ctrl-C là où il tourne), ou donner un autre --dir",
    "end that country first (Ctrl-C where it runs), or give another --dir",
)
_WRITTEN: Final = _WRAPPER.partition(" :")[0].encode("utf-8")


@click.group()
def country() -> None:
    """Un pays d'essai sur une machine / a country in a box on one machine."""


def _say(text: str) -> None:
    click.echo(f"  · {text}")


def found_country(
    plan_file: Path | None, directory: Path, base_port: int
) -> tuple[CountryPlan, Layout, Ports]:
    """Found a country in ``directory``; without a plan, the country in a box.

    A founding that was cut short is begun anew; one that is refused before it began leaves nothing behind.

    Raises:
        ExchangeError: ``ALREADY_EXISTS``: ``directory`` holds a country, or files that are not ours.
    """
    layout = Layout(directory)
    text = plan_file.read_text(encoding="utf-8") if plan_file else DEFAULT_PLAN
    if layout.founded.exists():
        raise ExchangeError(Reason.ALREADY_EXISTS, f"{layout.root} holds a country already")
    was_there = layout.root.exists()
    clear(layout)
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.marker.touch()
    with contextlib.ExitStack() as held:
        try:
            layout.plan.write_text(text, encoding="utf-8")
            found = founder(layout.plan, layout.root, base_port, _say)
            running = Country(found.plan, layout, found.ports)
            held.enter_context(running.hold_ports())
        except BaseException:
            clear(layout)
            if not was_there:
                layout.root.rmdir()
            raise
        found.found(running.only_registry)
    return found.plan, layout, found.ports


@contextlib.contextmanager
def in_use(layout: Layout) -> Iterator[None]:
    """Hold a country for the process that runs it: none other runs it, or clears it, meanwhile.

    Raises:
        ExchangeError: ``STATE_CONFLICT``: it is held.
    """
    with layout.marker.open("ab") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExchangeError(
                Reason.STATE_CONFLICT, f"the country in {layout.root} is running", remedy=_END_IT_FIRST
            ) from None
        yield


def open_country(directory: Path) -> tuple[CountryPlan, Layout, Ports] | None:
    """A country that was founded before, or ``None``."""
    layout = Layout(directory)
    try:
        base = json.loads(layout.founded.read_text(encoding="ascii"))["base_port"]
    except FileNotFoundError:
        return None
    return load_plan(layout.plan), layout, Ports(int(base))


def clear(layout: Layout) -> None:
    """Empty the directory of a country of ours, whole or half founded; any other that holds something is left alone.

    Raises:
        ExchangeError: ``ALREADY_EXISTS``: there are files, and no founding of ours has marked the directory;
            ``STATE_CONFLICT``: the country in it is running.
    """
    if not layout.root.exists():
        return
    held = [path for path in layout.root.iterdir() if path != layout.marker]
    if held and not layout.marker.exists():
        raise ExchangeError(Reason.ALREADY_EXISTS, f"{layout.root} holds files that no founding has written")
    if not layout.marker.exists():
        return
    with in_use(layout):
        for path in held:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        # Last: a clearing that is cut short is still seen to be ours.
        layout.marker.unlink()


@country.command("found")
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--base-port", type=click.IntRange(1024, 65_000), default=DEFAULT_BASE, show_default=True)
def found(plan: Path, directory: Path, base_port: int) -> None:
    """Fonder un pays selon PLAN / found a country as PLAN says."""
    started = time.monotonic()
    _, layout, _ = found_country(plan, directory, base_port)
    click.echo(f"Pays fondé / country founded: {layout.root} ({time.monotonic() - started:.1f} s)")


@country.command("up")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
)
@click.option("--base-port", type=click.IntRange(1024, 65_000), default=DEFAULT_BASE, show_default=True)
def up(directory: Path, base_port: int) -> None:
    """Faire tourner le pays d'essai jusqu'à Ctrl-C / keep the country in a box running until Ctrl-C."""
    os.umask(0o077)
    wrapper = wrapper_of(Layout(directory))
    for number in (signal.SIGTERM, signal.SIGINT):
        # At any moment, while it founds and starts, too; a shell may have set SIGINT to be ignored.
        signal.signal(number, signal.default_int_handler)
    try:
        _run_country(directory, base_port, wrapper)
    except KeyboardInterrupt:
        return  # as asked


def _run_country(directory: Path, base_port: int, wrapper: Path) -> None:
    started = time.monotonic()
    plan, layout, ports = open_country(directory) or found_country(None, directory, base_port)
    running = Country(plan, layout, ports)
    try:
        with in_use(layout), running.hold_ports():
            running.start_registry()
            running.start_members()
            write_wrapper(wrapper, plan, layout)
            _print_addresses(plan, layout, ports, wrapper, time.monotonic() - started)
            while True:
                time.sleep(0.2)
                running.require_running()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        running.stop()


def wrapper_of(layout: Layout) -> Path:
    """Where a country's wrapper stands: ``./passerelle`` serves ``var/up`` and no other, which have theirs inside.

    Raises:
        ExchangeError: ``ALREADY_EXISTS``: a file of that name is not ours to replace.
    """
    is_default = layout.root == DEFAULT_DIRECTORY.absolute()
    wrapper = Path("passerelle") if is_default else layout.root / "passerelle"
    if wrapper.exists() and not wrapper.read_bytes().startswith(_WRITTEN):
        raise ExchangeError(Reason.ALREADY_EXISTS, f"{wrapper.absolute()} was not written by make up")
    return wrapper


def write_wrapper(wrapper: Path, plan: CountryPlan, layout: Layout) -> None:
    """Write the wrapper: it adds the identity that belongs to ``--as``."""
    programs = [program for member in plan.member for program in member.programs]
    clients = [program.rpartition("/")[0] for program in programs]
    text = _WRAPPER.format(
        cases="\n".join(
            f"        {shlex.quote(client)}) value={shlex.quote(str(layout.program(program)))} ;;"
            for client, program in zip(clients, programs, strict=True)
        ),
        clients=", ".join(clients),
        operator=shlex.quote(str(layout.person("operator", plan.operators[0]))),
        config=shlex.quote(str(layout.gateway(plan.member[0]) / "gateway.toml")),
        python=shlex.quote(sys.executable),
    )
    wrapper.write_text(text, encoding="utf-8")
    wrapper.chmod(0o755)


def _print_addresses(plan: CountryPlan, layout: Layout, ports: Ports, wrapper: Path, seconds: float) -> None:
    click.echo(f"\nPays d'essai prêt en {seconds:.0f} s / country ready in {seconds:.0f} s\n")
    click.echo(f"  registre / registry        {ports.registry}")
    for number, member in enumerate(plan.member, 1):
        programs, pages = ports.gateway(number, 1), ports.gateway(number, 4)
        click.echo(f"  {member.gateway_id}  programmes/programs {programs}   http://{pages}/etat")
    command = "./passerelle" if wrapper == Path("passerelle") else shlex.quote(str(wrapper))
    click.echo("\nÀ essayer / to try:")
    for line in to_try(plan, layout, command):
        click.echo(f"  {line}")
    click.echo("\nCtrl-C pour arrêter / to stop.")
    sys.stdout.flush()


def to_try(plan: CountryPlan, layout: Layout, command: str) -> Iterator[str]:
    """Commands that this very country answers, as its agreements stand; ``command`` is its wrapper."""

    def call(agreement: AgreementPlan, method: str, data: str) -> str:
        issue = " --issue ACT-202611-0001" if agreement.issue_required else ""
        asked = f"{command} call {agreement.service}/{method} --as {agreement.consumer}"
        return f"{asked} --purpose {agreement.purposes[0]}{issue} --data {shlex.quote(data)}"

    def first(service: str, method: str) -> AgreementPlan | None:
        fitting = (one for one in plan.agreement if one.service == service and method in one.methods)
        return next(fitting, None)

    if (person := first("bj.identity.v1.IdentityService", "GetPerson")) is not None:
        yield f"{command} sandbox persons"
        yield call(person, "GetPerson", '{"npi":"0000000001"}')
    elif plan.agreement:
        any_one = plan.agreement[0]
        yield f"{call(any_one, any_one.methods[0], '{}')}      # champs : son .proto / fields: its .proto"
    if (reflection := first(STANDARD_SERVICES["reflection"], "ServerReflectionInfo")) is not None:
        yield f"{call(reflection, 'ServerReflectionInfo', _LIST_SERVICES)}      # un flux / a stream"
    yield f"{command} audit list --log {shlex.quote(str(layout.gateway(plan.member[0])))}"


@country.command("demo")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True
)
def demo(directory: Path) -> None:
    """Fonder, appeler, prouver, arrêter / found, call, prove, stop."""
    started = time.monotonic()
    clear(Layout(directory))
    os.umask(0o077)
    click.echo("Fondation / founding")
    plan, layout, ports = found_country(None, directory, free_base())
    running = Country(plan, layout, ports)
    try:
        click.echo("Démarrage / starting")
        with in_use(layout):
            running.start_registry()
            running.start_members()
            good = run_demo(plan, layout, running)
            memory = running.memory_kb()
    finally:
        running.stop()
    seconds = time.monotonic() - started
    click.echo(f"\n{seconds:.0f} s · {memory / 1024:.0f} Mo / MB (PSS)")
    if not good:
        raise click.exceptions.Exit(1)
    tell_what_is_left(plan, layout)
