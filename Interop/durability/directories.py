"""Data directories that it must not use: it says so in one line, ends with 1, and leaves them as they were."""

import os
import subprocess
import tempfile
from pathlib import Path

from martlet import Martlet, assert_refused, environment, program, run
from scenarios import scenario

_NOBODY = 65534


def _content(directory: Path) -> dict[str, bytes | None]:
    """Returns every path below a directory with the file's content."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def _assert_untouched(directory: Path, reason: str) -> None:
    before = _content(directory)
    ended = run("--port", "0", "--data-dir", directory, "--log-level", "warning")
    assert_refused(ended, 1, f"cannot use data directory {directory}: cannot use {directory}: {reason}")
    assert _content(directory) == before, _content(directory).keys()


@scenario("directory of something else")
def something_else() -> None:
    """A directory with other things in it, or with a format that is not ours or newer, is refused and left alone."""
    not_ours = "it is not a data directory and not empty: it has no file 'format', but"
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        other = Path(folder, "other")
        other.mkdir()
        (other / "notes.txt").write_text("mine")
        _assert_untouched(other, f"{not_ours} 'notes.txt'")
        (other / "notes.txt").rename(other / "format")
        _assert_untouched(other, "its file 'format' is not ours")

        lost = Path(folder, "lost")
        with Martlet("--port", "0", "--data-dir", lost):
            pass
        lock = (lost / "lock").read_bytes()
        octets = bytearray((lost / "format").read_bytes())
        octets[8] += 1
        (lost / "format").write_bytes(octets)
        newer = "it was written by a newer version (format 2, this version reads up to 1)"
        _assert_untouched(lost, newer)
        assert (lost / "lock").read_bytes() == lock


@scenario("directory in use")
def in_use() -> None:
    """A second martlet on one directory is told who has it; the first goes on, and its end frees the directory."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        directory = Path(folder, "data")
        with Martlet("--port", "0", "--data-dir", directory) as first:
            _assert_untouched(directory, f"process {first.process.pid} is using it")
            first.connect().close()
        with Martlet("--port", "0", "--data-dir", directory) as second:
            second.connect().close()


def _run_as_nobody(directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs it without the rights of root, who may write everywhere."""
    return subprocess.run(
        [program(), "--port", "0", "--data-dir", str(directory)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
        env=environment(),
        user=_NOBODY if os.getuid() == 0 else None,
    )


@scenario("directory that cannot be written to")
def unwritable() -> None:
    """Without the right to write into a directory, or to make it, it ends with one line."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        os.chmod(folder, 0o755)
        directory = Path(folder, "data")
        directory.mkdir(mode=0o555)
        line = f"cannot use data directory {directory}: Permission denied"
        assert_refused(_run_as_nobody(directory), 1, line)
        assert _content(directory) == {}
        missing = directory / "missing"
        line = f"cannot use data directory {missing}: No such file or directory"
        assert_refused(_run_as_nobody(missing), 1, line)
        assert _content(directory) == {}
