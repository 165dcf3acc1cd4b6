"""Arguments of queues that are changed by command line, while the queues are used."""

import json
import random
import threading
import time

import pika
from ctl import change, ctl, folder, rows
from martlet import Martlet
from scenarios import eventually, scenario


def _publish(channel: pika.adapters.blocking_connection.BlockingChannel, body: str, priority: int) -> None:
    channel.basic_publish("", "q", body.encode(), pika.BasicProperties(delivery_mode=2, priority=priority))


def _bodies(channel: pika.adapters.blocking_connection.BlockingChannel) -> list[str]:
    bodies = []
    while (answer := channel.basic_get("q", auto_ack=True))[0]:
        bodies.append(answer[2].decode())
    return bodies


def _arguments(data: str) -> dict:
    (row,) = (row for row in rows(data, "list_queues", "name", "arguments") if row["name"] == "q")
    return {name: value for name, _, value in row["arguments"]}


@scenario("alter_queue on a queue in use")
def used() -> None:
    """alter_queue gives a queue priorities and takes them away, and makes it a quorum queue and a classic one again, while it
    has messages and a consumer: the consumer stays, each message comes once and in the order of the new arguments, a
    declare with them is answered as usual, one with the old ones 406. What cannot be is refused in one line."""
    with folder() as data, Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
        channel = martlet.connect().channel()
        channel.queue_declare("q", durable=True)
        channel.confirm_delivery()
        worker = martlet.connect().channel()
        worker.basic_qos(prefetch_count=1)
        taken: list[tuple[int, str]] = []
        worker.basic_consume("q", lambda _, method, __, body: taken.append((method.delivery_tag, body.decode())))

        def after_ack() -> str:
            """The next message that the consumer gets for an acknowledgement of its last one."""
            count = len(taken)
            worker.basic_ack(taken[-1][0])
            deadline = time.monotonic() + 10
            while len(taken) == count and time.monotonic() < deadline:
                worker.connection.process_data_events(time_limit=0.1)
            return taken[-1][1] if len(taken) > count else "nothing"

        for number, priority in enumerate([0, 3, 9, 5, 9, 3, 0]):
            _publish(channel, f"{priority}.{number}", priority)
        deadline = time.monotonic() + 10
        while not taken and time.monotonic() < deadline:
            worker.connection.process_data_events(time_limit=0.1)
        assert taken[0][1] == "0.0", taken
        said = ctl(data, "alter_queue", "q", '{"x-max-priority": 5}')
        assert (said.returncode, said.stdout, said.stderr) == (0, 'Altering queue "q" on vhost "/" ...\n', ""), said
        assert _arguments(data) == {"x-max-priority": 5}
        assert [after_ack(), after_ack()] == ["9.2", "5.3"], taken
        assert channel.queue_declare("q", durable=True, arguments={"x-max-priority": 5}).method.consumer_count == 1
        try:
            martlet.connect().channel().queue_declare("q", durable=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            assert (error.reply_code, error.reply_text) == (
                406,
                "PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue 'q' in vhost '/': "
                "received none but current is the value '5' of type 'long'",
            ), error
        else:
            raise AssertionError("not refused")
        refused = ctl(data, "alter_queue", "q", '{"x-queue-type": "quorum"}')
        assert (refused.returncode, refused.stderr) == (
            69,
            "Error:\ninvalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue\n",
        ), refused
        change(data, "alter_queue", "-p", "/", "q", '{"x-queue-type": "quorum", "x-max-priority": null}')
        assert rows(data, "list_queues", "name", "type") == [{"name": "q", "type": "quorum"}]
        # By age again.
        assert after_ack() == "3.1", taken
        _publish(channel, "9.new", 9)
        assert [after_ack(), after_ack()] == ["9.4", "3.5"], taken
        quorum = {"x-queue-type": "quorum"}
        assert channel.queue_declare("q", durable=True, arguments=quorum).method.message_count == 2
        change(data, "alter_queue", "q", '{"x-queue-type": "classic", "x-max-length": 1}')
        eventually(lambda: channel.queue_declare("q", passive=True).method.message_count == 1)
        assert after_ack() == "9.new", taken
        assert ctl(data, "alter_queue", "nobody", "{}").stderr == "Error:\nno queue 'nobody' in vhost '/'\n"
        assert ctl(data, "alter_queue", "q", "[]").returncode == 64


@scenario("killed while a queue is altered")
def killed() -> None:
    """While alter_queue runs again and again the process is killed, with SIGKILL, at any moment: afterwards the queue has
    the arguments of the last alteration that was answered, or of the one under way, and every confirmed message once, in
    the order that they say."""
    chance = random.Random(12)
    levels = [3, None, 7, 1, None, 9]
    with folder() as data:
        confirmed: list[str] = []
        known: list[dict] = [{}]
        for round_number in range(6):
            with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
                channel = martlet.connect().channel()
                found = _arguments(data) if round_number else {}
                assert found in known, (found, known)
                known = [found]
                channel.queue_declare("q", durable=True, arguments=found)
                channel.confirm_delivery()
                for number in range(400):
                    body = f"{chance.randrange(10)} {round_number}.{number}"
                    _publish(channel, body, int(body[0]))
                    confirmed.append(body)

                def alter() -> None:
                    for level in levels:
                        asked = {} if level is None else {"x-max-priority": level}
                        known.append(asked)
                        said = ctl(data, "alter_queue", "q", json.dumps({"x-max-priority": level}))
                        if said.returncode != 0:
                            return
                        known[:] = [asked]

                altering = threading.Thread(target=alter)
                altering.start()
                time.sleep(chance.random() * 0.4)
                martlet.process.kill()
                altering.join(30)
        with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
            found = _arguments(data)
            assert found in known, (found, known)
            highest = found.get("x-max-priority", 0)
            expected = sorted(confirmed, key=lambda body: -min(int(body[0]), highest))
            assert _bodies(martlet.connect().channel()) == expected
