"""A pytest plugin: amqpstorm's tests know one port, and tidy up through RabbitMQ's HTTP interface."""

import os

import amqpstorm
from amqpstorm.tests import HOST, PASSWORD, USERNAME
from amqpstorm.tests.functional import utility

PORT = int(os.environ["AMQP_PORT"])

begin = amqpstorm.Connection.__init__


def begin_here(self, hostname, username, password, port=PORT, **options):
    """Connects to the broker under test unless a port is named."""
    begin(self, hostname, username, password, port=port, **options)


def clean(names, queue=False, exchange=False):
    """Deletes what a test has declared, over AMQP."""
    if not queue and not exchange:
        return
    with amqpstorm.Connection(HOST, USERNAME, PASSWORD) as connection:
        for name in names:
            if queue:
                connection.channel().queue.delete(name)
            if exchange:
                connection.channel().exchange.delete(name)


amqpstorm.Connection.__init__ = begin_here
utility.clean = clean
