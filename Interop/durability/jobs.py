"""Jobs of a queue that takes each once, while the broker is killed: none is lost, and none is there twice."""

import random
import signal
import tempfile
import threading
from collections import Counter

from amqp import Channel, Closed
from clients import open_channel
from confirms import Confirms
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, tell
from scenarios import scenario

_QUEUE = "durability.jobs"
_WINDOW = 50
#: So few that most publishes are of a job that is there.
_JOBS = 300


class _Jobs:
    """What must be in the queue, and what may be: the job's number and the body that stands for it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.there: dict[int, bytes] = {}
        self._maybe: dict[int, bytes] = {}
        self._confirms = Confirms()
        self.published = 0
        self.ignored = 0

    def check(self, channel: Channel) -> None:
        """Takes everything out of the queue and acknowledges half of it; the rest stays out, and so there."""
        found: dict[int, tuple[bytes, int]] = {}
        counts = Counter[int]()
        while (message := channel.get(_QUEUE, no_ack=False)) is not None:
            number = int(message.body.split()[0])
            counts[number] += 1
            found[number] = message.body, message.delivery_tag
        twice = [number for number, count in counts.items() if count > 1]
        assert not twice, f"there twice: {twice[:9]}"
        for number, body in self.there.items():
            assert number in found, f"job {number} is lost"
            assert found[number][0] == body, f"{found[number][0]} in the place of {body}"
        for number, (body, _) in found.items():
            assert number in self.there or self._maybe.get(number) == body, f"where does {body} come from?"
        self.there = {number: body for number, (body, _) in found.items()}
        self._maybe = {}
        for number in self._chance.sample(sorted(found), len(found) // 2):
            channel.send("basic.ack", delivery_tag=found[number][1])
            del self.there[number]
        # What is confirmed now stands in the log behind the acknowledgements.
        channel.rpc("confirm.select")
        self._confirms = Confirms()
        self._confirms.add(_JOBS)
        self._publish(channel, _JOBS, b"%d fence" % _JOBS)
        self._confirms.take(channel.expect("basic.ack", timeout=30))
        self.there.setdefault(_JOBS, b"%d fence" % _JOBS)

    def _publish(self, channel: Channel, number: int, body: bytes) -> None:
        headers = {"x-deduplication-header": f"job {number}"}
        channel.publish(body, key=_QUEUE, delivery_mode=2, headers=headers)
        self.published += 1

    def publish_until_killed(self, channel: Channel, turn: int) -> None:
        """Publishes jobs by chance, most of them again and again."""
        confirms = self._confirms
        try:
            while True:
                while len(confirms) < _WINDOW:
                    number = self._chance.randrange(_JOBS)
                    body = b"%d %d" % (number, turn)
                    confirms.add((number, body))
                    if number in self.there or number in self._maybe:
                        self.ignored += 1
                    else:
                        self._maybe[number] = body
                    self._publish(channel, number, body)
                for number, body in confirms.take(channel.expect("basic.ack", timeout=30)):
                    if number not in self.there:
                        self.there[number] = self._maybe.pop(number, body)
        except (Closed, OSError):
            return


def _run(shards: int, rounds: int) -> None:
    chance = random.Random(f"{SEED} jobs {shards}")
    jobs = _Jobs(chance)
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
        options = "--port", "0", "--data-dir", path, "--shards", shards
        for turn in range(rounds + 1):
            with Martlet(*options) as martlet:
                channel = open_channel(martlet)
                arguments = {"x-message-deduplication": True}
                channel.rpc("queue.declare", queue=_QUEUE, durable=True, arguments=arguments)
                jobs.check(channel)
                if turn < rounds:
                    threading.Timer(chance.uniform(0.05, 0.5), martlet.process.kill).start()
                    jobs.publish_until_killed(channel, turn)
                    assert martlet.process.wait(15) == -signal.SIGKILL, martlet.log()
    tell(f"{shards} shards: {jobs.published} publishes of {_JOBS} jobs, {jobs.ignored} to be ignored")
    assert jobs.ignored > 0


@scenario("unique jobs after a kill", limit=LIMIT)
def unique() -> None:
    """In a queue with x-message-deduplication every confirmed job that is not acknowledged is there once after a kill, in
    its first form, whether it waited or was out; what is published of it meanwhile is ignored."""
    for shards in (1, 2):
        _run(shards, max(2, ROUNDS // 3))
