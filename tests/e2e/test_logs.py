"""Logs: plain lines for people, an object a line for machines, by BigBrotr's names; stdout stays what it is."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from bigbrotr_dagster.cli import main
from bigbrotr_dagster.cli.logs import as_record
from tests.conftest import in_database
from tests.e2e.events import write_events
from tests.e2e.program import run, start
from tests.ports import free_port
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import ask

slow = pytest.mark.slow


def records(stderr: str) -> list[dict[str, Any]]:
    """Every line of it, which all are objects."""
    found = [json.loads(line) for line in stderr.splitlines()]
    for record in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
        assert record["level"] in ("debug", "info", "warning", "error")
        assert record["logger"].startswith("bigbrotr_dagster")
        assert record["message"]
    return found


@pytest.fixture
def relay(tmp_path: Path) -> Any:
    write_events(tmp_path / "events.jsonl", 20)
    with LocalRelayProcess(tmp_path / "events.jsonl") as running:
        yield running.url


@slow
def test_a_sync_in_json_is_told_by_bigbrotrs_names(database: str, relay: str, tmp_path: Path) -> None:
    nobody = f"ws://127.0.0.1:{free_port()}"
    words = ["sync", "--once", "--allow-private", "--json", "--relay", relay, "--relay", nobody]
    logged = ["--log-level", "info", "--log-format", "json"]
    result = run(tmp_path, *words, *logged, BIGBROTR_DATABASE_URL=database)
    assert result.code == 0
    assert result.report["events_new"] == 20
    assert len(result.stdout.splitlines()) == 1
    said = records(result.stderr)
    assert [record["event"] for record in said] == [
        "service_started",
        "cycle_started",
        "sync_started",
        "sync_completed",
        "relay_sync_failed",
        "cycle_completed",
        "synchronizer_completed",
        "service_stopped",
    ]
    by_event = {record["event"]: record for record in said}
    assert by_event["service_started"]["service"] == "synchronizer"
    assert by_event["sync_started"]["relay_count"] == 2
    done = by_event["sync_completed"]
    assert (done["events_synced"], done["relays_ok"], done["relays_failed"]) == (20, 1, 1)
    failed = by_event["relay_sync_failed"]
    assert (failed["level"], failed["relay"], failed["network"]) == ("warning", nobody, "local")
    assert failed["message"] == f"{nobody}: {failed['error']}"
    assert by_event["cycle_completed"]["duration_s"] > 0

    assert ask(database, "SELECT relays, ok FROM sync_cycle") == [(2, True)]

    plain = run(tmp_path, *words, BIGBROTR_DATABASE_URL=database)
    assert plain.stderr == f"bigbrotr-dagster: {failed['message']}\n"


@slow
def test_for_people_the_lines_stay_and_what_is_logged_has_time_and_level(database: str, tmp_path: Path) -> None:
    nobody = f"ws://127.0.0.1:{free_port()}"
    words = ["sync", "--once", "--allow-private", "--relay", nobody]
    quiet = run(tmp_path, *words, BIGBROTR_DATABASE_URL=database)
    [line] = quiet.stderr.splitlines()
    assert line.startswith(f"bigbrotr-dagster: {nobody}: ")
    told = run(tmp_path, *words, BIGBROTR_DATABASE_URL=database, BIGBROTR_LOG_LEVEL="info")
    lines = told.stderr.splitlines()
    assert [each for each in lines if each.startswith("bigbrotr-dagster: ")] == [line]
    logged = [each for each in lines if each != line]
    assert len(logged) == 7
    for each in logged:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO bigbrotr_dagster\.cli\.logs: \w+", each)
    assert any(each.endswith("sync_started relay_count=1") for each in logged)


@slow
def test_the_metrics_server_tells_of_its_life(database: str, tmp_path: Path) -> None:
    port = free_port()
    words = ["metrics", "--port", str(port), "--log-format", "json", "--log-level", "INFO"]
    process = start(tmp_path, *words, BIGBROTR_DATABASE_URL=in_database(database, "none"))
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Serving on ")
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert [record["event"] for record in records(stderr)] == [
        "service_started",
        "metrics_server_started",
        "metrics_server_stopped",
        "shutdown_signal",
        "service_stopped",
    ]


def test_a_failure_is_one_object_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("metrics: {enabled: true}\nlimt: 5")
    assert main(["sync", "--once", "--config", str(config), "--log-format", "json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    removed, failed = records(err)
    assert (removed["event"], removed["option"], removed["level"]) == ("option_removed", "metrics", "warning")
    assert (failed["event"], failed["level"]) == ("synchronizer_failed", "error")
    assert "limt: unknown key" in failed["message"]
    assert main(["sync", "--once", "--config", str(config)]) == 1  # the choice was that command's
    assert capsys.readouterr().err.startswith("bigbrotr-dagster: ")
    monkeypatch.setenv("BIGBROTR_LOG_FORMAT", "json")
    assert main(["relays", "add", "nonsense"]) == 2
    [refused] = records(capsys.readouterr().err)
    assert (refused["event"], refused["level"]) == ("command_failed", "error")


def test_without_a_network_there_is_nothing_to_sync(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("networks: {clearnet: {enabled: false}}")
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", database)
    assert main(["sync", "--once", "--config", str(config), "--log-format", "json"]) == 1
    [failed] = records(capsys.readouterr().err)
    assert failed["event"] == "synchronizer_failed"
    assert failed["message"].startswith("no relay to sync: no network is enabled")


@pytest.mark.parametrize(("name", "value"), [("BIGBROTR_LOG_LEVEL", "loud"), ("BIGBROTR_LOG_FORMAT", "xml")])
def test_a_variable_that_means_nothing_is_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["relays", "list"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bigbrotr-dagster: {name} is one of ")


def test_a_level_that_is_none_is_a_matter_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "--log-level", "loud"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--log-level" in line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            b'{"event": "Checking for new runs", "logger": "dagster.daemon", "level": "info",'
            b' "timestamp": "2026-11-26T18:58:51.857552Z"}\n',
            ("2026-11-26T18:58:51.857Z", "info", "dagster.daemon", "Checking for new runs"),
        ),
        (
            b"\x1b[32m2026-11-26 18:58:41 +0000\x1b[0m - dagster.code_server - \x1b[34mINFO\x1b[0m - Starting\n",
            (
                None,
                "info",
                "dagster.code_server",
                "2026-11-26 18:58:41 +0000 - dagster.code_server - INFO - Starting",
            ),
        ),
        (
            b"2026 - dagster - ERROR - failed\n",
            (None, "error", "dagster.code_server", "2026 - dagster - ERROR - failed"),
        ),
        (b"  File \xff\n", (None, "info", "dagster.code_server", "  File \ufffd")),
        (b"7\n", (None, "info", "dagster.code_server", "7")),
    ],
)
def test_what_dagster_prints_is_an_object_too(line: bytes, said: tuple[str | None, ...]) -> None:
    record = json.loads(as_record(line, "code_server"))
    time, *others = said
    assert [record["level"], record["logger"], record["message"]] == others
    assert record["time"] == time if time else re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", record["time"])
    assert "event" not in record
