"""A failed run is told to a webhook: again while that is away, never for long, and without failing the sensor."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import orjson
import pytest

from bigbrotr_dagster.config.variables import WEBHOOK_VARIABLE
from bigbrotr_dagster.defs.automation import run_failed, webhook
from bigbrotr_dagster.defs.automation.webhook import WebhookFailed, post
from tests.defs.helpers import Graph, Relays, dead_url
from tests.machine import within


class Hook:
    """A web server that answers with the given statuses, the last one for good."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.messages: list[dict[str, object]] = []

    @contextmanager
    def serve(self) -> Iterator[str]:
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.messages.append(orjson.loads(body))
                status = hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0]
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_address[1]}/hook"
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "RETRY_DELAYS", (0.05, 0.05))


@pytest.mark.parametrize("statuses", [(200,), (204,), (500, 200), (503, 429, 200)])
def test_it_is_tried_again_while_it_may_help(statuses: tuple[int, ...]) -> None:
    hook = Hook(*statuses)
    with hook.serve() as address:
        post(address, {"text": "x"})
    assert hook.messages == [{"text": "x"}] * len(statuses)


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (404, 1), (400, 1)])
def test_it_is_given_up(status: int, tries: int) -> None:
    hook = Hook(status)
    with hook.serve() as address, pytest.raises(WebhookFailed, match=f"^HTTP {status}$"):
        post(address, {})
    assert len(hook.messages) == tries


def test_nobody_listens() -> None:
    with pytest.raises(WebhookFailed, match="refused"):
        post(dead_url().replace("ws://", "http://"), {})


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://a.example.com", "http://", "http://[", "x"])
def test_what_is_no_address_is_not_tried(address: str) -> None:
    with pytest.raises(WebhookFailed):
        post(address, {})


def test_silence_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent, within(3):
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(WebhookFailed, match="timed out"):
            post(address, {})


def tell(graph: Graph, run: dg.ExecuteInProcessResult) -> None:
    context = dg.build_run_status_sensor_context(
        "run_failed",
        run.get_run_failure_event(),
        graph.instance,
        run.dagster_run,
        resources={"synchronizer": graph.resources["synchronizer"]},
    ).for_run_failure()
    run_failed(context)


def test_a_failed_run_is_told_with_its_reason(graph: Graph, config_file: Path) -> None:
    graph.register(dead := dead_url())
    run = graph.sync(dead, tags={"bigbrotr/network": "clearnet"})
    hook = Hook(200)
    with hook.serve() as address:
        config_file.write_text(config_file.read_text() + f"failure_webhook: {address}\n")
        tell(graph, run)
    [message] = hook.messages
    assert message["run_id"] == run.run_id
    assert message["job"] == "relay_sync"
    assert message["tags"]["bigbrotr/network"] == "clearnet"  # type: ignore[index]
    assert "1 of 1 relays failed" in str(message["text"])
    assert f"{dead}: connection refused" in str(message["text"])
    assert message["content"] == message["text"]


def test_what_a_relay_said_is_a_block_of_code_in_a_chat(graph: Graph, relays: Relays, config_file: Path) -> None:
    reason = "blocked: ```<!channel> @everyone <http://evil.example|ok> [a](http://evil.example)"
    relay = relays.serve([], twist=lambda number, id, honest: [["CLOSED", id, reason]])
    graph.register(relay.url)
    run, hook = graph.sync(relay.url), Hook(200)
    with hook.serve() as address:
        config_file.write_text(config_file.read_text() + f"failure_webhook: {address}\n")
        tell(graph, run)
    head, *block, end = str(hook.messages[0]["text"]).split("\n")
    assert (block[0], end) == ("```", "```")
    assert "blocked: '''&lt;!channel&gt; @everyone &lt;http://evil.example|ok&gt;" in "\n".join(block)
    assert not any("`" in line or "<" in line for line in (head, *block[1:]))


def test_the_environment_goes_before_the_configuration_and_a_dead_hook_fails_nothing(
    graph: Graph, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.register(dead := dead_url())
    run = graph.sync(partition=dead)
    unused, hook = Hook(200), Hook(500)
    with unused.serve() as configured, hook.serve() as address:
        config_file.write_text(config_file.read_text() + f"failure_webhook: {configured}\n")
        monkeypatch.setenv(WEBHOOK_VARIABLE, address)
        tell(graph, run)
    assert (len(unused.messages), len(hook.messages)) == (0, 3)


def test_without_a_webhook_the_failure_is_logged(graph: Graph) -> None:
    graph.register(dead := dead_url())
    tell(graph, graph.sync(partition=dead))


def test_a_run_of_somebody_elses_job_in_the_same_project_is_not_told(graph: Graph, config_file: Path) -> None:
    @dg.op
    def breaks() -> None:
        raise dg.Failure("theirs")

    @dg.job
    def their_job() -> None:
        breaks()

    hook = Hook(200)
    with hook.serve() as address:
        config_file.write_text(config_file.read_text() + f"failure_webhook: {address}\n")
        tell(graph, their_job.execute_in_process(instance=graph.instance, raise_on_error=False))
    assert hook.messages == []
