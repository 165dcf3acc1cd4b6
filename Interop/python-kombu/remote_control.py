"""kombu's pidbox, with which Celery talks to its workers: broadcasts, and answers collected from all who heard."""

import threading

from kombu import pidbox
from scenarios import scenario, unique
from support import connect


class Nodes:
    """Some nodes that listen to a mailbox, each on a connection and thread of its own, as processes would."""

    def __init__(self, namespace: str, names: list[str]) -> None:
        self._stop = threading.Event()
        self.heard: dict[str, list[str]] = {name: [] for name in names}
        self._threads = []
        for name in names:
            ready = threading.Event()
            thread = threading.Thread(target=self._listen, args=(namespace, name, ready), daemon=True)
            thread.start()
            assert ready.wait(10)
            self._threads.append(thread)

    def _listen(self, namespace: str, name: str, ready: threading.Event) -> None:
        with connect() as connection:
            mailbox = pidbox.Mailbox(namespace, type="fanout", queue_ttl=60, queue_expires=10)(connection)
            node = mailbox.Node(hostname=name, channel=connection.channel())

            @node.handler
            def say(state, words: str) -> dict[str, str]:
                self.heard[name].append(words)
                return {"said": f"{words}, says {name}"}

            with node.listen(callback=lambda body, message: node.handle_message(body, message)):
                ready.set()
                while not self._stop.is_set():
                    try:
                        connection.drain_events(timeout=0.1)
                    except TimeoutError:
                        pass

    def stop(self) -> None:
        """Ends the nodes and their connections."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


@scenario("pidbox")
def broadcast() -> None:
    """A command reaches every node or those named, and the answers of all come back over a reply queue."""
    namespace = unique("control")
    nodes = Nodes(namespace, ["a", "b", "c"])
    with connect() as connection:
        mailbox = pidbox.Mailbox(namespace, type="fanout", reply_queue_expires=10)(connection)
        replies = mailbox.multi_call("say", {"words": "hello"}, timeout=5, limit=3)
        answers = {name: reply["said"] for answer in replies for name, reply in answer.items()}
        assert answers == {name: f"hello, says {name}" for name in "abc"}

        (answer,) = mailbox.call(["b"], "say", {"words": "you"}, timeout=5)
        assert answer == {"b": {"said": "you, says b"}}

        mailbox.abcast("say", {"words": "all"})
        (last,) = mailbox.call(["c"], "say", {"words": "done"}, timeout=5)
        assert last["c"]["said"] == "done, says c"
    nodes.stop()
    assert nodes.heard["b"] == ["hello", "you", "all"]
    assert nodes.heard["c"] == ["hello", "all", "done"]
