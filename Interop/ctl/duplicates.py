"""What an exchange that lets messages through once has seen, by command line."""

import pika
from ctl import folder, rows
from martlet import Martlet
from scenarios import scenario


@scenario("duplicates by command line")
def duplicates() -> None:
    """list_exchanges tells how many messages with a key or a publisher's number have come to an exchange with
    x-message-deduplication, and how many of them were duplicates; of other exchanges nothing."""
    with folder() as data, Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
        channel = martlet.connect().channel()
        channel.confirm_delivery()
        for exchange in ("a", "b"):
            arguments = {"x-message-deduplication": True}
            channel.exchange_declare(exchange, "fanout", durable=True, arguments=arguments)
            for number in (1, 2, 1, 2, 3):
                headers = {"x-publisher-id": "p", "x-publisher-seq": number}
                channel.basic_publish(exchange, "", b"", pika.BasicProperties(headers=headers))
            for key in "xyx":
                headers = {"x-deduplication-header": key}
                channel.basic_publish(exchange, "", b"", pika.BasicProperties(headers=headers))
            # Without either it is not compared.
            channel.basic_publish(exchange, "", b"")
        listed = {row["name"]: row for row in rows(data, "list_exchanges", "name", "published", "duplicates")}
        for exchange in ("a", "b"):
            assert listed[exchange] == {"name": exchange, "published": 8, "duplicates": 3}, listed[exchange]
        assert listed["amq.direct"] == {"name": "amq.direct", "published": "", "duplicates": ""}, listed
