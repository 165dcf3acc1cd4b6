"""Input that no behaviour is numbered for: cut, glued, random, late. Each time another connection must go on."""

import random
import struct

from amqp import (BODY, HEADER, HEARTBEAT, METHOD, PROTOCOL_HEADER, Closed, Failure, Silence, equal, frame, header,
                  method, method_frame, publish_frames, true)
from checks import behaviour


def login(c):
    """The octets with which a client logs in that waits for nothing."""
    return PROTOCOL_HEADER + b"".join((
        method_frame(0, "connection.start-ok", mechanism="PLAIN", response=f"\0{c.user}\0{c.password}", locale="en_US"),
        method_frame(0, "connection.tune-ok", channel_max=2047, frame_max=131072, heartbeat=0),
        method_frame(0, "connection.open", virtual_host="/")))


def hello(queue, channel=1):
    """The octets of a whole session on a channel."""
    return b"".join((
        method_frame(channel, "channel.open"),
        method_frame(channel, "queue.declare", queue=queue, exclusive=True, arguments={"x-max-length": 10}),
        publish_frames(channel, b"Hello, world!", key=queue, content_type="text/plain",
                       headers={"a": 1, "b": ["c", {}]}),
        method_frame(channel, "basic.get", queue=queue, no_ack=True)))


def take_hello(c, queue, channel=1):
    """Takes what a session is answered with."""
    events = [c.next_event(channel) for _ in range(3)]
    equal([event.name for event in events], ["channel.open-ok", "queue.declare-ok", "basic.get-ok"])
    equal((events[1].queue, events[2].body, events[2].properties),
          (queue, b"Hello, world!", {"content_type": "text/plain", "headers": {"a": 1, "b": ["c", {}]}}))


def take_login(c):
    """Takes what a login is answered with."""
    for name in ("connection.start", "connection.tune", "connection.open-ok"):
        c.expect(name)


def end(c, seconds=0.1):
    """Reads what the broker has to say, which must be well-formed, and drops the connection.

    Answers "closed" if it closed the socket, the code if it sent a close, and None otherwise."""
    try:
        while True:
            _, event = c.read_event(seconds)
            if event.name == "connection.close":
                return event.reply_code
    except Silence:
        return None
    except Closed:
        return "closed"
    finally:
        c.drop()


@behaviour()
def a_whole_session_in_one_write(t):
    prove = t.bystander()
    for _ in range(5):
        c, queue = t.socket(), t.name("hello")
        c.write(login(c), hello(queue))
        take_login(c)
        take_hello(c, queue)
        c.close()
    prove()


@behaviour(slow=True)
def a_whole_session_octet_by_octet(t):
    prove = t.bystander()
    c, queue = t.socket(), t.name("hello")
    for octet in login(c) + hello(queue):
        c.write(bytes([octet]))
        t.sleep(0.0005)
    take_login(c)
    take_hello(c, queue)
    c.close()
    prove()


@behaviour()
def a_session_cut_in_two_at_every_octet(t):
    prove = t.bystander()
    c, queue = t.connect(), t.name("hello")
    for cut in range(1, len(hello(queue))):
        stream = hello(queue) + method_frame(1, "queue.delete", queue=queue) + method_frame(1, "channel.close")
        c.write(stream[:cut])
        t.sleep(0.001)
        c.write(stream[cut:])
        take_hello(c, queue)
        equal([c.next_event(1).name for _ in range(2)], ["queue.delete-ok", "channel.close-ok"])
    prove()


@behaviour()
def sessions_that_end_at_every_octet(t):
    prove = t.bystander()
    for cut in range(1, len(hello(t.name("hello"))), 9):
        c = t.connect()
        c.write(hello(t.name("hello"))[:cut])
        c.drop()
    whole = login(t.socket())
    for cut in range(0, len(whole), 5):
        c = t.socket()
        c.write(whole[:cut])
        c.drop()
    prove()


@behaviour()
def random_octets_before_login(t):
    prove = t.bystander()
    for seed in range(40):
        chance = random.Random(seed)
        c = t.socket()
        if seed % 2:
            c.write_anyway(PROTOCOL_HEADER)
        c.write_anyway(chance.randbytes(chance.choice([1, 7, 8, 9, 60, 600, 6000])))
        end(c, 0.02)
    prove()


@behaviour()
def random_octets_after_login(t):
    prove = t.bystander()
    for seed in range(40):
        chance = random.Random(1000 + seed)
        c = t.connect()
        c.channel()
        # Eight octets and more cannot all be waited for: type or size is wrong, or the end is missing.
        size = chance.choice([8, 60, 600, 6000])
        c.write_anyway(chance.randbytes(size))
        answer = end(c, 1.0)
        true(answer in (501, 505, "closed") or size < 60, f"seed {seed}: {size} random octets are answered {answer}")
    prove()


@behaviour()
def random_payloads(t):
    prove = t.bystander()
    for seed in range(60):
        chance = random.Random(2000 + seed)
        c = t.connect()
        c.channel()
        c.write_anyway(*(frame(chance.choice([METHOD, HEADER, BODY, HEARTBEAT]), chance.choice([0, 1, 2]),
                               chance.randbytes(chance.choice([0, 1, 4, 12, 14, 30, 3000]))) for _ in range(5)))
        true(end(c, 2.0) is not None, f"seed {seed}: random frames are not answered")
    prove()


@behaviour()
def random_arguments(t):
    prove = t.bystander()
    ids = [(class_id, number) for class_id in (10, 20, 40, 50, 60, 85, 90) for number in range(10, 121, 10)]
    for seed in range(60):
        chance = random.Random(3000 + seed)
        c = t.connect()
        c.channel()
        payload = struct.pack(">HH", *chance.choice(ids)) + chance.randbytes(chance.choice([0, 1, 2, 5, 9, 20, 200]))
        c.write_anyway(frame(METHOD, chance.choice([0, 1]), payload))
        end(c, 0.02)
    prove()


@behaviour(slow=True)
def sessions_with_a_changed_octet(t):
    prove = t.bystander()
    for seed in range(120):
        chance = random.Random(4000 + seed)
        stream = bytearray(hello(t.name("hello")))
        for _ in range(chance.choice([1, 1, 2, 5])):
            at = chance.randrange(len(stream))
            change = chance.randrange(4)
            if change == 0:
                stream[at] ^= 1 << chance.randrange(8)
            elif change == 1:
                stream[at] = chance.choice([0, 1, 127, 128, 206, 255])
            elif change == 2:
                del stream[at]
            else:
                stream.insert(at, chance.randrange(256))
        c = t.connect()
        c.write_anyway(bytes(stream))
        end(c, 0.02)
    prove()


@behaviour()
def logins_with_a_changed_octet(t):
    prove = t.bystander()
    for seed in range(60):
        chance = random.Random(5000 + seed)
        c = t.socket()
        stream = bytearray(login(c))
        for _ in range(chance.choice([1, 1, 3])):
            stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)
        c.write_anyway(bytes(stream))
        end(c, 0.02)
    prove()


@behaviour(slow=True)
def a_login_that_never_ends(t):
    """Whatever is announced, 64 KiB and ten seconds are the most an unknown client gets."""
    prove = t.bystander()
    waiting = []
    for announced in (70000, 131064):
        c = t.socket()
        c.start()
        payload = method("connection.start-ok")[:4] + struct.pack(">I", announced - 300)
        c.write_anyway(struct.pack(">BHI", METHOD, 0, announced), payload, bytes(65536))
        waiting.append(c)
    prove()
    for c in waiting:
        c.expect_eof(timeout=13)
    prove()


@behaviour()
def a_flood_instead_of_a_header(t):
    prove = t.bystander()
    for flood in (b"A" * 65536, b"\0" * 65536, b"AMQP" * 16384, PROTOCOL_HEADER + b"\xff" * 65536):
        c = t.socket()
        c.write_anyway(flood)
        try:
            c.take(8, 5)
        except Closed:
            continue
        if not flood.startswith(PROTOCOL_HEADER):
            try:
                c.take(1, 5)
                raise Failure("more than eight octets came")
            except Closed:
                pass
    prove()


@behaviour()
def a_login_frame_above_frame_max(t):
    prove = t.bystander()
    waiting = []
    for size in (131073, 2 ** 31, 2 ** 32 - 1):
        c = t.socket()
        c.start()
        c.write_anyway(struct.pack(">BHI", METHOD, 0, size), b"\0\x0a\0\x0b")
        waiting.append(c)
    for c in waiting:
        c.expect_eof(timeout=8)
    prove()


@behaviour()
def a_hundred_sockets_that_say_nothing(t):
    prove = t.bystander()
    sockets = [t.socket() for _ in range(100)]
    prove()
    for c in sockets[::2]:
        c.write(PROTOCOL_HEADER[:4])
    prove()


@behaviour()
def late_acks_after_the_brokers_close(t):
    prove = t.bystander()
    ch = t.channel()
    watcher = t.channel()
    queue = t.queue(ch)
    ch.fill(queue, *(b"%d" % number for number in range(5)))
    ch.consume(queue)
    tags = [ch.deliver().delivery_tag for _ in range(5)]
    ch.send("queue.declare", queue="raw.nothing", passive=True)
    ch.expect("channel.close")
    for tag in tags:
        ch.send("basic.ack", delivery_tag=tag)
        ch.send("basic.reject", delivery_tag=tag)
    ch.send("basic.ack", delivery_tag=99, multiple=True)
    ch.publish(b"late", key=queue)
    ch.send("channel.close-ok")
    ch.rpc("channel.open")
    ch.barrier()
    t.counts(watcher, queue, 5, 0)
    equal([watcher.get(queue).redelivered for _ in range(5)], [True] * 5)
    prove()


@behaviour()
def late_acks_right_behind_the_clients_close(t):
    """Clients with several threads do that, and RabbitMQ lets them."""
    ch = t.channel()
    queue = t.queue(ch)
    ch.fill(queue, b"1", b"2")
    ch.get(queue, no_ack=False)
    ch.connection.write(method_frame(1, "channel.close"), method_frame(1, "basic.ack", delivery_tag=1),
                        method_frame(1, "basic.ack", delivery_tag=1))
    ch.expect("channel.close-ok")
    ch.rpc("channel.open")
    equal(ch.drain(queue), [b"1", b"2"])


@behaviour()
def many_channels_closed_and_opened_again(t):
    prove = t.bystander()
    c = t.connect()
    queue = t.queue(c.channel(2001))
    for _ in range(3):
        c.write(*(method_frame(number, "channel.open") for number in range(1, 301)))
        for number in range(1, 301):
            equal(c.next_event(number).name, "channel.open-ok")
        c.write(*(publish_frames(number, b"x", key=queue) + method_frame(number, "channel.close")
                  for number in range(1, 301)))
        for number in range(1, 301):
            equal(c.next_event(number).name, "channel.close-ok")
    t.counts(t.channel(), queue, 900)
    prove()


@behaviour()
def the_highest_channel_number(t):
    prove = t.bystander()
    c = t.connect()
    ch, queue = c.channel(65535), t.name("hello")
    ch.close()
    c.write(hello(queue, 65535))
    take_hello(c, queue, 65535)
    ch.consume(queue, no_ack=True)
    ch.publish(b"x", key=queue)
    equal(ch.deliver().body, b"x")
    ch.refused(404, "queue.bind", None, queue=queue, exchange="raw.nothing")
    c.close()
    prove()


@behaviour()
def heartbeats_and_closes_within_a_content(t):
    prove = t.bystander()
    c = t.connect()
    ch, other = c.channel(), c.channel()
    queue = t.queue(ch)
    beat = frame(HEARTBEAT, 0, b"")
    c.write(beat, method_frame(1, "basic.publish", routing_key=queue), beat, frame(HEADER, 1, header(4)), beat,
            frame(BODY, 1, b"ab"), beat, method_frame(2, "channel.close"),
            method_frame(0, "connection.update-secret"), frame(BODY, 1, b"cd"), beat)
    c.expect("connection.update-secret-ok")
    other.expect("channel.close-ok")
    equal(ch.get(queue).body, b"abcd")
    c.write(method_frame(1, "basic.publish", routing_key=queue), frame(HEADER, 1, header(4)), frame(BODY, 1, b"ab"))
    c.close()
    prove()


@behaviour()
def many_contents_interleaved_frame_by_frame(t):
    prove = t.bystander()
    c = t.connect()
    channels = [c.channel(number) for number in range(1, 51)]
    queues = {ch.number: t.queue(ch) for ch in channels}
    chance = random.Random(6000)
    streams = {}
    for ch in channels:
        body = bytes([ch.number]) * 100
        pieces = [body[at:at + 9] for at in range(0, 100, 9)]
        streams[ch.number] = [method_frame(ch.number, "basic.publish", routing_key=queues[ch.number]),
                              frame(HEADER, ch.number, header(100)),
                              *(frame(BODY, ch.number, piece) for piece in pieces)]
    order = [number for number, pieces in streams.items() for _ in pieces]
    chance.shuffle(order)
    c.write(*(streams[number].pop(0) for number in order))
    for ch in channels:
        equal(ch.get(queues[ch.number]).body, bytes([ch.number]) * 100)
    prove()


@behaviour()
def a_client_that_leaves_in_the_middle_of_everything(t):
    prove = t.bystander()
    for seed in range(20):
        chance = random.Random(7000 + seed)
        ch = t.channel()
        queue = t.queue(ch, exclusive=bool(seed % 2), auto_delete=bool(seed % 3))
        ch.consume(queue)
        stream = b"".join(publish_frames(1, b"x" * chance.randrange(3000), key=queue) for _ in range(30))
        ch.connection.write(stream[:chance.randrange(len(stream))])
        ch.connection.drop()
    prove()
