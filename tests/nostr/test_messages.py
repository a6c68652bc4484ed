"""What a relay says, decoded; keys and NIP-42; NIP-11's limits."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.nostr.auth import MAX_ANSWERS, Authenticator, InvalidPrivateKey, parse_private_key
from bigbrotr_dagster.nostr.event import event_from_json, verify_signature
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.messages import (
    AuthChallenge,
    Closed,
    Eose,
    EventMessage,
    Message,
    NegErr,
    NegMsg,
    Notice,
    Ok,
    ProtocolError,
    Unknown,
    neg_close,
    neg_msg,
    neg_open,
    parse_message,
)
from bigbrotr_dagster.nostr.nip11 import Limitation, parse_limits
from bigbrotr_dagster.windowing.outcome import Hint
from tests.nostr.helpers import KEY, signed


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('["EVENT","s",{"id":1}]', EventMessage("s", {"id": 1})),
        ('["EVENT","s",{},{}]', EventMessage("s", {})),
        ('[ "EVENT" , "s" , {} ]', EventMessage("s", {})),
        (r'["EVENT","\u0073",{}]', EventMessage("s", {})),
        ('["EVENT","s"]', EventMessage("s", None)),
        ('["EVENT","s",{', EventMessage("s", None)),
        ('["EVENT","s" rubbish', EventMessage("s", None)),
        ('["EVENT","s', EventMessage(None, None)),
        ('["EVENT",1,{}]', EventMessage(None, 1)),
        ('["EVENT",{}]', EventMessage(None, {})),
        ('["EVENT"]', EventMessage(None, None)),
        ('["EOSE","s"]', Eose("s")),
        ('["EOSE","s",["finish"]]', Eose("s", Hint.FINISH)),
        ('["EOSE","s",["more"]]', Eose("s", Hint.MORE)),
        ('["EOSE","s",["other"]]', Eose("s")),
        ('["EOSE","s","finish"]', Eose("s")),
        ('["CLOSED","s","rate-limited: slow down"]', Closed("s", "rate-limited", "slow down")),
        ('["CLOSED","s","rate-limited:"]', Closed("s", "rate-limited", "")),
        ('["CLOSED","s","no more: sorry"]', Closed("s", "", "no more: sorry")),
        ('["CLOSED","s",""]', Closed("s", "", "")),
        ('["CLOSED","s"]', Closed("s", "", "")),
        ('["CLOSED","s",null]', Closed("s", "", "")),
        ('["NOTICE","hello"]', Notice("hello")),
        ('["NOTICE"]', Notice("")),
        (r'["NOTICE","\u0000"]', Notice(r"\x00")),
        ('["AUTH","challenge"]', AuthChallenge("challenge")),
        ('["OK","id",false,"blocked: no"]', Ok("id", False, "blocked", "no")),
        ('["NEG-MSG","s","61"]', NegMsg("s", b"a")),
        ('["NEG-MSG","s","6A",1]', NegMsg("s", b"j")),
        ('["NEG-MSG","s",""]', NegMsg("s", b"")),
        pytest.param('["NEG-MSG","s","%s"]' % ("61" * 500_000), NegMsg("s", b"a" * 500_000), id="longest"),
        (
            '["NEG-ERR","s","blocked: too many query results",1000]',
            NegErr("s", "blocked", "too many query results"),
        ),
        ('["NEG-ERR","s","PROTOCOL-ERROR"]', NegErr("s", "", "PROTOCOL-ERROR")),
        (r'["NEG-ERR","s","\u001b[2J"]', NegErr("s", "", r"\x1b[2J")),
        ('["NEG-ERR","s",7]', NegErr("s", "", "")),
        ('["NEG-ERR","s"]', NegErr("s", "", "")),
        ('["NEG-OPEN","s",{},"61"]', Unknown("NEG-OPEN")),
    ],
)
def test_message(raw: str, message: Message) -> None:
    assert parse_message(raw.encode()) == message


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "{}",
        "[]",
        "null",
        "[1]",
        '["EOSE"]',
        '["OK","i",1]',
        '["NEG-MSG"]',
        '["NEG-MSG","s"]',
        '["NEG-MSG","s",61]',
        '["NEG-MSG",1,"61"]',
        '["NEG-MSG","s",["61"]]',
        '["NEG-MSG","s","6"]',
        '["NEG-MSG","s","61 62"]',
        '["NEG-MSG","s","0x61"]',
        '["NEG-MSG","s","٦١"]',
        r'["NEG-MSG","s","\ud800"]',
        pytest.param('["NEG-MSG","s","%s61"]' % ("61" * 500_000), id="too long"),
        '["NEG-ERR"]',
        '["NEG-ERR",1,"blocked: no"]',
    ],
)
def test_what_is_no_message_is_an_error(raw: str) -> None:
    with pytest.raises(ProtocolError):
        parse_message(raw.encode())


def test_what_we_say_of_nip_77() -> None:
    selection = Filter(kinds=(1,), since=5, until=9)
    assert neg_open("s", selection, b"a\0") == b'["NEG-OPEN","s",{"kinds":[1],"since":5,"until":9},"6100"]'
    assert neg_msg("s", b"a") == b'["NEG-MSG","s","61"]'
    assert neg_close("s") == b'["NEG-CLOSE","s"]'


def test_a_long_text_is_cut() -> None:
    assert parse_message(b'["NOTICE","' + b"x" * 5_000 + b'"]') == Notice("x" * 1_000)


@given(st.binary(max_size=50))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with suppress(ProtocolError):
        parse_message(raw)


NSEC = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"  # NIP-19's example
NSEC_HEX = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"


@pytest.mark.parametrize("text", [NSEC, NSEC.upper(), NSEC_HEX, NSEC_HEX.upper(), f" {NSEC}\n"])
def test_private_key(text: str) -> None:
    assert parse_private_key(text).hex() == NSEC_HEX


@pytest.mark.parametrize(
    "text",
    ["", "00", "0" * 64, "f" * 64, NSEC[:-1], NSEC[:-1] + "6", NSEC.replace("v", "V"), "npub1" + NSEC[5:]],
)
def test_a_bad_private_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidPrivateKey) as refusal:
        parse_private_key(text)
    assert not text or text not in str(refusal.value)


def test_a_challenge_is_answered_with_a_valid_event() -> None:
    answer = Authenticator(KEY, "wss://relay.io").answer("challenge")
    assert answer is not None
    assert answer.kind == 22242
    assert answer.tags == [["relay", "wss://relay.io"], ["challenge", "challenge"]]
    assert verify_signature(event_from_json(answer.to_json()))


def test_without_a_key_no_challenge_is_answered() -> None:
    assert Authenticator(None, "wss://relay.io").answer("challenge") is None


def test_a_relay_cannot_make_us_sign_without_end() -> None:
    authenticator = Authenticator(KEY, "wss://relay.io")
    answers = [authenticator.answer(str(number)) for number in range(10)]
    assert sum(answer is not None for answer in answers) == MAX_ANSWERS


def test_a_long_challenge_is_not_answered() -> None:
    assert Authenticator(KEY, "wss://relay.io").answer("x" * 2_000) is None


def test_the_verdict_on_another_event_is_not_ours() -> None:
    authenticator = Authenticator(KEY, "wss://relay.io")
    authenticator.answer("challenge")
    assert not authenticator.receive(Ok(signed().id, True, "", ""))
    assert not authenticator.accepted


def test_limits_are_read() -> None:
    document = {"limitation": {"max_limit": 500, "auth_required": True, "max_subscriptions": 20}}
    assert parse_limits(document) == Limitation(max_limit=500, auth_required=True, max_subscriptions=20)


@pytest.mark.parametrize(
    "document",
    [
        *(None, [], {}, {"limitation": None}, {"limitation": []}),
        {"limitation": {"max_limit": "500", "auth_required": 1}},
        {"limitation": {"max_limit": -1, "max_subscriptions": 1.5, "max_message_length": 2**70}},
        {"limitation": {"max_limit": True}},
    ],
)
def test_nonsense_says_nothing(document: object) -> None:
    assert parse_limits(document) == Limitation()
