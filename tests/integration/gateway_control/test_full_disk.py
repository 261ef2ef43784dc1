"""Control on a disk that is full: it goes on, says so, and takes up what it missed as soon as there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.control.configuration import CONFIG_NOT_STORED
from gateway.control.main import Control
from tests.integration.gateway_control.conftest import Country, Start
from tests.support.programs import end_without
from tests.support.waiting import until
from tests.support.weather import SmallDisk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        disk = SmallDisk(tmp_path / "small", megabytes=4)
    except (OSError, subprocess.CalledProcessError) as error:
        end_without("mount", f"a tmpfs cannot be mounted here: {error}")
    yield disk
    disk.close()


def test_control_outlives_a_full_disk_and_takes_up_what_it_missed(
    country: Country, start: Start, small_disk: SmallDisk
) -> None:
    """Index, configuration, mirror and small files are on it: nothing ends, the version before stays and is confirmed."""
    made = country.found(country.pns)
    small_disk.take_over(made.directory.root)
    control = start(made)
    index = made.directory.index
    version = country.publish()
    # It serves before the disk fills: a worker that is still starting is another matter.
    until(lambda: _version(control) == version and control.state().is_serving)
    filler = small_disk.mount_point / "filler"
    _fill(filler)
    assert index.exists()

    country.publish()
    until(lambda: CONFIG_NOT_STORED in control.state().faults)

    confirmed = control.state().configuration
    assert confirmed is not None
    assert confirmed.version == version
    assert control.state().is_serving
    control.stop()
    control = start(made)
    # What it cannot verify without room, workers read as it was left to them.
    assert _version(control) == version
    filler.unlink()
    until(lambda: _version(control) == version + 1 and control.state().is_serving, 20)
    until(lambda: CONFIG_NOT_STORED not in control.state().faults)


def _version(control: Control) -> int:
    configuration = control.state().configuration
    return 0 if configuration is None else configuration.version


def _fill(path: Path) -> None:
    """Until not a byte more is taken."""
    with path.open("wb", buffering=0) as file:
        for size in (1_000_000, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
