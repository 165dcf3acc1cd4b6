"""Two publishers, a consumer, and somebody who declares and deletes, at full speed, until the broker ends; what they know goes into the account."""

import random
import threading
import time
import traceback

from account import CONSUMED, EXCHANGE, FENCES, PREFETCH, ROUTES, Account, Item, read_item
from amqp import Channel, Closed, Connection, Failure, content_frames, method_frame
from churn import Churn
from confirms import Confirms

_WINDOW = 100
_KEYS = list(ROUTES)


def publish_octets(channel: Channel, item: Item, key: str) -> bytes:
    """Returns the frames of a message to the exchange."""
    mode = 2 if item.is_persistent else 1
    return method_frame(channel.number, "basic.publish", exchange=EXCHANGE, routing_key=key) + content_frames(
        channel.number, item.body, channel.connection.frame_max, delivery_mode=mode
    )


class Numbers:
    """Counts each publisher's messages, over all rounds of a directory."""

    def __init__(self, first: int) -> None:
        self._next = [first, first, 0]

    def next(self, publisher: int) -> Item:
        """Returns the publisher's next message."""
        self._next[publisher] += 1
        return Item(publisher, self._next[publisher] - 1)


class Load:
    """The threads of a round. `end` must be called after the broker has been told to end, or killed."""

    def __init__(self, account: Account, numbers: Numbers, churn: Churn, seed: object) -> None:
        self._account, self._numbers, self._churn = account, numbers, churn
        self._random = random.Random(f"{seed} load")
        self._is_ending = threading.Event()
        self._problems: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(work, *arguments), daemon=True)
            for work, *arguments in ((self._publish, 0), (self._publish, 1), (self._consume,), (self._change,))
        ]

    def start(self) -> None:
        """Starts all threads."""
        for thread in self._threads:
            thread.start()

    def expect_end(self) -> None:
        """From now on it is no mistake when the broker closes connections; what is acknowledged from now on is too late."""
        self._account.ended = time.monotonic()
        self._is_ending.set()

    def join(self) -> None:
        """Waits for the threads, which read what had been sent until the end, and fails if one went wrong."""
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a client did not notice the broker's end"
        assert not self._problems, "\n".join(self._problems)

    def _run(self, work, *arguments) -> None:
        try:
            connection = Connection(time.monotonic() + 45)
            try:
                connection.log_in()
                work(connection, *arguments)
            finally:
                connection.drop()
        except Closed:
            if not self._is_ending.is_set():
                self._problems.append(traceback.format_exc())
        except BaseException:
            self._problems.append(traceback.format_exc())

    def _is_end(self, connection: Connection, event) -> bool:
        """Whether this is the broker's goodbye, which is answered."""
        if event.name != "connection.close":
            return False
        assert event.reply_code == 320 and self._is_ending.is_set(), event
        connection.write_anyway(method_frame(0, "connection.close-ok"))
        return True

    def _change(self, connection: Connection) -> None:
        try:
            self._churn.run(connection.channel())
        except Failure:
            # What stands in the way of the answer it waits for may be the broker's goodbye.
            if not self._is_ending.is_set():
                raise

    def _publish(self, connection: Connection, publisher: int) -> None:
        channel = connection.channel()
        channel.rpc("confirm.select")
        confirms, is_open = Confirms(), True
        while True:
            octets = []
            while is_open and len(confirms) < _WINDOW:
                item = self._numbers.next(publisher)
                key = _KEYS[item.number % len(_KEYS)]
                self._account.keys[item] = key
                confirms.add(item)
                octets.append(publish_octets(channel, item, key))
            try:
                if octets:
                    connection.write(*octets)
            except Closed:
                is_open = False  # What it had confirmed before may still be read.
            while True:
                _, event = connection.read_event(30)
                if self._is_end(connection, event):
                    return
                self._account.confirmed.update(confirms.take(event))
                if is_open and len(confirms) <= _WINDOW // 2:
                    break

    def _consume(self, connection: Connection) -> None:
        account, channel = self._account, connection.channel()
        channel.rpc("confirm.select")
        channel.rpc("basic.qos", prefetch_count=PREFETCH)
        for queue in CONSUMED:
            channel.send("basic.consume", queue=queue, consumer_tag=queue, nowait=True)
        left = dict.fromkeys(CONSUMED, 0)
        fences = Confirms()
        received: dict[str, set[Item]] = {queue: set() for queue in CONSUMED}
        acknowledged: dict[str, set[Item]] = {queue: set() for queue in CONSUMED}
        octets: list[bytes] = []
        unsent: list[tuple[str, Item]] = []
        count = 0
        while True:
            _, event = connection.read_event(30)
            if self._is_end(connection, event):
                return
            if event.name == "basic.ack":
                for fence, earlier, settled in fences.take(event):
                    account.confirmed.add(fence)
                    for queue in CONSUMED:
                        account.marked[queue] |= earlier[queue]
                        account.settled[queue] |= settled[queue]
                continue
            queue, item = event.consumer_tag, read_item(event.body)
            assert item, f"damaged in {queue}: {event.body[:100]!r}"
            assert item not in account.received[queue], f"{item} came twice from {queue}"
            account.received[queue].add(item)
            received[queue].add(item)
            if left[queue] < PREFETCH // 2 and self._random.random() < 0.3:
                left[queue] += 1
            else:
                # Before it is sent: afterwards the broker may be gone and the thread with it.
                account.acknowledged[queue].add(item)
                acknowledged[queue].add(item)
                unsent.append((queue, item))
                octets.append(method_frame(channel.number, "basic.ack", delivery_tag=event.delivery_tag))
            count += 1
            if count % 40 == 0:
                fence = self._numbers.next(FENCES)
                account.keys[fence] = "a.x"
                fences.add((fence, received, acknowledged))
                received = {queue: set() for queue in CONSUMED}
                acknowledged = {queue: set() for queue in CONSUMED}
                octets.append(publish_octets(channel, fence, "a.x"))
            if count % 10 == 0:
                try:
                    connection.write(*octets)
                    now = time.monotonic()
                    for queue, item in unsent:
                        account.sent[queue][item] = now
                except Closed:
                    pass  # What had been delivered before is read to its end.
                octets, unsent = [], []
