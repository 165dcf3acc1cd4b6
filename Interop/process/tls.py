"""TLS: wrong files, clients at the wrong port, certificates of clients."""

import socket
import ssl

import pika
from martlet import FIXTURES, Martlet, assert_refused, run
from scenarios import eventually, scenario

_CERTIFICATE, _KEY = FIXTURES / "server.pem", FIXTURES / "server.key"
_TLS = ("--tls-port", "0", "--tls-cert", _CERTIFICATE, "--tls-key", _KEY)


def _context(identity: str | None = None) -> ssl.SSLContext:
    """A client that checks the broker's certificate, and shows one of its own if it has one."""
    context = ssl.create_default_context(cafile=str(FIXTURES / "authority.pem"))
    if identity:
        context.load_cert_chain(FIXTURES / f"{identity}.pem", FIXTURES / f"{identity}.key")
    return context


@scenario("wrong TLS files")
def wrong_files() -> None:
    """A missing, wrong or mismatched certificate, key or authority is one line with the file, and exit code 2."""
    for certificate, key, more, line in (
        ("none", _KEY, [], "cannot read TLS certificate none: No such file or directory"),
        (_CERTIFICATE, "none", [], "cannot read TLS key none: No such file or directory"),
        (_CERTIFICATE, "/", [], "cannot read TLS key /: Is a directory"),
        (_KEY, _KEY, [], f"TLS certificate {_KEY} is not a PEM certificate"),
        (_CERTIFICATE, _CERTIFICATE, [], f"TLS key {_CERTIFICATE} is not a PEM private key without password"),
        (
            _CERTIFICATE,
            FIXTURES / "encrypted.key",
            [],
            f"TLS key {FIXTURES / 'encrypted.key'} is not a PEM private key without password",
        ),
        (
            _CERTIFICATE,
            FIXTURES / "client.key",
            [],
            f"TLS key {FIXTURES / 'client.key'} does not belong to certificate {_CERTIFICATE}",
        ),
        (_CERTIFICATE, _KEY, ["--tls-ca", "none"], "cannot read TLS authority none: No such file or directory"),
        (_CERTIFICATE, _KEY, ["--tls-verify-peer"], "--tls-verify-peer needs --tls-ca FILE"),
    ):
        ended = run("--port", "0", "--tls-port", "0", "--ephemeral", "--tls-cert", certificate, "--tls-key", key, *more)
        assert_refused(ended, 2, line)


@scenario("ready lines with TLS")
def ready_lines() -> None:
    """With TLS there are two ready lines, the plain one first, and a client that checks the certificate gets in."""
    with Martlet("--port", "0", "--ephemeral", *_TLS) as martlet:
        plain, secure = martlet.port("amqp"), martlet.port("amqps")
        assert martlet.output() == (
            f"martlet ready on amqp://127.0.0.1:{plain}\nmartlet ready on amqps://127.0.0.1:{secure}\n"
        ), martlet.output()
        martlet.connect(ssl_options=pika.SSLOptions(_context(), "localhost")).close()
        martlet.connect().close()


@scenario("plain client on the TLS port")
def plain_on_tls() -> None:
    """A client that does not speak TLS is told goodbye without a reset; the log says what it did wrong."""
    with Martlet("--port", "0", "--ephemeral", *_TLS) as martlet:
        with socket.create_connection(("127.0.0.1", martlet.port("amqps")), 5) as client:
            client.sendall(b"AMQP\0\0\x09\x01")
            while client.recv(100):
                pass
        eventually(lambda: "the client does not speak TLS (WRONG_VERSION_NUMBER)\n" in martlet.log())


@scenario("probe of the TLS port")
def probe() -> None:
    """A health check that connects to the TLS port and leaves is not worth a warning."""
    with Martlet("--port", "0", "--ephemeral", *_TLS) as martlet:
        for _ in range(3):
            socket.create_connection(("127.0.0.1", martlet.port("amqps")), 5).close()
        martlet.connect(ssl_options=pika.SSLOptions(_context(), "localhost")).close()
        assert martlet.stop() == 0
        assert "[warning]" not in martlet.log() and "[error]" not in martlet.log(), martlet.log()


@scenario("certificates of clients")
def client_certificates() -> None:
    """With --tls-verify-peer only clients with a certificate of the authority get in; the others end in the log."""
    options = (*_TLS, "--tls-ca", FIXTURES / "authority.pem", "--tls-verify-peer")
    with Martlet("--port", "0", "--ephemeral", *options) as martlet:
        martlet.connect(ssl_options=pika.SSLOptions(_context("client"), "localhost")).close()
        for identity, reason in ((None, "the client showed no certificate"), ("stranger", "CERTIFICATE_VERIFY_FAILED")):
            try:
                martlet.connect(ssl_options=pika.SSLOptions(_context(identity), "localhost"))
            except (pika.exceptions.AMQPConnectionError, OSError):
                eventually(lambda: reason in martlet.log())  # noqa: B023
            else:
                raise AssertionError(f"{identity} got in")
