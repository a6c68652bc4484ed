"""dagster.yaml: ours is written and brought up to date, a person's stays, and what it lacks is said once."""

import logging
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster.cli import main
from bigbrotr_dagster.defs.instance import HomeError, prepare_home, tell_of_home
from bigbrotr_dagster.defs.instance.home import TOLD_VARIABLE, Found, found
from bigbrotr_dagster.storage import embedded
from tests.e2e.program import environment

ROOT = Path(__file__).parents[1]
EARLIER = (Path(__file__).parent / "data" / "dagster_of_an_earlier_version.yaml").read_text()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that `dev` would make; nothing is there, and nothing was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("BIGBROTR_DATABASE_URL", raising=False)
    monkeypatch.setenv("BIGBROTR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv(TOLD_VARIABLE, "")
    return tmp_path / "data" / "dagster"


def test_dev_writes_ours_for_nobody_else_to_read(home: Path) -> None:
    before = os.umask(0)
    assert prepare_home() == home
    os.umask(before)
    assert found(home / "dagster.yaml") is Found.CURRENT
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "dagster.yaml").stat().st_mode) == 0o600


@pytest.mark.parametrize("marked", [True, False], ids=["with our first line", "of before there was one"])
def test_dev_brings_an_old_one_of_ours_up_to_date(home: Path, marked: bool) -> None:
    prepare_home()
    path = home / "dagster.yaml"
    todays = path.read_text()
    if marked:
        path.write_text(marked_as_ours(todays, EARLIER))
    else:
        path.write_text(EARLIER)
    assert found(path) is Found.OLD
    prepare_home()
    assert path.read_text() == todays


def marked_as_ours(like: str, text: str) -> str:
    """A file as an earlier version wrote it: the first line of `like`, with the digest of `text`."""
    return f"{like.partition('sha256')[0]}sha256 of the rest: {sha256(text.encode()).hexdigest()}\n{text}"


def test_dev_keeps_one_that_a_person_changed(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepare_home()
    path = home / "dagster.yaml"
    for text in (
        path.read_text().replace("max_concurrent_runs: 30", "max_concurrent_runs: 3"),
        EARLIER + "# mine\n",
    ):
        path.write_text(text)
        with caplog.at_level(logging.WARNING):
            prepare_home()
        assert path.read_text() == text
    # Of the first there is nothing new to say: it is today's, and changed.
    assert [message for message in caplog.messages if "changed by hand and is kept" in message] == [
        f"{path} was changed by hand and is kept; today's is {ROOT / 'dagster.yaml'}"
    ]


@pytest.mark.parametrize("text", [None, "telemetry: {enabled: true}\n", "not: [yaml\n", ""])
def test_a_home_that_is_not_ours_is_one_line_once(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if text is not None:
        (tmp_path / "dagster.yaml").write_text(text)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert prepare_home() == tmp_path
        tell_of_home()
    [line] = caplog.messages
    assert "does not keep its runs in the archive's PostgreSQL, and may send telemetry" in line
    assert "`bigbrotr-dagster init`" in line
    assert (tmp_path / "dagster.yaml").exists() == (text is not None)


@pytest.mark.slow
@pytest.mark.parametrize("is_named", [True, False])
def test_dagsters_own_programs_say_so_as_well(tmp_path: Path, is_named: bool) -> None:
    """In the folder that DAGSTER_HOME names; without it they read the dagster.yaml of the folder they start in."""
    result = subprocess.run(
        [sys.executable, "-c", "import bigbrotr_dagster.definitions"],
        env=environment(tmp_path, **({"DAGSTER_HOME": str(tmp_path)} if is_named else {})),
        cwd=ROOT if is_named else tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    [line] = [line for line in result.stderr.splitlines() if "telemetry" in line]
    assert str(tmp_path / "dagster.yaml") in line


def test_a_home_that_is_no_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "none"))
    with pytest.raises(HomeError, match="which is no folder") as error:
        prepare_home()
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_init_writes_what_dagster_needs_and_dagster_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    assert main(["init", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{folder / 'dagster.yaml'}: written",
        f"{folder / 'workspace.yaml'}: written",
    ]
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    with dg.DagsterInstance.get() as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert not instance.telemetry_enabled
    embedded.leave(tmp_path / "data")
    assert main(["init"]) == 0
    assert capsys.readouterr().out.count("is there already") == 2


def test_init_keeps_what_a_person_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init"]) == 0
    changed = (tmp_path / "dagster.yaml").read_text() + "# mine\n"
    (tmp_path / "dagster.yaml").write_text(changed)
    (tmp_path / "workspace.yaml").write_text("load_from: []\n")
    assert main(["init"]) == 0
    out = capsys.readouterr().out
    assert out.count("was changed by hand, and is kept") == 2
    assert (tmp_path / "dagster.yaml").read_text() == changed
    assert (tmp_path / "workspace.yaml").read_text() == "load_from: []\n"


def test_init_fails_where_a_persons_file_keeps_runs_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    assert main(["init"]) == 1
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert "keeps runs elsewhere: give it `storage` as in" in line
    assert f"{tmp_path / 'workspace.yaml'}: written" in out
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry: {enabled: true}\n"


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_init_where_no_folder_can_be_is_one_line(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["init", folder]) in (1, 2)
    assert len(capsys.readouterr().err.splitlines()) == 1
