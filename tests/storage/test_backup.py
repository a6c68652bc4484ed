"""Backups, by PostgreSQL's own means as docs/operating.md has them: what comes back is whole, and syncs go on."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bigbrotr_dagster.archive.proof import cursors_beyond_coverage
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.storage.databases import ensure_database
from bigbrotr_dagster.sync import sync_relays
from tests.conftest import in_database
from tests.nostr.helpers import signed
from tests.postgres15 import BIN, Server, as_postgres, postgres15
from tests.relays.scripted import scripted
from tests.sync.helpers import ask, config, stored_ids, tell

pytestmark = pytest.mark.slow

EVENTS = [signed(1_000 + number, tags=[["t", f"{number}"]]) for number in range(30)]
SUMS = [
    "SELECT count(*), sum(hashtext(event::text)::bigint) FROM event",
    "SELECT count(*), sum(hashtext(o::text)::bigint) FROM observation AS o",
    "SELECT relay_url, filter_hash, covered::text, read_at_ages::text FROM sync_coverage ORDER BY 1, 2",
    "SELECT * FROM service_state ORDER BY 1, 2, 3",
    "SELECT * FROM sync_total ORDER BY 1, 2",
    "SELECT id FROM archive_identity",
]


def sums(database: str) -> list[list[Any]]:
    return [ask(database, question) for question in SUMS]


async def newer_events() -> list[Event]:
    """Ten events of now, in a second that no sync has read yet and that the next one reads."""
    await asyncio.sleep(1.1)
    events = [signed(int(time.time()), content=str(number)) for number in range(10)]
    await asyncio.sleep(1.1)
    return events


def server_program(name: str, *arguments: str) -> None:
    """One of PostgreSQL's programs, as any client runs it."""
    subprocess.run([f"{BIN}/{name}", *arguments], check=True, capture_output=True)


async def test_a_dump_is_restored_on_a_new_server_and_syncs_go_on(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dump = tmp_path / "archive.dump"
    async with scripted(list(EVENTS)) as relay:
        with postgres15(tmp_path_factory.mktemp("old")) as server:
            old = in_database(server.url, "bigbrotr")
            ensure_database(old)
            [report] = (await sync_relays(old, config(), [relay.url])).relays
            assert report.events_new == 30
            server_program("pg_dump", "--format=custom", f"--file={dump}", old)
            before = sums(old)
        with postgres15(tmp_path_factory.mktemp("new")) as server:
            new = in_database(server.url, "bigbrotr")
            tell(server.url, "CREATE DATABASE bigbrotr")
            server_program("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={new}", str(dump))
            assert sums(new) == before
            ensure_database(new)
            relay.events.extend(await newer_events())
            relay.requests.clear()
            [report] = (await sync_relays(new, config(), [relay.url])).relays
            assert (report.ok, report.events_new) == (True, 10)
            assert all((asked.since or 0) > 2_000 for asked in relay.requests), "what was proved is not read again"
            assert stored_ids(new, relay.url) == {event.id for event in relay.events}
            assert cursors_beyond_coverage(new, config()) == []


@contextmanager
def recovered(server: Server, backup: Path, until: str, archived: Path) -> Iterator[str]:
    """URL of database `postgres` on a server that was recovered from a base backup, up to that moment."""
    home = Path(f"{server.folder}-recovered")
    home.mkdir()
    shutil.chown(home, "postgres", "postgres")
    as_postgres(["cp", "-a", str(backup), f"{home}/data"])
    with (home / "data/postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'cp {archived}/%f %p'\n")
        settings.write(f"recovery_target_time = '{until}'\n")
        settings.write("recovery_target_action = 'promote'\n")
    (home / "data/recovery.signal").touch()
    shutil.chown(home / "data/recovery.signal", "postgres", "postgres")
    again = Server(home)
    again.start()
    try:
        yield again.url
    finally:
        again.stop("immediate")
        shutil.rmtree(home)


async def test_an_archive_is_taken_back_to_a_moment_and_reads_the_rest_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with scripted(list(EVENTS)) as relay:
        options = "-c wal_level=replica -c archive_mode=on"
        with postgres15(tmp_path_factory.mktemp("pitr"), options=options) as server:
            archived, backup = server.folder / "archived", server.folder / "backup"
            as_postgres(["mkdir", str(archived)])
            tell(
                server.url, f"ALTER SYSTEM SET archive_command = 'test ! -f {archived}/%f && cp %p {archived}/%f'"
            )
            tell(server.url, "SELECT pg_reload_conf()")
            database = in_database(server.url, "bigbrotr")
            ensure_database(database)
            words = ["-h", str(server.folder), "-U", "postgres", "-c", "fast"]
            as_postgres([f"{BIN}/pg_basebackup", "-D", str(backup), *words])
            await sync_relays(database, config(), [relay.url])  # after the base backup: it is in the WAL alone
            before = sums(database)
            [(moment,)] = ask(database, "SELECT clock_timestamp()::text")
            relay.events.extend(await newer_events())
            await sync_relays(database, config(), [relay.url])
            tell(database, "DELETE FROM event")  # what nobody wanted
            [(wal,)] = ask(server.url, "SELECT pg_walfile_name(pg_switch_wal())")
            deadline = time.monotonic() + 60
            while not (archived / wal).exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            server.stop("immediate")
            try:
                with recovered(server, backup, moment, archived) as url:
                    again = in_database(url, "bigbrotr")
                    assert sums(again) == before
                    [report] = (await sync_relays(again, config(), [relay.url])).relays
                    assert (report.ok, report.events_new) == (True, 10)
                    assert stored_ids(again, relay.url) == {event.id for event in relay.events}
                    assert cursors_beyond_coverage(again, config()) == []
            finally:
                server.start()  # whoever made it stops it
