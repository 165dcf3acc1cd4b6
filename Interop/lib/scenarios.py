"""What a folder of scenarios needs: `@scenario`, the addresses under test, and the program that runs them.

A scenario is a function that raises when the broker is wrong. Each runs in a process of its own with a time limit, so
that one that hangs or crashes takes nothing with it.
"""

import argparse
import faulthandler
import multiprocessing
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from processes import die_with_parent

_SKIPPED = 75


@dataclass(frozen=True)
class Scenario:
    """A named check of the broker with a client."""

    name: str
    function: Callable[[], None]
    limit: float
    later: str | None

    @property
    def shows(self) -> str:
        """What it must show, in one line."""
        return " ".join((self.function.__doc__ or "").split())


class Skipped(Exception):
    """Raised by a scenario that needs what is not there."""


_scenarios: list[Scenario] = []


def scenario(
    name: str, limit: float = 60, later: str | None = None
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers the function below as a scenario. Its docstring says what must be seen; `limit` is in seconds.

    `later` names the issue that brings what the scenario needs; until then it runs with `--all` only.
    """

    def register(function: Callable[[], None]) -> Callable[[], None]:
        if any(other.name == name for other in _scenarios):
            raise ValueError(f"two scenarios are called {name!r}")
        _scenarios.append(Scenario(name, function, limit, later))
        return function

    return register


def url() -> str:
    """Returns the AMQP address of the broker under test."""
    return os.environ["MARTLET_URL"]


def tls_url() -> str:
    """Returns the AMQPS address of the broker under test."""
    if "MARTLET_TLS_URL" not in os.environ:
        raise Skipped("no MARTLET_TLS_URL")
    return os.environ["MARTLET_TLS_URL"]


def tls_authority() -> str:
    """Returns the file with the authority that signed the broker's certificate."""
    if "MARTLET_TLS_CA" not in os.environ:
        raise Skipped("no MARTLET_TLS_CA")
    return os.environ["MARTLET_TLS_CA"]


def broker_command() -> list[str]:
    """Returns the command that starts one more broker of the kind under test."""
    if "MARTLET_BROKER" not in os.environ:
        raise Skipped("no MARTLET_BROKER")
    return shlex.split(os.environ["MARTLET_BROKER"])


def unique(word: str) -> str:
    """Returns a name that nobody else uses: scenarios share the broker and run side by side."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


def in_process(function: Callable[..., None], *arguments: object) -> multiprocessing.Process:
    """Runs the function in a process of its own, the way a worker is deployed."""

    def main() -> None:
        die_with_parent()
        function(*arguments)

    process = multiprocessing.get_context("fork").Process(target=main)
    process.start()
    return process


def eventually(condition: Callable[[], object], seconds: float = 10, pause: float = 0.05) -> None:
    """Waits until the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds:g} s"
        time.sleep(pause)


@dataclass
class _Run:
    scenario: Scenario
    process: int
    output: IO[bytes]
    deadline: float


def _start(item: Scenario, run_all: bool) -> _Run:
    output = tempfile.TemporaryFile()
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        os.setsid()
        die_with_parent()
        for handled in (signal.SIGTERM, signal.SIGINT):
            signal.signal(handled, signal.SIG_DFL)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        # Where it hangs is worth more than that it hangs.
        faulthandler.dump_traceback_later(max(item.limit - 0.5, 0.5))
        code = 1
        try:
            if item.later and not run_all:
                raise Skipped(item.later)
            item.function()
            code = 0
        except Skipped as reason:
            print(reason)
            code = _SKIPPED
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return _Run(item, process, output, time.monotonic() + item.limit)


def _end_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _report(run: _Run, folder: str, code: int | None) -> str:
    _end_group(run.process)  # Workers that the scenario left behind.
    run.output.seek(0)
    text = run.output.read().decode(errors="replace").strip()
    run.output.close()
    reason = ""
    if code is None:
        text += f"\nno end after {run.scenario.limit:g} s"
    if code == 0:
        outcome = "passed"
    elif code == _SKIPPED:
        outcome, reason = "skipped", f" ({text})"
    else:
        outcome = "failed"
        print("".join(f"    {line}\n" for line in text.splitlines()[-40:]), end="", file=sys.stderr, flush=True)
    print(f"{folder}: {run.scenario.name}: {outcome}{reason}", flush=True)
    return outcome


def _run(folder: str, chosen: list[Scenario], jobs: int, run_all: bool) -> list[str]:
    outcomes, waiting, running = [], list(chosen), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.pop(0), run_all))
            for run in list(running):
                ended, status = os.waitpid(run.process, os.WNOHANG)
                if not ended and time.monotonic() < run.deadline:
                    continue
                if not ended:
                    _end_group(run.process)
                    os.waitpid(run.process, 0)
                running.remove(run)
                outcomes.append(_report(run, folder, os.waitstatus_to_exitcode(status) if ended else None))
            time.sleep(0.01)
    finally:
        for run in running:
            _end_group(run.process)
    return outcomes


def main(folder: str, jobs: int = 3) -> None:
    """Runs the scenarios registered so far, so many at a time, and ends the program: 0 if all passed."""
    parser = argparse.ArgumentParser(description=f"Scenarios of {folder}; MARTLET_URL names the broker.")
    parser.add_argument("--list", action="store_true", help="print names and what they show, run nothing")
    parser.add_argument("--only", metavar="NAME", default=os.environ.get("MARTLET_ONLY", ""))
    parser.add_argument("--all", action="store_true", help="also those that wait for a later issue")
    # Three at a time: most scenarios wait most of the time.
    parser.add_argument("--jobs", metavar="N", type=int, default=jobs)
    options = parser.parse_args()
    chosen = [item for item in _scenarios if options.only in f"{folder}: {item.name}"]
    if options.list:
        for item in chosen:
            print(f"{item.name}\t{item.shows}")
        sys.exit(0)
    # Also when it was started in the background of a script, where SIGINT is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        outcomes = _run(folder, chosen, options.jobs, options.all)
    except KeyboardInterrupt:
        sys.exit(1)
    passed, failed, skipped = (outcomes.count(outcome) for outcome in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    sys.exit(1 if failed else 0)
