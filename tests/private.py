"""What others than its owner may do with files: of a folder that is in use, too."""

import os
import stat
from pathlib import Path


def open_to_others(folder: Path) -> dict[Path, str]:
    """The modes of what others may read, write or enter there; links have no mode of their own.

    A server makes and removes files at any time: one that is gone is open to nobody.
    """
    below = (Path(top, name) for top, folders, files in os.walk(folder) for name in (*folders, *files))
    modes = {path: _mode(path) for path in (folder, *below)}
    return {path: stat.filemode(mode) for path, mode in modes.items() if not stat.S_ISLNK(mode) and mode & 0o077}


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0
