"""Messages that wait for their time, looked at and changed by command line."""

import time

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
