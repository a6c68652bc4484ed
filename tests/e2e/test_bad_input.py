"""Bad input is one line on stderr and a code that is not zero; it changes nothing."""

import socket
from pathlib import Path

import pytest

from bigbrotr_dagster.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", database)
    monkeypatch.delenv("BIGBROTR_CONFIG", raising=False)
    (tmp_path / "broken.yaml").write_text("interval: [")
    (tmp_path / "unknown.yaml").write_text("intervall: 300")
    (tmp_path / "list.yaml").write_text("- 300")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["snyc"], 2, "snyc"),
        (["sync", "--wat"], 2, "--wat"),
        (["sync", "--once", "--relay", "http://x"], 2, "http://x"),
        (["sync", "--once", "--relay", "ws://"], 2, "ws://"),
        (["sync", "--once", "--relay", "ws://10.0.0.1"], 2, "ws://10.0.0.1: a private address; --allow-private"),
        (["sync", "--once"], 1, "no relay to sync"),
        (["sync", "--once", "--config", "none.yaml"], 1, "none.yaml: No such file or directory"),
        (["sync", "--once", "--config", "broken.yaml"], 1, "broken.yaml: not YAML at line 1"),
        (["sync", "--once", "--config", "unknown.yaml"], 1, "intervall: unknown key; did you mean interval?"),
        (["sync", "--once", "--config", "list.yaml"], 1, "a mapping of options is expected"),
        (["dev", "--port", "0"], 2, "0 is not in the range"),
        (["dev", "--port", "many"], 2, "'many' is not a valid integer"),
        (["dev", "--config", "unknown.yaml"], 1, "intervall: unknown key"),
        (["relays", "add"], 2, "Missing argument 'URL...'"),
        (["relays", "add", "wss://good.example.com", "ftp://bad"], 2, "ftp://bad"),
        (["relays", "add", "ws://localhost:7777"], 2, "a private address"),
        (["relays", "remove", "wss://never.example.com"], 1, "wss://never.example.com is not registered"),
        (["relays", "import", "none.txt"], 2, "none.txt"),
        (["cursors", "show", "wss://never.example.com"], 1, "wss://never.example.com is not registered"),
        (["cursors", "reset", "wss://never.example.com", "--to", "soon"], 2, "'soon' is not a valid integer"),
        (["cursors", "reset", "wss://never.example.com", "--to", "9" * 14], 2, "is not in the range"),
        (["cursors", "reset", "wss://never.example.com", "--to", "9" * 30], 2, "is not in the range"),
        (["relays", "add", "wss://good.example.com:22"], 2, "port 22 is another protocol's"),
        (["quarantine", "list", "http://x"], 2, "http://x"),
        (["quarantine", "list", "--reason", "ugly"], 2, "'ugly' is not one of 'malformed', 'bad_id'"),
        (["quarantine", "replay", "ws://"], 2, "ws://"),
        (["quarantine", "replay", "--reason", "ugly"], 2, "'ugly' is not one of"),
        (["quarantine", "replay", "--config", "none.yaml"], 1, "none.yaml: No such file or directory"),
        (["quarantine", "replay", "--config", "unknown.yaml"], 1, "intervall: unknown key"),
        (["metrics", "--port", "0"], 2, "0 is not in the range"),
        (["metrics", "--port", "many"], 2, "'many' is not a valid integer"),
        (["metrics", "--host", "no.such.host.invalid"], 1, "cannot listen on no.such.host.invalid, port 8000"),
        (["metrics", "--host", "a" * 70], 1, f"cannot listen on {'a' * 70}, port 8000"),
        (["metrics", "--host", "192.0.2.1"], 1, "cannot listen on 192.0.2.1, port 8000"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("bigbrotr-dagster: ")
    assert message in line


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:secret@127.0.0.1:9/bigbrotr",
        "postgresql://someone:secret@no.such.host.invalid/bigbrotr",
        "postgresql:///bigbrotr?host=/nowhere",
        "mysql://somewhere/bigbrotr",
        "postgresql://127.0.0.1",
        "postgresql://someone:secret@h/bigbrotr?nonsense=1",
        "host=/tmp dbname=secret",
    ],
)
def test_a_database_that_does_not_answer_is_one_line_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", url)
    assert main(["sync", "--once", "--relay", "wss://relay.example.com"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "PostgreSQL" in line or "BIGBROTR_DATABASE_URL" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:se%cret@h/bigbrotr", "has a % that begins no escape: write %25"),
        ("postgresql://me:se@cret@h/bigbrotr", "has a @ in its user or password: write %40"),
        ("postgresql://me:se/cret@h/bigbrotr", "has a / in its user or password: write %2F"),
        ("postgresql://me:se?/cret@h/bigbrotr", "cannot be read; it must look like"),
        (
            "postgresql://127.0.0.1:notaport/bigbrotr",
            "the port in BIGBROTR_DATABASE_URL is no number from 1 to 65535",
        ),
        ("postgresql://127.0.0.1:9,127.0.0.1:cret/bigbrotr", "the port in BIGBROTR_DATABASE_URL is no number"),
        ("postgresql://127.0.0.1:99999/bigbrotr", "the port in BIGBROTR_DATABASE_URL is no number"),
        ("postgresql://127.0.0.1:9/", "names no database; it must look like"),
        ("postgresql://127.0.0.1:9/a?nonsense=1", "a parameter that PostgreSQL does not know, nonsense"),
        ("postgresql://127.0.0.1:9/a%00b", "has a % that begins no escape"),
        ("postgresql://127.0.0.1:9,127.0.0.1:10/a", "PostgreSQL at 127.0.0.1:9,127.0.0.1:10/a: "),
        ("postgresql://127.0.0.1:9/a?options=-csearch_path%3Dcret", "PostgreSQL at 127.0.0.1:9/a: "),
        ("postgresql://127.0.0.1:9/a%0Ab", "PostgreSQL at 127.0.0.1:9/a b: "),
        *((f"postgresql://me:se{sign}cret@127.0.0.1:9/a", "PostgreSQL at 127.0.0.1:9/a: ") for sign in "[]#?&=+"),
        ("postgresql://me:se cret@127.0.0.1:9/a", "has a space: write %20"),
        ("postgresql://me:secret@[::1]:9/a", "PostgreSQL at ::1:9/a: "),
        ("postgresql://me:secret@[::1:9/a", "cannot be read; it must look like"),
    ],
)
@pytest.mark.parametrize("arguments", [["cursors", "show"], ["relays", "add", "wss://a.example.com"]])
def test_a_bad_url_is_one_line_without_a_piece_of_its_password(
    url: str, words: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", url)
    assert main(arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert "cret" not in line


@pytest.mark.parametrize(
    ("home", "words"),
    [
        ("nowhere", "DAGSTER_HOME has to be an absolute path, and is 'nowhere'"),
        ("/nowhere/at/all", "DAGSTER_HOME names '/nowhere/at/all', which is no folder: make it"),
        (__file__, f"DAGSTER_HOME names '{__file__}', which is no folder: make it, or unset the variable"),
    ],
)
def test_a_dagster_home_that_is_none_is_one_line(
    home: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    assert main(["sync", "--once", "--relay", "wss://relay.example.com"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize("command", ["dev", "metrics"])
def test_a_port_in_use_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([command, "--port", str(port)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"port {port}" in line
    assert " in use" in line


def test_a_bad_line_of_an_import_is_named_and_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "relays.txt").write_text("# mine\nwss://a.example.com\nnonsense\n\nwss://b.example.com # second\n")
    assert main(["relays", "import", "relays.txt"]) == 0
    assert main(["relays", "list"]) == 0
    out, err = capsys.readouterr()
    assert "2 added, 1 bad lines" in out
    assert "clearnet\twss://b.example.com" in out
    assert "relays.txt:3: " in err


def test_a_line_of_an_import_that_is_not_utf8_is_named_and_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b"\xef\xbb\xbfwss://a.example.com\nwss://caf\xe9.example.com\nwss://b.example.com\r\n\x00\n\xff\xfew"
    (folder / "relays.txt").write_bytes(text)
    assert main(["relays", "import", "relays.txt"]) == 0
    out, err = capsys.readouterr()
    assert out == "2 added, 3 bad lines\n"
    assert [line.partition("relays.txt:")[2][:2] for line in err.splitlines()] == ["2:", "4:", "5:"]
    assert "relays.txt:2: not UTF-8" in err


def test_what_is_added_can_be_listed_shown_reset_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    url = "wss://a.example.com"
    assert main(["relays", "add", "WSS://A.example.com/", url]) == 0
    assert main(["relays", "add", url]) == 0
    assert main(["cursors", "show"]) == 0
    assert main(["cursors", "reset", url, "--dry-run"]) == 0
    assert main(["cursors", "reset", url, "--to", "100"]) == 0
    assert main(["relays", "remove", url]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 added\n0 added\n")
    assert f"{url}\t-\t0 gaps\tnever tried" in out
    assert "0 covered seconds from 1970-01-01 00:00:00 on would be read again; 0 events are stored" in out
