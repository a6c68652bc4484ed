"""Data of another major version: one line that says what to do, and a command that moves them."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.cli import main
from bigbrotr_dagster.storage import embedded
from bigbrotr_dagster.storage.embedded.postgres_server import launch, shut_down
from bigbrotr_dagster.storage.embedded.server_account import server_account
from tests.debian import program
from tests.postgres15 import BIN

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that PostgreSQL 15 made, in the locale of this machine, with rows, roles and settings."""
    program(f"{BIN}/postgres", "postgresql-15")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BIGBROTR_DATABASE_URL", raising=False)
    monkeypatch.setenv("BIGBROTR_DATA_DIR", str(tmp_path / "data"))
    pgdata = tmp_path / "data" / "postgres"
    pgdata.mkdir(parents=True, mode=0o700)
    account = server_account(pgdata)
    account.own(pgdata)
    with account.place(pgdata) as place:
        words = ("-D", place.name, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        subprocess.run(
            account.command(Path(BIN) / "initdb", *words),
            cwd="/", check=True, stdout=subprocess.DEVNULL, pass_fds=place.fds,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    with fifteen(pgdata) as url:
        with psycopg.connect(url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
            connection.execute('CREATE DATABASE "bigbrotr"')
            connection.execute('CREATE DATABASE "odd ""name" OWNER reader')
            connection.execute("ALTER DATABASE bigbrotr SET statement_timeout = '77s'")
            connection.execute("CREATE TABLE in_postgres AS SELECT 1 AS one")
        with psycopg.connect(url("bigbrotr"), autocommit=True) as connection:
            connection.execute("CREATE TABLE event (id bytea PRIMARY KEY, content text)")
            connection.execute(
                "INSERT INTO event SELECT sha256(n::text::bytea), 'é 😀 ' || n FROM generate_series(1, 20000) AS n"
            )
            connection.execute("GRANT SELECT ON event TO reader")
    return pgdata.parent


@contextmanager
def fifteen(pgdata: Path) -> Iterator[Callable[[str], str]]:
    folder = launch(Path(BIN), pgdata, server_account(pgdata))
    try:
        yield lambda name: psycopg.conninfo.make_conninfo("", host=str(folder), user="postgres", dbname=name)
    finally:
        shut_down(pgdata, Path(BIN))


def test_data_of_another_version_are_one_line_that_names_the_command(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["relays", "list"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "was made by PostgreSQL 15, and the embedded one is 18: `bigbrotr-dagster db upgrade`" in line


def test_the_command_moves_rows_roles_and_settings(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "upgrade"]) == 0
    out = capsys.readouterr().out
    assert "database bigbrotr: 20,000 rows" in out.splitlines()
    assert f"the old data are kept in {data / 'postgres-15'}" in out
    url = embedded.start(data)
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW server_version_num").fetchone()[0].startswith("18")
        assert connection.execute("SHOW statement_timeout").fetchone() == ("77s",)
        assert connection.execute(
            "SELECT content FROM event ORDER BY length(content), content LIMIT 1"
        ).fetchone() == ("é 😀 1",)
        assert connection.execute("SELECT has_table_privilege('reader', 'event', 'SELECT')").fetchone() == (True,)
        collation = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'bigbrotr'"
        assert connection.execute(collation).fetchone() == ("b", "C.UTF-8")
    with psycopg.connect(url.replace("/bigbrotr?", "/postgres?")) as connection:
        assert connection.execute("SELECT one FROM in_postgres").fetchone() == (1,)
        owner = "SELECT rolname FROM pg_database JOIN pg_roles r ON r.oid = datdba WHERE datname LIKE 'odd%'"
        assert connection.execute(owner).fetchone() == ("reader",)
    embedded.leave(data)
    assert (data / "postgres-15" / "PG_VERSION").read_text().strip() == "15"
    assert main(["db", "upgrade"]) == 0
    assert "is PostgreSQL 18's already" in capsys.readouterr().out


def test_a_move_that_was_interrupted_between_its_last_steps_is_not_taken_for_an_empty_archive(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "postgres").rename(data / "postgres-15")
    assert main(["relays", "list"]) == 1
    assert "a move to PostgreSQL 18 was interrupted" in capsys.readouterr().err
    assert not (data / "postgres").exists()
    assert main(["db", "upgrade"]) == 0
    assert "database bigbrotr: 20,000 rows" in capsys.readouterr().out


def test_without_the_older_programs_one_line_says_what_is_needed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["db", "upgrade", "--programs", str(tmp_path / "empty")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "the programs of PostgreSQL 15 are needed" in line
    assert "apt-get install postgresql-15" in line
    assert main(["db", "upgrade", "--programs", str(tmp_path / "none")]) == 2
    assert (data / "postgres" / "PG_VERSION").read_text().strip() == "15"


def test_what_cannot_be_restored_is_one_line_and_the_old_data_stay(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fifteen(data / "postgres") as url, psycopg.connect(url("bigbrotr"), autocommit=True) as connection:
        library = "'$libdir/pg_stat_statements', 'pg_stat_statements_reset'"
        connection.execute(f"CREATE FUNCTION gone() RETURNS int LANGUAGE c AS {library}".encode())
    assert main(["db", "upgrade"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "psql failed: " in line
    assert "pg_stat_statements" in line
    assert {path.name for path in data.iterdir() if path.is_dir()} == {"postgres"}
    with fifteen(data / "postgres") as url, psycopg.connect(url("bigbrotr")) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (20000,)


def test_a_server_that_is_in_use_is_not_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIGBROTR_DATA_DIR", str(tmp_path / "none"))
    assert main(["db", "upgrade"]) == 1
    embedded.start(tmp_path / "none")
    assert main(["db", "upgrade"]) == 1
    embedded.leave(tmp_path / "none")
    missing, used = capsys.readouterr().err.splitlines()
    assert "there is no" in missing
    assert "other processes use" in used
