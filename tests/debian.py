"""Programs of Debian's that tests run for real; installed on first use where this user may."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest


def program(path: str, package: str) -> str:
    """The path of a program; its package is installed if it is missing and we are root."""
    if shutil.which(path) is None and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        subprocess.run(
            ["apt-get", "install", "-qy", "--no-install-recommends", package],
            check=False,
            capture_output=True,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )
    found = shutil.which(path)
    if found is None:
        cannot_be_had(f"{Path(path).name} is missing: apt-get install {package}")
    return found


def unpacked(name: str, package: str) -> str:
    """The path of a program out of a Debian package that is not installed: nobody starts its service.

    It is kept in a folder of this user's own below the machine's folder for temporary files.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    folder = Path(tempfile.gettempdir()) / f"bigbrotr-packages-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        cannot_be_had(f"{folder} belongs to another user")
    if not (folder / package).exists():
        with tempfile.TemporaryDirectory(dir=folder) as fetched:
            download = ["apt-get", "download", package]
            for command in (download, ["apt-get", "update", "-q"], download):
                if not list(Path(fetched).glob("*.deb")):
                    subprocess.run(command, cwd=fetched, check=False, capture_output=True)
            for archive in Path(fetched).glob("*.deb"):
                subprocess.run(["dpkg", "-x", str(archive), f"{fetched}/whole"], check=True)
            if not Path(fetched, "whole").exists():
                cannot_be_had(f"{name} is missing: apt-get install {package}")
            with contextlib.suppress(OSError):  # another process was faster
                Path(fetched, "whole").rename(folder / package)
    return str(folder / package / "usr" / "bin" / name)


def cannot_be_had(problem: str) -> NoReturn:
    """Skip what needs something that cannot be installed here; in CI, which can install all, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(problem)
    pytest.skip(problem)
