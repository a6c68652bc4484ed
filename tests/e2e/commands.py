"""Commands in a folder of their own: in this process, for starting one costs a second, but `sync` as users do."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bigbrotr_dagster.cli import main
from tests.e2e.program import Result, run


class Commands:
    """Runs commands on the archive at a URL; None is the embedded server."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.home, self._patch, self._capture = home, patch, capture

    def run(self, url: str | None, arguments: Sequence[str]) -> Result:
        if arguments[0] == "sync":
            variables = {} if url is None else {"BIGBROTR_DATABASE_URL": url}
            return run(self.home, *arguments, timeout=300, **variables)
        if url is None:
            self._patch.delenv("BIGBROTR_DATABASE_URL", raising=False)
        else:
            self._patch.setenv("BIGBROTR_DATABASE_URL", url)
        code = main(arguments)
        out, err = self._capture.readouterr()
        return Result(code, out, err, 0)

    def refused(self, url: str | None, arguments: Sequence[str], *words: str) -> None:
        """The command does nothing, and says one line that holds `words`."""
        result = self.run(url, arguments)
        assert result.stdout == ""
        assert_one_line(result.code, result.stderr, *words)

    def done(self, url: str | None, arguments: Sequence[str]) -> str:
        """What the command prints; it complains of nothing."""
        result = self.run(url, arguments)
        assert (result.code, result.stderr) == (0, ""), arguments
        return result.stdout


def assert_one_line(code: int, err: str, *words: str) -> None:
    """A failed command's code, and its one line, which holds `words`."""
    [line] = err.splitlines()
    assert line.startswith("bigbrotr-dagster: "), line
    assert code == 1
    for word in words:
        assert word in line
