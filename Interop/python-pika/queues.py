"""Queues and exchanges: declaring, counting, and when they go."""

import pika
from scenarios import eventually, scenario, unique
from support import Consumer, connect, depth, get_all, open_channel


def _exists(connection: pika.BlockingConnection, queue: str = "", exchange: str = "") -> bool:
    """Says whether the queue or the exchange is there. Asking for what is not costs a channel."""
    channel = connection.channel()
    try:
        if queue:
            channel.queue_declare(queue, passive=True)
        else:
            channel.exchange_declare(exchange, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404, error
        return False
    channel.close()
    return True


@scenario("server-named queues")
def server_named() -> None:
    """A queue declared without a name gets one of the broker's; an empty name then means the last one declared."""
    with open_channel() as channel:
        names = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
        assert len(set(names)) == 3
        assert all(name.startswith("amq.gen-") and len(name) == 30 for name in names), names
        key = unique("key")
        channel.queue_bind("", "amq.direct", key)
        channel.basic_publish("amq.direct", key, b"last")
        assert channel.basic_get("", auto_ack=True)[2] == b"last"


@scenario("declaring again")
def declare_again() -> None:
    """Declaring what is there with the same properties changes nothing and tells messages and consumers."""
    arguments = {"x-max-length": 1000, "x-expires": 60000, "x-message-ttl": 60000}
    with open_channel() as channel:
        queue = unique("same")
        for _ in range(2):
            channel.queue_declare(queue, durable=True, auto_delete=True, arguments=arguments)
        channel.confirm_delivery()  # So that the message is in the queue before the next question.
        channel.basic_publish("", queue, b"")
        state = channel.queue_declare(queue, durable=True, auto_delete=True, arguments=arguments).method
        assert (state.queue, state.message_count, state.consumer_count) == (queue, 1, 0), state
        Consumer(channel, queue).wait(1)
        state = channel.queue_declare(queue, durable=True, auto_delete=True, arguments=arguments).method
        assert (state.message_count, state.consumer_count) == (0, 1), "unacknowledged ones are not counted"

        exchange = unique("same")
        for _ in range(2):
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False, internal=False)
        channel.exchange_delete(exchange)


@scenario("passive declares")
def passive() -> None:
    """A passive declare looks at the name only, creates nothing and answers 404 for what is not there."""
    with open_channel() as channel:
        queue, exchange = unique("queue"), unique("exchange")
        assert not _exists(channel.connection, queue=queue)
        assert not _exists(channel.connection, queue=queue)
        assert not _exists(channel.connection, exchange=exchange)
        channel.queue_declare(queue, auto_delete=True, durable=True)
        channel.exchange_declare(exchange, "headers", durable=True)
        assert channel.queue_declare(queue, passive=True, durable=False).method.queue == queue
        channel.exchange_declare(exchange, "direct", passive=True)
        channel.queue_delete(queue)
        channel.exchange_delete(exchange)


@scenario("exclusive queue")
def exclusive_queue() -> None:
    """An exclusive queue is its connection's: 405 for others, though they may publish; it goes with the connection."""
    owner, other = connect(), connect()
    channel = owner.channel()
    queue = unique("mine")
    channel.queue_declare(queue, exclusive=True)
    attempts = {
        "declare": lambda stranger: stranger.queue_declare(queue, exclusive=True),
        "passive declare": lambda stranger: stranger.queue_declare(queue, passive=True),
        "consume": lambda stranger: stranger.basic_consume(queue, print),
        "get": lambda stranger: stranger.basic_get(queue),
        "purge": lambda stranger: stranger.queue_purge(queue),
        "delete": lambda stranger: stranger.queue_delete(queue),
        "bind": lambda stranger: stranger.queue_bind(queue, "amq.fanout"),
    }
    for name, attempt in attempts.items():
        try:
            attempt(other.channel())
        except pika.exceptions.ChannelClosedByBroker as error:
            expected = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'"
            assert error.reply_code == 405 and error.reply_text.startswith(expected), error
        else:
            raise AssertionError(f"{name} by another connection")

    stranger = other.channel()
    stranger.confirm_delivery()
    stranger.basic_publish("", queue, b"from outside", mandatory=True)
    assert get_all(channel, queue) == [b"from outside"]
    channel.close()
    assert _exists(owner, queue=queue), "it goes with the connection, not with the channel"
    owner.close()
    assert not _exists(other, queue=queue)
    other.close()


@scenario("auto-delete queue")
def auto_delete_queue() -> None:
    """An auto-delete queue goes with its last consumer, however that goes, and not before it had one."""
    with connect() as watcher:
        for end in ("cancel", "channel", "connection"):
            queue = unique("temporary")
            connection = connect()
            channel = connection.channel()
            channel.queue_declare(queue, auto_delete=True)
            channel.basic_publish("", queue, b"")
            channel.basic_get(queue, auto_ack=True)
            first, second = Consumer(channel, queue), Consumer(channel, queue)
            first.cancel()
            assert _exists(watcher, queue=queue)
            if end == "cancel":
                second.cancel()
            elif end == "channel":
                channel.close()
            else:
                connection.close()
            eventually(lambda: not _exists(watcher, queue=queue))
            if connection.is_open:
                connection.close()


@scenario("auto-delete exchange")
def auto_delete_exchange() -> None:
    """An auto-delete exchange goes with the last binding from it, and not before it had one."""
    with open_channel() as channel:
        exchange = unique("temporary")
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        for key in ("a", "b"):
            channel.queue_bind(queue, exchange, key)
        channel.queue_unbind(queue, exchange, "a")
        assert _exists(channel.connection, exchange=exchange)
        channel.queue_delete(queue)
        assert not _exists(channel.connection, exchange=exchange)


@scenario("purge and delete")
def purge_and_delete() -> None:
    """purge and delete tell how many messages they removed; purging spares unacknowledged ones, which can come back."""
    with open_channel() as channel:
        queue = channel.queue_declare(unique("full"), auto_delete=True).method.queue
        for number in range(5):
            channel.basic_publish("", queue, b"%d" % number)
        tag = channel.basic_get(queue)[0].delivery_tag
        assert channel.queue_purge(queue).method.message_count == 4
        assert depth(channel, queue) == 0
        channel.basic_nack(tag)
        eventually(lambda: depth(channel, queue) == 1)
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"")
        assert channel.queue_delete(queue).method.message_count == 2
        assert channel.queue_delete(queue).method.message_count == 0, "deleting what is not there is no error"
        channel.exchange_delete(unique("never-declared"))


@scenario("delete if unused or empty")
def conditional_delete() -> None:
    """if-unused and if-empty refuse with 406 while there is a consumer, a message or a binding."""
    with connect() as connection:
        channel = connection.channel()
        queue, exchange = unique("queue"), unique("exchange")
        channel.queue_declare(queue)
        channel.exchange_declare(exchange)
        channel.queue_bind(queue, exchange, "key")
        channel.basic_publish("", queue, b"")
        refusals = {
            f"queue '{queue}' in vhost '/' not empty": lambda target: target.queue_delete(queue, if_empty=True),
            f"exchange '{exchange}' in vhost '/' in use": lambda target: target.exchange_delete(exchange, True),
            f"queue '{queue}' in vhost '/' in use": lambda target: target.queue_delete(queue, if_unused=True),
        }
        for text, attempt in refusals.items():
            if "queue" in text and "in use" in text:
                consumer = Consumer(channel, queue)
                consumer.wait(1)
            try:
                attempt(connection.channel())
            except pika.exceptions.ChannelClosedByBroker as error:
                assert (error.reply_code, error.reply_text) == (406, f"PRECONDITION_FAILED - {text}")
            else:
                raise AssertionError(text)
        consumer.acknowledge_all()
        consumer.cancel()
        channel.queue_delete(queue, if_unused=True, if_empty=True)
        channel.exchange_delete(exchange, if_unused=True)


@scenario("names in any language")
def names() -> None:
    """Queues, exchanges, keys and consumer tags may be any UTF-8 of up to 255 octets."""
    with open_channel() as channel:
        for word in ("очередь 🐦", "q" * 240, "with / % ? # & spaces"):
            name = unique(word)[:255] if word.isascii() else unique(word)
            channel.exchange_declare(name, "topic", auto_delete=True)
            channel.queue_declare(name, exclusive=True)
            channel.queue_bind(name, name, name)
            channel.basic_publish(name, name, b"")
            (message,) = Consumer(channel, name, consumer_tag=name).wait(1)
            assert (message.method.exchange, message.method.routing_key, message.method.consumer_tag) == (name,) * 3
