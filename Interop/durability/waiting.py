"""How long a process was kept waiting, for a processor or for the disk: what it is late with then is not its fault."""

import collections
import os
import tempfile
import threading
import time
from pathlib import Path

#: The stretch that is looked at, in seconds, and what of it one thread may have waited without being excused.
_STRETCH, _EXCUSE = 0.4, 0.03


class Waiting:
    """Watches the threads of a process, and how long a sync takes on the disk where temporary files are."""

    def __init__(self, process: int) -> None:
        self._slow_sync = 0.0
        self._tasks = Path(f"/proc/{process}/task")
        self._samples: collections.deque[tuple[float, dict[str, int]]] = collections.deque(maxlen=100)
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        waited = {}
        try:
            for task in self._tasks.iterdir():
                waited[task.name] = int((task / "schedstat").read_text().split()[1])
        except (OSError, IndexError):
            return  # It, or a thread of it, has just ended.
        self._samples.append((time.monotonic(), waited))

    def _watch(self) -> None:
        with tempfile.TemporaryFile() as file:
            while not self._is_ending.wait(0.02):
                self._sample()
                began = time.monotonic()
                os.pwrite(file.fileno(), b"x" * 4_096, 0)
                os.fdatasync(file.fileno())
                ended = time.monotonic()
                if ended - began > _EXCUSE:
                    self._slow_sync = ended

    def is_excuse(self) -> bool:
        """Ends; says whether one of its threads had to wait so long of late that answers came late."""
        self._sample()
        self._is_ending.set()
        self._thread.join()
        if not self._samples:
            return True
        end, last = self._samples[-1]
        if self._slow_sync > end - _STRETCH:
            return True
        first = next(waited for moment, waited in self._samples if moment >= end - _STRETCH)
        return max(last[task] - first.get(task, 0) for task in last) > _EXCUSE * 1e9
