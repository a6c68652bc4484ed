"""Whether it is the relays that are dead, or our own line: what is believed, and when."""

import pytest

from bigbrotr_dagster.discovery.health.doubt import MOST_WAITING, Doubt
from bigbrotr_dagster.discovery.health.probe import Found
from bigbrotr_dagster.nostr.reach import Failure
from bigbrotr_dagster.nostr.relay_url import parse_relay_url


def found(name: str, failure: Failure | None = None, **options: bool) -> Found:
    """What a check brought; without a failure the relay is alive."""
    url = f"ws://{name[0] * 56}.onion" if name.startswith("tor") else f"wss://{name}.example.com"
    return Found(parse_relay_url(url), 0, alive=failure is None, failure=failure, **options)


A, B, C = (found(name, Failure.TIMEOUT) for name in "abc")


def test_failures_wait_for_another_relay_that_answers() -> None:
    doubt = Doubt(set())
    assert doubt.take(A, 0, 10) == doubt.take(B, 5, 15) == []
    alive = found("d")
    assert doubt.take(alive, 14, 16) == [alive, A, B]
    assert doubt.take(C, 15, 25) == [C], "another one answered while it was tried"
    assert doubt.end() == doubt.disbelieved == []


def test_an_answer_before_the_check_says_nothing_of_the_line_since() -> None:
    doubt = Doubt(set())
    doubt.take(found("d"), 0, 1)
    assert doubt.take(A, 2, 12) == doubt.take(B, 2, 12) == []
    assert doubt.end() == []
    assert doubt.disbelieved == [A, B]


def test_one_failure_alone_is_believed() -> None:
    doubt = Doubt(set())
    assert doubt.take(A, 0, 10) == []
    assert (doubt.end(), doubt.disbelieved) == ([A], [])


def test_who_was_dead_before_is_dead_still() -> None:
    doubt = Doubt({A.relay.url})
    assert doubt.take(A, 0, 10) == [A]


@pytest.mark.parametrize("failure", [Failure.DNS, Failure.PRIVATE, Failure.NETWORK, Failure.TIMEOUT])
def test_what_our_own_line_may_cause_is_doubted(failure: Failure) -> None:
    doubt = Doubt(set())
    assert doubt.take(found("a", failure), 0, 1) == []


def test_a_refusal_and_any_other_answer_of_the_host_are_signs_of_the_line() -> None:
    for sign in (found("d", Failure.NETWORK, refused=True), found("d", Failure.HTTP), found("d", Failure.TLS)):
        doubt = Doubt(set())
        doubt.take(A, 0, 1)
        assert doubt.take(sign, 0, 2) == [sign, A]


def test_a_certificate_that_is_not_trusted_is_no_sign() -> None:
    doubt = Doubt(set())
    doubt.take(A, 0, 1)
    certificate = found("d", Failure.CERTIFICATE)
    assert doubt.take(certificate, 0, 2) == [certificate]


def test_each_network_is_judged_by_itself_and_a_proxys_failure_is_nobodys() -> None:
    doubt = Doubt(set())
    doubt.take(A, 0, 1)
    tor = found("tor")
    assert doubt.take(tor, 0, 2) == [tor]
    proxy = found("tor", Failure.PROXY)
    assert doubt.take(proxy, 0, 2) == []
    assert doubt.disbelieved == [proxy]


def test_no_more_than_a_batch_waits() -> None:
    doubt = Doubt(set())
    for number in range(MOST_WAITING):
        assert doubt.take(found(f"r{number}", Failure.DNS), 0, 1) == []
    assert len(doubt.disbelieved) == MOST_WAITING
    assert doubt.take(alive := found("d"), 0, 2) == [alive]
