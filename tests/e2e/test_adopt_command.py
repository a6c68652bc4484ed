"""The command `db adopt`: what it prints, what it refuses, and the archive that it leaves."""

import json

import pytest

from bigbrotr_dagster.storage.databases import adopt
from tests.e2e.commands import Commands

pytestmark = pytest.mark.slow


def test_it_says_how_it_gets_on_and_leaves_an_archive(bigbrotr: str, commands: Commands) -> None:
    lines = commands.done(bigbrotr, ["db", "adopt"]).splitlines()
    assert "numbering events: 100.0%, 10 rows, " in "\n".join(lines)
    assert "copying observations: 100.0%, 11 rows, " in "\n".join(lines)
    assert lines[-1].startswith("done; locked others out for 0.")
    assert commands.done(bigbrotr, ["db", "adopt"]) == "done\n"
    assert "wss://c" in commands.done(bigbrotr, ["relays", "list"])
    assert commands.done(bigbrotr, ["db", "adopt", "--trust-cursors"]).startswith("trusting cursors: of 0 relays")


def test_it_says_so_to_programs(bigbrotr: str, commands: Commands) -> None:
    said = [json.loads(line) for line in commands.done(bigbrotr, ["db", "adopt", "--json"]).splitlines()]
    assert {tuple(one) for one in said} == {("step", "detail", "done", "rows", "rate", "seconds_left", "held")}
    assert [one["rows"] for one in said if one["done"] == 1] == [10, 11]
    assert said[-1]["step"] == "done"
    assert 0 < said[-1]["held"] < 5


def test_it_can_be_left_off_and_refuses_in_one_line(bigbrotr: str, commands: Commands, database: str) -> None:
    one = adopt(bigbrotr)
    next(one)
    one.close()
    for arguments in (["relays", "list"], ["db", "migrate"], ["cursors", "show"]):
        commands.refused(
            bigbrotr, arguments, "is being taken over from BigBrotr: 0%", "`bigbrotr-dagster db adopt`"
        )
    assert (
        commands.done(bigbrotr, ["db", "adopt", "--undo"]).splitlines()[-1].startswith("undone; locked others out")
    )
    commands.refused(bigbrotr, ["db", "adopt", "--undo"], "is not being taken over")
    assert commands.run(bigbrotr, ["db", "adopt", "--batch-rows", "1"]).code == 2
    assert commands.done(bigbrotr, ["db", "migrate"]) == "the schema is up to date\n"
    assert commands.done(database, ["db", "adopt"]) == "done\n", "an archive of ours needs nothing"
