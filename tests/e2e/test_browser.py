"""The UI in a real browser, as an operator looks at it and clicks."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from bigbrotr_dagster.demo import URLS
from tests.defs.helpers import Relays, dead_url, some_events
from tests.e2e.dev_command import Dev
from tests.e2e.graphql import eventually
from tests.e2e.program import run

pytestmark = pytest.mark.slow

DEAD = dead_url()
MARKUP = "![picture](http://127.0.0.1:2/a.png) <img src='http://127.0.0.1:2/b.png'> [link](http://127.0.0.1:2/c)"


@pytest.fixture(scope="module")
def relays(dev: Dev, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Five relays that are registered while `dev` runs, and `DEAD`; soon they have partitions."""
    with Relays() as served:
        urls = [served.serve(some_events(20, f"relay {number}")).url for number in range(5)]
        home = tmp_path_factory.mktemp("register")
        added = run(home, "relays", "add", "--allow-private", *urls, DEAD, BIGBROTR_DATA_DIR=str(dev.data))
        assert added.code == 0, added.stderr
        yield urls


def open_partition(dev: Dev, page: Page, url: str) -> None:
    page.goto(f"{dev.ui.address}/assets/relay_cursor?view=partitions&partition={quote(url, safe='')}")


def materialize(dev: Dev, page: Page, urls: list[str], button: str) -> None:
    """Select the relays' partitions in the dialog of relay_cursor, and launch what it offers."""
    page.goto(f"{dev.ui.address}/assets/relay_cursor?view=overview")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    for url in urls:
        page.get_by_placeholder("Filter partitions").fill(url)
        page.get_by_role("menuitem", name=url).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name=button).click()


def materialize_in_vain(dev: Dev, page: Page, url: str) -> None:
    """As `materialize`, of one relay, until that run has failed: until then its page shows another one."""
    before = set(dev.ui.runs("dagster/partition"))
    materialize(dev, page, [url], "Launch 1 run")
    eventually(
        lambda: [
            run for run, end in dev.ui.runs("dagster/partition").items() if end == "FAILURE" and run not in before
        ],
        180,
    )


@pytest.mark.usefixtures("backfill_of_three")
def test_a_browser_shows_the_graph(dev: Dev, page: Page) -> None:
    page.set_viewport_size({"width": 2600, "height": 1400})  # smaller, it shows the whole graph by names alone
    page.goto(f"{dev.ui.address}/asset-groups")
    for asset in ("relay_candidates", "relay_validated", "relays", "relay_cursor", "relay_health"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("^[34] partitions$")).first).to_be_visible()  # 4 once one is found
    page.set_viewport_size({"width": 1400, "height": 900})


def test_a_browser_shows_a_relays_green_partition_and_its_metadata(dev: Dev, page: Page) -> None:
    open_partition(dev, page, URLS[0])
    expect(page.get_by_text("Materialized").first).to_be_visible()
    for label in ("events_received", "cursor", "lag_seconds", "gaps"):
        expect(page.get_by_text(label, exact=True).first).to_be_visible()


def test_a_browser_plots_the_numbers_of_the_syncs(dev: Dev, page: Page) -> None:
    page.goto(f"{dev.ui.address}/assets/relay_cursor?view=overview")
    page.get_by_role("button", name="Plots").click()
    for label in ("events_received", "lag_seconds"):
        expect(page.get_by_text(label, exact=True).first).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()


@pytest.mark.usefixtures("relays")
def test_a_browser_shows_the_picture_of_the_coverage(dev: Dev, page: Page) -> None:
    """The UI could as well remove pictures that are data: URIs."""
    eventually(dev.ui.has_picture, 90)
    page.goto(f"{dev.ui.address}/assets/archive_coverage")
    for shown_in_place in ("All relays", "Most behind"):
        expect(page.get_by_role("img", name=shown_in_place)).to_be_visible()
    page.get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("img", name="Coverage by relay")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 500


@pytest.fixture(scope="module")
def backfill(dev: Dev, page: Page, relays: list[str]) -> str:
    """The id of a backfill of the five relays, launched by clicks, under way while other tests run."""
    eventually(lambda: {*relays, DEAD} <= dev.ui.partitions(), 60)
    materialize(dev, page, relays, "Launch backfill")
    page.get_by_label("Notifications").get_by_text("View", exact=True).click()
    page.wait_for_url("**/runs/b/*")
    return urlsplit(page.url).path.rpartition("/")[2]


@pytest.mark.usefixtures("backfill")
def test_a_failed_relay_is_red_and_its_log_says_why(dev: Dev, page: Page) -> None:
    materialize_in_vain(dev, page, DEAD)
    eventually(lambda: DEAD in dev.ui.failed(), 60)
    open_partition(dev, page, DEAD)
    expect(page.get_by_text("failed, and did not materialize this asset").first).to_be_visible()
    page.get_by_role("button", name="View logs").click()
    expect(page.get_by_text(f"{DEAD}: connection refused").first).to_be_visible()


@pytest.fixture(scope="module")
def joker(dev: Dev, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registered relay that answers every request with Markdown and HTML."""
    with Relays() as served:
        reason = f"blocked: {MARKUP}"
        url = served.serve([], twist=lambda number, id, honest: [["CLOSED", id, reason]]).url
        home = tmp_path_factory.mktemp("joker")
        added = run(home, "relays", "add", "--allow-private", url, BIGBROTR_DATA_DIR=str(dev.data))
        assert added.code == 0, added.stderr
        eventually(lambda: url in dev.ui.partitions(), 60)
        yield url


def test_what_a_relay_said_is_text_in_the_browser(dev: Dev, page: Page, joker: str) -> None:
    """No page shows its picture or its link, and the browser asks for none."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def expect_text() -> None:
        expect(page.get_by_text("![picture]").first).to_be_visible()
        expect(page.locator("[src*=':2/'], [href*=':2/']")).to_have_count(0)

    materialize_in_vain(dev, page, joker)
    eventually(lambda: joker in dev.ui.failed(), 90)
    open_partition(dev, page, joker)
    page.get_by_role("button", name="View logs").click()
    expect_text()
    page.goto(f"{dev.ui.address}/assets/relay_cursor?view=checks&checkDetail=reachable")
    page.get_by_text("Execution history", exact=True).click()
    expect_text()
    assert not [url for url in asked if "127.0.0.1:2/" in url]


def test_a_backfill_of_five_partitions_is_launched_by_clicks_and_ends_green(
    dev: Dev, page: Page, relays: list[str], backfill: str
) -> None:
    assert eventually(lambda: dev.ui.backfill_status(backfill) != "REQUESTED", 120)
    assert dev.ui.backfill_status(backfill) == "COMPLETED_SUCCESS"
    backfilled = set(dev.ui.runs("dagster/backfill"))
    for url in relays:
        assert backfilled & set(dev.ui.materializations(url))
        open_partition(dev, page, url)
        expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()


def test_the_events_of_one_batch_are_all_in_the_list(dev: Dev, page: Page, relays: list[str]) -> None:
    """The list shows one event of each moment."""
    page.goto(f"{dev.ui.address}/assets/relay_cursor?view=events")
    for url in relays:
        expect(page.get_by_text(url).first).to_be_visible()


def test_a_relay_is_added_and_removed_by_clicks(dev: Dev, page: Page, tmp_path: Path) -> None:
    """By the form of `add_relays`, to green; then by *Delete partitions* on the page of relay_cursor."""
    with Relays() as served:
        url = served.serve(some_events(7, "clicked")).url
        page.goto(f"{dev.ui.address}/locations/bigbrotr_dagster.definitions/jobs/add_relays/playground")
        editor = page.locator(".CodeMirror").first
        expect(editor).to_contain_text("lines")
        editor.click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(f"ops:\n  register:\n    config:\n      lines: |\n        {url}\n")
        page.get_by_role("button", name="Launch run").click()
        eventually(lambda: url in dev.ui.green(), 120)
    assert url in registry(dev, tmp_path)
    page.goto(f"{dev.ui.address}/assets/relay_cursor?view=partitions")
    page.get_by_role("button", name="Materialize").first.locator("xpath=following::button[1]").click()
    page.get_by_role("menuitem", name="Delete partitions").click()
    page.get_by_role("dialog").get_by_text("Select a partition", exact=True).click()
    page.get_by_placeholder("Filter partitions").fill(url)
    page.get_by_role("menuitem", name=url).click()
    page.get_by_text("Delete relay partitions").click()
    page.get_by_role("button", name="Delete 1 partition").click()
    eventually(lambda: url not in registry(dev, tmp_path), 60, every=3)
    eventually(lambda: url not in dev.ui.partitions(), 90)  # a run may have named it


def test_relay_sync_is_launched_bare_by_clicks(dev: Dev, page: Page) -> None:
    """Nothing is typed, no partition is chosen: what is due is synced."""

    def launched() -> dict[str, str]:
        found = dev.ui.ask("{runsOrError {... on Runs {results {runId jobName status tags {key}}}}}")
        started = {"dagster/schedule_name", "dagster/sensor_name", "dagster/backfill", "dagster/partition"}
        return {
            run["runId"]: run["status"]
            for run in found["runsOrError"]["results"]
            if run["jobName"] == "relay_sync" and not started & {tag["key"] for tag in run["tags"]}
        }

    before = launched()
    page.goto(f"{dev.ui.address}/locations/bigbrotr_dagster.definitions/jobs/relay_sync/playground")
    page.get_by_role("button", name="Launch run").click()
    page.get_by_role("button", name="Confirm").click()
    eventually(lambda: "SUCCESS" in {launched()[run] for run in launched().keys() - before.keys()}, 120)


def registry(dev: Dev, home: Path) -> str:
    return run(home, "relays", "list", BIGBROTR_DATA_DIR=str(dev.data)).stdout
