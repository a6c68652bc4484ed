"""Documents as BigBrotr stores them: right types, bounded, canonical, and nothing that jsonb cannot hold."""

import hashlib
import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bigbrotr_dagster.config import ConfigError, SynchronizerConfig
from bigbrotr_dagster.discovery.health.certificates import ssl_document
from bigbrotr_dagster.discovery.health.documents import (
    MAX_DOCUMENT,
    MAX_TEXT,
    Check,
    Document,
    document_id,
    storable,
    succeeded,
)
from bigbrotr_dagster.discovery.health.information import known_keys, nip11_document
from bigbrotr_dagster.discovery.health.places import Places, geohash, open_places
from bigbrotr_dagster.discovery.health.round_trips import Talk, http_document, rtt_document
from bigbrotr_dagster.nostr.connection import TlsPeer
from bigbrotr_dagster.nostr.nip11 import Document as Answer
from tests.discovery.mmdb import write_mmdb
from tests.nostr.test_dial import CERTIFICATE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(
    ["name", "description", "self", "supported_nips", "limitation", "retention", "fees", "tags", "other"]
)


def read(document: Document) -> dict[str, Any]:
    return dict(json.loads(document.encoded()))


def test_a_document_is_canonical_json_and_its_id_the_hash_of_it() -> None:
    document = succeeded(Check.NIP11, {"b": "é", "a": [1], "c": None})
    assert document.encoded() == '{"data":{"a":[1],"b":"é"},"logs":{"success":true}}'.encode()
    assert document_id(document.encoded()) == hashlib.sha256(document.encoded()).digest()


def test_every_key_of_nip_11_is_kept() -> None:
    said = {
        "name": "a relay",
        "description": "two\nlines",
        "pubkey": "ab" * 32,
        "self": "cd" * 32,
        "contact": "mailto:a@b.example",
        "supported_nips": [11, 1, 1, 42],
        "software": "strfry",
        "version": "1.0",
        "limitation": {"max_limit": 500, "auth_required": False, "restricted_writes": True, "other": 1},
        "retention": [{"kinds": [0, [5, 7]], "time": 3600}, {"count": 1000}],
        "relay_countries": ["CA"],
        "tags": ["sfw-only"],
        "fees": {"admission": [{"amount": 1000, "unit": "msats"}], "publication": [{"kinds": [4], "amount": 1}]},
        "posting_policy": "https://b.example",
        "unknown": "left out",
    }
    expected = {key: value for key, value in said.items() if key != "unknown"}
    expected |= {"supported_nips": [1, 11, 42]}
    expected["limitation"] = {"max_limit": 500, "auth_required": False, "restricted_writes": True}
    assert known_keys(said) == expected


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"name": 5, "version": "1"}, {"version": "1"}),
        ({"supported_nips": "1, 2"}, {}),
        ({"supported_nips": [1, "2", True, 3.0, -1, 2**40, None]}, {"supported_nips": [1, 3]}),
        ({"limitation": []}, {}),
        ({"limitation": {"max_limit": "500", "auth_required": 1, "max_subscriptions": 20}},
         {"limitation": {"max_subscriptions": 20}}),
        ({"limitation": {"max_limit": 2**80}}, {}),
        ({"fees": {"admission": "much"}}, {}),
        ({"retention": [{"kinds": [[1, 2, 3], "4", [1, "2"]]}, 7]}, {}),
        ({"tags": ["a", 1, None, "b"]}, {"tags": ["a", "b"]}),
        ({"name": None}, {}),
    ],
)  # fmt: skip
def test_what_has_the_wrong_type_is_left_out_key_by_key(said: dict[str, object], kept: dict[str, object]) -> None:
    assert known_keys(said) == kept


@given(st.dictionaries(KEYS, JSON))
def test_whatever_a_relay_says_makes_a_document_that_can_be_stored(said: dict[str, object]) -> None:
    encoded = succeeded(Check.NIP11, known_keys(said)).encoded()
    assert len(encoded) <= MAX_DOCUMENT
    assert "\0" not in json.dumps(json.loads(encoded), ensure_ascii=False)


def test_what_jsonb_cannot_hold_is_taken_out() -> None:
    assert storable("a\0b\ud800c") == "ab\ufffdc"
    document = nip11_document(Answer(b'{"name": "a\\u0000\\ud800b"}', "application/nostr+json; charset=utf-8"))
    assert read(document) == {"data": {"name": "a\ufffdb"}, "logs": {"success": True}}


def test_a_document_is_bounded_in_all_its_parts() -> None:
    long = {"tags": ["x" * 5000] * 5000, "description": "😀" * 500_000, "name": "kept"}
    encoded = succeeded(Check.NIP11, known_keys(long)).encoded()
    assert len(encoded) <= MAX_DOCUMENT
    assert json.loads(encoded)["data"] == {"name": "kept", "description": "😀" * MAX_TEXT}, (
        "the longest goes first"
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(problem="HTTP status 404"), "HTTP status 404"),
        (Answer(b"{}", "text/html"), "the content type is text/html"),
        (Answer(b"{}", ""), "the content type is missing"),
        (Answer(b"[]", "application/json"), "not a JSON object"),
        (Answer(b"[" * 100_000, "application/json"), "not a JSON object"),
    ],
)
def test_what_is_no_document_says_why(answer: Answer, reason: str) -> None:
    assert read(nip11_document(answer)) == {"data": {}, "logs": {"success": False, "reason": reason}}


def test_round_trips_are_whole_milliseconds() -> None:
    assert read(rtt_document(Talk(open=0.0204, read=0.0001, spoke=True))) == {
        "data": {"rtt_open": 20, "rtt_read": 1},
        "logs": {"open_success": True, "read_success": True},
    }


def test_what_cannot_be_opened_cannot_be_read_for_the_same_reason() -> None:
    why = "connection refused"
    assert read(rtt_document(Talk(open_reason=why)))["logs"] == {
        "open_success": False,
        "open_reason": why,
        "read_success": False,
        "read_reason": why,
    }
    assert read(http_document(Talk(open_reason=why)))["logs"] == {"success": False, "reason": why}


def test_headers_are_cut() -> None:
    found = read(http_document(Talk(open=1, server="nginx\0" + "x" * 10_000, powered_by="strfry")))
    assert len(found["data"]["http_server"]) < 400
    assert found["data"]["http_powered_by"] == "strfry"
    assert not read(http_document(Talk(open=1)))["logs"]["success"]


@given(st.binary(max_size=300))
def test_what_is_no_certificate_says_so(der: bytes) -> None:
    document = read(ssl_document(TlsPeer(der, "TLSv1.3", "A", 256), ""))
    assert document["logs"]["success"] is False
    assert document["data"]["ssl_cipher"] == "A"


def test_a_certificate_of_which_any_byte_is_wrong_stops_nobody() -> None:
    [pem] = x509.load_pem_x509_certificates(CERTIFICATE.read_bytes())
    der = pem.public_bytes(Encoding.DER)
    for place in range(len(der)):
        for value in (0, der[place] ^ 1, der[place] ^ 0x80, 255):
            damaged = der[:place] + bytes([value]) + der[place + 1 :]
            encoded = ssl_document(TlsPeer(damaged, "TLSv1.3", "A", 256), "").encoded()
            assert len(encoded) <= MAX_DOCUMENT
            assert "\0" not in encoded.decode()


class Table:
    """What MaxMind's reader does, from a dictionary of networks."""

    def __init__(self, networks: dict[str, object]) -> None:
        self._networks = {ipaddress.ip_network(each): record for each, record in networks.items()}

    def get_with_prefix_len(self, ip_address: str) -> tuple[Any, int]:
        address = ipaddress.ip_address(ip_address)
        if address.version == 6 and all(each.version == 4 for each in self._networks):
            raise ValueError("IPv4-only database")
        for network, record in self._networks.items():
            if address in network:
                return record, network.prefixlen
        return None, 0


CITY = {
    "country": {"iso_code": "DE", "names": {"en": "Germany"}, "is_in_european_union": True},
    "registered_country": {"iso_code": "US"},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "city": {"names": {"en": "Falkenstein"}, "geoname_id": 2927043},
    "subdivisions": [{"names": {"en": "Saxony"}}],
    "location": {"latitude": 50.4777, "longitude": 12.3649, "accuracy_radius": 20, "time_zone": "Europe/Berlin"},
    "postal": {"code": "08223"},
}


def test_places_are_what_the_files_say_of_ipv4_before_ipv6() -> None:
    networks = Table({"93.184.0.0/16": {"autonomous_system_number": 64500, "autonomous_system_organization": "A"}})
    geo, net = Places(Table({"93.184.0.0/16": CITY}), networks, 5).documents(["2606:2800::1", "93.184.215.14"])
    assert read(geo)["data"] == {
        "geo_country": "DE",
        "geo_country_name": "Germany",
        "geo_continent": "EU",
        "geo_continent_name": "Europe",
        "geo_is_eu": True,
        "geo_region": "Saxony",
        "geo_city": "Falkenstein",
        "geo_postal": "08223",
        "geo_lat": 50.4777,
        "geo_lon": 12.3649,
        "geo_accuracy": 20,
        "geo_tz": "Europe/Berlin",
        "geo_hash": geohash(50.4777, 12.3649, 5),
        "geo_geoname_id": 2927043,
    }
    assert read(net)["data"] == {
        "net_ip": "93.184.215.14",
        "net_ipv6": "2606:2800::1",
        "net_asn": 64500,
        "net_asn_org": "A",
        "net_network": "93.184.0.0/16",
    }


def test_the_files_are_maxminds_own(tmp_path: Path) -> None:
    city, asn = tmp_path / "city.mmdb", tmp_path / "asn.mmdb"
    write_mmdb(city, "93.184.0.0/16", CITY)
    write_mmdb(asn, "93.0.0.0/8", {"autonomous_system_number": 64500, "autonomous_system_organization": "A"})
    files = {"city_database_path": str(city), "asn_database_path": str(asn)}
    config = SynchronizerConfig.model_validate({"monitor": {"geo": files}})
    with open_places(config) as places:
        geo, net = places.documents(["93.184.215.14", "2606:2800::1"])
        unknown = places.documents(["8.8.8.8"])
    assert (read(geo)["data"]["geo_city"], read(geo)["data"]["geo_lat"]) == ("Falkenstein", 50.4777)
    assert len(read(geo)["data"]["geo_hash"]) == 9
    assert (read(net)["data"]["net_asn"], read(net)["data"]["net_network"]) == (64500, "93.0.0.0/8")
    assert [read(each)["logs"]["success"] for each in unknown] == [False, False]
    city.write_bytes(b"no file of MaxMind's")
    with pytest.raises(ConfigError, match=r"city\.mmdb cannot be read"), open_places(config):
        pass


def test_an_address_that_no_file_knows_says_so() -> None:
    places = Places(Table({"10.0.0.0/8": CITY}), Table({"10.0.0.0/8": {}}))
    assert [read(each)["logs"]["success"] for each in places.documents(["93.184.215.14"])] == [False, False]
    assert [read(each)["logs"]["reason"] for each in places.documents([])] == ["no address", "no address"]
    assert Places().documents(["93.184.215.14"]) == []


@pytest.mark.parametrize(
    ("lat", "lon", "cell"), [(57.64911, 10.40744, "u4pruydqqvj"), (-25.382708, -49.265506, "6gkzwgjzn820")]
)
def test_a_geohash_is_the_cell_that_others_find(lat: float, lon: float, cell: str) -> None:
    assert geohash(lat, lon, len(cell)) == cell
