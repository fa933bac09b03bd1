"""Running a command of the shell within the test's own process."""

from __future__ import annotations

from typer.testing import CliRunner

from fullconv.cli.main import app


def run(*words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; an exception that is no exit fails the test."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr
