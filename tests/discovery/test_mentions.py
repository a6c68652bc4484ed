"""Where an event names relays, and what of strangers' text is taken."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.discovery.mentions import MOST_MENTIONS, mentions

URL = "wss://relay.example.org"
KEY = "ab" * 32


@pytest.mark.parametrize(
    ("kind", "tags", "content"),
    [
        pytest.param(10002, [["r", URL, "read"]], "", id="NIP-65"),
        pytest.param(1, [["r", URL]], "", id="a reference"),
        pytest.param(30002, [["d", "mine"], ["relay", URL]], "", id="relay set"),
        pytest.param(10050, [["relay", URL]], "", id="inbox relays"),
        pytest.param(9734, [["relays", "wss://other.example.org", URL]], "", id="zap request"),
        pytest.param(30166, [["d", URL]], "", id="NIP-66"),
        *(pytest.param(1, [[name, KEY, URL]], "", id=f"hint of {name}") for name in "epaqEPA"),
        pytest.param(1, [["e", KEY, URL, "reply", KEY]], "", id="hint with a marker"),
        pytest.param(3, [["p", KEY]], orjson.dumps({URL: {"read": True}}).decode(), id="kind 3's content"),
        pytest.param(2, [], f" {URL}\n", id="kind 2's content"),
        pytest.param(1, [], orjson.dumps({"names": {}, "relays": {KEY: [URL]}}).decode(), id="NIP-05's lists"),
        pytest.param(1, [], orjson.dumps({"relays": [URL]}).decode(), id="a list of relays"),
    ],
)
def test_a_relay_is_found_wherever_an_event_may_name_one(kind: int, tags: list[list[str]], content: str) -> None:
    assert URL in mentions(kind, tags, content)


@pytest.mark.parametrize(
    ("kind", "tags", "content"),
    [
        pytest.param(30023, [["d", URL]], "", id="d of another kind"),
        pytest.param(1, [["t", URL], ["x", URL], ["imeta", f"url {URL}"]], "", id="other tags"),
        pytest.param(1, [["e", URL]], "", id="a second element"),
        pytest.param(1, [["r", "https://relay.example.org"], ["r", ""], ["r"], []], "", id="no relay's scheme"),
        pytest.param(1, [["r", "wss://" + "a" * 600]], "", id="too long"),
        pytest.param(1, [], f"see {URL}", id="prose"),
        pytest.param(3, [], "{" + URL, id="not JSON"),
        pytest.param(3, [], "[" * 5000, id="deep"),
    ],
)
def test_nothing_else_is(kind: int, tags: list[list[str]], content: str) -> None:
    assert mentions(kind, tags, content) == []


def test_each_is_named_once_and_no_event_names_more_than_a_bound() -> None:
    many = [["r", f"wss://r{number}.example.org"] for number in range(2 * MOST_MENTIONS)]
    assert mentions(10002, [["r", URL], ["r", f" {URL} "], ["relay", URL]], "") == [URL]
    assert mentions(10002, many, "") == [url for _, url in many[:MOST_MENTIONS]]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(URL),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["relays", URL]), inner),
)


@given(st.sampled_from([1, 2, 3, 10002, 30166]), _json, _json.map(json.dumps) | st.text())
def test_whatever_an_event_holds_only_such_texts_are_found(kind: int, tags: object, content: str) -> None:
    found = mentions(kind, tags, content)
    assert len(found) == len(set(found)) <= MOST_MENTIONS
    assert all(text.lower().startswith(("ws://", "wss://")) and len(text) <= 512 for text in found)
