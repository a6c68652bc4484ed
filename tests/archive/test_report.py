"""The report: its numbers, and its page in a browser, beside relays whose names are a stranger's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from bigbrotr_dagster.archive import stats
from bigbrotr_dagster.archive.report import Report, ReportRefused, write_report
from bigbrotr_dagster.archive.report.facts import RELAYS_COMPARED, RELAYS_COVERED
from bigbrotr_dagster.archive.report.figure import stranger
from bigbrotr_dagster.cli import main
from tests.archive.reported import DAY, NOW, RELAYS, STRANGER, fill, register_many
from tests.conftest import _clone
from tests.debian import program
from tests.e2e.program import run
from tests.sync.helpers import ask, config

pytestmark = pytest.mark.slow

OPTIONS = config(networks={"tor": {"enabled": True}})
PLOTS = {"created", "seen", "coverage", "gaps", "behind", "kinds", "copies", "networks", "overlap"}


@pytest.fixture(scope="module")
def archive(embedded_server: str) -> Iterator[str]:
    """URL of an archive with 3,000 events of 400 days, on 43 relays and a stranger's."""
    with contextmanager(_clone)(embedded_server) as database:
        fill(database)
        yield database


@pytest.fixture(scope="module")
def made(archive: str, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write_report(archive, OPTIONS, tmp_path_factory.mktemp("report") / "archive.html", now=NOW)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        path = program("/usr/bin/chromium", "chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, path: Path) -> tuple[Page, list[str]]:
    """The page, once its plots are drawn, and whatever went wrong on it, or was asked for beside it."""
    page, troubles = browser.new_page(viewport={"width": 1400, "height": 900}), []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: troubles.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-drawn]", timeout=60_000)
    return page, troubles


def test_the_numbers_are_the_archives(archive: str, made: Report) -> None:
    facts = made.facts
    assert (facts.events, facts.sampled, facts.followed, facts.sampled_share) == (3_000, 3_000, 3_000, 1)
    assert facts.relays == {"clearnet": 40, "tor": 3}
    assert facts.kinds == ask(archive, "SELECT kind, count(*) FROM event GROUP BY 1 ORDER BY 2 DESC, 1")
    assert [tuple(copy) for copy in facts.copies] == ask(
        archive,
        "SELECT least(n, 25), count(*) FROM (SELECT count(*) AS n FROM observation GROUP BY event_seq) AS event"
        " GROUP BY 1 ORDER BY 1",
    )
    networks = {one.network: (one.events, one.observations) for one in facts.networks}
    assert networks["unregistered"] == (3_000, 3_000), "the stranger's relay holds all"
    assert (
        networks["clearnet"][1]
        == ask(archive, "SELECT count(*) FROM event_relay WHERE relay_url LIKE '%.com'")[0][0]
    )
    assert (facts.coverage.gaps, len(facts.coverage.shown)) == (14, RELAYS_COVERED)


def test_growth_is_events_a_day(archive: str, made: Report) -> None:
    created, seen = made.facts.created, made.facts.seen
    assert (created.unit, seen and seen.unit) == ("month", "day")
    pairs = zip(created.edges, created.edges[1:], created.per_day, strict=False)
    for since, until, per_day in list(pairs)[1:-1]:
        [(count,)] = ask(
            archive, f"SELECT count(*) FROM event WHERE created_at >= {since} AND created_at < {until}"
        )
        assert per_day == pytest.approx(count * DAY / (until - since))
    assert seen is not None
    assert sum(seen.per_day) == pytest.approx(3_000)


def test_the_overlap_is_of_the_relays_with_most(archive: str, made: Report) -> None:
    overlap = made.facts.overlap
    assert len(overlap.urls) == len(overlap.shared) == RELAYS_COMPARED
    assert overlap.urls[0] == STRANGER
    own = [row[place] for place, row in enumerate(overlap.shared)]
    assert own == sorted(own, reverse=True)
    assert overlap.shared[0][1:] == own[1:], "the stranger's relay holds all that others do"
    assert overlap.shared == [list(row) for row in zip(*overlap.shared, strict=True)]
    one, two = overlap.urls[2], overlap.urls[5]
    held = "SELECT event_id FROM event_relay WHERE relay_url = '{}'"
    question = f"SELECT count(*) FROM ({held.format(one)} INTERSECT {held.format(two)}) AS shared"
    assert ask(archive, question) == [(overlap.shared[2][5],)]


def test_a_browser_draws_every_plot_and_runs_nothing_of_a_stranger(browser: Any, made: Report) -> None:
    page, troubles = opened(browser, made.path)
    assert set(page.locator(".plot").evaluate_all("all => all.map(one => one.id)")) == PLOTS
    assert page.locator("body").get_attribute("data-drawn") == str(len(PLOTS)) == str(made.plots)
    for name in PLOTS:
        drawn = page.locator(f"#{name} .main-svg").first.bounding_box()
        assert drawn is not None
        assert drawn["width"] > 500
        assert drawn["height"] > 100
    assert page.locator("#created .point").count() == len(made.facts.created.per_day)
    assert page.locator("#kinds .point").count() == len(made.facts.kinds)
    assert page.locator("#overlap .hm image, #overlap .heatmaplayer image").count() == 1
    assert page.title() == "Archive report, 2026-11-21"
    assert "<img " in page.locator("#overlap .ytick text").first.text_content()
    assert page.locator("img, a[href*='x.example'], #overlap b").count() == 0
    page.hover("#overlap .nsewdrag", position={"x": 10, "y": 10})
    assert STRANGER[:60] in (page.locator("#overlap .hoverlayer").text_content() or "")
    assert troubles == []
    page.close()


def test_a_script_that_came_through_would_not_run(browser: Any, made: Report, tmp_path: Path) -> None:
    page_text = made.path.read_text()
    harmed = tmp_path / "harmed.html"
    harmed.write_text(page_text.replace("<h1>", "<h1><script>document.title = 'harmed'</script>"))
    page, troubles = opened(browser, harmed)
    assert page.title() == "Archive report, 2026-11-21"
    assert any("Content Security Policy" in trouble for trouble in troubles)
    page.close()


def test_a_sample_is_scaled_and_called_an_estimate(
    archive: str, made: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "<em>estimated</em></h2>" not in made.path.read_text()
    monkeypatch.setattr(stats, "SAMPLED_EVENTS", 1_500)
    estimate = write_report(archive, OPTIONS, tmp_path / "archive.html", now=NOW)
    facts = estimate.facts
    assert 0 < facts.sampled < 3_000
    assert sum(count for _, count in facts.kinds) == pytest.approx(3_000, rel=0.01)
    assert sum(count for _, count in facts.copies) == pytest.approx(3_000, rel=0.01)
    assert estimate.path.read_text().count("<em>estimated</em></h2>") == 6


def test_the_page_of_an_empty_archive_says_so(browser: Any, database: str, tmp_path: Path) -> None:
    page, troubles = opened(browser, write_report(database, OPTIONS, tmp_path / "archive.html").path)
    assert page.get_by_text("The archive holds no event yet.").count() == 1
    assert troubles == []
    page.close()


def test_ten_thousand_relays_make_no_larger_page(archive: str, made: Report, tmp_path: Path) -> None:
    register_many(archive, 10_000)
    larger = write_report(archive, OPTIONS, tmp_path / "archive.html", now=NOW)
    assert sum(larger.facts.relays.values()) == 10_000 + len(RELAYS)
    assert larger.bytes < made.bytes + 20_000
    assert "10,003 others are left out" in larger.path.read_text()


@pytest.mark.parametrize("text", ["a" * 5_000, "<b>" * 100, "a\nb\x00\u202ec", "&lt;b&gt;"])
def test_a_strangers_text_is_bounded_and_escaped(text: str) -> None:
    shown = stranger(text)
    assert len(shown) < 600
    assert not {"<", ">", "\n", "\x00", "\u202e"} & set(shown)


def test_a_report_that_cannot_be_written_is_one_line(archive: str) -> None:
    with pytest.raises(ReportRefused, match=r"^/proc/report/archive.html: "):
        write_report(archive, OPTIONS, Path("/proc/report/archive.html"), now=NOW)


def test_the_command_writes_it_into_the_data_folder_or_a_file(
    archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", archive)
    monkeypatch.setenv("BIGBROTR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("BIGBROTR_CONFIG", raising=False)
    for arguments, name in (([], "data/report/archive.html"), (["--to", "mine.html"], "mine.html")):
        assert main(["report", *arguments]) == 0
        path = tmp_path / name
        assert capsys.readouterr().out.startswith(f"{path}\t9 plots\t{path.stat().st_size} bytes")
        assert path.stat().st_mode & 0o777 == 0o600, "it is the operator's"
    assert [one.name for one in (tmp_path / "data/report").iterdir()] == ["archive.html"], "nothing unfinished"
    assert main(["report", "--to", "."]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "File '.' is a directory" in line


def test_without_plotly_the_command_names_the_extra(archive: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'plotly' else found(name, package)\n"
    )
    said = run(tmp_path, "report", BIGBROTR_DATABASE_URL=archive, PYTHONPATH=str(tmp_path))
    assert said.code == 1
    assert said.stderr == "bigbrotr-dagster: the report needs more: pip install 'bigbrotr-dagster[report]'\n"
