"""Programs of Debian's that tests run for real; installed on first use where this user may."""

import os
import shutil
import subprocess
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


def cannot_be_had(problem: str) -> NoReturn:
    """Skip what needs something that cannot be installed here; in CI, which can install all, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(problem)
    pytest.skip(problem)
