"""Figures: medians, a table on stdout, a JSON file."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.processes import ROOT

Row = Mapping[str, float]
"""Figures of one run, by name; the name ends in the unit."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a benchmark is given. `events` and `repeat` are None where it is to choose."""

    build: Path
    events: int | None = None
    repeat: int | None = None


@dataclass(slots=True)
class Result:
    """What a benchmark found: medians under `figures`, every run under `runs`, and what has to hold."""

    name: str
    settings: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, list[Row]] = field(default_factory=dict)
    bars: dict[str, bool] = field(default_factory=dict)

    def add(self, label: str, row: Row) -> None:
        """Keep the figures of one run, and show them while the others are still to come."""
        self.runs.setdefault(label, []).append(dict(row))
        print(f"  {label}: " + ", ".join(f"{name} {shown(value)}" for name, value in row.items()), flush=True)

    def medians(self, label: str) -> dict[str, float]:
        """The median of each figure over the runs of `label`."""
        return medians(self.runs[label])

    def show(self) -> None:
        """Print medians and bars."""
        print(f"{self.name}: medians; {self.settings}")
        for label, value in self.figures.items():
            if isinstance(value, Mapping):
                value = ", ".join(f"{name} {shown(each)}" for name, each in value.items())
            print(f"  {label}: {value if isinstance(value, str) else shown(value)}")
        for bar, holds in self.bars.items():
            print(f"  {'holds' if holds else 'DOES NOT HOLD'}: {bar}")


def medians(rows: Sequence[Row]) -> dict[str, float]:
    return {name: median(row[name] for row in rows) for name in rows[0]}


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def write(path: Path, result: Result) -> None:
    """Put a result into the file in the place of an earlier one of the same name; others stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[result.name] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "machine": {
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "python": platform.python_version(),
        },
        "settings": result.settings,
        "figures": result.figures,
        "bars": result.bars,
        "runs": result.runs,
    }
    path.write_text(json.dumps(kept, indent=2) + "\n")


def _commit() -> str:
    """The commit that was measured, with a + where files are changed; empty outside a repository."""
    asked = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout.strip()
