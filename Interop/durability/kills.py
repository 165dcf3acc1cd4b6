"""Killed at any moment, and started again on the same directory, again and again."""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence

from account import EXCHANGE, FENCES, LARGE, PASSING, QUEUES, ROUTES, Account, Arrival, Item, Verdict, read_item
from amqp import Channel
from clients import open_channel, use
from load import Confirms, Load, Numbers, publish_octets
from martlet import Martlet, environment, program
from processes import die_with_parent
from scenarios import eventually, scenario

#: Restarts of one directory; then the next is begun, so that a long run does not read an ever longer log.
_ROUNDS_A_DIRECTORY = 8
#: What each queue keeps from one round to the next, at most.
_KEPT = 60

#: With its fifth file of 64 MiB a log has grown by the 256 MiB after which what is live is told again.
_TRIMMED_FILES = 5

_rounds = int(os.environ.get("MARTLET_ROUNDS", "10"))
_seed = os.environ.get("MARTLET_SEED") or str(int(time.time() * 1_000))
_limit = 60 + 15 * _rounds
# The runner keeps what a scenario prints for its failures; the account is wanted in any case.
_terminal = os.dup(2)


def _print(line: str) -> None:
    print(line, flush=True)
    os.write(_terminal, f"    {line}\n".encode())


class Directory:
    """A data directory, the broker that serves it, and what must be in it."""

    def __init__(self, path: str, chance: random.Random, shards: Callable[[], int], first: int) -> None:
        self._path, self._random, self._shards = path, chance, shards
        self._numbers = Numbers(first)
        self._account = Account({queue: set() for queue in QUEUES})
        self._seconds_to_start = 0.2
        self.early_kills = 0
        self._start()
        channel = open_channel(self._martlet)
        channel.rpc("exchange.declare", exchange=EXCHANGE, type="topic", durable=True)
        for queue, pattern in QUEUES.items():
            channel.rpc("queue.declare", queue=queue, durable=True)
            channel.bind(queue, EXCHANGE, pattern)
        channel.connection.close()

    def close(self) -> None:
        """Ends the broker."""
        self._martlet.__exit__()

    def round(self, end: signal.Signals, early_kills: int = 0, files: int = 1) -> Verdict:
        """Loads the broker, ends it, starts it again and compares; the next round goes on with what is left.

        The end is at a random moment after the log has grown to a number of files.
        """
        self._declare_passing()
        use(self._martlet)
        load = Load(self._account, self._numbers, self._random.random())
        load.start()
        eventually(lambda: self._log_files() >= files, seconds=30, pause=0.01)
        time.sleep(self._random.uniform(0.05, 0.7))
        load.expect_end()
        code = self._martlet.stop(end)
        load.join()
        assert code == (-signal.SIGKILL if end == signal.SIGKILL else 0), f"ended with {code}: {self._martlet.log()}"
        self.close()
        for _ in range(early_kills):
            self._kill_while_starting()
        self._start()
        return self._check()

    def _start(self) -> None:
        started = time.monotonic()
        options = "--port", "0", "--data-dir", self._path, "--shards", str(self._shards())
        self._martlet = Martlet(*options).__enter__()
        self._seconds_to_start = time.monotonic() - started
        assert "[error]" not in self._martlet.log() and "[critical]" not in self._martlet.log(), self._martlet.log()

    def _log_files(self) -> int:
        return sum(name.startswith("log-0") for name in os.listdir(self._path))

    def _kill_while_starting(self) -> None:
        process = subprocess.Popen(
            [program(), "--port", "0", "--data-dir", self._path, "--shards", str(self._shards())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            preexec_fn=die_with_parent,
        )
        time.sleep(self._random.uniform(0, self._seconds_to_start))
        process.kill()
        code = process.wait()
        assert code == -signal.SIGKILL, f"ended with {code} before it was killed"
        self.early_kills += 1

    def _declare_passing(self) -> None:
        channel = open_channel(self._martlet)
        channel.rpc("queue.declare", queue=PASSING)
        channel.bind(PASSING, EXCHANGE, "#")
        channel.connection.close()

    def _check(self) -> Verdict:
        channel = open_channel(self._martlet)
        channel.refused(404, "queue.declare", f"no queue '{PASSING}' in vhost '/'", queue=PASSING, passive=True)
        channel.rpc("exchange.declare", exchange=EXCHANGE, type="topic", durable=True)
        arrived, tags = {}, {}
        for queue in QUEUES:
            channel.rpc("queue.declare", queue=queue, durable=True)
            arrived[queue], tags[queue] = _receive_all(channel, queue)
        verdict = self._account.judge(arrived)
        if not verdict.wrong:
            self._begin_round(channel, tags)
        channel.connection.close()
        return verdict

    def _begin_round(self, channel: Channel, tags: dict[str, dict[Item, int]]) -> None:
        """Acknowledges most, behind a fence, and sees that the bindings are as they were."""
        kept: dict[str, set[Item]] = {}
        for queue, tag_of in tags.items():
            items = sorted(tag_of)
            kept[queue] = set(self._random.sample(items, min(_KEPT, len(items))))
            for item in items:
                if item not in kept[queue]:
                    channel.send("basic.ack", delivery_tag=tag_of[item])
        self._account = Account(kept)
        channel.rpc("confirm.select")
        confirms = Confirms()
        for key in ("a.x", "x.b", "x.x"):
            probe = self._numbers.next(FENCES)
            self._account.keys[probe] = key
            confirms.add(probe)
            channel.connection.write(publish_octets(channel, probe, key))
        while confirms:
            self._account.confirmed.update(confirms.take(channel.expect("basic.ack")))
        ready = [channel.counts(queue)[0] for queue in QUEUES]
        expected = [sum(queue in ROUTES[key] for key in self._account.keys.values()) for queue in QUEUES]
        assert ready == expected, f"bindings: {ready} messages arrived, not {expected}"


def _receive_all(channel: Channel, queue: str) -> tuple[list[Arrival], dict[Item, int]]:
    """Receives everything that is in a queue, and returns it with the delivery tags."""
    count, _ = channel.counts(queue)
    tag = channel.consume(queue)
    arrivals, tags = [], {}
    for _ in range(count):
        event = channel.deliver()
        item = read_item(event.body)
        arrivals.append(Arrival(item, event.redelivered))
        if item:
            tags[item] = event.delivery_tag
    assert channel.counts(queue)[0] == 0, f"{queue} had more than the {count} messages it said"
    channel.rpc("basic.cancel", consumer_tag=tag)
    return arrivals, tags


def _run(
    name: str,
    rounds: int,
    end: signal.Signals = signal.SIGKILL,
    early_kills: Sequence[int] = (0,),
    shards: Sequence[int] = (2,),
    first: int = 0,
    files: int = 1,
) -> None:
    chance = random.Random(f"{_seed} {name}")
    total: Counter[str] = Counter()
    starts = done = early = 0

    def next_shards() -> int:
        nonlocal starts
        starts += 1
        return shards[starts % len(shards)]

    while done < rounds:
        with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
            directory = Directory(path, chance, next_shards, first)
            try:
                for _ in range(min(_ROUNDS_A_DIRECTORY, rounds - done)):
                    verdict = directory.round(end, early_kills[done % len(early_kills)], files)
                    done += 1
                    assert not verdict.wrong, "\n".join(
                        [f"{name}: round {done}, MARTLET_SEED={_seed} MARTLET_ROUNDS={_rounds}", str(verdict)]
                        + verdict.wrong
                    )
                    total += verdict.counts
                early += directory.early_kills
            finally:
                directory.close()
    ends = f"{done} ends by {end.name}" + (f", {early} kills of a start" if early else "")
    _print(f"{name}: {ends}: {Verdict(total, [])} (seed {_seed})")


@scenario("killed under load", limit=_limit)
def under_load() -> None:
    """Killed at any moment, it has all that was confirmed: once, in order, and nothing that was settled comes back."""
    _run("killed under load", max(1, _rounds // 2))


@scenario("killed while it starts", limit=_limit)
def while_starting() -> None:
    """Killed under load, then again while it reads its log, it loses nothing either."""
    _run("killed while it starts", max(1, _rounds // 4), early_kills=(1, 2))


@scenario("another number of shards at each start", limit=_limit)
def shards() -> None:
    """What one number of shards has written another number reads, after a kill too."""
    _run("another number of shards", max(1, _rounds // 4), shards=(1, 4, 2, 3))


@scenario("killed while log files change", limit=_limit)
def files() -> None:
    """With messages that soon fill a file of the log, kills find it between files, and lose nothing."""
    _run("killed while log files change", max(3, _rounds // 4), first=LARGE)


@scenario("killed while the log is trimmed", limit=_limit)
def trimmed() -> None:
    """Killed when the log is just long enough to be trimmed, it has forgotten nothing, and remembers nothing twice."""
    _run("killed while the log is trimmed", max(2, _rounds // 5), first=LARGE, files=_TRIMMED_FILES)


@scenario("stopped by SIGTERM", limit=_limit)
def stopped() -> None:
    """Stopped under load, it ends with 0, loses nothing, and marks nothing redelivered that nobody was to receive."""
    _run("stopped by SIGTERM", max(1, _rounds // 4), end=signal.SIGTERM, shards=(2, 1))
