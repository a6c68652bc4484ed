"""Folders and files of our own that nobody else may read, whatever the umask is.

Root works in the folders of other users, too (a container, sudo): what it makes there belongs to the folder's
owner.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
OURS = ("postgres", "dagster", "dev", "report")
"""What the names in the data folder begin with."""


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    for missing in reversed([one for one in folder.parents if not one.exists()]):
        _make(missing)
    _make(folder)


def make_data_dir(folder: Path) -> None:
    """Make the data folder (`BIGBROTR_DATA_DIR`). One that exists becomes private if it holds nothing but ours.

    Raises:
        OSError: it cannot be made.
    """
    make_private_folder(folder)
    if all(entry.name.startswith(OURS) for entry in folder.iterdir()):
        close_to_others(folder)


def close_to_others(folder: Path) -> None:
    """Take a folder's permissions from everybody but its owner, where that is this user or this is root."""
    status = folder.stat()
    if status.st_mode & 0o077 and os.geteuid() in (0, status.st_uid):
        folder.chmod(status.st_mode & 0o7700)


def open_private(path: Path, flags: int) -> int:
    """File descriptor of a file that is made if it is missing."""
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    try:
        status, owner = os.fstat(fd), path.parent.stat()
        if os.geteuid() == 0 and status.st_uid == 0 and owner.st_uid != 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
        if status.st_mode & 0o077 and os.geteuid() in (0, status.st_uid):
            os.fchmod(fd, FILE_MODE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_whole(path: Path, text: str, mode: int = FILE_MODE) -> None:
    """Replace a file's text at once: a reader sees the old text or the new one.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(open_private(new, os.O_WRONLY | os.O_EXCL), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@contextmanager
def private_umask() -> Iterator[None]:
    """Whatever this process, and those that it starts meanwhile, make in the way of files is private."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        return
    owner = folder.parent.stat()
    if os.geteuid() == 0 and owner.st_uid != 0 and not owner.st_mode & 0o1000:
        os.chown(folder, owner.st_uid, owner.st_gid)
