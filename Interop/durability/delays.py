"""Messages that wait for their time, and how often others came back, when the broker is killed again and again."""

import random
import signal
import tempfile
import time
from collections import Counter, defaultdict

from amqp import Channel
from clients import open_channel, use
from confirms import Confirms
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, tell
from scenarios import scenario
from untilkilled import UntilKilled

_LATE, _POISON = "durability.delayed", "durability.poison"
_QUEUES = {_LATE: {}, _POISON: {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}}
_POISONED = 20
_WINDOW = 60
#: A message may come so much before its time: delays are in whole milliseconds, clocks of two processes differ.
_EARLY = 0.02


class _Load(UntilKilled):
    """Publishes messages with delays, and gives back whatever comes from the other queue, at once."""

    def __init__(self, first: int, chance: random.Random) -> None:
        super().__init__()
        self.next, self._random = first, chance
        #: When each confirmed message may come.
        self.due: dict[int, float] = {}
        self.published: set[int] = set()
        #: When the last publish was sent that is confirmed: what was seen before is in the log, which keeps the order.
        self.proof = 0.0
        #: When which count was seen of each message that came back.
        self.seen: dict[int, list[tuple[float, int]]] = defaultdict(list)
        self.start(self._publish, self._give_back)

    def _publish(self, channel: Channel) -> None:
        channel.rpc("confirm.select")
        confirms = Confirms()
        while True:
            while len(confirms) < _WINDOW:
                # Some become due while it runs, some while it does not, some long after.
                delay = self._random.choice((50, 400, 1_500, 2_500)) + self._random.randrange(50)
                sent = time.monotonic()
                confirms.add((self.next, sent, sent + delay / 1_000))
                self.published.add(self.next)
                channel.publish(b"%d" % self.next, key=_LATE, delivery_mode=2, headers={"x-delay": delay})
                self.next += 1
            for number, sent, due in confirms.take(channel.expect("basic.ack", timeout=30)):
                self.due[number] = due
                self.proof = max(self.proof, sent)

    def _give_back(self, channel: Channel) -> None:
        channel.rpc("basic.qos", prefetch_count=5)
        channel.consume(_POISON)
        while True:
            event = channel.deliver(timeout=30)
            self.seen[int(event.body)].append((time.monotonic(), _count(event)))
            channel.send("basic.nack", delivery_tag=event.delivery_tag, requeue=True)


def _poison(channel: Channel) -> None:
    """Publishes the messages that come back for ever."""
    channel.rpc("confirm.select")
    confirms = Confirms()
    for number in range(_POISONED):
        confirms.add(number)
        channel.publish(b"%d" % number, key=_POISON, delivery_mode=2)
    while confirms:
        confirms.take(channel.expect("basic.ack"))


def _count(event) -> int:
    """How often the message had come back."""
    return int(event.headers.get("x-delivery-count", 0))


def _check_delayed(channel: Channel, load: _Load, loose: set[int], killed: float, counts: Counter[str]) -> None:
    """Everything confirmed comes, and nothing before its time; of earlier rounds only what was never confirmed.

    It comes once, unless it was on its way into its queue when the broker was killed.
    """
    came = Counter[int]()
    missing = set(load.due)
    deadline = max([*load.due.values(), time.monotonic()]) + 5
    while True:
        message = channel.get(_LATE)
        if message is None:
            # What has its time still to come and was not confirmed is left to a later round.
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.01)
            continue
        number = int(message.body)
        if number < 0:
            # The fence of the last check: that it was taken may not have been settled.
            continue
        assert number in load.published or number in loose, f"{number} was settled before"
        wait = load.due.get(number, 0) - time.monotonic()
        assert wait < _EARLY, f"{number} comes {wait:.3f} s early"
        came[number] += 1
        missing.discard(number)
    assert not missing, f"{len(missing)} of {len(load.due)} confirmed are lost: {sorted(missing)[:9]}"
    twice = {number: load.due.get(number, killed) - killed for number, count in came.items() if count > 1}
    strange = {number: due for number, due in twice.items() if due > _EARLY}
    assert not strange, f"came twice, though due so long after the kill: {strange}"
    counts += Counter(confirmed=len(load.due), twice=len(twice))


def _check_counts(channel: Channel, load: _Load, counts: Counter[str]) -> None:
    """Every message is there still, and has come back as often as was seen."""
    found = {}
    for _ in range(_POISONED):
        event = channel.get(_POISON, no_ack=False)
        found[int(event.body)] = _count(event)
    assert len(found) == _POISONED, f"only {sorted(found)} are left"
    for number, seen in load.seen.items():
        least = max((count for moment, count in seen if moment < load.proof), default=0)
        assert found[number] >= least, f"{number} had come back {least} times, now {found[number]}"
    counts += Counter(returned=sum(len(seen) for seen in load.seen.values()))


def _settle(channel: Channel) -> None:
    """Behind this everything that was taken is settled."""
    channel.rpc("confirm.select")
    channel.publish(b"-1", key=_LATE, delivery_mode=2)
    channel.expect("basic.ack")
    while channel.get(_LATE).body != b"-1":
        pass


@scenario("killed while messages wait and come back", limit=LIMIT)
def waiting() -> None:
    """Messages with x-delay come once and not early, and counts of returns go on, however often it is killed."""
    chance, counts = random.Random(f"{SEED} delays"), Counter[str]()
    rounds = max(2, ROUNDS // 3)
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        options = "--port", "0", "--data-dir", folder, "--shards", 2
        first, loose = 0, set[int]()
        for number in range(rounds):
            with Martlet(*options) as martlet:
                channel = open_channel(martlet)
                for queue, arguments in _QUEUES.items():
                    channel.rpc("queue.declare", queue=queue, durable=True, arguments=arguments)
                if number == 0:
                    _poison(channel)
                channel.connection.close()
                use(martlet)
                load = _Load(first, chance)
                time.sleep(chance.uniform(0.1, 0.8))
                killed = load.kill(martlet)
            # Some of them become due meanwhile.
            time.sleep(chance.choice((0, 0.5)))
            with Martlet(*options) as martlet:
                try:
                    channel = open_channel(martlet)
                    _check_counts(channel, load, counts)
                    channel = open_channel(martlet)
                    _check_delayed(channel, load, loose, killed, counts)
                except AssertionError as error:
                    raise AssertionError(f"round {number + 1}, MARTLET_SEED={SEED}: {error}") from error
                _settle(channel)
                assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
            first = load.next
            # Those may still come, or come again.
            loose |= load.published - load.due.keys()
    tell(
        f"delays: {rounds} rounds: {counts['confirmed']} delayed messages confirmed, {counts['twice']} twice, "
        f"{counts['returned']} returns of {_POISONED} messages (seed {SEED})"
    )
