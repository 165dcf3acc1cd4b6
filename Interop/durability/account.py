"""Who published, confirmed, received and acknowledged what in a round, and what a restart must therefore bring back.

Nothing here depends on time. An acknowledgement counts as settled when a persistent message that was published behind
it, on the same channel and to the same queues, has been confirmed: both are in one log, in that order. Without such a
fence it may or may not have been in time, and both are right.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

EXCHANGE = "durability.topic"
#: Queue -> the pattern it is bound with. The last one has everything.
QUEUES = {"durability.a": "a.*", "durability.b": "*.b", "durability.all": "#"}
#: Not durable, bound to everything.
PASSING = "durability.passing"
#: Routing key -> the durable queues it reaches.
ROUTES = {
    "a.b": tuple(QUEUES),
    "a.x": ("durability.a", "durability.all"),
    "x.b": ("durability.b", "durability.all"),
    "x.x": ("durability.all",),
}
PREFETCH = 200
#: The publishers of load are 0 and 1; this one publishes fences and probes.
FENCES = 2
#: From this number on the messages of the load are large, so that the log's files change and are trimmed soon.
LARGE = 1_000_000

_FILLER = bytes(range(256)) * 600


class Item(NamedTuple):
    """A message: its publisher, and which of that publisher's messages it is."""

    publisher: int
    number: int

    @property
    def is_persistent(self) -> bool:
        """One in nine of the load is transient."""
        return self.publisher == FENCES or self.number % 9 != 4

    @property
    def body(self) -> bytes:
        """Its content, which no other message has: mostly short, sometimes longer than a page, or than a frame."""
        number = self.number
        size = 140_000 if number % 499 == 498 else 5_000 if number % 97 == 96 else number * 31 % 300
        if number >= LARGE and self.publisher != FENCES:
            size = 100_000
        start = (self.number * 7 + self.publisher) % 256
        return b"%d:%d:" % self + _FILLER[start : start + size]


def read_item(body: bytes) -> Item | None:
    """Returns the message that a body is of, or None when the body is not exactly what was published."""
    try:
        item = Item(*map(int, body.split(b":", 2)[:2]))
    except (ValueError, TypeError):
        return None
    return item if item.number >= 0 and body == item.body else None


class Arrival(NamedTuple):
    """A delivery after the restart; `item` is None when the body was damaged."""

    item: Item | None
    is_redelivered: bool


@dataclass
class Account:
    """Everything that is known when a round ends; the threads of the load write different parts of it."""

    #: What the last check left in each queue: it had been received, so that it comes back marked redelivered.
    kept: dict[str, set[Item]]
    #: Routing key of each message published since then, its durable fate being open until it is confirmed.
    keys: dict[Item, str] = field(default_factory=dict)
    confirmed: set[Item] = field(default_factory=set)
    received: dict[str, set[Item]] = field(default_factory=lambda: {queue: set() for queue in QUEUES})
    acknowledged: dict[str, set[Item]] = field(default_factory=lambda: {queue: set() for queue in QUEUES})
    #: Acknowledged, or received, before a fence that was confirmed.
    settled: dict[str, set[Item]] = field(default_factory=lambda: {queue: set() for queue in QUEUES})
    marked: dict[str, set[Item]] = field(default_factory=lambda: {queue: set() for queue in QUEUES})
    #: When each acknowledgement had been given to the system to send, and when the broker was ended (monotonic).
    sent: dict[str, dict[Item, float]] = field(default_factory=lambda: {queue: {} for queue in QUEUES})
    ended: float = math.inf

    def judge(self, arrived: dict[str, list[Arrival]], is_prompt: bool = False) -> "Verdict":
        """Compares what came back with what must, and with what must not.

        `is_prompt` asks for more than a busy machine can keep: no acknowledgement sent 0.1 s before the end comes back.
        """
        counts, wrong = Counter(confirmed=len(self.confirmed)), []
        counts["acknowledged"] = sum(len(sent) for sent in self.sent.values())
        allowed = {"recovered", "unconfirmed but there"} | (set() if is_prompt else {"acknowledged 0.1 s before"})
        for queue, arrivals in arrived.items():
            for what, items in self._compare(queue, arrivals).items():
                counts[what] += len(items)
                if items and what not in allowed:
                    wrong.append(f"{queue}: {what}: {len(items)}, {[tuple(item or ()) for item in items[:5]]}")
        return Verdict(counts, wrong)

    def _compare(self, queue: str, arrivals: list[Arrival]) -> dict[str, list[Item | None]]:
        items = [arrival.item for arrival in arrivals if arrival.item]
        there, kept = set(items), self.kept[queue]
        new = {item for item, key in self.keys.items() if queue in ROUTES[key]}
        must = (kept | {item for item in new & self.confirmed if item.is_persistent}) - self.acknowledged[queue]
        early = kept | self.marked[queue]
        flags = {arrival.item: arrival.is_redelivered for arrival in arrivals if arrival.item}
        # What was on its way to the consumer at the end counts as delivered, received or not.
        unseen = [item for item in items if flags[item] and item not in kept | self.received[queue]]
        allowed = PREFETCH if queue in CONSUMED else 0
        last: dict[int, int] = {}
        reordered = []
        for item in items:
            if item.number < last.get(item.publisher, -1):
                reordered.append(item)
            last[item.publisher] = item.number
        return {
            "recovered": sorted(there),
            "unconfirmed but there": sorted(there & new - self.confirmed),
            "lost": sorted(must - there),
            "duplicated": [item for item, count in Counter(items).items() if count > 1],
            "reordered": reordered,
            "acknowledged 0.1 s before": sorted(
                item for item in there if self.sent[queue].get(item, math.inf) < self.ended - 0.1
            ),
            "come back": sorted(there & self.settled[queue] | there - kept - new),
            "transient": sorted(item for item in there if not item.is_persistent),
            "damaged": [None for arrival in arrivals if not arrival.item],
            "not marked redelivered": sorted(item for item in there & early if not flags[item]),
            "marked redelivered": unseen if len(unseen) > allowed else [],
        }


#: What the consumer of the load reads; nobody reads the other queue before a check.
CONSUMED = ("durability.a", "durability.all")


@dataclass
class Verdict:
    """The sums of a round, and a sentence for each thing that is wrong."""

    counts: Counter[str]
    wrong: list[str]

    def __str__(self) -> str:
        shown = "confirmed", "recovered", "unconfirmed but there", "lost", "duplicated", "reordered", "damaged"
        back = f"{self.counts['come back']} of {self.counts['acknowledged']} acknowledged come back"
        late = f"{self.counts['acknowledged 0.1 s before']} of those sent 0.1 s before the end"
        return ", ".join([*(f"{self.counts[what]} {what}" for what in shown), f"{back} ({late})"])
