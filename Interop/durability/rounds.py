"""A data directory whose broker is ended under load and started again, round after round, with an account of each."""

import os
import random
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from account import EXCHANGE, FENCES, LARGE, PASSING, QUEUES, ROUTES, Account, Arrival, Item, Verdict, read_item
from amqp import Channel
from churn import Churn
from clients import open_channel, use
from confirms import Confirms
from disk import Disk
from load import Load, Numbers, publish_octets
from martlet import Martlet, environment, program
from processes import die_with_parent
from scenarios import eventually
from waiting import Waiting

#: Restarts of one directory; then the next is begun, so that a long run does not read an ever longer log.
_ROUNDS_A_DIRECTORY = 8
#: What each queue keeps from one round to the next, at most.
_KEPT = 60
#: With so many rounds a run is made by hand, and no acknowledgement sent 0.1 s before a kill may come back: unless threads
#: of the broker had to wait for a processor or the disk, or 200 messages of 100 KB are under way, or powercut.c makes all that slow.
_PROMPT_ROUNDS = 50

ROUNDS = int(os.environ.get("MARTLET_ROUNDS", "10"))
SEED = os.environ.get("MARTLET_SEED") or str(int(time.time() * 1_000))
LIMIT = 60 + 15 * ROUNDS
# The runner keeps what a scenario prints for its failures; the account is wanted in any case.
_terminal = os.dup(2)


def tell(line: str) -> None:
    """Prints a line that is seen whether the scenario passes or not."""
    print(line, flush=True)
    os.write(_terminal, f"    {line}\n".encode())


@dataclass
class Plan:
    """What happens in each round; of sequences the next round takes the next value."""

    end: signal.Signals = signal.SIGKILL
    #: Kills of starts, before the start that is then checked.
    early_kills: Sequence[int] = (0,)
    shards: Sequence[int] = (2,)
    #: The number of the load's first messages: from `LARGE` on they are large.
    first: int = 0
    #: The load goes on until the log has grown to so many files.
    files: int = 1
    #: Everything that was not synced is lost or torn at each end.
    has_power_cuts: bool = False
    #: What the shim does wrong on purpose.
    plant: str = ""
    #: Options of the broker.
    options: Sequence[str] = ()


@dataclass
class Totals:
    """What a run has seen."""

    counts: Counter[str] = field(default_factory=Counter)
    starts: list[float] = field(default_factory=list)
    early_kills: int = 0
    answers: int = 0
    ends: int = 0

    def __str__(self) -> str:
        started = f"started in {statistics.median(self.starts):.3f} s (p50), {max(self.starts):.3f} s (worst)"
        prompt = f"{self.counts['prompt rounds']} rounds on a machine that was not late itself"
        return f"{Verdict(self.counts, [])}, {prompt}, {self.answers} definitions and purges answered; {started}"


class Directory:
    """A data directory, the broker that serves it, and what must be in it."""

    def __init__(self, plan: Plan, chance: random.Random, totals: Totals) -> None:
        self._plan, self._random, self._totals = plan, chance, totals
        self._disk = Disk(chance.random()) if plan.has_power_cuts else None
        self._folder = tempfile.TemporaryDirectory(prefix="martlet-durability-")
        self._path = str(self._disk.root / "data") if self._disk else self._folder.name
        self._numbers, self._churn = Numbers(plan.first), Churn(chance.random())
        self._account = Account({queue: set() for queue in QUEUES})
        self._seconds_to_start = 0.2
        self._martlet: Martlet | None = None
        self._had_to_wait = False
        if self._disk:
            # From nothing: not even the directory is there.
            for _ in range(3):
                self._kill_while_starting()
        self._start()
        channel = open_channel(self._martlet)
        channel.rpc("exchange.declare", exchange=EXCHANGE, type="topic", durable=True)
        for queue, pattern in QUEUES.items():
            channel.rpc("queue.declare", queue=queue, durable=True)
            channel.bind(queue, EXCHANGE, pattern)
        self._churn.declare(channel)
        channel.connection.close()

    def close(self) -> None:
        """Ends the broker and removes the directory."""
        if self._martlet:
            self._martlet.__exit__()
        if self._disk:
            self._totals.counts += self._disk.counts
            self._disk.close()
        self._folder.cleanup()

    def round(self, number: int) -> Verdict:
        """Loads the broker, ends it, starts it again and compares; the next round goes on with what is left.

        The end is at a random moment after the log has grown to a number of files.
        """
        plan = self._plan
        self._declare_passing()
        use(self._martlet)
        load = Load(self._account, self._numbers, self._churn, self._random.random())
        load.start()
        waiting = Waiting(self._martlet.process.pid)
        eventually(lambda: self._log_files() >= plan.files, seconds=30, pause=0.01)
        time.sleep(self._random.uniform(0.05, 0.7))
        self._had_to_wait = waiting.is_excuse()
        load.expect_end()
        code = self._martlet.stop(plan.end)
        load.join()
        killed = plan.end == signal.SIGKILL
        assert code == (-signal.SIGKILL if killed else 0), f"ended with {code}: {self._martlet.log()}"
        self._martlet.__exit__()
        self._totals.ends += 1
        if self._disk:
            self._disk.cut()
        for _ in range(plan.early_kills[number % len(plan.early_kills)]):
            self._kill_while_starting()
        self._start()
        self._totals.starts.append(self._seconds_to_start)
        return self._check()

    def _options(self) -> list[str]:
        self._totals.counts["starts"] += 1
        shards = self._plan.shards[self._totals.counts["starts"] % len(self._plan.shards)]
        return ["--port", "0", "--data-dir", self._path, "--shards", str(shards), *self._plan.options]

    def _variables(self) -> dict[str, str]:
        return self._disk.variables(self._plan.plant) if self._disk else {}

    def _start(self) -> None:
        self._martlet = Martlet(*self._options(), **self._variables())
        self._martlet.__enter__()
        self._seconds_to_start = self._martlet.seconds_to_start
        log = self._martlet.log()
        assert "[error]" not in log and "[critical]" not in log, log

    def _log_files(self) -> int:
        return sum(name.startswith("log-0") for name in os.listdir(self._path))

    def _kill_while_starting(self) -> None:
        process = subprocess.Popen(
            [program(), *self._options()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(**self._variables()),
            preexec_fn=die_with_parent,
        )
        time.sleep(self._random.uniform(0, self._seconds_to_start))
        process.kill()
        code = process.wait()
        assert code == -signal.SIGKILL, f"ended with {code} before it was killed"
        self._totals.early_kills += 1
        if self._disk:
            self._disk.cut()

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
        verdict = self._account.judge(arrived, is_prompt=self._is_prompt)
        try:
            self._churn.check(channel.connection.channel())
        except AssertionError as error:
            verdict.wrong.append(str(error))
        self._totals.answers += self._churn.answers
        self._churn.answers = 0
        if not verdict.wrong:
            self._begin_round(channel, tags)
        channel.connection.close()
        return verdict

    @property
    def _is_prompt(self) -> bool:
        """Whether nothing excuses an acknowledgement that comes back."""
        is_prompt = not self._had_to_wait and self._plan.first < LARGE and not self._disk
        self._totals.counts["prompt rounds"] += is_prompt
        return is_prompt and ROUNDS >= _PROMPT_ROUNDS

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


def run_rounds(name: str, rounds: int, plan: Plan) -> Totals:
    """Plays so many rounds, prints their account, and fails with the first round that lost or changed anything."""
    chance = random.Random(f"{SEED} {name}")
    totals = Totals()
    done = 0
    while done < rounds:
        directory = Directory(plan, chance, totals)
        try:
            for _ in range(min(_ROUNDS_A_DIRECTORY, rounds - done)):
                verdict = directory.round(done)
                done += 1
                totals.counts += verdict.counts
                assert not verdict.wrong, "\n".join(
                    [f"{name}: round {done}, MARTLET_SEED={SEED} MARTLET_ROUNDS={ROUNDS}", str(verdict)]
                    + verdict.wrong
                )
        finally:
            directory.close()
    ends = f"{done} ends by {plan.end.name}" + (f", {totals.early_kills} kills of a start" if totals.early_kills else "")
    tell(f"{name}: {ends}: {totals} (seed {SEED})")
    return totals
