"""The examples of docs/examples.md, taken out of the page: their numbers on data made for them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from bigbrotr_dagster.cli.data_set import opened
from tests.archive.exported import DAY, FIRST, exported, see
from tests.conftest import _clone
from tests.sync.helpers import ask

PAGE = (Path(__file__).parents[2] / "docs/examples.md").read_text()
EXAMPLES = {
    heading: (block, kind.strip())
    for heading, kind, block in re.findall(r"^## ([^\n]+)\n.*?^```sql( duckdb)?\n(.*?)^```", PAGE, re.M | re.S)
}

ONE, TWO, THREE = (f"wss://{name}.example.com" for name in ("one", "two", "three"))
APRIL = FIRST + 31 * DAY
ANN, BOB, EVE = (sha256(name.encode()).digest() for name in ("Ann", "Bob", "Eve"))

pytestmark = pytest.mark.slow


def zap(recipient: bytes, invoice: str) -> list[list[str]]:
    return [["p", recipient.hex()], ["bolt11", invoice], ["description", "{}"]]


EVENTS: list[tuple[bytes, int, int, list[list[str]], tuple[str, ...]]] = [
    (ANN, FIRST, 1, [], (ONE, TWO)),
    (ANN, FIRST + 1, 1, [], (ONE, TWO)),
    (BOB, FIRST + 2, 7, [["e", "00"]], (ONE, THREE)),
    (BOB, FIRST + DAY, 1, [], (ONE,)),
    (ANN, FIRST + DAY + 1, 10002, [["r", ONE]], (ONE, TWO)),
    (EVE, FIRST + DAY + 2, 9735, zap(ANN, "lnbc210n1pzaps"), (TWO,)),
    (EVE, FIRST + DAY + 3, 9735, zap(ANN, "LNBC210N1PZAPS"), (TWO,)),  # the same invoice again
    (EVE, FIRST + DAY + 4, 9735, zap(ANN, "lnbc15p1pzaps"), (TWO,)),  # 1.5 millisats, of which one counts
    (EVE, FIRST + DAY + 5, 9735, zap(BOB, "lnbc2m1pzaps"), (TWO,)),
    (EVE, FIRST + DAY + 6, 9735, zap(BOB, "lnbc3u1pzaps"), (TWO,)),
    (EVE, FIRST + DAY + 7, 9735, zap(BOB, "lnbc1pvjluez"), (TWO,)),  # names no amount
    (EVE, FIRST + DAY + 8, 9735, zap(BOB, "lnbc9999999999991pzaps"), (TWO,)),  # all bitcoins, and more
    (EVE, FIRST + DAY + 9, 9735, [["p", BOB.hex()]], (TWO,)),  # has no invoice
    (ANN, APRIL, 1, [], (ONE,)),
    (BOB, APRIL + 1, 10002, [], (THREE,)),
    (EVE, APRIL + 2, 1, [], (THREE,)),
]
"""Author, created_at, kind, tags, and the relays that hold it."""


@pytest.fixture(scope="module")
def archive(embedded_server: str) -> Iterator[str]:
    """URL of an archive of these events."""
    with contextmanager(_clone)(embedded_server) as url:
        with psycopg.connect(url) as connection:
            for number, (author, created_at, kind, tags, _) in enumerate(EVENTS):
                connection.execute(
                    "INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)"
                    " VALUES (%s, %s, %s, %s, %s, '{}', '', %s)",
                    [number.to_bytes(32, "big"), author, created_at, kind, Jsonb(tags), bytes(64)],
                )
        for number, (*_, relays) in enumerate(EVENTS):
            for relay in relays:
                see(url, [number.to_bytes(32, "big")], relay, FIRST)
        yield url


@pytest.fixture(scope="module")
def data_set(archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "data"
    assert len(exported(archive, folder, ["2025-03-01", "2025-03-02", "2025-04-01"])) == 3
    return folder


def answer(data_set: Path, example: str) -> list[tuple[Any, ...]]:
    query, kind = EXAMPLES[example]
    assert kind == "duckdb"
    with opened(data_set) as reading:
        [found] = reading.ask(query)
        return list(found.rows())


def test_there_are_five() -> None:
    assert [kind for _, kind in EXAMPLES.values()] == ["duckdb"] * 4 + [""]
    assert len(EXAMPLES) == PAGE.count("\n```sql") == 5


def test_events_a_day_and_kind(data_set: Path) -> None:
    first, second, april = date(2025, 3, 1), date(2025, 3, 2), date(2025, 4, 1)
    assert answer(data_set, "Events a day and kind") == [
        (first, 1, 2),
        (first, 7, 1),
        (second, 9735, 8),
        (second, 1, 1),
        (second, 10002, 1),
        (april, 1, 2),
        (april, 10002, 1),
    ]


def test_what_relays_have_in_common(data_set: Path) -> None:
    """One holds 6 events, two 11, three 3; one and two have 3 in common, one and three a single one."""
    assert answer(data_set, "What relays have in common") == [
        (ONE, 1, round(1 / 6, 3), 0.5),
        (THREE, round(1 / 3, 3), 1, None),
        (TWO, round(3 / 11, 3), None, 1),
    ]


def test_zaps_by_who_receives_them(data_set: Path) -> None:
    """2 milli-bitcoins are 200,000 sats, 3 micro-bitcoins 300, 210 nano-bitcoins 21; 15 pico-bitcoins are none."""
    assert answer(data_set, "Zaps by who receives them") == [(BOB.hex(), 2, 200_300), (ANN.hex(), 2, 21)]


def test_how_many_authors_have_a_relay_list(data_set: Path) -> None:
    assert answer(data_set, "How many authors have a relay list") == [
        (date(2025, 3, 1), 3, 1, 0.333),
        (date(2025, 4, 1), 3, 2, 0.667),
    ]


def test_who_lost_what(archive: str) -> None:
    """One lost its first two notes, which two held as well; two lost the second of those, and a zap."""
    lost = [(ONE, 0), (ONE, 1), (TWO, 1), (TWO, 5)]
    with psycopg.connect(archive) as connection:
        for relay, number in lost:
            connection.execute(
                "INSERT INTO gone_event (relay_id, event_seq, noticed_at)"
                " SELECT relay_key.id, event.seq, '2025-05-05 12:00Z' FROM relay_key, event"
                " WHERE url = %s AND event.id = %s",
                [relay, number.to_bytes(32, "big")],
            )
    noticed = date(2025, 5, 5)
    assert ask(archive, EXAMPLES["Who lost what"][0]) == [
        (ONE, 1, 2, noticed, 1),
        (TWO, 1, 1, noticed, 1),
        (TWO, 9735, 1, noticed, 1),
    ]
