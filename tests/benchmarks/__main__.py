"""`python -m tests.benchmarks`: see the package."""

import argparse
from collections.abc import Callable
from pathlib import Path

from tests import benchmarks
from tests.benchmarks import late, memory, overlap, round_trips, second_day, stages, versus_bigbrotr, workers
from tests.benchmarks.figures import Options, Result, write
from tests.benchmarks.processes import ROOT

BENCHMARKS: dict[str, Callable[[Options], Result]] = {
    "bigbrotr": versus_bigbrotr.measure,
    "stages": stages.measure,
    "rtt": round_trips.measure,
    "overlap": overlap.measure,
    "memory": memory.measure,
    "second-day": second_day.measure,
    "late": late.measure,
    "workers": workers.measure,
}

BUILD = ROOT / ".benchmarks"
"""Not in version control."""

FIGURES = BUILD / "figures.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {known}; all of them without one")
    parser.add_argument("--events", type=_positive, help="of one run; each benchmark has its own default")
    parser.add_argument("--repeat", type=_positive, help="runs to take the median of; 3, but one for memory")
    parser.add_argument(
        "--json", type=Path, default=BUILD / "figures.json", metavar="FILE", help=f"in {BUILD.name}/"
    )
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {known}")
    for name in given.names or BENCHMARKS:
        print(f"{name}:", flush=True)
        result = BENCHMARKS[name](Options(BUILD, given.events, given.repeat))
        write(given.json, result)
        result.show()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"not positive: {text}")
    return number


if __name__ == "__main__":
    main()
