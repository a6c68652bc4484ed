"""The files that the plan of a run names are there, and a file is never torn apart."""

from pathlib import Path

from tests.side_by_side import LONGEST, SHARES, TOGETHER, processes, unit

ROOT = Path(__file__).parents[1]


def test_what_is_named_is_there() -> None:
    files = {name.partition(" ")[0] for name in {*LONGEST, *TOGETHER, *SHARES} - set(TOGETHER.values())}
    assert all((ROOT / name).is_file() for name in files)


def test_a_file_is_of_one_unit_whatever_its_tests_are_called() -> None:
    assert unit("tests/sync/test_far.py::test_a[b::c]") == unit("tests/sync/test_far.py::test_d")
    assert len({unit(f"{file}::test_a") for file in TOGETHER}) == len(set(TOGETHER.values()))


def test_a_share_is_of_one_unit_and_every_share_has_its_place() -> None:
    for file, count in SHARES.items():
        units = {unit(f"{file}::test_a[{number}]"): unit(f"{file}::test_b[{number}]") for number in range(100)}
        assert all(one == other for one, other in units.items())
        assert len(units) == count
        assert set(units) <= set(LONGEST)


def test_one_file_alone_needs_no_other_process() -> None:
    assert processes([__file__]) == processes([f"{__file__}::test_a[x]"]) == 0
    assert processes([]) >= 2
    assert processes([str(Path(__file__).parent / "docs")]) >= 2
