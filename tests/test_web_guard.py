"""What the guard lets through, header by header; `e2e/test_cross_site.py` shows it at work."""

import pytest
from starlette.types import Scope

from bigbrotr_dagster.cli.web_guard import host_name, refusal

JSON = {"content-type": "application/json"}
NAMES = {"archive.example", "2001:db8::5"}


def request(method: str, path: str = "/", *pairs: tuple[str, str], **headers: str) -> Scope:
    given = {"host": "127.0.0.1:3000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in (*given.items(), *pairs) if value]
    kind = {"type": "http", "method": method} if method != "WS" else {"type": "websocket"}
    return {**kind, "path": path, "headers": raw}


def status(scope: Scope) -> int | None:
    refused = refusal(scope, NAMES)
    return None if refused is None else int(refused.status)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:3000", "127.1.2.3", "localhost:8080", "LOCALHOST", "localhost.", "[::1]:3000", "archive.example",
     "Archive.Example:443", "[2001:db8::5]:3000"],
)  # fmt: skip
def test_the_servers_own_names_are_let_through_on_any_port(host: str) -> None:
    assert status(request("GET", host=host)) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0:3000", "",
     "10.0.0.5:3000", "[::]:3000", "archive.example.evil.example", "user@localhost", "localhost:3000:1", "[::1",
     "localhost/", "localhost, evil.example", "2130706433", "0x7f.1", "127.1"],
)  # fmt: skip
def test_other_names_are_misdirected(host: str) -> None:
    assert status(request("GET", host=host)) == 421
    assert status(request("WS", "/graphql", host=host)) == 421


def test_a_second_host_is_misdirected() -> None:
    assert status(request("GET", "/", ("host", "evil.example"))) == 421
    assert status(request("GET", "/", ("host", "localhost"))) == 421


@pytest.mark.parametrize("origin", ["http://127.0.0.1:3000", "https://127.0.0.1:3000", "https://archive.example",
                                    "http://archive.example:8443"])  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "WS"])
def test_the_uis_own_origin_and_programs_without_one_are_let_through(method: str, origin: str) -> None:
    assert status(request(method, "/graphql", origin=origin, **JSON)) is None
    assert status(request(method, "/graphql", origin=origin, sec_fetch_site="same-origin", **JSON)) is None
    assert status(request(method, "/graphql", **JSON)) is None


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:3001", "http://127.0.0.1", "http://localhost:3000", "file://",
     "http://127.0.0.1:3000.evil.example", "http://evil.example/127.0.0.1:3000", "http://x@127.0.0.1:3000",
     "http://archive.example.evil.example", "chrome-extension://abc", "http://[", "http://archive.example/",
     "http://127.0.0.1:3000 http://evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "WS", "PUT"])
def test_other_origins_are_forbidden(method: str, origin: str) -> None:
    for path in ("/graphql", "/report_asset_materialization/relay_cursor"):
        assert status(request(method, path, origin=origin, **JSON)) == 403
        assert status(request(method, path, ("origin", origin), origin="http://127.0.0.1:3000", **JSON)) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browsers_word_that_another_page_asks_is_taken_where_no_origin_is_sent(site: str) -> None:
    assert status(request("POST", "/graphql", sec_fetch_site=site, **JSON)) == 403
    assert status(request("GET", "/runs", sec_fetch_site=site)) is None  # a link from elsewhere


def test_preflights_are_forbidden() -> None:
    assert status(request("OPTIONS", "/graphql", origin="http://evil.example")) == 403
    assert status(request("OPTIONS", "/graphql", origin="http://127.0.0.1:3000")) == 403


@pytest.mark.parametrize(
    "type_",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/graphql", "text/plain; application/json", "text/plain;charset=application/json",
     "application/json-patch"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/prefix/graphql"])
def test_a_query_that_is_not_json_is_not_taken(path: str, type_: str) -> None:
    assert status(request("POST", path, content_type=type_)) == 415


def test_json_with_a_charset_is_taken_and_two_types_are_not() -> None:
    assert status(request("POST", "/graphql", content_type="Application/JSON; charset=utf-8")) is None
    assert status(request("POST", "/graphql", ("content-type", "text/plain"), **JSON)) == 415


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_query_runs_by_get(method: str) -> None:
    assert status(request(method, "/graphql", accept="*/*")) == 405
    assert status(request(method, "/graphql", accept="")) == 405
    assert status(request(method, "/graphql", accept="text/html,*/*")) is None  # the page to write queries in


@pytest.mark.parametrize(
    "text", ["http://a.example", "a.example:80", "a b", "", "*", "*.example", "a/b", "-x.example"]
)
def test_what_is_not_a_host_name_cannot_be_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        host_name(text)


def test_host_names_have_a_normal_form() -> None:
    assert [host_name(text) for text in ("Archive.Example.", "[::1]", "10.0.0.5")] == [
        "archive.example",
        "::1",
        "10.0.0.5",
    ]
