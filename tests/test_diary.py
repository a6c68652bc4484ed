"""What `dev` says while it runs."""

import threading

import pytest

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.archive.turns import Standing, standing
from bigbrotr_dagster.cli.dev import diary
from bigbrotr_dagster.cli.dev.diary import Diary, entry, opening
from tests.e2e.graphql import eventually

BEFORE = Standing(relays=3, synced=10, failed=0, events=1_000)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Standing(3, 10, 0, 1_000), None),
        (Standing(3, 11, 0, 1_000), "1 sync done"),
        (Standing(3, 13, 2, 4_217), "3 syncs done, 2 failed, 3,217 new events (54 a second)"),
        (Standing(5, 10, 0, 1_001), "1 new event, 5 relays registered (+2)"),
        (Standing(2, 10, 0, 1_000), "2 relays registered (-1)"),
    ],
)
def test_a_minute_is_a_line_and_a_quiet_one_is_none(now: Standing, said: str | None) -> None:
    assert entry(BEFORE, now, 60.0) == said


def test_it_opens_with_how_the_archive_stands() -> None:
    assert opening(BEFORE) == "3 relays registered, 1,000 events stored so far"


def test_it_follows_the_archive(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diary, "EVERY_SECONDS", 0.1)
    stopped, lines = threading.Event(), []

    def heard() -> int:
        lines.extend(capsys.readouterr().out.splitlines())
        return len(lines)

    Diary(database, stopped).open()
    try:
        eventually(lambda: heard() == 1, 10, every=0.05)
        register_relays(database, ["wss://a.example.com", "wss://b.example.com"])
        eventually(lambda: heard() == 2, 10, every=0.05)
    finally:
        stopped.set()
    assert [line.partition(" ")[2] for line in lines] == [
        "0 relays registered, 0 events stored so far",
        "2 relays registered (+2)",
    ]
    assert standing(database) == Standing(2, 0, 0, 0)
