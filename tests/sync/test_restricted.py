"""Kinds that a relay keeps for whom they concern: with a key they are archived, without one that is said."""

import re

import pytest
from click.testing import CliRunner

from bigbrotr_dagster.archive.coverage import asked_seconds
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.cli.program import cli
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.nostr.connection import connect
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from bigbrotr_dagster.sync import RelayReport, sync_relays
from tests.nostr.helpers import KEY, signed
from tests.relays.scripted import ScriptedRelay, scripted
from tests.sync.helpers import ask, config, stored_ids, tell

PUBLIC = [signed(2_000_000 + 10 * number, kind=1) for number in range(60)]
PRIVATE = [signed(2_000_000 + 10 * number, kind=(4, 1059)[number % 2], content="sealed") for number in range(90)]
RESTRICTED = frozenset({4, 1059})
KEY_VARIABLE = "RESTRICTED_KINDS_TEST_KEY"


def options(**processing: object) -> SynchronizerConfig:
    return config(keys={"keys_env": KEY_VARIABLE}, processing=processing)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY.hex())


async def synced(database: str, relay: ScriptedRelay, wanted: SynchronizerConfig | None = None) -> RelayReport:
    [report] = (await sync_relays(database, wanted or options(), [relay.url])).relays
    return report


def ids(*events: object) -> set[str]:
    return {event.id for event in events}


@pytest.mark.slow
async def test_with_a_key_they_are_asked_for_alone_under_a_coverage_of_their_own(database: str, key: None) -> None:
    async with scripted([*PUBLIC, *PRIVATE], cap=20, restricts=RESTRICTED) as relay:
        report = await synced(database, relay)
        assert (report.ok, report.gaps, report.pending_seconds, report.without_kinds) == (True, [], 0, ())
        assert stored_ids(database) == ids(*PUBLIC, *PRIVATE)
        covered = dict(ask(database, "SELECT filter::text, upper(covered) FROM sync_coverage"))
        assert set(covered) == {"{}", '{"kinds": [4, 1059]}'}
        assert report.cursor is not None
        assert report.cursor.timestamp < min(covered.values())
        relay.events.append(signed(2_000_000, kind=4, content="later"))  # the next run asks for them at once
        relay.requests.clear()
        again = await synced(database, relay)
    assert again.ok
    assert sum(request.kinds == (4, 1059) for request in relay.requests) >= 1
    assert ask(database, "SELECT restricted_kinds FROM relay_limits") == [("given",)]


async def test_without_a_key_the_coverage_says_that_it_is_without_them(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted([*PUBLIC, *PRIVATE], cap=20, restricts=RESTRICTED) as relay:
        register_relays(database, [relay.url])
        report = await synced(database, relay)
        probes = sum(request.kinds == (4, 1059) for request in relay.requests)
        await synced(database, relay)
        assert sum(request.kinds == (4, 1059) for request in relay.requests) == probes == 1
    assert (report.ok, report.gaps, report.pending_seconds) == (True, [], 0)
    assert stored_ids(database) == ids(*PUBLIC)
    assert report.without_kinds == (4, 1059)
    assert report.to_json_dict()["without_kinds"] == [4, 1059]
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", database)
    shown = CliRunner().invoke(cli, ["cursors", "show", relay.url])
    assert shown.output.endswith("\tok\twithout kinds 4 and 1059, and rare kinds that these may hide\n")
    with_cost = CliRunner().invoke(cli, ["cursors", "show", relay.url, "--cost"])
    assert re.search(r"may hide\tpaged\t\d\.\d\d transfers an event\n$", with_cost.output)


@pytest.mark.slow
async def test_a_key_that_is_given_later_brings_them(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted([*PUBLIC, *PRIVATE], cap=20, restricts=RESTRICTED) as relay:
        await synced(database, relay)
        monkeypatch.setenv(KEY_VARIABLE, KEY.hex())
        report = await synced(database, relay)
        assert stored_ids(database) == ids(*PUBLIC, *PRIVATE)
        assert report.without_kinds == ()
        monkeypatch.delenv(KEY_VARIABLE)
        report = await synced(database, relay)
    assert report.ok
    assert report.without_kinds == (4, 1059)


@pytest.mark.slow
async def test_a_key_that_is_not_let_in_costs_the_others_nothing(database: str, key: None) -> None:
    async with scripted([*PUBLIC, *PRIVATE], cap=20, restricts=RESTRICTED) as relay:
        relay.lets_in = False
        report = await synced(database, relay)
        assert (report.ok, report.gaps, report.without_kinds) == (True, [], (4, 1059))
        assert stored_ids(database) == ids(*PUBLIC)
        relay.lets_in = True
        tell(database, "UPDATE relay_limits SET learned_at = now() - interval '2 days'")
        assert (await synced(database, relay)).without_kinds == ()
        assert stored_ids(database) == ids(*PUBLIC, *PRIVATE)
        relay.lets_in = False
        relay.members.clear()
        thrown_out = await synced(database, relay)
    assert thrown_out.ok
    assert thrown_out.without_kinds == (4, 1059)
    assert all(gap.reason == "refused" for gap in thrown_out.gaps)


@pytest.mark.slow
async def test_a_relay_that_restricts_nothing_costs_one_request_a_day(database: str, key: None) -> None:
    async with scripted([*PUBLIC, *PRIVATE], cap=20) as relay:
        for _ in range(3):
            report = await synced(database, relay)
        assert (report.ok, report.without_kinds) == (True, ())
        assert sum(request.kinds == (4, 1059) for request in relay.requests) == 1
        tell(database, "UPDATE relay_limits SET learned_at = now() - interval '2 days'")
        await synced(database, relay)
    assert sum(request.kinds == (4, 1059) for request in relay.requests) == 2
    assert stored_ids(database) == ids(*PUBLIC, *PRIVATE)


@pytest.mark.parametrize("challenges", ["at once", "any"])
async def test_who_is_challenged_in_any_other_way_is_answered_as_a_member(
    database: str, key: None, challenges: str
) -> None:
    async with scripted([*PUBLIC, *PRIVATE], cap=200, restricts=RESTRICTED) as relay:
        relay.challenges = challenges
        async with connect(
            parse_relay_url(relay.url), timeout=10, allow_private=True, private_key=KEY
        ) as connection:
            page = await connection.request(Filter(limit=200), max_events=400, max_bytes=10_000_000)
        assert ids(*page.events) == ids(*PUBLIC, *PRIVATE)
        assert len(relay.requests) == (1 if challenges == "at once" else 2)
        report = await synced(database, relay)
    assert (report.ok, report.without_kinds) == (True, ())
    assert stored_ids(database) == ids(*PUBLIC, *PRIVATE)


@pytest.mark.parametrize(
    ("given", "kinds"),
    [({}, [4, 1059]), ({"kinds": [1, 4]}, [4]), ({"kinds": [4]}, None), ({"kinds": [1]}, None)],
)
def test_only_a_filter_that_mixes_them_with_others_gets_a_second_history(given, kinds) -> None:
    asked = {one.hash for one in ()} | {each.filter_hash for each in asked_seconds(options(filters=[given]), 1e9)}
    alone = None if kinds is None else Filter.from_dict({"kinds": kinds}).hash()
    assert (alone in asked) is (kinds is not None)
