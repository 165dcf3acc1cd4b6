"""A broker that is told to stop. These start one of their own."""

import socket
import time
from urllib.parse import urlsplit

import pika
from broker import Broker
from scenarios import broker_command, scenario
from support import Consumer, connect


@scenario("SIGTERM")
def sigterm() -> None:
    """Clients of a broker that is stopped get 320 CONNECTION_FORCED; it ends with 0 and its port is free again."""
    with Broker(broker_command(), tls=True) as broker:
        consuming, idle = connect(broker.url), connect(broker.url)
        channel = consuming.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        Consumer(channel, queue)
        started = time.monotonic()
        broker.terminate()
        for connection in (consuming, idle):
            try:
                while True:
                    connection.process_data_events(0.5)
                    assert time.monotonic() - started < 15, "not told"
            except pika.exceptions.ConnectionClosedByBroker as error:
                assert error.reply_code == 320, error
                assert error.reply_text.startswith("CONNECTION_FORCED"), error
        assert broker.process.wait(15) == 0

        address = urlsplit(broker.url)
        with socket.socket() as probe:
            assert probe.connect_ex((address.hostname, address.port)) != 0, "still listening"
