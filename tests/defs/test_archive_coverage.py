"""The picture of the archive's coverage: what it counts, what it shows, and when it is drawn."""

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import unquote
from xml.etree import ElementTree

import dagster as dg
import psycopg
import pytest

from bigbrotr_dagster.archive.columns import MOST_COLUMNS, columns_between
from bigbrotr_dagster.archive.coverage import (
    MOST_RELAYS,
    ArchiveCoverage,
    Breakdown,
    RelayCoverage,
    archive_coverage,
)
from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.archive import coverage_metadata
from bigbrotr_dagster.defs.archive.picture import markdown_image, picture, strip
from bigbrotr_dagster.defs.automation import archive_coverage_refresh
from bigbrotr_dagster.defs.graph import ARCHIVE_COVERAGE
from bigbrotr_dagster.nostr.filter import Filter
from tests.defs.helpers import NOW, Graph, Relays, some_events

DAY = 86_400
URLS = [f"wss://relay-{number}.example.com" for number in range(4)]
KINDS = {"kinds": [1]}


def at(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


END = at(2024, 5, 1)
"""The moment at which the archives of these tests are looked at."""


def options(**processing: object) -> SynchronizerConfig:
    return SynchronizerConfig.model_validate({"processing": {"end_lag": 1} | processing})


def execute(database: str, statement: str, rows: Sequence[Sequence[object]]) -> None:
    with psycopg.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(statement.encode(), rows)


def cover(database: str, url: str, *ranges: tuple[int, int], selection: dict[str, object] | None = None) -> None:
    """Let half-open ranges of seconds be covered."""
    key = Filter.from_dict(selection or {}).hash()
    text = "{" + ",".join(f"[{since},{until})" for since, until in ranges) + "}"
    execute(database, "INSERT INTO sync_coverage VALUES (%s, %s, '{}', %s)", [(url, key, text)])


def leave_gap(database: str, url: str, since: int, until: int, reason: str) -> None:
    """Let the seconds `since` to `until`, both inside, be a gap."""
    columns = "(relay_url, filter_hash, since, until, reason)"
    row = (url, Filter().hash(), since, until, reason)
    execute(database, f"INSERT INTO sync_gap {columns} VALUES (%s, %s, %s, %s, %s)", [row])


def store_event(database: str, created_at: int) -> None:
    execute(database, "INSERT INTO event VALUES ('\\x01', '', %s, 1, '[]', '{}', '', '')", [(created_at,)])


def image(metadata: dict[str, dg.MetadataValue], label: str) -> ElementTree.Element:
    """The picture as a browser would read it out of the Markdown."""
    text = str(metadata[label].value)
    address = text[text.index("(<") + 2 : text.index(">)")]
    head, _, svg = address.partition(",")
    assert head == "data:image/svg+xml"
    assert not set(svg) & set('<>#"&\n\\')
    return ElementTree.fromstring(unquote(svg))


def test_each_second_is_covered_pending_or_a_gap(any_database: str) -> None:
    register_relays(any_database, URLS[:3])
    cover(any_database, URLS[0], (0, END))
    cover(any_database, URLS[1], (at(2024, 3), at(2024, 4)), (at(2024, 4, 11), END))
    leave_gap(any_database, URLS[1], at(2024, 4, 1), at(2024, 4, 11) - 1, "refused: not for you")
    leave_gap(any_database, URLS[0], at(2024, 3, 5), at(2024, 3, 5), "saturated")  # covered meanwhile
    store_event(any_database, at(2024, 3, 10))
    found = archive_coverage(any_database, options(since=at(2023, 5, 10)), now=END)
    assert (found.unit, found.relays, found.uncovered) == ("month", 3, 1)
    assert (len(found.columns), list(found.edges[-4:])) == (12, [at(2024, month) for month in (2, 3, 4, 5)])
    assert [relay.url for relay in found.shown] == [URLS[1], URLS[0], URLS[2]], (
        "most behind; nothing covered: last"
    )
    february, march, april = 29 * DAY, 31 * DAY, 30 * DAY
    assert [list(row[-3:]) for row in found.cells] == [
        [Breakdown(february, 0, 0), Breakdown(march, march, 0), Breakdown(april, 20 * DAY, 10 * DAY)],
        [Breakdown(february, february, 0), Breakdown(march, march, 0), Breakdown(april, april, 0)],
        [Breakdown(february), Breakdown(march), Breakdown(april)],
    ]
    assert found.columns[-1] == Breakdown(3 * april, april + 20 * DAY, 10 * DAY)
    assert found.columns[0] == Breakdown(3 * 22 * DAY, 22 * DAY, 0), "asked for from the tenth on"
    assert found.total.pending == 2 * (END - at(2023, 5, 10)) - march - april
    assert [relay.gaps for relay in found.shown] == [1, 1, 0]
    assert [(one.reason, one.gaps, one.relays, one.seconds) for one in found.reasons] == [
        ("refused", 1, 1, 10 * DAY),
        ("saturated", 1, 1, 1),
    ]


def test_it_begins_with_the_oldest_event_unless_a_walk_is_still_on_its_way_there(database: str) -> None:
    register_relays(database, URLS[:2])
    cover(database, URLS[0], (0, END))
    store_event(database, at(2022, 7, 20))
    assert archive_coverage(database, options(), now=END).edges[0] == at(2022, 7)
    cover(database, URLS[1], (at(2024, 1), END))
    found = archive_coverage(database, options(), now=END)
    assert found.edges[0] == at(2020, 11)
    assert found.total.pending == at(2024, 1) - at(2020, 11)
    execute(database, "UPDATE event SET created_at = %s", [(at(1999, 1),)])  # dated back
    assert archive_coverage(database, options(), now=END).edges[0] == at(2020, 11)


def test_a_relay_with_two_filters_has_their_average(database: str) -> None:
    register_relays(database, URLS[:1])
    cover(database, URLS[0], (0, END), selection=KINDS)
    cover(database, URLS[0], (0, END), selection={"kinds": [7]})  # no longer configured: does not count
    wanted = options(filters=[KINDS, {"kinds": [0]}], since=at(2024, 4))
    found = archive_coverage(database, wanted, now=END)
    assert {(cell.asked, cell.covered_share) for cell in found.cells[0]} == {(2 * DAY, 0.5)}
    assert found.total.asked == 60 * DAY


def test_relays_that_cannot_be_reached_count_only_if_they_were_tried(database: str) -> None:
    tor = [f"ws://{letter * 55}d.onion" for letter in "ab"]
    register_relays(database, [URLS[0], *tor])
    assert archive_coverage(database, options(), now=END).relays == 1
    execute(database, "INSERT INTO relay_limits (relay_url, attempted_at) VALUES (%s, now())", [(tor[0],)])
    assert archive_coverage(database, options(), now=END).relays == 2


@pytest.mark.parametrize(
    ("since", "unit", "columns"),
    [
        ((2024, 4, 29), "day", 2),
        ((2024, 3, 14), "day", 48),
        ((2024, 3, 13), "week", 8),
        ((2023, 6, 5), "week", 48),
        ((2023, 6, 4), "month", 11),
        ((2020, 5), "month", 48),
        ((2020, 4), "quarter", 17),
        ((2012, 7), "quarter", 48),
        ((2012, 6), "year", 13),
    ],
)
def test_a_column_is_as_short_as_the_history_lets_it_be(since: tuple[int, ...], unit: str, columns: int) -> None:
    found, edges = columns_between(at(*since), END)
    assert (found, len(edges) - 1) == (unit, columns)
    assert edges[0] <= at(*since) < edges[1]
    assert edges[-2] < END <= edges[-1]


def test_of_many_relays_the_ones_most_behind_are_shown_and_all_are_counted(database: str) -> None:
    urls = [f"wss://relay-{number:04}.example.com" for number in range(1_000)]
    register_relays(database, urls)
    key = Filter().hash()
    rows = [(url, key, f"{{[0,{END - 1000 * DAY + number * DAY})}}") for number, url in enumerate(urls)]
    execute(database, "INSERT INTO sync_coverage VALUES (%s, %s, '{}', %s)", rows)
    found = archive_coverage(database, options(), now=END)
    assert (found.relays, len(found.shown), len(found.cells)) == (1_000, MOST_RELAYS, MOST_RELAYS)
    assert [relay.url for relay in found.shown] == urls[:MOST_RELAYS]
    assert found.total.pending == sum(range(1, 1_001)) * DAY
    metadata = coverage_metadata(found)
    assert "**900 others** are left out" in metadata["coverage_by_relay"].value
    drawn = "".join(image(metadata, "coverage_by_relay").itertext())
    assert "relay-0099.example.com" in drawn
    assert "relay-0100" not in drawn


def test_an_empty_archive_says_what_is_missing(database: str) -> None:
    metadata = coverage_metadata(archive_coverage(database, options()))
    assert "relays add" in metadata["coverage"].value
    register_relays(database, URLS)
    metadata = coverage_metadata(archive_coverage(database, options()))
    assert "Nothing is covered yet of 4 registered relays" in metadata["coverage"].value
    assert "coverage_by_relay" not in metadata
    assert (metadata["relays"], metadata["covered_share"], metadata["gaps"]) == (4, 0.0, 0)


def worst_case() -> ArchiveCoverage:
    """As many rows and columns as there can be, and no two neighbours alike."""
    draw = random.Random(1)
    unit, edges = columns_between(at(2020, 6), END)
    cells = [
        [Breakdown(1_000, draw.randint(1, 500), draw.randint(1, 499)) for _ in range(MOST_COLUMNS)]
        for _ in range(MOST_RELAYS)
    ]
    shown = [
        RelayCoverage(f"wss://{'<&>' * 20}{n}.onion/", Breakdown(10**9, 1, 1), 10**6) for n in range(MOST_RELAYS)
    ]
    columns = [Breakdown(1_000, draw.randint(1, 500), draw.randint(1, 499)) for _ in range(MOST_COLUMNS)]
    return ArchiveCoverage(unit, edges, 10**6, 0, Breakdown(10**12, 10**6, 10**6), columns, shown, cells, [])


def test_the_pictures_are_small_and_the_strip_is_shown_in_place() -> None:
    coverage = worst_case()
    assert len(markdown_image(picture(coverage), "")) < 150_000
    metadata = coverage_metadata(coverage)
    for shown in ("coverage", "most_behind"):
        assert len(metadata[shown].value) < 1_000, "the UI hides longer Markdown behind a click"
    assert list(metadata)[:2] == ["coverage", "most_behind"]
    assert {image(metadata, label).tag for label in ("coverage", "most_behind", "coverage_by_relay")} == {
        "{http://www.w3.org/2000/svg}svg"
    }


def test_a_cell_shows_the_smallest_gap_and_the_last_pending_minutes_of_none_but_the_last() -> None:
    month = 30 * DAY
    cells = [Breakdown(month, month - 1, 1), Breakdown(month, month - 300, 0), Breakdown(month, month - 300, 0)]
    edges, relay = columns_between(at(2024, 2), END)[1], RelayCoverage("wss://a", cells[0], 1)
    coverage = ArchiveCoverage("month", edges, 1, 0, cells[1], cells, [relay], [cells], [])
    svg = picture(coverage)
    drawn = [
        (path.get("stroke"), path.get("stroke-opacity"), path.get("stroke-width"), path.get("d"))
        for path in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
    ]
    assert drawn == [
        ("#2a9d6a", "0.55", "0.72", "M0 0h1"),
        ("#f0a81c", "1.0", "0.18", "M0 0h1"),
        ("#2a9d6a", "0.55", "0.81", "M1 0h1"),
        ("#8a95a5", "0.35", "0.09", "M1 0h1"),
        ("#2a9d6a", "1.0", "0.90", "M2 0h1"),
    ]
    assert "99.9 %, 1 gap" in svg
    assert strip(coverage).count("<path") == 2


def refresh(graph: Graph, cursor: str | None) -> tuple[str | None, list[dg.AssetMaterialization]]:
    """One tick: the cursor after it, and the pictures drawn; of tables `test_tables` knows."""
    with dg.build_sensor_context(
        instance=graph.instance, resources=dict(graph.resources), definitions=defs, cursor=cursor
    ) as context:
        result = archive_coverage_refresh.evaluate_tick(context)
    assert not result.run_requests
    drawn = [event for event in result.asset_events if event.asset_key == ARCHIVE_COVERAGE]
    return result.cursor, [event for event in drawn if isinstance(event, dg.AssetMaterialization)]


@pytest.mark.slow
def test_the_sensor_draws_once_something_is_proved_and_then_every_ten_minutes(
    graph: Graph, relays: Relays
) -> None:
    graph.register(first := relays.serve(some_events(5)).url, second := relays.serve(some_events(3)).url)
    assert refresh(graph, None)[1] == []
    graph.sync(first)
    cursor, [drawn] = refresh(graph, None)
    assert drawn.asset_key == ARCHIVE_COVERAGE
    assert (drawn.metadata["relays"].value, drawn.metadata["relays_without_coverage"].value) == (2, 1)
    assert refresh(graph, cursor)[1] == []
    graph.sync(second)
    now = int(time.time())
    assert refresh(graph, f"{now - 30} 1")[1] == []
    assert len(refresh(graph, f"{now - 61} 1")[1]) == 1, "another relay"
    assert refresh(graph, f"{now - 590} 2")[1] == []
    assert len(refresh(graph, f"{now - 601} 2")[1]) == 1


def test_the_asset_draws_the_archive_in_a_run(graph: Graph, relays: Relays) -> None:
    graph.register(url := relays.serve(some_events(5)).url)
    graph.sync(url)
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=graph.instance, asset_selection=[ARCHIVE_COVERAGE])
    [event] = result.asset_materializations_for_node("archive_coverage")
    values = {key: value.value for key, value in event.metadata.items()}
    assert values["relays"] == 1
    assert values["covered_share"] > 0.99
    assert values["since"] <= NOW
    assert isinstance(event.metadata["pending_seconds"], dg.FloatMetadataValue)
    drawn = "".join(image(dict(event.metadata), "coverage_by_relay").itertext())
    assert url in drawn
    assert "100 % covered since" in drawn
