"""What the broker refuses, with which code and which words: clients parse them.

A refusal closes the channel, and the connection goes on; or, where it says `connection=True`, it closes the connection.
"""

from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker
from scenarios import scenario, unique
from support import connect

Attempt = Callable[[BlockingChannel, str], Any]


def refused(title: str, text: str, connection: bool = False) -> Callable[[Attempt], Attempt]:
    """Registers a scenario: the function below is refused with `text`, in which `{name}` is the unique name it got.

    The reply code is the number that the title begins with.
    """
    code = int(title.split()[0])
    closed = ConnectionClosedByBroker if connection else ChannelClosedByBroker

    def register(attempt: Attempt) -> Attempt:
        def check() -> None:
            name = unique("refused")
            link = connect()
            channel = link.channel()
            try:
                attempt(channel, name)
                channel.queue_declare("", exclusive=True)  # Publishing and acknowledging have no answer to wait for.
            except closed as error:
                # The words up to where a broker may give details of its own inside.
                assert error.reply_code == code, error
                assert error.reply_text.startswith(text.format(name=name)), error.reply_text
            else:
                raise AssertionError("not refused")
            if connection:
                assert link.is_closed
                return
            link.channel().queue_declare("", exclusive=True)
            link.close()

        what = "connection" if connection else "channel"
        check.__doc__ = f"The {what} is closed with `{text.format(name='NAME')}`."
        scenario(title)(check)
        return attempt

    return register


# 404 NOT_FOUND


@refused("404 consuming from no queue", "NOT_FOUND - no queue '{name}' in vhost '/'")
def _(channel, name):
    channel.basic_consume(name, print)


@refused("404 getting from no queue", "NOT_FOUND - no queue '{name}' in vhost '/'")
def _(channel, name):
    channel.basic_get(name)


@refused("404 purging no queue", "NOT_FOUND - no queue '{name}' in vhost '/'")
def _(channel, name):
    channel.queue_purge(name)


@refused("404 binding no queue", "NOT_FOUND - no queue '{name}' in vhost '/'")
def _(channel, name):
    channel.queue_bind(name, "amq.direct")


@refused("404 binding to no exchange", "NOT_FOUND - no exchange '{name}' in vhost '/'")
def _(channel, name):
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, name)


@refused("404 binding an exchange to none", "NOT_FOUND - no exchange '{name}' in vhost '/'")
def _(channel, name):
    channel.exchange_bind("amq.fanout", name)


@refused("404 publishing to no exchange", "NOT_FOUND - no exchange '{name}' in vhost '/'")
def _(channel, name):
    channel.basic_publish(name, "", b"")


@refused("404 the last queue declared when there is none", "NOT_FOUND - no previously declared queue")
def _(channel, name):
    channel.basic_get("")


# 403 ACCESS_REFUSED


@refused("403 queue with a reserved name", "ACCESS_REFUSED - queue name 'amq.{name}' contains reserved prefix 'amq.*'")
def _(channel, name):
    channel.queue_declare(f"amq.{name}")


@refused(
    "403 exchange with a reserved name", "ACCESS_REFUSED - exchange name 'amq.{name}' contains reserved prefix 'amq.*'"
)
def _(channel, name):
    channel.exchange_declare(f"amq.{name}")


@refused(
    "403 deleting amq.direct", "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"
)
def _(channel, name):
    channel.exchange_delete("amq.direct")


@refused("403 deleting the default exchange", "ACCESS_REFUSED - operation not permitted on the default exchange")
def _(channel, name):
    channel.exchange_delete("")


@refused("403 binding to the default exchange", "ACCESS_REFUSED - operation not permitted on the default exchange")
def _(channel, name):
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, "", "key")


@refused(
    "403 publishing to an internal exchange",
    "ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'",
)
def _(channel, name):
    channel.exchange_declare(name, internal=True, auto_delete=True)
    channel.basic_publish(name, "", b"")


# 406 PRECONDITION_FAILED


@refused(
    "406 queue declared with another durable",
    "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{name}' in vhost '/': "
    "received 'true' but current is 'false'",
)
def _(channel, name):
    channel.queue_declare(name, auto_delete=True)  # An exclusive queue is never durable, whatever one asks for.
    channel.queue_declare(name, auto_delete=True, durable=True)


@refused(
    "406 queue declared with another argument",
    "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{name}' in vhost '/': "
    "received '6' but current is '5'",
)
def _(channel, name):
    channel.queue_declare(name, exclusive=True, arguments={"x-max-length": 5})
    channel.queue_declare(name, exclusive=True, arguments={"x-max-length": 6})


@refused(
    "406 queue declared without its argument",
    "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue '{name}' in vhost '/': "
    "received none but current is the value '5000' of type 'signedint'",
)
def _(channel, name):
    channel.queue_declare(name, exclusive=True, arguments={"x-expires": 5000})
    channel.queue_declare(name, exclusive=True)


@refused(
    "406 queue with a bad argument",
    "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '{name}' in vhost '/': ",
)
def _(channel, name):
    channel.queue_declare(name, exclusive=True, arguments={"x-message-ttl": -1})


@refused(
    "406 exchange declared with another type",
    "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': "
    "received 'fanout' but current is 'direct'",
)
def _(channel, name):
    channel.exchange_declare("amq.direct", "fanout", durable=True)


@refused("406 unknown delivery tag", "PRECONDITION_FAILED - unknown delivery tag 7")
def _(channel, name):
    channel.basic_ack(7)


@refused("406 acknowledging twice", "PRECONDITION_FAILED - unknown delivery tag 1")
def _(channel, name):
    channel.queue_declare(name, exclusive=True)
    channel.basic_publish("", name, b"")
    tag = channel.basic_get(name)[0].delivery_tag
    channel.basic_ack(tag)
    channel.basic_ack(tag)


@refused("406 acknowledging what needs none", "PRECONDITION_FAILED - unknown delivery tag 1")
def _(channel, name):
    channel.queue_declare(name, exclusive=True)
    channel.basic_publish("", name, b"")
    channel.basic_reject(channel.basic_get(name, auto_ack=True)[0].delivery_tag)


@refused("406 message with a stranger's user id", "PRECONDITION_FAILED - user_id property set to 'somebody' but")
def _(channel, name):
    channel.basic_publish("", name, b"", pika.BasicProperties(user_id="somebody"))


@refused("406 message with a bad expiration", "PRECONDITION_FAILED - invalid expiration 'soon'")
def _(channel, name):
    channel.basic_publish("", name, b"", pika.BasicProperties(expiration="soon"))


@refused("406 message with a CC that is no list", "PRECONDITION_FAILED - invalid message")
def _(channel, name):
    channel.basic_publish("", name, b"", pika.BasicProperties(headers={"CC": "queue"}))


@refused("406 commit without tx.select", "PRECONDITION_FAILED - channel is not transactional")
def _(channel, name):
    channel.tx_commit()


@refused("406 tx on a channel with confirms", "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
def _(channel, name):
    channel.confirm_delivery()
    channel.tx_select()


@refused("406 confirms on a channel with tx", "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
def _(channel, name):
    channel.tx_select()
    channel.confirm_delivery()


@refused("406 direct reply-to with acknowledgements", "PRECONDITION_FAILED - reply consumer cannot acknowledge")
def _(channel, name):
    channel.basic_consume("amq.rabbitmq.reply-to", print)


@refused("406 direct reply-to without a consumer", "PRECONDITION_FAILED - fast reply consumer does not exist")
def _(channel, name):
    channel.basic_publish("", name, b"", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))


@refused("406 headers binding with a bad x-match", "PRECONDITION_FAILED - Invalid x-match field value")
def _(channel, name):
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, "amq.headers", arguments={"x-match": "some"})


# 503 COMMAND_INVALID and 540 NOT_IMPLEMENTED close the connection


@refused("503 exchange of an unknown type", "COMMAND_INVALID - unknown exchange type 'x-new'", connection=True)
def _(channel, name):
    channel.exchange_declare(name, "x-new")


@refused("540 prefetch in octets", "NOT_IMPLEMENTED - prefetch_size!=0 (1000)", connection=True)
def _(channel, name):
    channel.basic_qos(prefetch_size=1000)


@refused("540 recover without requeue", "NOT_IMPLEMENTED - requeue=false", connection=True)
def _(channel, name):
    channel.basic_recover(requeue=False)


@refused("540 stopping the flow", "NOT_IMPLEMENTED - active=false", connection=True)
def _(channel, name):
    channel.flow(False)
