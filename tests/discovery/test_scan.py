"""The look through the archive: each event once, whoever writes meanwhile, and within bounds."""

import threading
import time
from random import Random

import psycopg
import pytest

from bigbrotr_dagster.discovery import scan as module
from bigbrotr_dagster.discovery.candidates import list_candidates
from bigbrotr_dagster.discovery.scan import ScanReport, scan
from tests.discovery.archived import Made, archive, key, naming, put
from tests.sync.helpers import ask, config, tell

R = "wss://r{}.example.org".format


def look(database: str, **options: object) -> ScanReport:
    return scan(database, config(discovery=options, allow_private=False))


def candidates(database: str) -> set[str]:
    return {one.url for one in list_candidates(database)}


def test_what_is_named_is_a_candidate_once_with_who_named_it(any_database: str) -> None:
    archive(
        any_database,
        [
            naming(R(1), author="a"),
            naming(f"{R(1)}/", R(1).upper(), R(2), author="b"),
            Made(1, (("e", "ab" * 32, R(1)),), author="a"),
        ],
    )
    report = look(any_database)
    assert (report.scanned, report.candidates_new, report.refused) == (3, 2, {})
    first, second = list_candidates(any_database)
    assert (first.url, first.mentions, first.authors, first.source) == (R(1), 3, 2, "event")
    assert (second.url, second.mentions, second.authors) == (R(2), 1, 1)
    [(event,)] = ask(any_database, "SELECT encode(id, 'hex') FROM event WHERE seq = (SELECT min(seq) FROM event)")
    assert first.first_event == event

    again = look(any_database)
    assert (again.scanned, again.candidates_new) == (0, 0)
    archive(any_database, [naming(R(2), R(3), author="c")])
    later = look(any_database)
    assert (later.scanned, later.candidates_new) == (1, 1)
    assert {one.url: (one.mentions, one.authors) for one in list_candidates(any_database)} == {
        R(1): (3, 2),
        R(2): (2, 2),
        R(3): (1, 1),
    }


def test_relays_of_the_registry_are_no_candidates(database: str) -> None:
    tell(database, f"INSERT INTO relay VALUES ('{R(1)}', 'clearnet', 1)")
    archive(database, [naming(R(1), R(2))])
    assert look(database).candidates_new == 1
    assert candidates(database) == {R(2)}


def test_what_is_no_relay_that_may_be_tried_is_counted(database: str) -> None:
    onion = f"ws://{'a' * 56}.onion"
    archive(
        database,
        [naming("wss://127.0.0.1", "ws://relay.local", "wss://no", "wss://x.test", "wss://a b", R(1), onion)],
    )
    report = look(database, deny=["R1.example.*"])
    assert report.refused == {"private": 2, "invalid": 3, "denied": 1}
    assert candidates(database) == {onion}  # tried once tor is on


@pytest.mark.parametrize("batch_size", [10, 17, 10_000])
def test_however_the_events_are_dealt_out_the_candidates_are_the_same(
    database: str, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_NAMED", 20)
    random = Random(batch_size)
    events = [naming(*random.sample([R(n) for n in range(40)], 5), author=f"a{n % 7}") for n in range(100)]
    archive(database, events)
    report = look(database, events={"batch_size": batch_size})
    assert report.scanned == 100
    expected = {R(n): sum((("r", R(n)) in event.tags) for event in events) for n in range(40)}
    assert {one.url: one.mentions for one in list_candidates(database)} == {u: n for u, n in expected.items() if n}
    assert ask(database, "SELECT state_value FROM service_state WHERE service_name = 'discovery'") == [
        ({"seq": ask(database, "SELECT max(seq) FROM event")[0][0]},)
    ]


def test_an_event_that_is_committed_after_a_later_one_is_seen(any_database: str) -> None:
    """Numbers are given out before a transaction ends: who looks meanwhile must not pass over the lower ones."""
    with psycopg.connect(any_database) as slow:
        put(slow, [naming(R(1))])
        archive(any_database, [naming(R(2))])
        end = threading.Timer(0.5, slow.commit)
        end.start()
        report = look(any_database)
        end.join()
    assert report.scanned == 2
    assert candidates(any_database) == {R(1), R(2)}


def test_a_writer_that_takes_its_time_puts_the_look_off(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITERS_SECONDS", 0.2)
    with psycopg.connect(database) as slow:
        put(slow, [naming(R(1))])
        archive(database, [naming(R(2))])
        assert look(database).scanned == 0
    assert look(database).scanned == 2


def test_two_that_look_at_once_count_nothing_twice(database: str) -> None:
    archive(database, [naming(R(n % 30), author=f"a{n}") for n in range(3000)])
    reports: list[ScanReport] = []
    looks = [
        threading.Thread(target=lambda: reports.append(look(database, events={"batch_size": 100})))
        for _ in range(3)
    ]
    for one in looks:
        one.start()
    for one in looks:
        one.join()
    assert sum(report.scanned for report in reports) == 3000
    assert sum(report.candidates_new for report in reports) == 30
    assert {one.mentions for one in list_candidates(database)} == {100}
    assert {one.authors for one in list_candidates(database)} == {64}  # of 100: so many are told apart


def test_one_author_or_host_fills_its_own_share_only(database: str) -> None:
    flood = [naming(*(R(n) for n in range(k, k + 100)), author="flood") for k in range(0, 1000, 100)]
    paths = [naming(*(f"wss://one.example.org/{n}" for n in range(k, k + 10)), author=f"b{k}") for k in range(9)]
    archive(database, [*flood, *paths, naming("wss://late.example.org", author="other")])
    report = look(database, max_per_author=50, max_per_host=5, events={"batch_size": 10})
    found = candidates(database)
    assert len([url for url in found if url.startswith("wss://r")]) == 50
    assert len([url for url in found if url.startswith("wss://one")]) == 5
    assert "wss://late.example.org" in found
    assert report.candidates_new == 56
    archive(database, [naming(R(999), author="another")])
    assert look(database, max_per_author=50).candidates_new == 1


def test_of_more_than_are_kept_the_least_promising_go(database: str) -> None:
    archive(database, [naming(*(R(n) for n in range(10))), naming(R(3), R(7), author="other")])
    report = look(database, max_candidates=2)
    assert (report.forgotten, candidates(database)) == (8, {R(3), R(7)})


def test_only_a_trusted_monitors_word_that_a_relay_answered_is_noted(database: str) -> None:
    alive = Made(30166, (("d", R(1)), ("rtt-open", "12"), ("r", R(9))), author="monitor", created_at=1_000)
    dead = Made(30166, (("d", R(2)),), author="monitor")
    stranger = Made(30166, (("d", R(3)), ("rtt-open", "12")), author="stranger")
    archive(database, [alive, dead, stranger])
    look(database, nip66_monitors=[key("monitor").hex()])
    assert dict(ask(database, "SELECT url, vouched_at FROM relay_candidate")) == {
        R(1): 1_000,
        R(2): None,
        R(3): None,
        R(9): None,
    }


def test_bigbrotrs_candidates_are_taken_over_and_stay_its_own(database: str) -> None:
    row = """('validator', 'checkpoint', '{}', '{{"network": "clearnet", "failures": 3, "timestamp": 1}}')"""
    rows = ", ".join(map(row.format, [R(1), "wss://127.0.0.1", R(2)]))
    tell(database, f"INSERT INTO service_state VALUES {rows}")
    assert look(database).candidates_new == 2
    assert {(one.url, one.source) for one in list_candidates(database)} == {
        (R(1), "bigbrotr"),
        (R(2), "bigbrotr"),
    }
    assert look(database).candidates_new == 0
    assert ask(database, "SELECT count(*) FROM service_state WHERE service_name = 'validator'") == [(3,)]


def test_a_look_ends_in_time_and_the_next_one_goes_on(database: str) -> None:
    archive(database, [naming(R(n % 50)) for n in range(2_000)])
    options = config(discovery={"events": {"batch_size": 10}})
    short = options.model_copy(
        update={
            "discovery": options.discovery.model_copy(
                update={"events": options.discovery.events.model_copy(update={"max_duration": 0.05})}
            )
        }
    )
    started, total, looks = time.monotonic(), 0, 0
    while True:
        report = scan(database, short)
        total, looks = total + report.scanned, looks + 1
        if not report.unread:
            break
    assert total == 2_000
    assert looks > 1
    assert time.monotonic() - started < 60
