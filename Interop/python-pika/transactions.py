"""Transactions: publishes and acknowledgements that count together or not at all."""

from scenarios import scenario, unique
from support import connect, depth, get_all, open_channel


@scenario("tx commit")
def commit() -> None:
    """What is published in a transaction is in its queues after the commit, in order, and not before."""
    with connect() as connection:
        channel, other = connection.channel(), connection.channel()
        queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(2)]
        channel.tx_select()
        for body in (b"1", b"2"):
            for queue in queues:
                channel.basic_publish("", queue, body)
        assert [depth(other, queue) for queue in queues] == [0, 0]
        channel.tx_commit()
        assert [get_all(other, queue) for queue in queues] == [[b"1", b"2"]] * 2


@scenario("tx rollback")
def rollback() -> None:
    """A rollback drops what was published; what was acknowledged is unacknowledged again."""
    with connect() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.tx_select()
        channel.basic_publish("", queue, b"kept")
        channel.tx_commit()
        tag = channel.basic_get(queue)[0].delivery_tag
        channel.basic_ack(tag)
        channel.basic_publish("", queue, b"dropped")
        channel.tx_rollback()
        assert depth(other, queue) == 0
        channel.basic_ack(tag)  # Still open, so this is no error.
        channel.tx_commit()
        channel.close()
        assert depth(other, queue) == 0


@scenario("tx and acknowledgements")
def acknowledgements() -> None:
    """An ack in a transaction that is never committed counts for nothing: closing the channel puts the message back."""
    with connect() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = other.queue_declare("", exclusive=True).method.queue
        other.confirm_delivery()
        for body in (b"1", b"2"):
            other.basic_publish("", queue, body)
        channel.tx_select()
        channel.basic_ack(channel.basic_get(queue)[0].delivery_tag)
        channel.tx_commit()
        channel.basic_ack(channel.basic_get(queue)[0].delivery_tag)
        channel.close()
        method, _, body = other.basic_get(queue, auto_ack=True)
        assert (body, method.redelivered) == (b"2", True)
        assert get_all(other, queue) == []


@scenario("tx and returns")
def returns() -> None:
    """A mandatory message without a queue comes back at the commit, not before."""
    with open_channel() as channel:
        returned = []
        channel.add_on_return_callback(lambda _, method, properties, body: returned.append(body))
        channel.tx_select()
        channel.basic_publish("", unique("nobody"), b"back", mandatory=True)
        channel.connection.sleep(0.2)
        assert returned == []
        channel.tx_commit()
        channel.connection.process_data_events()
        assert returned == [b"back"]
