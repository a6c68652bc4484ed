"""The tables of a data set: their columns and types, and rows of PostgreSQL as Parquet. Needs the extra `export`.

Rows come as a stream, and memory stays flat however long it is: a few megabytes of them are Python's at a time,
and a row group of at most `GROUP_BYTES` is Arrow's.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bigbrotr_dagster.archive.export.errors import DayRefused

BATCH_ROWS, BATCH_BYTES = 4_096, 4 * 2**20
"""Rows that become Arrow's at once: at most so many, and the one that reaches so many bytes is the last."""

GROUP_ROWS, GROUP_BYTES = 200_000, 32 * 2**20
"""A row group of Parquet, likewise: large enough to compress, small enough to hold."""

ID, PUBKEY, SIG = pa.binary(32), pa.binary(32), pa.binary(64)
TAGS = pa.list_(pa.list_(pa.string()))

EVENT = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("pubkey", PUBKEY, nullable=False),
        pa.field("created_at", pa.int64(), nullable=False),
        pa.field("created_at_time", pa.timestamp("s", "UTC"), nullable=False),  # Parquet has milliseconds
        pa.field("kind", pa.int32(), nullable=False),
        pa.field("tags", TAGS, nullable=False),
        pa.field("content", pa.string(), nullable=False),
        pa.field("sig", SIG, nullable=False),
    ]
)
OBSERVATION = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("relay_url", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("seen_at", pa.int64(), nullable=False),
    ]
)

Row = Sequence[Any]


def write_events(path: Path, rows: Iterable[Row]) -> int:
    """Write rows of (id, pubkey, created_at, kind, tags as JSON, content, sig); returns how many there were.

    Raises:
        DayRefused: a row does not fit its columns.
        OSError: the file cannot be written.
    """
    repeating = ["pubkey", "kind", "tags.list.element.list.element"]
    times = dict.fromkeys(("created_at", "created_at_time"), "DELTA_BINARY_PACKED")
    return _write(path, EVENT, rows, _events, repeating, times)


def write_observations(path: Path, rows: Iterable[Row]) -> int:
    """Write rows of (id, relay_url, seen_at); returns how many there were.

    Raises:
        DayRefused: a row does not fit its columns.
        OSError: the file cannot be written.
    """
    return _write(path, OBSERVATION, rows, _observations, ["id", "relay_url"], {"seen_at": "DELTA_BINARY_PACKED"})


def _events(rows: Sequence[Row]) -> pa.RecordBatch:
    id, pubkey, created_at, kind, tags, content, sig = zip(*rows, strict=True)
    times = pa.array(created_at, pa.int64())
    columns = [
        pa.array(id, ID),
        pa.array(pubkey, PUBKEY),
        times,
        times.cast(EVENT.field("created_at_time").type),
        pa.array(kind, pa.int32()),
        pa.array([_tags(one) for one in tags], TAGS),
        pa.array(content, pa.string()),
        pa.array(sig, SIG),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EVENT)


def _tags(text: str) -> list[list[str | None]]:
    """Arrow would take a text for a list of its characters, and says of itself what else is no list of strings."""
    tags = orjson.loads(text)
    if type(tags) is not list or any(type(tag) is not list for tag in tags):
        raise TypeError("a tag is no list")
    return tags


def _observations(rows: Sequence[Row]) -> pa.RecordBatch:
    id, relay_url, seen_at = zip(*rows, strict=True)
    columns = [
        pa.array(id, ID),
        pa.array(relay_url, pa.string()).dictionary_encode(),
        pa.array(seen_at, pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=OBSERVATION)


def _write(
    path: Path,
    schema: pa.Schema,
    rows: Iterable[Row],
    arrange: Callable[[Sequence[Row]], pa.RecordBatch],
    repeating: Sequence[str],
    encodings: dict[str, str],
) -> int:
    """`repeating`: the columns whose values are worth a dictionary; `encodings`: of other columns."""
    written = 0
    options = {"compression": "zstd", "use_dictionary": list(repeating), "column_encoding": encodings}
    with pq.ParquetWriter(path, schema, **options) as writer:
        group: list[pa.RecordBatch] = []
        for batch in _batches(rows):
            group.append(_arranged(batch, arrange))
            if sum(one.num_rows for one in group) >= GROUP_ROWS or sum(one.nbytes for one in group) >= GROUP_BYTES:
                written += _write_group(writer, group)
        if group:
            written += _write_group(writer, group)
    return written


def _batches(rows: Iterable[Row]) -> Iterable[Sequence[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if type(value) is not int)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _arranged(rows: Sequence[Row], arrange: Callable[[Sequence[Row]], pa.RecordBatch]) -> pa.RecordBatch:
    """Rows that others have written can be of any form: whoever finds one has to know which."""
    try:
        return arrange(rows)
    except (ValueError, TypeError) as error:  # Arrow's are both; orjson's is the former
        for row in rows:
            try:
                arrange([row])
            except (ValueError, TypeError) as its:
                raise DayRefused(f"the event {row[0].hex()} is not as Nostr has it: {its}") from error
        raise


def _write_group(writer: pq.ParquetWriter, group: list[pa.RecordBatch]) -> int:
    """Write a row group and empty the list; returns its rows."""
    table = pa.Table.from_batches(group).unify_dictionaries()
    group.clear()
    writer.write_table(table, row_group_size=max(1, table.num_rows))
    return int(table.num_rows)
