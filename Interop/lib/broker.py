"""Starting a broker and reading from its output where it listens."""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from processes import die_with_parent

_READY = re.compile(r"^martlet ready on (amqps?)://(\S+?)/?$", re.MULTILINE)


class BrokerError(Exception):
    """The broker did not start, or not as asked."""


def ready_addresses(output: str) -> dict[str, str]:
    """Returns the address (`host:port`) of each scheme (`amqp`, `amqps`) that the ready lines in `output` announce.

    An unfinished last line is left out: half a port is no port.
    """
    complete, newline, _ = output.rpartition("\n")
    return dict(_READY.findall(complete + newline))


class Broker:
    """A broker process that runs for the length of a `with` block.

    `command` must print `martlet ready on amqp://HOST:PORT`, and the same with amqps when `tls` is set.
    """

    def __init__(self, command: list[str], tls: bool = False, start_seconds: float = 30) -> None:
        self._command = command
        self._schemes = {"amqp", "amqps"} if tls else {"amqp"}
        self._start_seconds = start_seconds
        self._scratch = tempfile.TemporaryDirectory(prefix="martlet-interop-broker-")
        self.url = ""
        self.tls_url = ""

    def __enter__(self) -> "Broker":
        # Files instead of pipes: nobody has to keep reading them for the broker to go on.
        with open(self._path("stdout"), "wb") as stdout, open(self._path("stderr"), "wb") as stderr:
            try:
                self.process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    env=os.environ | {"HOME": self._scratch.name},
                    preexec_fn=die_with_parent,
                )
            except OSError as error:
                self._scratch.cleanup()
                raise BrokerError(f"cannot start {self._command[0]}: {error.strerror}") from None
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _path(self, name: str) -> Path:
        return Path(self._scratch.name, name)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while True:
            ended = self.process.poll() is not None  # Asked before reading, so that its last words are read.
            addresses = ready_addresses(self._path("stdout").read_text(errors="replace"))
            if self._schemes <= addresses.keys():
                # Explicit credentials: the clients differ in what they take when there are none.
                self.url = f"amqp://guest:guest@{addresses['amqp']}/"
                if "amqps" in self._schemes:
                    self.tls_url = f"amqps://guest:guest@{addresses['amqps']}/"
                return
            if ended:
                raise BrokerError(f"the broker ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"no ready line after {self._start_seconds:g} s:\n{self.log()}")
            time.sleep(0.02)

    def log(self, lines: int = 30) -> str:
        """Returns the last lines that the broker wrote to its standard output and standard error."""
        text = [self._path(name).read_text(errors="replace") for name in ("stdout", "stderr")]
        return "\n".join("\n".join(text).splitlines()[-lines:])

    def terminate(self) -> None:
        """Asks the broker to stop (SIGTERM) and returns at once."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self, grace: float = 10) -> None:
        """Stops the broker, if it still runs, and removes what it wrote."""
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._scratch.cleanup()
