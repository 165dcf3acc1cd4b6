"""The program under test as a process: started with its own options, its outputs kept apart."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pika
from broker import ready_addresses
from processes import die_with_parent
from scenarios import Skipped, broker_command, eventually

# Certificates for TLS, as for the tests in Swift: what is made for a run of Interop has none for clients.
FIXTURES = Path(__file__).resolve().parents[2] / "Tests/BrokerServerTests/Fixtures"


def program() -> str:
    """Returns the path of `martlet`; these scenarios say nothing about other brokers."""
    path = broker_command()[0]
    version = subprocess.run([path, "--version"], capture_output=True, text=True, env=environment())
    if not version.stdout.startswith("martlet "):
        raise Skipped(f"{path} is not martlet")
    return path


def environment(**variables: str) -> dict[str, str]:
    """Returns the environment of the process: ours without what configures `martlet`, and `variables`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MARTLET_")} | variables


def run(*options: object, seconds: float = 10, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a `martlet` that must end by itself."""
    return subprocess.run(
        [program(), *map(str, options)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(**variables),
        preexec_fn=die_with_parent,
    )


def assert_refused(ended: subprocess.CompletedProcess[str], code: int, line: str) -> None:
    """Checks that a `martlet` ended with a code and one line for a person, and never said that it was ready."""
    assert ended.stderr == f"martlet: {line}\n", f"{ended.stderr!r} instead of {line!r}"
    assert ended.returncode == code, ended.returncode
    assert ended.stdout == "", ended.stdout


class Martlet:
    """A `martlet` that serves for the length of a `with` block, with `files` open files at most.

    `command` starts it in another way than by its path."""

    def __init__(
        self,
        *options: object,
        stderr: int | None = None,
        files: int | None = None,
        command: list[str] | None = None,
        **variables: str,
    ) -> None:
        self._command = [*(command or [program()]), *map(str, options)]
        if files:
            self._command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *self._command]
        self._environment = environment(**variables)
        self._stderr = stderr
        self._folder = tempfile.TemporaryDirectory(prefix="martlet-process-")
        #: From its start until it was ready.
        self.seconds_to_start = 0.0

    def __enter__(self) -> "Martlet":
        started = time.monotonic()
        with open(self._path("stdout"), "wb") as stdout, open(self._path("stderr"), "wb") as stderr:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=self._stderr or stderr,
                env=self._environment,
                preexec_fn=die_with_parent,
            )
        kinds = 2 if "--tls-port" in self._command else 1
        try:
            eventually(lambda: len(self.addresses()) == kinds or self.process.poll() is not None, 30, 0.005)
            self.seconds_to_start = time.monotonic() - started
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log()}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()

    def _path(self, name: str) -> Path:
        return Path(self._folder.name, name)

    def output(self) -> str:
        """Returns what it has written to standard output."""
        return self._path("stdout").read_text()

    def log(self) -> str:
        """Returns what it has written to standard error."""
        return self._path("stderr").read_text()

    def addresses(self) -> dict[str, str]:
        """Returns the address of each scheme that it has announced."""
        return ready_addresses(self.output())

    def port(self, scheme: str = "amqp") -> int:
        """Returns the port that it has announced for a scheme."""
        return int(self.addresses()[scheme].rpartition(":")[2])

    def connect(self, host: str = "127.0.0.1", user: str = "guest", password: str = "guest", **parameters: object):
        """Returns a connection of pika; with `ssl_options` to the port of TLS."""
        port = self.port("amqps" if "ssl_options" in parameters else "amqp")
        credentials = pika.PlainCredentials(user, password)
        return pika.BlockingConnection(pika.ConnectionParameters(host, port, "/", credentials, **parameters))

    def stop(self, signum: int = signal.SIGTERM, seconds: float = 15) -> int:
        """Sends a signal and returns the code that the process ends with."""
        self.process.send_signal(signum)
        return self.process.wait(seconds)


def listeners(process: int) -> set[str]:
    """Returns the addresses (as the kernel writes them: `0100007F`, `0000…`) that a process listens on."""
    sockets = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            sockets.add(os.readlink(entry))
        except FileNotFoundError:
            continue  # It was closed while we looked.
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def wait_until_ended(processes: Iterable[subprocess.Popen[bytes]], seconds: float) -> float:
    """Waits until all have ended; returns how long that took."""
    started = time.monotonic()
    for process in processes:
        process.wait(max(0.1, seconds - (time.monotonic() - started)))
    return time.monotonic() - started
