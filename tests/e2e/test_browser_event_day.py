"""Days by clicks: a backfill of five days of `event_day`, launched in a real browser, ends green."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.archive.exported import DAY, FIRST, held, put_events, read_by_duckdb
from tests.e2e.dev_command import Dev
from tests.e2e.graphql import eventually
from tests.e2e.program import run

pytestmark = pytest.mark.slow

FIVE = [f"2025-03-0{number}" for number in range(1, 6)]


@pytest.fixture(scope="module")
def data(dev: Dev, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that `export.to` names from now on, with events of five days in the archive."""
    home = tmp_path_factory.mktemp("days")
    config = dev.home / "each_minute.yaml"
    before, folder = config.read_text(), home / "data"
    config.write_text(f"{before}export: {json.dumps({'to': str(folder)})}\n")
    put_events(
        database_of(dev, home),
        [(FIRST + n * DAY + i, f"note {i}", [["t", "a"]]) for n in range(5) for i in range(3)],
    )
    yield folder
    config.write_text(before)


def database_of(dev: Dev, home: Path) -> str:
    found = run(home, "db", "url", BIGBROTR_DATA_DIR=str(dev.data))
    assert found.code == 0, found.stderr
    return found.stdout.strip()


def test_a_backfill_of_five_days_is_launched_by_clicks_and_ends_green(dev: Dev, page: Page, data: Path) -> None:
    page.goto(f"{dev.ui.address}/assets/event_day?view=overview")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Show all partitions").click()  # it shows the last 90 days at first
    field = page.get_by_placeholder("ex: 2020-11-01")
    field.fill(f"[{FIVE[0]}...{FIVE[-1]}]")
    field.press("Enter")
    expect(page.get_by_text("5 partitions", exact=True)).to_be_visible()
    page.screenshot(path=str(data.parent / "dialog.png"))
    page.get_by_role("button", name="Launch backfill").click()
    page.get_by_label("Notifications").get_by_text("View", exact=True).click()
    page.wait_for_url("**/runs/b/*")
    backfill = urlsplit(page.url).path.rpartition("/")[2]
    eventually(lambda: dev.ui.backfill_status(backfill) not in ("REQUESTED", "REQUESTING", "LAUNCHED"), 180)
    assert dev.ui.backfill_status(backfill) == "COMPLETED_SUCCESS"
    of_days = {day: rows for day, rows in held(database_of(dev, data.parent)).items() if day in FIVE}
    assert read_by_duckdb(data) == of_days
    assert set(of_days) == set(FIVE)
    for day in FIVE:
        page.goto(f"{dev.ui.address}/assets/event_day?view=partitions&partition={day}")
        expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
        expect(page.get_by_text("relays_covered", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("^Unsynced"))).to_have_count(0)
    page.screenshot(path=str(data.parent / "event_day.png"))
