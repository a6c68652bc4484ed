"""The command `dev` while it runs, and every process that came from it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.e2e.graphql import Ui

MARK = "BIGBROTR_TEST_OF_DEV"


@dataclass(frozen=True)
class Dev:
    """The running command."""

    process: "subprocess.Popen[str]"
    home: Path
    data: Path
    ui: Ui
    mark: str
    seconds: float
    """From the start until three partitions were green, on an idle machine."""

    def processes(self) -> list[psutil.Process]:
        """Every process that came from the command, whoever its parent is."""
        return living(self.mark)


def living(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if marked(process, mark)]


def marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
