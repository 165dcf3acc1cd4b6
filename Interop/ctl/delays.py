"""Messages that wait for their time, looked at and changed by command line."""

import time
from datetime import datetime, timedelta, timezone

import pika
from ctl import change, ctl, folder, rows
from martlet import Martlet
from scenarios import eventually, scenario


@scenario("delayed messages by command line")
def delayed() -> None:
    """Messages that wait are listed by their time; one is cancelled, one is delivered at once and one later; all that is so
    after the process was killed."""
    with folder() as data:
        with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
            channel = martlet.connect().channel()
            channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
            channel.queue_declare("q", durable=True)
            channel.queue_bind("q", "later", "k")
            channel.confirm_delivery()
            for hours in (3, 1, 2):
                properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": hours * 3_600_000})
                channel.basic_publish("later", "k", f"{hours} h".encode(), properties)
            listed = rows(data, "list_delayed_messages")
            assert [(row["exchange"], row["routing_key"], row["persistent"]) for row in listed] == [
                ("later", "k", True)
            ] * 3, listed
            hours = [round((row["due"] / 1000 - time.time()) / 3600, 2) for row in listed]
            assert hours == [1.0, 2.0, 3.0], hours
            first, second, third = (str(row["id"]) for row in listed)
            assert [row["id"] for row in rows(data, "list_delayed_messages", "--limit", "1")] == [int(first)]
            change(data, "reschedule_delayed_message", third, "0")
            eventually(lambda: channel.queue_declare("q", passive=True).method.message_count == 1)
            assert channel.basic_get("q", auto_ack=True)[2] == b"3 h"
            change(data, "cancel_delayed_message", second)
            change(data, "reschedule_delayed_message", first, "2500")
            # Killed in this moment.
        with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
            listed = rows(data, "list_delayed_messages")
            assert [str(row["id"]) for row in listed] == [first], listed
            channel = martlet.connect().channel()
            eventually(lambda: channel.queue_declare("q", passive=True).method.message_count == 1)
            assert channel.basic_get("q", auto_ack=True)[2] == b"1 h"
            gone = ctl(data, "cancel_delayed_message", second)
            assert (gone.returncode, gone.stderr) == (69, "Error:\nDelayed message does not exist\n"), gone


@scenario("messages that wait in a queue, by command line")
def in_queues() -> None:
    """Messages that a queue keeps for its delay header (policy delay-header, Celery's eta) are listed by their time, under
    ids that name the queue; one is cancelled, one is delivered at once and one later; all that is so after the process
    was killed."""
    with folder() as data:
        with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
            channel = martlet.connect().channel()
            channel.queue_declare("other", durable=True)
            channel.queue_declare("jobs", durable=True)
            change(data, "set_policy", "later", "^jobs$", '{"delay-header": "eta"}', "--apply-to", "queues")
            channel.confirm_delivery()
            for hours in (3, 1, 2):
                eta = datetime.now(timezone.utc) + timedelta(hours=hours)
                properties = pika.BasicProperties(delivery_mode=2, headers={"eta": eta.isoformat()})
                channel.basic_publish("", "jobs", f"{hours} h".encode(), properties)
            listed = rows(data, "list_delayed_messages", "id", "queue", "routing_key", "due", "persistent")
            assert [(row["queue"], row["routing_key"], row["persistent"]) for row in listed] == [
                ("jobs", "jobs", True)
            ] * 3, listed
            hours = [round((row["due"] / 1000 - time.time()) / 3600, 2) for row in listed]
            assert hours == [1.0, 2.0, 3.0], hours
            first, second, third = (row["id"] for row in listed)
            assert first.endswith("@jobs"), first
            change(data, "reschedule_delayed_message", third, "0")
            eventually(lambda: channel.queue_declare("jobs", passive=True).method.message_count == 1)
            assert channel.basic_get("jobs", auto_ack=True)[2] == b"3 h"
            change(data, "cancel_delayed_message", "-p", "/", second)
            change(data, "reschedule_delayed_message", first, "2500")
            # Killed in this moment.
        with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
            listed = rows(data, "list_delayed_messages")
            assert [row["id"] for row in listed] == [first], listed
            channel = martlet.connect().channel()
            eventually(lambda: channel.queue_declare("jobs", passive=True).method.message_count == 1)
            assert channel.basic_get("jobs", auto_ack=True)[2] == b"1 h"
            for gone in (second, "0@other", "0@nobody"):
                answer = ctl(data, "cancel_delayed_message", gone)
                assert (answer.returncode, answer.stderr) == (69, "Error:\nDelayed message does not exist\n"), answer
