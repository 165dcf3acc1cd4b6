"""Logging in, and TLS."""

import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pika
from scenarios import scenario, tls_authority, tls_url, unique, url
from support import Consumer, connect, open_channel


@scenario("wrong password")
def wrong_password() -> None:
    """A wrong password and an unknown user are refused alike: 403, before anything is open."""
    for user, password in (("guest", "wrong"), (unique("nobody"), "guest")):
        try:
            connect(credentials=pika.PlainCredentials(user, password))
        except pika.exceptions.ProbableAuthenticationError as error:
            assert "(403)" in str(error) and "ACCESS_REFUSED - Login was refused" in str(error), error
        else:
            raise AssertionError("logged in")


@scenario("unknown virtual host")
def unknown_vhost() -> None:
    """A virtual host that is not there: 530 NOT_ALLOWED."""
    try:
        connect(virtual_host="nowhere")
    except pika.exceptions.ProbableAccessDeniedError as error:
        assert "(530)" in str(error) and "NOT_ALLOWED - vhost nowhere not found" in str(error), error
    else:
        raise AssertionError("opened")


def _tls_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's context that trusts our authority only; with `version` it speaks nothing else."""
    context = ssl.create_default_context(cafile=tls_authority())
    if version:
        context.minimum_version = context.maximum_version = version
    return context


@scenario("TLS")
def tls() -> None:
    """Over TLS 1.2 and 1.3, with the certificate verified: small messages and 4 MiB come back as they went."""
    body = bytes(range(256)) * (4 * 1024 * 1024 // 256)
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        options = pika.SSLOptions(_tls_context(version), "localhost")
        with connect(tls_url(), ssl_options=options) as connection:
            assert connection._impl._transport._sock.version() == name
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            for content in (b"Hello, TLS!", b"", body):
                channel.basic_publish("", queue, content)
            assert Consumer(channel, queue, auto_ack=True).wait(3)[2].body == body


@scenario("TLS and plain clients share queues")
def tls_and_plain() -> None:
    """What a client publishes over TLS reaches a client without it, and the reverse."""
    queue = unique("shared")
    options = pika.SSLOptions(_tls_context(), "localhost")
    with open_channel() as plain, connect(tls_url(), ssl_options=options) as connection:
        secure = connection.channel()
        plain.queue_declare(queue, auto_delete=True)
        consumers = [Consumer(channel, queue, auto_ack=True) for channel in (plain, secure)]
        for channel in (secure, plain):
            for _ in range(2):
                channel.basic_publish("", queue, b"")
        for consumer in consumers:
            consumer.wait(2)


def _fails_quickly(attempt: Callable[[], object]) -> None:
    """Checks that the attempt raises, and within five seconds: not by a client's own patience."""
    started = time.monotonic()
    try:
        attempt()
    except (pika.exceptions.AMQPConnectionError, OSError):
        assert time.monotonic() - started < 5, "too long"
    else:
        raise AssertionError("connected")


@scenario("plain client on the TLS port")
def plain_on_tls() -> None:
    """A client without TLS on the TLS port gets an error at once, and the port goes on."""
    address = urlsplit(tls_url())
    plain = f"amqp://guest:guest@{address.hostname}:{address.port}/"
    _fails_quickly(lambda: connect(plain))
    connect(tls_url(), ssl_options=pika.SSLOptions(_tls_context(), "localhost")).close()


@scenario("TLS client on the plain port")
def tls_on_plain() -> None:
    """A client with TLS on the plain port gets an error at once, and the port goes on."""
    options = pika.SSLOptions(_tls_context(), "localhost")
    _fails_quickly(lambda: connect(url(), ssl_options=options))
    connect().close()


@scenario("old TLS")
def old_tls() -> None:
    """TLS 1.1 is refused."""
    context = _tls_context(ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # Else our own side refuses first.
    address = urlsplit(tls_url())
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        try:
            context.wrap_socket(connection, server_hostname="localhost")
        except ssl.SSLError as error:
            assert "ALERT_PROTOCOL_VERSION" in str(error), error
        else:
            raise AssertionError("it spoke TLS 1.1")
