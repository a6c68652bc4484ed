"""Private keys: reading them (hex or NIP-19's nsec), and signing events with them (BIP-340)."""

import hashlib
import re

import orjson
from coincurve import PrivateKey

from bigbrotr_dagster.errors import InvalidInput
from bigbrotr_dagster.nostr.event import Event, Tag

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class InvalidPrivateKey(InvalidInput):
    """The text is not a private key; the message never repeats it."""


def parse_private_key(text: str) -> bytes:
    """Return the 32 bytes of a private key given as 64 hex digits or as nsec1… (NIP-19).

    Raises:
        InvalidPrivateKey: also where the number is not a valid secp256k1 key.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        key = bytes.fromhex(text)
    elif text.lower().startswith("nsec1"):
        key = _decode_nsec(text)
    else:
        raise InvalidPrivateKey("a private key is 64 hex digits or nsec1…")
    try:
        return PrivateKey(key).secret
    except ValueError as exc:
        raise InvalidPrivateKey("the private key is not in the range of secp256k1") from exc


def public_key(key: bytes) -> str:
    """Return the x-only public key of a private one (32 bytes), in hex."""
    return PrivateKey(key).public_key_xonly.format().hex()


def sign_event(
    key: bytes,
    *,
    created_at: int,
    kind: int,
    tags: list[Tag],
    content: str,
    aux_randomness: bytes = b"",
) -> Event:
    """Return the event that the owner of `key` (32 bytes) signs.

    `aux_randomness` is BIP-340's: 32 bytes, or empty for fresh ones; fixed ones make signatures repeatable.
    """
    private_key = PrivateKey(key)
    pubkey = private_key.public_key_xonly.format().hex()
    id = unsigned_id(pubkey, created_at, kind, tags, content)
    signature = private_key.sign_schnorr(bytes.fromhex(id), aux_randomness)
    return Event(id, pubkey, created_at, kind, tags, content, signature.hex())


def unsigned_id(pubkey: str, created_at: int, kind: int, tags: list[Tag], content: str) -> str:
    """Return the id of what is to be an event, in hex (NIP-01)."""
    return hashlib.sha256(orjson.dumps([0, pubkey, created_at, kind, tags, content])).hexdigest()


def _decode_nsec(text: str) -> bytes:
    """Decode bech32 (BIP-173) with the human-readable part "nsec"."""
    if text not in (text.lower(), text.upper()):
        raise InvalidPrivateKey("nsec: upper and lower case are mixed")
    values = [_ALPHABET.find(character) for character in text.lower()[5:]]
    if len(values) != 58 or -1 in values:  # 52 x 5 bits of key, 6 of checksum
        raise InvalidPrivateKey("nsec: wrong length or character")
    expanded = [ord(character) >> 5 for character in "nsec"] + [0] + [ord(c) & 31 for c in "nsec"]
    if _polymod(expanded + values) != 1:
        raise InvalidPrivateKey("nsec: wrong checksum")
    number = 0
    for value in values[:-6]:
        number = number << 5 | value
    if number & 0b1111:  # 52 x 5 = 260 bits: the last four are padding
        raise InvalidPrivateKey("nsec: padding is not zero")
    return (number >> 4).to_bytes(32, "big")


def _polymod(values: list[int]) -> int:
    """BIP-173's checksum."""
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum
