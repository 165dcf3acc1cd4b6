"""Policies that are set, changed and cleared by command line, under queues in use."""

import random
import time

import pika
from ctl import change, ctl, folder, rows
from martlet import Martlet
from scenarios import eventually, scenario

_PERSISTENT = pika.BasicProperties(delivery_mode=2)


def _fill(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str, count: int) -> None:
    for number in range(count):
        channel.basic_publish("", queue, str(number).encode(), _PERSISTENT)


def _count(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str) -> int:
    return channel.queue_declare(queue, passive=True).method.message_count


def _bodies(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str) -> list[bytes]:
    bodies = []
    while (answer := channel.basic_get(queue, auto_ack=True))[0]:
        bodies.append(answer[2])
    return bodies


@scenario("policy on a queue in use")
def live() -> None:
    """Set while a queue holds messages, max-length drops the oldest to the dead-letter exchange of the same policy, with
    reason maxlen; message-ttl takes those that come from then on, on time; without the policy the queue grows again."""
    with folder() as data, Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
        channel = martlet.connect().channel()
        channel.queue_declare("jobs", durable=True)
        channel.queue_declare("dead", durable=True)
        channel.queue_declare("other", durable=True)
        channel.exchange_declare("dlx", "fanout", durable=True)
        channel.queue_bind("dead", "dlx")
        channel.confirm_delivery()
        _fill(channel, "jobs", 10)
        _fill(channel, "other", 10)
        definition = '{"max-length": 3, "dead-letter-exchange": "dlx"}'
        said = ctl(data, "set_policy", "short", "^jobs$", definition, "--apply-to", "queues", "--priority", "7")
        assert said.returncode == 0, said.stderr
        assert said.stdout == (
            f'Setting policy "short" for pattern "^jobs$" to "{definition}" with priority "7" for vhost "/" ...\n'
        ), said.stdout
        eventually(lambda: (_count(channel, "jobs"), _count(channel, "dead")) == (3, 7))
        assert _count(channel, "other") == 10
        listed = rows(data, "list_queues", "name", "policy", "effective_policy_definition", "messages")
        effective = {"dead-letter-exchange": "dlx", "max-length": 3}
        assert sorted(listed, key=lambda row: row["name"]) == [
            {"name": "dead", "policy": "", "effective_policy_definition": {}, "messages": 7},
            {"name": "jobs", "policy": "short", "effective_policy_definition": effective, "messages": 3},
            {"name": "other", "policy": "", "effective_policy_definition": {}, "messages": 10},
        ], listed
        method, properties, body = channel.basic_get("dead", auto_ack=True)
        assert (body, properties.headers["x-death"][0]["reason"]) == (b"0", "maxlen"), properties
        # Another one with that name takes its place: the limit is gone, and messages that come now live a moment.
        change(data, "set_policy", "short", "^jobs$", '{"message-ttl": 500}')
        _fill(channel, "jobs", 5)
        assert _count(channel, "jobs") == 8
        eventually(lambda: _count(channel, "jobs") == 3)
        assert _bodies(channel, "jobs") == [b"7", b"8", b"9"]
        change(data, "clear_policy", "short")
        _fill(channel, "jobs", 5)
        time.sleep(0.8)
        assert _count(channel, "jobs") == 5


@scenario("operator policy")
def operator() -> None:
    """Of a limit in a policy, an operator policy and the queue's arguments the smallest counts; an operator policy may
    have limits only."""
    with folder() as data, Martlet("--port", "0", "--data-dir", data) as martlet:
        channel = martlet.connect().channel()
        channel.confirm_delivery()
        channel.queue_declare("a", arguments={"x-max-length": 8})
        change(data, "set_policy", "p", "^a$", '{"max-length": 6, "overflow": "reject-publish"}')
        change(data, "set_operator_policy", "o", ".*", '{"max-length": 4, "message-ttl": 60000}', "--apply-to", "queues")
        row = rows(data, "list_queues", "name", "policy", "operator_policy", "effective_policy_definition")[0]
        assert row == {
            "name": "a",
            "policy": "p",
            "operator_policy": "o",
            "effective_policy_definition": {"max-length": 4, "message-ttl": 60000, "overflow": "reject-publish"},
        }, row
        _fill(channel, "a", 4)
        try:
            channel.basic_publish("", "a", b"one too many")
        except pika.exceptions.NackError:
            pass
        else:
            raise AssertionError("the fifth message was taken")
        assert _count(channel, "a") == 4
        refused = ctl(data, "set_operator_policy", "o", ".*", '{"dead-letter-exchange": "x"}')
        assert refused.returncode == 69, refused
        assert refused.stderr == (
            "Error:\nValidation failed\n\n"
            '[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings\n\n'
        ), refused.stderr
        assert [row["definition"] for row in rows(data, "list_operator_policies")] == [
            '{"max-length":4,"message-ttl":60000}'
        ]
        change(data, "clear_operator_policy", "o")
        channel.basic_publish("", "a", b"5")
        channel.basic_publish("", "a", b"6")
        assert _count(channel, "a") == 6


@scenario("policies after a restart and a kill")
def restarts() -> None:
    """What was set or cleared when the command returned is so after the process was killed in that moment, and after an
    orderly restart; queues are governed from the first message on."""
    seed = random.randrange(1 << 32)
    choose = random.Random(seed)
    expected: dict[str, tuple[str, str]] = {}
    with folder() as data:
        for round in range(6):
            with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
                listed = {row["name"]: (row["pattern"], row["definition"]) for row in rows(data, "list_policies")}
                assert listed == expected, f"round {round}, seed {seed}: {listed} instead of {expected}"
                channel = martlet.connect().channel()
                channel.confirm_delivery()
                channel.queue_declare("kept", durable=True)
                if "limit" in expected:
                    limit = int(expected["limit"][1].split(":")[1].rstrip("}"))
                    _fill(channel, "kept", limit + 2)
                    assert _count(channel, "kept") == limit
                limit = choose.randrange(1, 9)
                change(data, "set_policy", "limit", "^kept$", f'{{"max-length":{limit}}}')
                expected["limit"] = ("^kept$", f'{{"max-length":{limit}}}')
                name = f"p{choose.randrange(3)}"
                if name in expected and choose.random() < 0.7:
                    change(data, "clear_policy", name)
                    del expected[name]
                else:
                    change(data, "set_policy", name, "^nothing", '{"expires":1000}')
                    expected[name] = ("^nothing", '{"expires":1000}')
                if round % 2:
                    assert martlet.stop() == 0
                # Otherwise it is killed.


@scenario("alternate exchange by policy")
def alternate() -> None:
    """A policy gives an exchange that is there an alternate exchange, and takes it away again."""
    with folder() as data, Martlet("--port", "0", "--data-dir", data) as martlet:
        channel = martlet.connect().channel()
        channel.exchange_declare("front", "direct")
        channel.exchange_declare("behind", "fanout")
        channel.queue_declare("rest")
        channel.queue_bind("rest", "behind")
        channel.confirm_delivery()
        change(data, "set_policy", "ae", "^front$", '{"alternate-exchange":"behind"}', "--apply-to", "exchanges")
        channel.basic_publish("front", "nowhere", b"1", mandatory=True)
        assert [row["policy"] for row in rows(data, "list_exchanges", "name", "policy") if row["name"] == "front"] == [
            "ae"
        ]
        change(data, "clear_policy", "ae")
        try:
            channel.basic_publish("front", "nowhere", b"2", mandatory=True)
        except pika.exceptions.UnroutableError:
            pass
        else:
            raise AssertionError("there is no way to a queue")
        assert _bodies(channel, "rest") == [b"1"]
