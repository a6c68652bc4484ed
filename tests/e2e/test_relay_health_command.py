"""The commands `relays health` and `relays list`: what they check, print and exit with."""

import json

from bigbrotr_dagster.archive.registry import register_relays
from tests.defs.helpers import Relays, dead_url
from tests.discovery.documented import documented
from tests.e2e.commands import Commands


def test_health_is_checked_stored_and_listed(database: str, commands: Commands) -> None:
    with Relays() as relays:
        one = relays.enter(documented(body=b'{"software": "strfry\\u001b[2J", "supported_nips": [1]}')).url
        dead = dead_url()
        register_relays(database, [one, dead])
        printed = json.loads(commands.done(database, ["relays", "health", "--allow-private", "--json"]))
        assert (printed["relays"], printed["alive"], printed["dead"], printed["not_checked"]) == (2, 1, 1, {})
        alive, gone = sorted(printed["per_relay"], key=lambda each: not each["alive"])
        assert (alive["url"], alive["nips"], alive["reason"]) == (one, [1], None)
        assert alive["rtt_open_ms"] >= 1
        assert (gone["url"], gone["reason"], gone["rtt_open_ms"]) == (dead, "connection refused", None)
        assert commands.done(database, ["relays", "list", "--alive"]) == f"local\t{one}\n"
        assert commands.done(database, ["relays", "list", "--dead"]) == f"local\t{dead}\n"
        assert len(commands.done(database, ["relays", "list"]).splitlines()) == 2
        listed = json.loads(commands.done(database, ["relays", "list", "--dead", "--json"]))
        assert [(each["url"], each["alive"], each["reason"]) for each in listed] == [
            (dead, False, "connection refused")
        ]
        nobody = json.loads(commands.done(database, ["relays", "health", "--allow-private", "--json"]))
        assert nobody["relays"] == 0, "nobody is due"
        line = commands.done(database, ["relays", "health", one, "--allow-private"])
        assert line.startswith(f"local\t{one}\talive\topen ")
        assert "strfry\\x1b[2J" in line


def test_what_cannot_be_checked_is_one_line(database: str, commands: Commands) -> None:
    commands.refused(
        database, ["relays", "health", "wss://a.example.com"], "wss://a.example.com is not registered"
    )
    register_relays(database, ["ws://127.0.0.1:7777"])
    commands.refused(database, ["relays", "health", "ws://127.0.0.1:7777"], "private address")
    assert commands.run(database, ["relays", "health", "nonsense"]).code == 2
    path = commands.home / "geo.yaml"
    path.write_text("{monitor: {geo: {city_database_path: /nowhere.mmdb}}}")
    commands.refused(database, ["relays", "health", "--config", str(path)], "/nowhere.mmdb cannot be read")


def test_a_list_of_an_empty_registry_is_empty(database: str, commands: Commands) -> None:
    assert commands.done(database, ["relays", "list", "--json"]) == "[]\n"
    assert commands.done(database, ["relays", "list", "--alive"]) == ""
