"""Gaps on a relay's own partition: in its metadata, and as a check that costs no event where there are none."""

from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster.defs.archive import gap_table, relay_gap_check
from bigbrotr_dagster.defs.archive.gaps import GAPS_SHOWN
from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.sync import RelayReport
from bigbrotr_dagster.windowing.intervals import Interval
from bigbrotr_dagster.windowing.tasks import Gap, Unproven
from tests.defs.helpers import NOW, Graph, Relays, dead_url, some_events
from tests.nostr.helpers import signed
from tests.sync.helpers import ask

WARN = dg.AssetCheckSeverity.WARN


def crowded(name: str) -> list[Event]:
    """Eight events of one second, kind and author, beside some others."""
    return some_events(3, name) + [signed(NOW + 5, content=f"{name} crowded {number}") for number in range(8)]


def report(*gaps: Gap, before: int = 0) -> RelayReport:
    return RelayReport("wss://a.example.com", "clearnet", ok=True, gaps=gaps, gaps_before=before)


def gap(since: int, until: int, reason: Unproven, detail: str = "") -> Gap:
    return Gap(Interval(since, until), reason, held=7, detail=detail)


def test_the_check_says_in_words_what_is_missing() -> None:
    check = relay_gap_check(
        report(
            gap(NOW, NOW, Unproven.SATURATED),
            gap(NOW + 10, NOW + 10, Unproven.SATURATED),
            gap(0, 11, Unproven.REFUSED, "blocked: not for you"),
        )
    )
    assert (check.passed, check.severity, check.partition) == (False, WARN, "wss://a.example.com")
    assert check.description == "3 gaps: saturated x2, refused x1; 14 s in all"
    values = {key: value.value for key, value in check.metadata.items()}
    assert (values["gaps"], values["gap_seconds"]) == (3, 14)
    first = check.metadata["gap_list"]
    assert isinstance(first, dg.TableMetadataValue)
    assert first.records[0].data == {
        "since": "1970-01-01T00:00:00Z",
        "until": "1970-01-01T00:00:11Z",
        "since_unix": 0,
        "until_unix": 11,
        "reason": "refused: blocked: not for you",
        "held": 7,
        "missing": None,
    }


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(179, "179 s"), (180, "3 minutes"), (86_400, "24 hours"), (1_790_000_000, "20,718 days")],
)
def test_a_length_of_time_is_told_in_the_unit_that_suits_it(seconds: int, words: str) -> None:
    check = relay_gap_check(report(gap(1, seconds, Unproven.REFUSED)))
    assert check.description == f"1 gap: refused x1; {words} in all"


def test_a_relay_with_thousands_of_gaps_shows_the_first() -> None:
    many = [gap(NOW + number, NOW + number, Unproven.SATURATED) for number in range(3_000)]
    table = gap_table(report(*reversed(many)))
    assert [record.data["since_unix"] for record in table.records] == list(range(NOW, NOW + GAPS_SHOWN))


@pytest.mark.slow
def test_a_relay_with_gaps_warns_on_its_partition_until_they_are_settled(graph: Graph, relays: Relays) -> None:
    relay, fine = relays.serve(crowded("one"), cap=5), relays.serve(some_events(3))
    graph.register(relay.url, fine.url)
    run = graph.sync(relay.url, fine.url)
    assert run.success, "a gap is a warning, not a failure"
    checks = graph.checks(run, "open_gaps")
    assert set(checks) == {relay.url, None}, "the relay without gaps costs no event"
    check = checks[relay.url]
    assert (check.passed, check.severity) == (False, WARN)
    assert check.description == "1 gap: saturated x1; 1 s in all"
    assert checks[None].description == "of all relays: 1 gap: saturated x1; 1 s in all"
    metadata = graph.materializations(run)[relay.url]
    assert (metadata["gaps"], metadata["gap_seconds"], len(metadata["gap_list"].records)) == (1, 1, 1)

    relay.events = relay.events[:4]  # the second is no longer crowded
    ask(graph.database, "UPDATE sync_gap SET last_try = '-infinity' RETURNING 1")
    run = graph.sync(relay.url, fine.url)
    checks = graph.checks(run, "open_gaps")
    assert {url: check.passed for url, check in checks.items()} == {relay.url: True, None: True}
    assert checks[relay.url].description == "all 1 are settled"
    assert graph.materializations(run)[relay.url]["gap_seconds"] == 0
    assert set(graph.checks(graph.sync(relay.url), "open_gaps")) == {None}


def test_a_relay_that_refuses_has_its_gap_although_the_sync_failed(graph: Graph, relays: Relays) -> None:
    relay = relays.serve(some_events(3), twist=lambda _, id, __: [["CLOSED", id, "auth-required: who are you"]])
    graph.register(relay.url)
    check = graph.checks(graph.sync(relay.url), "open_gaps")[relay.url]
    assert not check.passed
    assert "gap" in (check.description or "")
    assert "refused x" in (check.description or "")


def test_a_partition_that_was_asked_for_is_told_about_but_not_one_that_was_not_reached(
    graph: Graph, relays: Relays, config_file: Path
) -> None:
    """A check that was left on a warning, as by a reset, is right again once its relay is materialized."""
    graph.register(url := relays.serve(some_events(2)).url)
    assert graph.checks(graph.sync(partition=url), "open_gaps")[url].passed
    graph.register(dead := dead_url())
    assert graph.checks(graph.sync(partition=dead), "open_gaps")[dead].passed, "nothing was asked, nothing refused"
    config_file.write_text(config_file.read_text() + "timeouts: {max_duration: 0}\n")
    assert set(graph.checks(graph.sync(partition=dead), "open_gaps")) == {None}, "nothing is known of it"
