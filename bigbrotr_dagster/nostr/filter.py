"""NIP-01 filters: strict parsing, matching, and the key that coverage is stored under."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import orjson

from bigbrotr_dagster.nostr.event import MAX_CREATED_AT, MAX_KIND, Event
from bigbrotr_dagster.nostr.left_out import LeftOut

__all__ = ["Filter", "LeftOut"]

_HEX_64 = re.compile(r"[0-9a-f]{64}").fullmatch
_TAG_KEY = re.compile(r"#[A-Za-z]").fullmatch
_NO_TAGS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Filter:
    """A NIP-01 filter without `search`, whose results no relay promises to be complete (NIP-50).

    None means "any". `since` and `until` are seconds since 1970, both inclusive. Two filters that list the
    same values in another order are equal: lists are kept sorted and without duplicates. `left_out`: what is not
    wanted though it matches; no relay is told of it, so that it plays no part in `matches` and `to_dict`.
    """

    ids: tuple[str, ...] | None = None
    authors: tuple[str, ...] | None = None
    kinds: tuple[int, ...] | None = None
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_TAGS, hash=False)
    since: int | None = None
    until: int | None = None
    limit: int | None = None
    left_out: tuple[LeftOut, ...] = ()
    _ids: frozenset[str] = field(init=False, repr=False, compare=False)
    _authors: frozenset[str] = field(init=False, repr=False, compare=False)
    _kinds: frozenset[int] = field(init=False, repr=False, compare=False)
    _tags: tuple[tuple[str, frozenset[str]], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check and sort the values.

        Raises:
            ValueError: names the key and the value that NIP-01 does not allow.
        """
        ids, authors = _hex_values("ids", self.ids), _hex_values("authors", self.authors)
        kinds, tags = _kind_values(self.kinds), _tag_values(self.tags)
        for key in ("since", "until", "limit"):
            _check_number(key, getattr(self, key))
        for name, value in (("ids", ids), ("authors", authors), ("kinds", kinds), ("tags", tags)):
            object.__setattr__(self, name, value)  # frozen: the one place that may
        object.__setattr__(self, "_ids", frozenset(ids or ()))
        object.__setattr__(self, "_authors", frozenset(authors or ()))
        object.__setattr__(self, "_kinds", frozenset(kinds or ()))
        object.__setattr__(self, "_tags", tuple((key[1], frozenset(values)) for key, values in tags.items()))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read a filter as NIP-01's JSON has it.

        Raises:
            ValueError: names the key and the value that NIP-01 does not allow.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(f"a filter is a JSON object, not {fields!r}")
        tags = {key: value for key, value in fields.items() if isinstance(key, str) and key.startswith("#")}
        known = {"ids", "authors", "kinds", "since", "until", "limit"}
        for key in fields:
            if key not in known and key not in tags:
                raise ValueError(f"unknown filter key {key!r}")
        for key in known & fields.keys():
            if fields[key] is None:
                raise ValueError(f"{key}: null")
        return cls(tags=tags, **{key: fields[key] for key in known & fields.keys()})

    def to_dict(self) -> dict[str, Any]:
        """Return the filter as NIP-01's JSON object, without the keys that are not set."""
        fields: dict[str, Any] = self._selection()
        for key, value in (("since", self.since), ("until", self.until), ("limit", self.limit)):
            if value is not None:
                fields[key] = value
        return fields

    def matches(self, event: Event) -> bool:
        """Tell whether a relay may answer this filter with `event`; `limit` plays no part."""
        if self.since is not None and event.created_at < self.since:
            return False
        if self.until is not None and event.created_at > self.until:
            return False
        return self.matches_selection(event)

    def matches_selection(self, event: Event) -> bool:
        """Tell whether `event` matches all but `since` and `until`."""
        if self.ids is not None and event.id not in self._ids:
            return False
        if self.authors is not None and event.pubkey not in self._authors:
            return False
        if self.kinds is not None and event.kind not in self._kinds:
            return False
        return not self._tags or all(_has_tag(event, name, values) for name, values in self._tags)

    def narrowed(self, **changes: Any) -> Self:
        """Return a copy with some keys changed, checked like any filter."""
        return replace(self, **changes)

    def leaving_out(self, rules: Iterable[LeftOut]) -> Self:
        """Return a copy that leaves out what any of these rules matches, besides what it does already."""
        unique = {orjson.dumps(rule.to_dict()): rule for rule in (*self.left_out, *rules)}
        return replace(self, left_out=tuple(rule for _, rule in sorted(unique.items())))

    def leaves_out(self, event: Event, now: float) -> bool:
        """Tell whether `event` is left out by choice at `now` (Unix time)."""
        return any(rule.matches(event, now) for rule in self.left_out)

    def described(self) -> dict[str, Any]:
        """Return what coverage is of: as `to_dict`, and under `leave_out` what is not wanted."""
        return self.to_dict() | self._without()

    @classmethod
    def from_description(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `described` gave.

        Raises:
            ValueError: names the key and the value that NIP-01 does not allow.
        """
        rules = [LeftOut.from_dict(rule) for rule in fields.get("leave_out", ())]
        return cls.from_dict({key: value for key, value in fields.items() if key != "leave_out"}).leaving_out(
            rules
        )

    def hash(self) -> str:
        """Return the key of this filter's coverage: 16 hex digits, blind to `since`, `until` and `limit`."""
        what = self._selection() | self._without()
        return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    def _without(self) -> dict[str, Any]:
        return {"leave_out": [rule.to_dict() for rule in self.left_out]} if self.left_out else {}

    def _selection(self) -> dict[str, Any]:
        lists = {"ids": self.ids, "authors": self.authors, "kinds": self.kinds, **self.tags}
        return {key: list(values) for key, values in lists.items() if values is not None}


def _has_tag(event: Event, name: str, values: frozenset[str]) -> bool:
    """NIP-01: only the first value of a tag is indexed."""
    return any(len(tag) > 1 and tag[0] == name and tag[1] in values for tag in event.tags)


def _listed(key: str, values: object) -> Sequence[Any]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"{key}: {values!r} is not a list")
    if not values:
        raise ValueError(f"{key}: an empty list matches nothing")
    return values


def _hex_values(key: str, values: object) -> tuple[str, ...] | None:
    if values is None:
        return None
    for value in _listed(key, values):
        if not isinstance(value, str) or not _HEX_64(value):
            raise ValueError(f"{key}: {value!r} is not 64 lower-case hex digits")
    return tuple(sorted(set(_listed(key, values))))


def _kind_values(values: object) -> tuple[int, ...] | None:
    if values is None:
        return None
    for value in _listed("kinds", values):
        if type(value) is not int or not 0 <= value <= MAX_KIND:
            raise ValueError(f"kinds: {value!r} is not an integer in 0..{MAX_KIND}")
    return tuple(sorted(set(_listed("kinds", values))))


def _tag_values(tags: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    checked: dict[str, tuple[str, ...]] = {}
    for key in sorted(tags):
        if not _TAG_KEY(key):
            raise ValueError(f"unknown filter key {key!r}: a tag is '#' and one letter")
        for value in _listed(key, tags[key]):
            if not isinstance(value, str):
                raise ValueError(f"{key}: {value!r} is not a string")
        checked[key] = tuple(sorted(set(tags[key])))
    return MappingProxyType(checked)


def _check_number(key: str, value: object) -> None:
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_CREATED_AT):
        raise ValueError(f"{key}: {value!r} is not an integer in 0..{MAX_CREATED_AT}")
