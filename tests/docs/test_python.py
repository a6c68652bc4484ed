"""The examples of docs/python.md run, with the addresses of a test in them."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from bigbrotr_dagster import CycleReport, Synchronizer, SynchronizerConfig
from bigbrotr_dagster.nostr.event import Event
from tests.relays.local_relay import LocalRelayProcess
from tests.sync.helpers import ask

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


@pytest.fixture
def relay(tmp_path: Path, real_events: list[Event]) -> Any:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(event.to_json() + b"\n" for event in real_events[:100]))
    with LocalRelayProcess(path) as process:
        yield process


def run(example: str, **values: str) -> None:
    for name, value in values.items():
        example, changes = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", example, flags=re.MULTILINE)
        assert changes == 1
    exec(compile(example, str(PAGE), "exec"), {"__name__": "__main__"})


def test_one_cycle(
    database: str, relay: LocalRelayProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = EXAMPLES[0].replace("interval=60", "interval=60, allow_private=True")
    run(example, DATABASE=database, RELAY=relay.url)
    assert f"{relay.url} True None 100" in capsys.readouterr().out


def test_a_service_with_a_file(
    database: str, relay: LocalRelayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", database)
    Path("synchronizer.yaml").write_text("interval: 1\nallow_private: true\n")

    async def register() -> None:
        async with Synchronizer() as synchronizer:
            assert await synchronizer.register([relay.url]) == 1

    asyncio.run(register())
    for_a_while = EXAMPLES[1].replace("asyncio.run(serve())", "asyncio.run(asyncio.wait_for(serve(), 6))")
    with pytest.raises(TimeoutError):
        run(for_a_while)
    assert ask(database, "SELECT count(*) FROM event") == [(100,)]
    assert ask(database, "SELECT count(*) > 1 FROM sync_attempt") == [(True,)]


async def test_what_each_returns(database: str, relay: LocalRelayProcess) -> None:
    async with Synchronizer(database, SynchronizerConfig(allow_private=True)) as synchronizer:
        assert await synchronizer.register([relay.url]) == 1
        report = await synchronizer.run([relay.url])
        assert isinstance(report, CycleReport)
        assert [(one.url, one.error, one.events_new) for one in report.relays] == [(relay.url, None, 100)]
        assert await synchronizer.synchronize() == 0
        assert await synchronizer.cleanup() == 0
    with pytest.raises(RuntimeError, match="async with"):
        await synchronizer.run()
