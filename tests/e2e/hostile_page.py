"""A web page that sends to a server all that a browser lets it send, and a server that notes what arrived."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page

from tests.e2e.graphql import LAUNCH, launch_parameters

TAG = "hostile"
"""Tag of the runs that the page asks for."""

ATTACK = """async ({target, query, body}) => {
    const url = `${target}/graphql`;
    const outcome = {};
    const tell = async (name, promise) => {
        try { const answer = await promise; outcome[name] = answer.type + " " + answer.status; }
        catch (error) { outcome[name] = String(error); }
    };
    const plain = {method: "POST", mode: "no-cors", credentials: "include"};
    await tell("query in the URL", fetch(`${url}?${query}`, {...plain, headers: {"Content-Type": "text/plain"}}));
    await tell("body that calls itself both", fetch(url, {...plain, body,
        headers: {"Content-Type": "text/plain; application/json"}}));
    await tell("JSON", fetch(url, {method: "POST", body, headers: {"Content-Type": "application/json"}}));
    await tell("query by GET", fetch(`${url}?${query}`, {mode: "no-cors"}));
    await tell("report", fetch(`${target}/report_asset_materialization/hostile`, plain));
    navigator.sendBeacon(`${url}?${query}`, new Blob([body], {type: "text/plain"}));
    new Image().src = `${url}?${query}`;
    for (const action of [`${url}?${query}`, `${target}/report_asset_materialization/hostile_form`]) {
        const frame = document.createElement("iframe");
        frame.name = `form ${Math.random()}`;
        const form = document.createElement("form");
        Object.assign(form, {action, method: "POST", target: frame.name});
        document.body.append(frame, form);
        form.submit();
    }
    outcome.websocket = await new Promise((resolve) => {
        const socket = new WebSocket(url.replace("http", "ws"), "graphql-ws");
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
    });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    return outcome;
}"""


def attack(page: Page, target: str) -> dict[str, str]:
    """Let the open page attack the server at `target`; returns what its script saw."""
    parameters = launch_parameters({"relays": ["ws://127.0.0.1:9"]}, TAG)
    query = f"query={quote(LAUNCH)}&variables={quote(json.dumps({'params': parameters}))}"
    body = json.dumps({"query": LAUNCH, "variables": {"params": parameters}})
    seen: dict[str, str] = page.evaluate(ATTACK, {"target": target, "query": query, "body": body})
    return seen


class Site:
    """A web server with one empty page; it notes the method and the type of each request."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                upgrade = self.headers.get("Upgrade", "")
                site.requests.append((self.command, self.headers.get("Content-Type") or upgrade))
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", "15")
                self.end_headers()
                self.wfile.write(b"<!doctype html>")

            do_GET = do_POST = do_OPTIONS = answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    @contextmanager
    def serving(self) -> Iterator["Site"]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
