"""A MaxMind file with one network, written from the format's description: what reads it is the real reader."""

import ipaddress
import struct
import time
from pathlib import Path
from typing import Any

_STRING, _DOUBLE, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY, _BOOL = 2, 3, 5, 6, 7, 9, 11, 14
_MARK = b"\xab\xcd\xefMaxMind.com"
_INLINE = 29
_SEPARATOR = 16


class _Short(int):
    """Two bytes; the reader is strict about those that describe the file."""


class _Long(int):
    """Eight bytes."""


def write_mmdb(path: Path, network: str, record: dict[str, Any]) -> None:
    """A file in which the addresses of an IPv4 network have `record`."""
    prefix = ipaddress.ip_network(network)
    bits = f"{int(prefix.network_address):032b}"[: prefix.prefixlen]
    count = len(bits)
    tree = b""
    for number, bit in enumerate(bits):
        taken = number + 1 if number + 1 < count else count + _SEPARATOR  # the record is the first of the data
        pair = (count, taken) if bit == "1" else (taken, count)
        tree += b"".join(each.to_bytes(3) for each in pair)
    about = {
        "node_count": count,
        "record_size": _Short(24),
        "ip_version": _Short(4),
        "database_type": "practice",
        "languages": ["en"],
        "binary_format_major_version": _Short(2),
        "binary_format_minor_version": _Short(0),
        "build_epoch": _Long(time.time()),
        "description": {"en": "practice"},
    }
    path.write_bytes(tree + bytes(_SEPARATOR) + _encoded(record) + _MARK + _encoded(about))


def _encoded(value: Any) -> bytes:
    match value:
        case bool():
            return _head(_BOOL, int(value))
        case str():
            return _head(_STRING, len(value.encode())) + value.encode()
        case float():
            return _head(_DOUBLE, 8) + struct.pack(">d", value)
        case _Short():
            return _head(_UINT16, 2) + value.to_bytes(2)
        case _Long():
            return _head(_UINT64, 8) + value.to_bytes(8)
        case int():
            return _head(_UINT32, 4) + value.to_bytes(4)
        case list():
            return _head(_ARRAY, len(value)) + b"".join(map(_encoded, value))
        case dict():
            pairs = (_encoded(key) + _encoded(each) for key, each in value.items())
            return _head(_MAP, len(value)) + b"".join(pairs)
    raise TypeError(f"cannot be written: {value!r}")


def _head(kind: int, size: int) -> bytes:
    first, more = (size, b"") if size < _INLINE else (_INLINE, bytes([size - _INLINE]))
    if kind < 8:
        return bytes([kind << 5 | first]) + more
    return bytes([first, kind - 7]) + more
