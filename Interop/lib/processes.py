"""Starting processes so that none is left behind, whatever happens to whoever started them."""

import ctypes
import os
import signal
import time
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> None:
    """Makes the calling process end when its parent does. Meant for `preexec_fn` and for the child after a fork."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Makes the calling process the parent of every descendant whose own parent ends.

    Without it a daemon, or the child of a killed child, would escape `end_descendants`.
    """
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def descendants(root: int) -> list[int]:
    """Returns the ids of all processes below `root`, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command's name, in brackets, may itself hold spaces and brackets: count from the last one.
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # It ended while we looked.
        children.setdefault(parent, []).append(int(entry.name))
    found, level = [], [root]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found


def end_descendants(grace: float = 0.5) -> None:
    """Ends every process below this one: politely first, after `grace` seconds by SIGKILL."""
    deadline = time.monotonic() + grace
    asked: set[int] = set()
    while alive := descendants(os.getpid()):
        late = time.monotonic() > deadline
        for process in alive:
            if late or process not in asked:
                asked.add(process)
                try:
                    os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
                except ProcessLookupError:
                    pass
        reap()
        time.sleep(0.02)


def reap() -> None:
    """Collects children that have ended, the adopted ones too."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
