"""Sending with kombu: simple queues, pools of producers, exchanges."""

import threading

from amqp.exceptions import MessageNacked
from kombu import Connection, Consumer, Exchange, Queue, pools
from scenarios import scenario, tls_authority, tls_url, unique
from support import connect, drain


@scenario("SimpleQueue")
def simple_queue() -> None:
    """Python values put into a simple queue come out in order; what was not acknowledged comes to the next program."""
    name = unique("simple")
    values = [{"hello": "world"}, [1, 2, 3], "text", None]
    with connect() as connection, connection.SimpleQueue(name) as queue:
        for value in values:
            queue.put(value)
        first = queue.get(timeout=5)
        assert first.payload == values[0]
        first.ack()
        assert queue.get(timeout=5).payload == values[1]
    with connect() as connection, connection.SimpleQueue(name) as queue:
        for value in values[1:]:
            message = queue.get(timeout=5)
            assert message.payload == value
            message.ack()
        assert queue.qsize() == 0
        queue.close()
        queue.queue.delete()
        queue.queue.exchange.delete()


@scenario("SimpleBuffer")
def simple_buffer() -> None:
    """A simple buffer delivers without acknowledgements and raises Empty when there is nothing."""
    with connect() as connection, connection.SimpleBuffer(unique("buffer")) as queue:
        for number in range(3):
            queue.put({"number": number}, compression="gzip")
        assert [queue.get(timeout=5).payload["number"] for _ in range(3)] == [0, 1, 2]
        try:
            queue.get(timeout=0.2)
        except queue.Empty:
            pass
        else:
            raise AssertionError("a fourth message")


@scenario("ProducerPool")
def producer_pool() -> None:
    """Threads that share a pool of producers lose nothing, and a pool of two opens two connections at most."""
    with connect() as connection, connect() as reader:
        queue = Queue(unique("pooled"), auto_delete=True)(reader)
        queue.declare()
        pool = pools.ProducerPool(pools.Connections(limit=2)[connection], limit=2)

        def publish(thread: int) -> None:
            for number in range(50):
                with pool.acquire(block=True) as producer:
                    producer.publish([thread, number], routing_key=queue.name, retry=True)

        threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        received = []
        with Consumer(reader, [queue], callbacks=[lambda body, message: received.append(tuple(body))], no_ack=True):
            drain(reader, lambda: len(received) == 200)
        for thread in threads:
            thread.join()
        assert sorted(received) == [(thread, number) for thread in range(4) for number in range(50)]
        for thread in range(4):
            assert [number for owner, number in received if owner == thread] == list(range(50)), "out of order"
        pool.force_close_all()


@scenario("fanout")
def fanout() -> None:
    """Every queue of a fanout exchange gets its copy."""
    with connect() as connection:
        exchange = Exchange(unique("news"), "fanout", durable=False, auto_delete=True)
        queues = [Queue(unique("subscriber"), exchange, exclusive=True) for _ in range(3)]
        received = []

        def on_message(body, message) -> None:
            received.append(body)
            message.ack()

        with connection.Consumer(queues, callbacks=[on_message]):
            connection.Producer(exchange=exchange).publish({"extra": "extra"})
            drain(connection, lambda: len(received) == 3)
        assert received == [{"extra": "extra"}] * 3


@scenario("topic and direct routing")
def topic() -> None:
    """Declaring a kombu queue declares its exchange and its binding; keys route by pattern and by equality."""
    with connect() as connection:
        stocks = Exchange(unique("stocks"), "topic", auto_delete=True)
        alerts = Exchange(unique("alerts"), "direct", auto_delete=True)
        queues = {
            "usd": Queue(unique("usd"), stocks, "usd.#", exclusive=True),
            "nyse": Queue(unique("nyse"), stocks, "*.nyse", exclusive=True),
            "urgent": Queue(unique("urgent"), alerts, "urgent", exclusive=True),
        }
        for queue in queues.values():
            queue(connection.default_channel).declare()
        producer = connection.Producer()
        for exchange, key in ((stocks, "usd.nyse"), (stocks, "eur.nyse"), (stocks, "usd"), (alerts, "urgent"),
                              (alerts, "usd.nyse")):  # fmt: skip
            producer.publish(key, exchange=exchange, routing_key=key)
        got = {}
        for name, queue in queues.items():
            bound, got[name] = queue(connection.default_channel), []
            while message := bound.get(no_ack=True):
                got[name].append(message.payload)
        assert got == {"usd": ["usd.nyse", "usd"], "nyse": ["usd.nyse", "eur.nyse"], "urgent": ["urgent"]}


@scenario("confirms and returns")
def confirms() -> None:
    """With confirm_publish a publish waits for its confirm, and a return comes before it."""
    with connect(transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        queue = Queue(unique("confirmed"), exclusive=True)(channel)
        queue.declare()
        returned = []
        producer = connection.Producer(channel, on_return=lambda error, *_: returned.append(error.reply_code))
        producer.publish(1, routing_key=queue.name, mandatory=True)
        producer.publish(2, routing_key=unique("nobody"), mandatory=True)
        assert returned == [312], returned
        assert queue.get(no_ack=True).payload == 1


@scenario("nacks")
def nacks() -> None:
    """With confirm_publish a publish that a full queue rejects raises MessageNacked."""
    with connect(transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        queue = Queue(unique("small"), exclusive=True, max_length=1, queue_arguments={"x-overflow": "reject-publish"})
        queue(channel).declare()
        producer = connection.Producer(channel)
        producer.publish(1, routing_key=queue.name)
        try:
            producer.publish(2, routing_key=queue.name)
        except MessageNacked:
            pass
        else:
            raise AssertionError("confirmed although the queue is full")


@scenario("TLS")
def tls() -> None:
    """py-amqp over TLS with the certificate verified."""
    import ssl

    options = {"ca_certs": tls_authority(), "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"}
    with Connection(tls_url(), ssl=options) as connection:
        with connection.SimpleBuffer(unique("secure")) as queue:
            queue.put("x" * 300_000)
            assert queue.get(timeout=5).payload == "x" * 300_000
