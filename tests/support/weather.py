"""Disks as they are in bad weather."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


class SmallDisk:
    """A file system of a few megabytes, of which the mount point is made here; needs root.

    Raises:
        OSError: There is no ``mount``.
        subprocess.CalledProcessError: It is not allowed.
    """

    def __init__(self, mount_point: Path, *, megabytes: int) -> None:
        self.mount_point = mount_point
        self._megabytes = megabytes
        mount_point.mkdir()
        size = f"size={megabytes}m"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(mount_point)], check=True, capture_output=True
        )

    def take_over(self, directory: Path) -> None:
        """Move ``directory`` onto this disk; its old name leads there."""
        moved = self.mount_point / directory.name
        shutil.move(directory, moved)
        directory.symlink_to(moved)

    def grow(self) -> None:
        """Make it four times as large."""
        self._megabytes *= 4
        option = f"remount,size={self._megabytes}m"
        subprocess.run(["mount", "-o", option, str(self.mount_point)], check=True, capture_output=True)

    def close(self) -> None:
        """Unmount it; what it held is gone."""
        subprocess.run(["umount", "-l", str(self.mount_point)], check=True, capture_output=True)
