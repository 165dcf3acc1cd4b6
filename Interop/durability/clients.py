"""Connecting to a `martlet` over Interop/raw's bare sockets, which read and write faster than a library for clients."""

import os
import time

from amqp import Channel, Connection
from martlet import Martlet


def use(martlet: Martlet) -> None:
    """Makes it the broker that connections of this process go to from now on."""
    os.environ["MARTLET_URL"] = f"amqp://guest:guest@127.0.0.1:{martlet.port()}/"


def open_channel(martlet: Martlet) -> Channel:
    """Returns a channel of a new connection, which must have done its work within a minute."""
    use(martlet)
    connection = Connection(time.monotonic() + 60)
    connection.log_in()
    return connection.channel()
