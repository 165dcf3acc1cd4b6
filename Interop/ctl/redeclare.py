"""Declaring a queue again with other arguments, and changing it by policy instead."""

import pika
from ctl import change, folder
from martlet import Martlet
from scenarios import eventually, scenario

_OTHER = {"x-max-length": 7, "x-queue-mode": "lazy"}


@scenario("declared again otherwise")
def otherwise() -> None:
    """With --relaxed-redeclare a client that declares a queue with other arguments goes on, the queue stays as it is, and
    the log has one line with every difference; without it the channel is closed with RabbitMQ's text, and the log names
    every difference too. What the queue shall be is then set by policy, while it is used."""
    with folder() as data:
        options = ("--port", "0", "--data-dir", data)
        with Martlet(*options) as martlet:
            connection = martlet.connect()
            channel = connection.channel()
            channel.queue_declare("q", durable=True, arguments={"x-max-length": 100})
            try:
                connection.channel().queue_declare("q", durable=True, arguments=_OTHER)
            except pika.exceptions.ChannelClosedByBroker as error:
                assert (error.reply_code, error.reply_text) == (
                    406,
                    "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': "
                    "received '7' but current is '100'",
                ), error
            else:
                raise AssertionError("not refused")
            differences = (
                "queue 'q' in vhost '/' is there with other properties: 'x-max-length': received '7' but current is '100', "
                "'x-queue-mode': received the value 'lazy' of type 'longstr' but current is none"
            )
            # The answer may be a moment before the line.
            eventually(lambda: f"channel 2: {differences}; refused\n" in martlet.log())
        with Martlet(*options, "--relaxed-redeclare") as martlet:
            channel = martlet.connect().channel()
            for _ in range(5):
                channel.queue_declare("q", durable=True, arguments=_OTHER)
            eventually(lambda: f"{differences}; it stays as it is\n" in martlet.log())
            channel.confirm_delivery()
            for number in range(10):
                channel.basic_publish("", "q", str(number).encode())
            assert channel.queue_declare("q", passive=True).method.message_count == 10
            change(data, "set_policy", "q", "^q$", '{"max-length": 7}')
            eventually(lambda: channel.queue_declare("q", passive=True).method.message_count == 7)
            assert martlet.log().count("it stays as it is") == 1, martlet.log()
