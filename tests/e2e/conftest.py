import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from bigbrotr_dagster.demo import URLS
from tests.debian import program
from tests.e2e.commands import Commands
from tests.e2e.dev_command import MARK, Dev, living
from tests.e2e.graphql import Ui, eventually
from tests.e2e.program import start
from tests.killing import kill_each
from tests.machine import timed
from tests.ports import free_port, practice_ports

NAME = "archive.example"
"""A name that the operator gave the UI."""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Commands:
    monkeypatch.chdir(tmp_path)
    for name in ("BIGBROTR_DATA_DIR", "BIGBROTR_CONFIG", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Commands(tmp_path, monkeypatch, capfd)


@pytest.fixture(scope="package")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    home = tmp_path_factory.mktemp("dev")
    config = home / "each_minute.yaml"
    config.write_text("interval: 1\n")  # every relay is due at each tick, which is each minute
    port, mark, data = free_port(), secrets.token_hex(8), home / "archive"
    changes = {"BIGBROTR_DATA_DIR": str(data), "BIGBROTR_CONFIG": str(config), MARK: mark}
    with practice_ports():
        process = start(home, "dev", "--demo", "--port", str(port), "--allow-host", NAME, **changes)
        ui = Ui(port)
        try:
            with timed() as starting:
                eventually(ui.answers, 120)
                eventually(lambda: ui.green() >= set(URLS), 120)
            yield Dev(process, home, data, ui, mark, starting.seconds)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=120)
            finally:
                kill_each(living(mark))


@pytest.fixture(scope="module")
def page(dev: Dev) -> Iterator[Page]:
    chromium = program("/usr/bin/chromium", "chromium")
    with sync_playwright() as playwright:
        # Every name is this machine: what a stranger's DNS server can say of its own names.
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(120_000)
        expect.set_options(timeout=120_000)
        yield page
        browser.close()


@pytest.fixture(scope="package")
def backfill_of_three(dev: Dev) -> str:
    """The id of a backfill of the practice relays, under way while other tests run."""
    return dev.ui.backfill(list(URLS))
