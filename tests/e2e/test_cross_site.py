"""Other pages in the operator's browser, and requests as they can send them, start nothing at the UI of `dev`."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from bigbrotr_dagster.demo import URLS
from tests.e2e.conftest import NAME
from tests.e2e.dev_command import Dev
from tests.e2e.graphql import LAUNCH, eventually, launch_parameters
from tests.e2e.hostile_page import TAG, Site, attack

pytestmark = pytest.mark.slow

PARAMETERS = launch_parameters({"relays": ["ws://127.0.0.1:9"]}, TAG)
BODY = json.dumps({"query": LAUNCH, "variables": {"params": PARAMETERS}})
IN_URL = f"/graphql?query={quote(LAUNCH)}&variables={quote(json.dumps({'params': PARAMETERS}))}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site().serving() as serving:
        yield serving


@pytest.fixture(autouse=True)
def nothing_is_started(dev: Dev) -> Iterator[None]:
    yield
    assert dev.ui.runs(TAG) == {}


def reported(dev: Dev) -> bool:
    query = "{assetsOrError {... on AssetConnection {nodes {key {path}}}}}"
    keys = [node["key"]["path"][-1] for node in dev.ui.ask(query)["assetsOrError"]["nodes"]]
    return any(key.startswith("hostile") for key in keys)


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1"])
def test_a_page_of_another_origin_starts_nothing(dev: Dev, page: Page, site: Site, host: str) -> None:
    page.goto(f"http://{host}:{site.port}/")
    seen = attack(page, dev.ui.address)
    assert seen["websocket"] == "refused"
    assert seen["JSON"].startswith("TypeError"), seen
    assert not reported(dev)


def test_what_the_page_sends_does_arrive(page: Page, site: Site) -> None:
    """At a server without a guard; so the browser is not what stopped it."""
    page.goto(f"http://localhost:{site.port}/")
    with Site().serving() as target:
        attack(page, f"http://127.0.0.1:{target.port}")
    assert {
        ("POST", "text/plain"),
        ("POST", "text/plain; application/json"),
        ("POST", "application/x-www-form-urlencoded"),
        ("GET", ""),
        ("GET", "websocket"),
        ("OPTIONS", ""),
    } <= set(target.requests)


def test_a_name_that_a_stranger_points_at_this_machine_is_not_the_uis(dev: Dev, page: Page) -> None:
    answer = page.goto(f"http://rebound.example:{dev.ui.port}/")
    assert answer is not None
    assert answer.status == 421
    seen = attack(page, f"http://rebound.example:{dev.ui.port}")  # of the same origin, now
    assert seen["websocket"] == "refused"
    assert seen["JSON"] == "basic 421"
    assert not reported(dev)


def test_no_other_page_shows_the_ui_in_a_frame(dev: Dev, page: Page, site: Site) -> None:
    page.goto(f"http://localhost:{site.port}/")
    page.set_content(f'<iframe src="{dev.ui.address}/runs" title="ui"></iframe>')
    expect(page.frame_locator("iframe").get_by_text("refused to connect").first).to_contain_text("127.0.0.1")


def test_under_the_name_that_the_operator_gave_the_ui_works_with_its_websocket(dev: Dev, page: Page) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda _: sockets.append(socket.url)))
    page.goto(f"http://{NAME}:{dev.ui.port}/runs/{next(iter(dev.ui.materializations(URLS[0])))}")
    expect(page.get_by_text("relay_cursor").first).to_be_visible()
    eventually(lambda: sockets or page.wait_for_timeout(200), 30)
    answer = page.evaluate(
        """async (body) => (await fetch("/graphql", {method: "POST", body,
            headers: {"Content-Type": "application/json"}})).json()""",
        json.dumps({"query": LAUNCH, "variables": {"params": launch_parameters({}, "honest")}}),
    )
    assert list(dev.ui.runs("honest")) == [answer["data"]["launchRun"]["run"]["runId"]]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", IN_URL, {"Content-Type": "text/plain"}, 415),
        ("POST", IN_URL, {}, 415),
        ("POST", IN_URL, {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/%67raphql" + IN_URL.removeprefix("/graphql"), {}, 415),
        ("POST", "/graphql", {"Content-Type": "text/plain; application/json"}, 415),
        ("POST", "/graphql", {"Content-Type": "application/graphql"}, 415),
        ("POST", "/graphql", {"Content-Type": "application/json", "Host": "evil.example"}, 421),
        ("POST", "/graphql", {"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
        ("POST", "/graphql", {"Content-Type": "application/json", "Origin": "null"}, 403),
        ("POST", "/report_asset_materialization/hostile", {"Origin": "http://evil.example"}, 403),
        ("OPTIONS", "/graphql", {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}, 403),
        ("GET", IN_URL, {}, 405),
        ("GET", "/", {"Host": "evil.example"}, 421),
    ],
)
def test_a_request_as_pages_send_it_is_refused(
    dev: Dev, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", dev.ui.port, timeout=30)
    connection.request(method, path, BODY if method == "POST" else None, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == status, text
    assert len(text.splitlines()) == 1
    assert answer.getheader("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_websocket_of_another_origin_is_refused(dev: Dev, origin: str) -> None:
    address = f"ws://127.0.0.1:{dev.ui.port}/graphql"
    with pytest.raises(InvalidStatus, match="HTTP 403"), connect(address, origin=Origin(origin)):
        pass
    with connect(address, subprotocols=[Subprotocol("graphql-ws")]) as socket:  # a program, not a page
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(30))["type"] == "connection_ack"
