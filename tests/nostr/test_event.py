"""Events: strict parsing, id, signature."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nostr_sdk  # type: ignore[import-untyped]
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.nostr.event import Event, EventError, event_from_json, parse_event, verify_signature
from tests.nostr.helpers import signed

REAL_EVENTS = (Path(__file__).parents[1] / "data" / "real_events.jsonl").read_bytes().splitlines()


def fields_of(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(event.to_json())
    return fields


def refusal(raw: bytes) -> str:
    with pytest.raises(EventError) as error:
        event_from_json(raw)
    return error.value.reason


def test_every_real_event_verifies() -> None:
    events = [event_from_json(raw) for raw in REAL_EVENTS]
    assert len(events) == 2049
    assert all(map(verify_signature, events))


def test_every_real_event_survives_a_round_trip_byte_for_byte() -> None:
    assert [event_from_json(raw).to_json() for raw in REAL_EVENTS] == REAL_EVENTS


@pytest.mark.parametrize(
    "change",
    [
        {"created_at": 1000.5},
        {"created_at": 2.0**63},
        {"created_at": 1e308},
        {"created_at": -1},
        {"created_at": "1000"},
        {"created_at": True},
        {"created_at": 2**63},
        {"created_at": None},
        {"kind": 65536},
        {"kind": -1},
        {"kind": 1.5},
        {"kind": "1"},
        {"kind": False},
        {"tags": None},
        {"tags": {}},
        {"tags": ["e"]},
        {"tags": [["e", 1]]},
        {"tags": [["e", ["x"]]]},
        {"tags": [["e", {}]]},
        {"tags": [[None]]},
        {"tags": [["e", None]]},
        {"content": None},
        {"content": 1},
        {"id": "0" * 63},
        {"id": "G" * 64},
        {"id": "0" * 64 + "\n"},
        {"id": 0},
        {"pubkey": "é" * 64},
        {"pubkey": "0" * 62},
        {"sig": "0" * 127},
        {"sig": "G" * 128},
        {"sig": None},
    ],
)
def test_a_field_that_nip_01_does_not_allow_is_malformed(change: dict[str, Any]) -> None:
    assert refusal(orjson.dumps(fields_of(signed()) | change)) == "malformed"


@pytest.mark.parametrize("key", ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"])
def test_a_missing_key_is_malformed(key: str) -> None:
    fields = fields_of(signed())
    del fields[key]
    assert refusal(orjson.dumps(fields)) == "malformed"


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"event"', b"", b"{", b"\xff"])
def test_what_is_not_an_object_is_malformed(raw: bytes) -> None:
    assert refusal(raw) == "malformed"


def test_a_lone_surrogate_is_malformed() -> None:
    raw = signed(content="@").to_json().replace(b"@", rb"\ud800")
    assert refusal(raw) == "malformed"


@pytest.mark.parametrize(
    "duplicate",
    [
        lambda raw: raw[:-1] + b',"kind":1}',
        lambda raw: b'{"content":"other",' + raw[1:],
        lambda raw: raw.replace(b'"kind"', rb'"k\u0069nd":7,"kind"'),
        lambda raw: raw[:-1] + b',"extra":1,"extra":1}',
        lambda raw: raw[:-1] + b',"extra":{"a":1,"a":1}}',
    ],
)
def test_a_duplicate_key_is_malformed(duplicate: Callable[[bytes], bytes]) -> None:
    assert refusal(duplicate(signed().to_json())) == "malformed"


def test_an_extra_key_is_dropped() -> None:
    event = signed()
    assert event_from_json(event.to_json()[:-1] + b',"ots":"proof"}') == event


@pytest.mark.parametrize(
    "nesting",
    [
        b"[" * 990 + b"]" * 990,
        b'{"a":' * 120 + b"1" + b"}" * 120,
        b"[" * 3000 + b"]" * 3000 + b',"extra":1',
        b"1" * 5000,
    ],
)
def test_an_extra_key_cannot_break_the_parser(nesting: bytes) -> None:
    raw = signed().to_json()[:-1] + b',"extra":' + nesting + b"}"
    assert refusal(raw) == "malformed"


def test_an_extra_key_may_be_nested_a_little() -> None:
    event = signed()
    assert event_from_json(event.to_json()[:-1] + b',"extra":' + b"[" * 90 + b"{}" + b"]" * 90 + b"}") == event


@pytest.mark.parametrize(
    ("canonical", "spelled"),
    [
        (b'"created_at":1700000000', b'"created_at":1700000000.0'),
        (b'"created_at":1700000000', b'"created_at":1.7e9'),
        (b'"created_at":1700000000', b'"created_at":17E+8'),
        (b'"kind":0', b'"kind":-0'),
        (b'"kind":0', b'"kind":-0.0'),
        (b'"kind":0', b'"kind":0e5'),
    ],
)
def test_a_number_is_what_it_is_however_it_is_spelled(canonical: bytes, spelled: bytes) -> None:
    event = signed(1_700_000_000, kind=0)
    assert canonical in event.to_json()
    assert event_from_json(event.to_json().replace(canonical, spelled)) == event


def test_a_short_number_leaves_no_room_for_a_repeated_key() -> None:
    event = signed(2_000_000_000)
    raw = event.to_json().replace(b"2000000000", b"2e9")[:-1] + b',"id":0}'
    assert len(raw) == len(event.to_json())
    assert refusal(raw) == "malformed"


@pytest.mark.parametrize("key", ["id", "pubkey", "sig"])
def test_upper_case_digits_are_the_same_digits(key: str) -> None:
    event = signed()
    other = nostr_sdk.Event.from_json(orjson.dumps(raw := upper(event, key)).decode())
    assert other.verify()
    assert event_from_json(orjson.dumps(raw)) == event


def test_a_hash_of_upper_case_digits_is_no_id() -> None:
    fields = upper(signed(), "pubkey")
    array = [0, *(fields[key] for key in ("pubkey", "created_at", "kind", "tags", "content"))]
    fields["id"] = hashlib.sha256(orjson.dumps(array)).hexdigest()
    assert refusal(orjson.dumps(fields)) == "bad_id"


def upper(event: Event, key: str) -> dict[str, Any]:
    fields = fields_of(event)
    fields[key] = fields[key].upper()
    return fields


@pytest.mark.parametrize(
    "raw",
    [
        signed(content="@").to_json().replace(b"@", b"\xff"),
        signed(content="@").to_json().replace(b"@", b"\xed\xa0\x80"),
        signed(tags=[["t", "@"]]).to_json().replace(b"@", b"\xc3"),
        signed(content="@").to_json().replace(b"@", rb"\udc80"),
    ],
)
def test_text_that_is_not_unicode_is_malformed(raw: bytes) -> None:
    assert refusal(raw) == "malformed"


@pytest.mark.parametrize("extra", [rb'"\ud800"', b'"\xff"', b"NaN", b"1e999", b"-0.0"])
def test_what_an_extra_key_holds_does_not_matter(extra: bytes) -> None:
    event = signed()
    assert event_from_json(event.to_json()[:-1] + b',"extra":' + extra + b"}") == event


def test_an_id_over_a_number_in_a_tag_is_no_id() -> None:
    """NIP-01's tags are strings, and nostr-sdk refuses the event as well."""
    fields = fields_of(signed(tags=[["expiration", "7"]])) | {"tags": [["expiration", 7]]}
    array = [0, *(fields[key] for key in ("pubkey", "created_at", "kind", "tags", "content"))]
    fields["id"] = hashlib.sha256(orjson.dumps(array)).hexdigest()
    assert refusal(orjson.dumps(fields)) == "malformed"
    with pytest.raises(nostr_sdk.NostrSdkError):
        nostr_sdk.Event.from_json(orjson.dumps(fields).decode())


def test_another_spelling_of_the_same_json_is_the_same_event() -> None:
    event = signed(content="a/b é 🫂\x7f\n", tags=[["t", "ü"]])
    raw = event.to_json().replace("é".encode(), rb"\u00e9").replace(b"/", rb"\/").replace(b"\x7f", rb"\u007f")
    assert event_from_json(raw.replace(b'":', b'" : ')) == event


def test_nul_in_the_content_is_an_event() -> None:
    assert event_from_json(signed(content="\0").to_json()).content == "\0"


def test_null_after_a_tags_value_is_kept() -> None:
    event = signed(tags=[["e", "0" * 64, None, "root"]])
    assert event_from_json(event.to_json()) == event


@pytest.mark.parametrize("change", [{"content": "x"}, {"kind": 2}, {"id": "0" * 64}, {"tags": [[]]}])
def test_an_id_that_is_not_the_hash_is_bad(change: dict[str, Any]) -> None:
    assert refusal(orjson.dumps(fields_of(signed()) | change)) == "bad_id"


def test_the_signature_of_another_event_does_not_verify() -> None:
    fields = fields_of(signed(content="a")) | {"sig": signed(content="b").sig}
    assert not verify_signature(parse_event(fields, orjson.dumps(fields)))


def test_a_public_key_off_the_curve_does_not_verify() -> None:
    event = signed()
    assert not verify_signature(Event(event.id, "f" * 64, 0, 1, [], "", event.sig))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(content=TEXTS, tags=st.lists(st.lists(TEXTS, min_size=1, max_size=4), max_size=4))
def test_the_id_is_the_one_that_nostr_sdk_computes(content: str, tags: list[list[str | None]]) -> None:
    event = signed(content=content, tags=tags)
    other = nostr_sdk.Event.from_json(event.to_json().decode())
    assert other.verify()
    assert event_from_json(event.to_json()) == event


@given(
    content=TEXTS,
    created_at=st.integers(0, 2**63 - 1),
    kind=st.integers(0, 65535),
    at=st.integers(0, 6),
)
def test_a_repeated_key_never_gets_by(content: str, created_at: int, kind: int, at: int) -> None:
    event = signed(created_at, kind=kind, content=content)
    key, value = list(fields_of(event).items())[at]
    raw = event.to_json()[:-1] + b"," + orjson.dumps({key: value})[1:]
    assert refusal(raw) == "malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=5,
)
SPELLINGS = [
    (b'":', b'": '),
    (b'","', b'", "'),
    (b"e", rb"\u0065"),
    (b"/", rb"\/"),
    (b'":1', b'":1.0'),
    (b"0", b"-0"),
]


@given(
    content=TEXTS,
    tags=st.lists(st.lists(TEXTS | st.none(), max_size=4), max_size=3),
    change=st.dictionaries(
        st.sampled_from(["id", "kind", "created_at", "tags", "content", "sig", "x"]), JSON, max_size=1
    ),
    spelling=st.none() | st.tuples(st.sampled_from(SPELLINGS), st.integers(1, 3)),
)
def test_what_msgspec_takes_is_what_we_take(
    content: str,
    tags: list[list[str | None]],
    change: dict[str, Any],
    spelling: tuple[tuple[bytes, bytes], int] | None,
) -> None:
    """An event that msgspec decodes is refused, or taken, as if its fields had been looked at one by one."""
    raw = orjson.dumps(fields_of(signed(content=content, tags=tags)) | change)
    if spelling:
        raw = raw.replace(*spelling[0], spelling[1])
    try:
        decoded = orjson.loads(raw)
        expected: object = parse_event(decoded, raw)
    except orjson.JSONDecodeError:
        expected = "malformed"
    except EventError as error:
        expected = error.reason
    try:
        found: object = event_from_json(raw)
    except EventError as error:
        found = error.reason
    assert found == expected
