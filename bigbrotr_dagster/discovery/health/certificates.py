"""nip66_ssl: the certificate that a relay shows, and whether it may be trusted. Pure."""

import warnings
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from bigbrotr_dagster.discovery.health.documents import (
    MOST_ITEMS,
    Check,
    Document,
    failed,
    some,
    storable,
    succeeded,
)
from bigbrotr_dagster.nostr.connection import TlsPeer

MAX_NAME = 300
"""Characters of one name in a certificate."""


def ssl_document(peer: TlsPeer | None, problem: str) -> Document:
    """The certificate of `peer`, where one came; `problem` says why it is not trusted, or why none came."""
    if peer is None:
        return failed(Check.SSL, problem or "no certificate")
    data: dict[str, Any] = {
        "ssl_valid": not problem,
        "ssl_protocol": peer.protocol or None,
        "ssl_cipher": peer.cipher or None,
        "ssl_cipher_bits": peer.cipher_bits or None,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in it, to our own stderr
            data |= read_certificate(peer.certificate)
    except Exception as exc:  # OpenSSL takes certificates that break the rules; some errors here are no ValueError
        return failed(Check.SSL, problem or f"the certificate cannot be read: {exc}", data)
    return failed(Check.SSL, problem, data) if problem else succeeded(Check.SSL, data)


def read_certificate(der: bytes) -> dict[str, Any]:
    """What a certificate says, by BigBrotr's names; times are Unix seconds.

    Raises:
        Exception: it breaks the rules of X.509.
    """
    certificate = x509.load_der_x509_certificate(der)
    fingerprint = certificate.fingerprint(SHA256()).hex(":").upper()
    return {
        "ssl_subject_cn": _first(certificate.subject, NameOID.COMMON_NAME),
        "ssl_issuer": _first(certificate.issuer, NameOID.ORGANIZATION_NAME),
        "ssl_issuer_cn": _first(certificate.issuer, NameOID.COMMON_NAME),
        "ssl_expires": _second(certificate.not_valid_after_utc),
        "ssl_not_before": _second(certificate.not_valid_before_utc),
        "ssl_san": _names(certificate),
        "ssl_serial": f"{certificate.serial_number:X}",
        "ssl_version": certificate.version.value + 1,  # X.509 counts from 0
        "ssl_fingerprint": f"SHA256:{fingerprint}",
    }


def _first(name: x509.Name, what: x509.ObjectIdentifier) -> str | None:
    found = some(_text(each.value) for each in name.get_attributes_for_oid(what))
    return found[0] if found else None


def _names(certificate: x509.Certificate) -> list[str] | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    names: Iterable[str] = extension.value.get_values_for_type(x509.DNSName)
    return some(_text(name) for name in list(names)[:MOST_ITEMS])


def _text(value: str | bytes) -> str | None:
    return storable(value, MAX_NAME) if isinstance(value, str) and value else None


def _second(moment: datetime) -> int:
    return int(moment.timestamp())
