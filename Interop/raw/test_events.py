"""What the broker tells about itself: `amq.rabbitmq.event`, as RabbitMQ's plugin of that name does."""

from amqp import equal, true
from checks import behaviour


def events_about(t, reader, queue, wanted):
    """Reads events until all of `wanted`, (key, header, value), were there in that order; answers their headers."""
    found = []

    def read():
        while len(found) < len(wanted) and (event := reader.get(queue)) is not None:
            key, header, value = wanted[len(found)]
            headers = event.properties["headers"]
            if event.routing_key == key and headers.get(header) == value:
                equal(event.body, b"", f"body of {key}")
                equal(event.exchange, "amq.rabbitmq.event", f"exchange of {key}")
                equal(event.properties["delivery_mode"], 2, f"delivery mode of {key}")
                equal(headers["timestamp_in_ms"] // 1000, event.properties["timestamp"], f"time of {key}")
                found.append(headers)
        return len(found) == len(wanted)
    t.eventually(read, f"events {wanted}")
    return found


def port_of(channel):
    """The port at our end, which tells a connection from those that others open meanwhile."""
    return channel.connection.socket.getsockname()[1]


def opening_of(t, reader, queue, port):
    """Reads until a connection from a port and its channel were opened; answers the headers."""
    connection, = events_about(t, reader, queue, [("connection.created", "peer_port", port)])
    opened, = events_about(t, reader, queue, [("channel.created", "connection", connection["pid"])])
    return connection, opened


@behaviour()
def events_of_the_broker(t):
    reader = t.channel()
    queue = t.queue(reader, exclusive=True)
    reader.rpc("exchange.declare", exchange="amq.rabbitmq.event", type="topic", durable=True, internal=True)
    reader.bind(queue, "amq.rabbitmq.event", "#")
    writer = t.channel()
    port = port_of(writer)
    exchange = t.exchange(writer, "fanout", durable=True)
    name = t.queue(writer, auto_delete=True, arguments={"x-max-length": 5})
    writer.bind(name, exchange, "key")
    tag = writer.consume(name, "raw-tag")
    writer.rpc("basic.cancel", consumer_tag=tag)  # The queue goes with it, and its binding.
    writer.rpc("exchange.delete", exchange=exchange)
    writer.close()
    writer.connection.close()
    made = events_about(t, reader, queue, [
        ("user.authentication.success", "peer_port", port), ("connection.created", "peer_port", port),
        ("channel.created", "number", 1), ("exchange.created", "name", exchange), ("queue.created", "name", name),
        ("binding.created", "destination_name", name), ("consumer.created", "consumer_tag", tag)])
    for headers, facts in zip(made, (
            {"name": "guest", "auth_mechanism": "PLAIN", "connection_type": "network"},
            {"user": "guest", "vhost": "/", "type": "network", "channel_max": 2047, "frame_max": 131072},
            {"vhost": "/", "user": "guest"},
            {"type": "fanout", "durable": True, "auto_delete": False, "internal": False, "vhost": "/"},
            {"durable": False, "auto_delete": True, "exclusive": False, "vhost": "/"},
            {"source_name": exchange, "source_kind": "exchange", "destination_kind": "queue", "routing_key": "key"},
            {"ack_required": True})):
        equal({key: headers.get(key) for key in facts}, facts, "facts")


@behaviour()
def events_of_what_ends(t):
    reader = t.channel()
    queue = t.queue(reader, exclusive=True)
    reader.bind(queue, "amq.rabbitmq.event", "#")
    writer = t.channel()
    port = port_of(writer)
    exchange = t.exchange(writer, "fanout")
    name = t.queue(writer)
    writer.bind(name, exchange, "key")
    tag = writer.consume(name, "raw-end")
    writer.rpc("basic.cancel", consumer_tag=tag)
    writer.rpc("queue.delete", queue=name)
    writer.rpc("exchange.delete", exchange=exchange)
    writer.close()
    writer.connection.close()
    opened, channel = opening_of(t, reader, queue, port)
    created, _ = events_about(t, reader, queue, [
        ("consumer.created", "consumer_tag", tag), ("consumer.deleted", "consumer_tag", tag)])
    equal(created["channel"], channel["pid"], "channel of the consumer")
    seen = events_about(t, reader, queue, [
        ("queue.deleted", "name", name), ("exchange.deleted", "name", exchange), ("channel.closed", "pid", channel["pid"]),
        ("connection.closed", "pid", opened["pid"])])
    true(all("timestamp_in_ms" in headers for headers in seen), "times")


@behaviour()
def an_event_of_a_refused_login(t):
    reader = t.channel()
    queue = t.queue(reader, exclusive=True)
    reader.bind(queue, "amq.rabbitmq.event", "user.authentication.*")
    socket = t.socket()
    socket.start()
    socket.start_ok(user="nobody", password="wrong")
    failure, = events_about(t, reader, queue, [("user.authentication.failure", "name", "nobody")])
    equal(failure["connection_type"], "network", "kind of connection")
    error = failure["error"]  # An Erlang string, a list of numbers, in RabbitMQ.
    equal(error if isinstance(error, str) else bytes(error).decode(), "user 'nobody' - invalid credentials", "error")
