"""Lists of relays at HTTP addresses: what is taken of them, when they are asked, and what a bad one can cause."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from bigbrotr_dagster.config import ConfigError, SynchronizerConfig
from bigbrotr_dagster.config.discovery import ApiConfig
from bigbrotr_dagster.config.file import parse_config
from bigbrotr_dagster.discovery.candidates import list_candidates
from bigbrotr_dagster.discovery.lists import ListUnavailable, fetch
from bigbrotr_dagster.discovery.scan import scan
from tests.sync.helpers import config, tell

R = "wss://r{}.example.org".format


@contextmanager
def web(body: bytes, *, trickles: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A web server with one document; yields its address, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            try:
                for piece in [body] if not trickles else [body[:1]] * 600:
                    self.wfile.write(piece)
                    time.sleep(0.05 if trickles else 0)
            except OSError:
                pass  # the client has had enough

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/list", asked
        server.shutdown()
        serving.join()


def asking(**api: Any) -> SynchronizerConfig:
    return config(allow_private=False, discovery={"apis": [api]})


def test_a_lists_relays_become_candidates_until_its_cooldown_is_over(database: str) -> None:
    document = orjson.dumps({"relays": [{"url": R(1)}, {"url": R(2)}, {"url": 3}, {"url": "wss://127.0.0.1"}]})
    with web(document) as (url, asked):
        options = asking(url=url, expression="relays[].url")
        report = scan(database, options)
        assert (report.candidates_new, report.refused) == (2, {"private": 1})
        assert {(one.url, one.source) for one in list_candidates(database)} == {(R(1), "api"), (R(2), "api")}
        scan(database, options)
        assert len(asked) == 1
        tell(database, "UPDATE service_state SET state_value = '{\"timestamp\": 1}' WHERE state_key LIKE 'http%'")
        assert scan(database, options).candidates_new == 0
        assert len(asked) == 2
        scan(database, asking(url=url, expression="relays[].url", enabled=False, cooldown=0))
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("body", "trickles", "says"),
    [
        pytest.param(b"<html>", False, "not JSON", id="no JSON"),
        pytest.param(b'{"a": 1}', False, "not a list", id="no list"),
        pytest.param(b'["' + b"x" * 5000 + b'"]', False, "more than 2048 bytes", id="too long"),
        pytest.param(b"[", True, "no end within 1 s", id="trickles"),
        pytest.param(b"[" * 2000, False, "not JSON", id="deep"),
    ],
)
def test_a_bad_list_is_one_line(body: bytes, trickles: bool, says: str) -> None:
    with web(body, trickles=trickles) as (url, _):
        api = ApiConfig(url=url, expression="relays", timeout=1, max_response_size=2048)
        with pytest.raises(ListUnavailable, match=says):
            fetch(api)


def test_a_list_that_does_not_come_is_asked_again_and_stops_nothing(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with web(b"[]") as (url, _):
        pass
    options = asking(url=url, expression="[]")
    assert scan(database, options).candidates_new == 0
    assert "refused" in caplog.text
    with web(orjson.dumps([R(1)])) as (url, _):
        assert scan(database, asking(url=url, expression="[]")).candidates_new == 1


@pytest.mark.parametrize(
    "api",
    [
        {"url": "file:///etc/passwd", "expression": "[]"},
        {"url": "https://example.org", "expression": "[["},
        {"url": "https://example.org"},
        {"url": "https://example.org", "expression": "[]", "cooldwn": 1},
    ],
)
def test_a_list_that_cannot_be_asked_is_refused_with_its_key(api: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"discovery\.apis"):
        parse_config({"discovery": {"apis": [api]}}, "file")
