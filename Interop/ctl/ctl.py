"""Asking a `martlet` by its command line."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from martlet import environment, program


def ctl(directory: str, *words: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Runs `martlet ctl` for the broker with a data directory."""
    return subprocess.run(
        [program(), "ctl", "--data-dir", directory, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(),
    )


def change(directory: str, *words: str) -> None:
    """Runs a command that must succeed and says nothing but what it does."""
    ended = ctl(directory, *words)
    assert ended.returncode == 0, f"{words}: {ended.returncode} {ended.stderr}"
    assert ended.stderr == "", ended.stderr


def rows(directory: str, *words: str) -> list[dict]:
    """Returns what a list tells, by column."""
    ended = ctl(directory, *words, "--formatter", "json")
    assert ended.returncode == 0, f"{words}: {ended.returncode} {ended.stderr}"
    return json.loads(ended.stdout)


@contextmanager
def folder() -> Iterator[str]:
    """Makes a folder for a broker's data."""
    with tempfile.TemporaryDirectory(prefix="martlet-ctl-") as path:
        yield f"{path}/data"
