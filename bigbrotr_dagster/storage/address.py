"""Where the archive is: its URL, as libpq reads it, and what is made of it for others.

Only libpq's own reading is asked for: a URL may name several hosts, a folder with a socket, a password with `#`,
`?` or `[` in it, which Python's `urlsplit` takes for something else.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.trouble import DatabaseUnavailable

VARIABLE = "BIGBROTR_DATABASE_URL"
EXAMPLE = "postgresql://user:password@host:5432/bigbrotr"
SESSION_NAME = "bigbrotr-dagster"
"""`application_name` of our sessions."""

CONNECT_TIMEOUT = 10
"""Seconds within which a server has to answer."""


def data_dir() -> Path:
    """The folder of everything that this program keeps outside PostgreSQL (`BIGBROTR_DATA_DIR`)."""
    return Path(os.environ.get("BIGBROTR_DATA_DIR") or ".bigbrotr").expanduser().resolve()


def database_url(*, make: bool = True) -> str:
    """The archive's URL: `BIGBROTR_DATABASE_URL`, else the embedded server's, which is started if need be.

    Raises:
        DatabaseUnavailable: the variable is not a PostgreSQL URL, the embedded server cannot start, or there is
            none yet and `make` is false.
    """
    given = os.environ.get(VARIABLE)
    if given:
        parameters(given)
        return given
    folder = data_dir()
    if not make and not embedded.exists(folder):
        raise DatabaseUnavailable(
            f"there is no archive in {folder} yet: `dev`, `sync`, `relays add` or `db migrate` makes one"
        )
    try:
        return embedded.start(folder)
    except embedded.EmbeddedUnavailable as error:
        raise DatabaseUnavailable(str(error)) from error


def forget_other_servers() -> None:
    """Drop what this process's environment says to libpq (PGPORT, PGHOSTADDR, PGSERVICE), where no URL is given.

    A shell has it for another server; it would keep us, and what we start, from the embedded one.
    """
    if not os.environ.get(VARIABLE):
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]


def parameters(url: str) -> dict[str, str]:
    """libpq's parameters in a URL.

    Raises:
        DatabaseUnavailable: it is none, or names no database. The line repeats nothing that may be a password.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise DatabaseUnavailable(f"{VARIABLE} must look like {EXAMPLE}")
    _refuse_raw_signs(rest)
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise DatabaseUnavailable(f"{VARIABLE} {_unreadable(rest)}; it must look like {EXAMPLE}") from None
    if not all(re.fullmatch(r"[0-9]{0,5}", port) and int(port or 5432) in range(1, 65536)
               for port in found.get("port", "").split(",")):  # fmt: skip
        raise DatabaseUnavailable(f"the port in {VARIABLE} is no number from 1 to 65535 (in a password, / is %2F)")
    if not found.get("dbname"):
        raise DatabaseUnavailable(f"{VARIABLE} names no database; it must look like {EXAMPLE}")
    return found


def database_name(url: str) -> str:
    """The database that the URL names."""
    return parameters(url)["dbname"]


def shown(url: str) -> str:
    """The URL's servers and database, for messages."""
    found = parameters(url)
    hosts = found.get("host", "localhost").split(",")
    ports = found.get("port", "").split(",")
    ports *= len(hosts) if len(ports) == 1 else 1
    pairs = zip(hosts, ports, strict=False)
    return ",".join(f"{host}:{port}" if port else host for host, port in pairs) + f"/{found['dbname']}"


def sqlalchemy_url(url: str, name: str) -> str:
    """SQLAlchemy's URL of database `name` on the same server, for Dagster.

    The driver is named because SQLAlchemy 2.1 would take psycopg 3, with which Dagster cannot write events.
    Hosts and database stand in the query, where SQLAlchemy takes several, and names of any kind.
    """
    found = parameters(url) | {"dbname": name, "client_encoding": "utf8", "application_name": SESSION_NAME}
    user, password = found.pop("user", ""), found.pop("password", None)
    account = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    return f"postgresql+psycopg2://{account}@/?{urlencode(found, quote_via=quote)}"


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """A connection string that may be seen by everybody, and the environment that completes it, for psql."""
    found = parameters(url)
    password = found.pop("password", None)
    found.pop("sslpassword", None)
    return make_conninfo("", **found), {} if password is None else {"PGPASSWORD": password}


def _refuse_raw_signs(rest: str) -> None:
    """libpq would take a part of the password for a host, and tell everybody."""
    before, at, after = rest.partition("@")
    if "/" in before and "@" in rest.partition("?")[0]:
        sign = "/"
    elif at and "@" in re.split("[/?]", after)[0]:
        sign = "@"
    else:
        return
    raise DatabaseUnavailable(f"{VARIABLE} has a {sign} in its user or password: write {quote(sign, safe='')}")


def _unreadable(rest: str) -> str:
    """What libpq cannot read."""
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", rest):
        return "has a % that begins no escape: write %25"
    if " " in rest:
        return "has a space: write %20"
    after = rest.partition("@")[2] or rest
    names = [word.partition("=")[0] for word in after.partition("?")[2].split("&")]
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    unknown = [name for name in names if re.fullmatch(r"\w{1,40}", name) and name not in known]
    return f"has a parameter that PostgreSQL does not know, {unknown[0]}" if unknown else "cannot be read"
