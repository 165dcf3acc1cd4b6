"""The end: signals, exit codes, last words."""

import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pika
from martlet import FIXTURES, Martlet, environment, program, wait_until_ended
from scenarios import eventually, scenario

_TLS = ("--tls-port", "0", "--tls-cert", FIXTURES / "server.pem", "--tls-key", FIXTURES / "server.key")


def _assert_told(connection: pika.BlockingConnection) -> None:
    """Checks that the broker closes a connection with 320."""
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            connection.process_data_events(0.5)
    except pika.exceptions.ConnectionClosedByBroker as error:
        assert error.reply_code == 320, error
        assert error.reply_text == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", error
        return
    raise AssertionError("not told")


@scenario("signals")
def signals() -> None:
    """SIGTERM and SIGINT: every client, of every shard and of TLS too, gets 320; it ends with 0; the port is free."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        with Martlet("--port", "0", "--ephemeral", "--shards", "2", *_TLS) as martlet:
            context = ssl.create_default_context(cafile=str(FIXTURES / "authority.pem"))
            connections = [martlet.connect() for _ in range(3)]
            connections.append(martlet.connect(ssl_options=pika.SSLOptions(context, "localhost")))
            port = martlet.port()
            martlet.process.send_signal(signum)
            for connection in connections:
                _assert_told(connection)
            # Clients that answered are not waited for.
            assert wait_until_ended([martlet.process], 10) < 2.5
            assert martlet.process.returncode == 0, martlet.process.returncode
            assert martlet.log().endswith("[info] stopped\n"), martlet.log()
        socket.create_server(("127.0.0.1", port)).close()


@scenario("stop without clients")
def no_clients() -> None:
    """Without clients it stops at once, with 0, also when one is only half way in."""
    with Martlet("--port", "0", "--ephemeral") as martlet:
        with socket.create_connection(("127.0.0.1", martlet.port()), 5) as client:
            client.sendall(b"AMQP")
            started = time.monotonic()
            martlet.process.send_signal(signal.SIGTERM)
            assert client.recv(100) == b""
            client.close()
            assert martlet.process.wait(10) == 0
            assert time.monotonic() - started < 2, "it waited"


@scenario("stop with clients that do not answer")
def silent_clients() -> None:
    """A client that does not answer, with or without TLS, is waited for three seconds and not longer; it ends with 0."""
    context = ssl.create_default_context(cafile=str(FIXTURES / "authority.pem"))
    for number in range(3):
        with Martlet("--port", "0", "--ephemeral", *_TLS) as martlet:
            # Nobody reads from them: pika works only when asked, and the last does not even begin with TLS.
            if number == 0:
                client = martlet.connect()
            elif number == 1:
                client = martlet.connect(ssl_options=pika.SSLOptions(context, "localhost"))
            else:
                client = socket.create_connection(("127.0.0.1", martlet.port("amqps")), 5)
                client.sendall(b"\x16\x03\x01")
            started = time.monotonic()
            assert martlet.stop() == 0
            assert time.monotonic() - started < 5, time.monotonic() - started
            del client


@scenario("stop with a blocked publisher")
def blocked_publisher() -> None:
    """A publisher that waits because memory is full gets 320 too, and is not waited for in vain."""
    with Martlet("--port", "0", "--ephemeral", "--memory-limit", "4MiB") as martlet:
        connection = martlet.connect()
        told = threading.Event()

        def publish() -> None:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            try:
                while True:
                    channel.basic_publish("", queue, bytes(100_000))
            except pika.exceptions.ConnectionClosedByBroker as error:
                if error.reply_code == 320:
                    told.set()

        publisher = threading.Thread(target=publish, daemon=True)
        publisher.start()
        eventually(lambda: "memory resource limit alarm set" in martlet.log())
        started = time.monotonic()
        assert martlet.stop() == 0
        assert time.monotonic() - started < 2.5, time.monotonic() - started
        publisher.join(5)
        assert told.is_set(), "not told"


@scenario("stop under load")
def under_load() -> None:
    """Publishers and consumers at full speed, on four shards, with TLS and without: each gets 320, and it ends with 0."""
    context = ssl.create_default_context(cafile=str(FIXTURES / "authority.pem"))
    ends: list[object] = []
    with Martlet("--port", "0", "--ephemeral", "--shards", "4", *_TLS) as martlet:

        def work(number: int) -> None:
            queue = f"queue {number % 3}"
            tls = {"ssl_options": pika.SSLOptions(context, "localhost")} if number % 4 == 0 else {}
            try:
                channel = martlet.connect(**tls).channel()
                channel.queue_declare(queue)
                if number % 2:
                    for method, _, _ in channel.consume(queue):
                        channel.basic_ack(method.delivery_tag)
                while True:
                    channel.basic_publish("", queue, bytes(number * 1_000))
            except Exception as error:
                ends.append(error)

        workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(12)]
        for worker in workers:
            worker.start()
        eventually(lambda: martlet.log().count("authenticated and granted access") == len(workers))
        started = time.monotonic()
        assert martlet.stop() == 0
        assert time.monotonic() - started < 6, time.monotonic() - started
        for worker in workers:
            worker.join(10)
    assert len(ends) == len(workers), ends
    assert all(getattr(end, "reply_code", 0) == 320 for end in ends), ends


@scenario("signal during the start")
def early_signal() -> None:
    """A signal at any moment of the start ends it: by the signal itself, or cleanly with 0."""
    codes = set()
    for milliseconds in range(0, 60, 4):
        process = subprocess.Popen(
            [program(), "--port", "0", "--ephemeral"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        try:
            time.sleep(milliseconds / 1_000)
            process.send_signal(signal.SIGTERM)
            codes.add(process.wait(10))
        finally:
            process.kill()
    assert codes <= {0, -signal.SIGTERM}, codes


@scenario("second signal")
def second_signal() -> None:
    """A second signal ends it at once, with 128 and the signal's number, as a shell reports a program that it ended."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        with Martlet("--port", "0", "--ephemeral") as martlet:
            connection = martlet.connect()
            martlet.process.send_signal(signum)
            eventually(lambda: "stopping\n" in martlet.log())
            started = time.monotonic()
            assert martlet.stop(signum) == 128 + signum
            assert time.monotonic() - started < 2, "it waited"
            del connection


@scenario("log that nobody reads")
def closed_log() -> None:
    """A standard error whose reader has gone neither stops the broker nor its clients."""
    reader, writer = os.pipe()
    with Martlet("--port", "0", "--ephemeral", stderr=writer) as martlet:
        os.close(writer)
        os.close(reader)
        for _ in range(3):
            martlet.connect().close()  # Each is logged.
        assert martlet.stop() == 0


@scenario("standard output that nobody reads")
def closed_output() -> None:
    """Closed standard streams do not keep it from serving: what it opens later does not take their place."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    shell = f'exec "$0" --port {port} --ephemeral >&- 2>&- <&-'
    with subprocess.Popen(["sh", "-c", shell, program()], env=environment()) as process:
        try:

            def is_served() -> bool:
                try:
                    pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)).close()
                except pika.exceptions.AMQPConnectionError:
                    return False
                return True

            eventually(is_served, seconds=20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
