"""Where it listens, and how it says so."""

import resource
import socket
import ssl
import tempfile
from pathlib import Path

import pika
from martlet import FIXTURES, Martlet, assert_refused, listeners, run
from scenarios import Skipped, eventually, scenario

LOOPBACK, LOOPBACK_6 = "0100007F", "00000000000000000000000001000000"
ANY, ANY_6 = "00000000", "0" * 32


@scenario("ready line")
def ready_line() -> None:
    """With port 0 the one line on standard output names the port that the system chose, and a client finds it there."""
    with Martlet("--port", "0", "--ephemeral") as martlet:
        assert martlet.output() == f"martlet ready on amqp://127.0.0.1:{martlet.port()}\n", martlet.output()
        assert martlet.port() != 5672
        martlet.connect().close()
        assert martlet.output().count("\n") == 1, martlet.output()


@scenario("both loopback addresses")
def loopbacks() -> None:
    """Without options it listens on 127.0.0.1 and ::1, on one port, and on no address that other machines reach."""
    with Martlet("--port", "0", "--ephemeral") as martlet:
        expected = {LOOPBACK, LOOPBACK_6} if socket.has_ipv6 and Path("/proc/net/if_inet6").exists() else {LOOPBACK}
        assert listeners(martlet.process.pid) == expected, listeners(martlet.process.pid)
        for host in ("127.0.0.1", "::1")[: len(expected)]:
            martlet.connect(host).close()


@scenario("public addresses when asked")
def public() -> None:
    """With --listen 0.0.0.0 and :: it listens on all addresses, and on those only; ready names the first."""
    with Martlet("--port", "0", "--ephemeral", "--listen", "0.0.0.0", "--listen", "::") as martlet:
        assert listeners(martlet.process.pid) == {ANY, ANY_6}, listeners(martlet.process.pid)
        assert martlet.addresses()["amqp"].startswith("0.0.0.0:"), martlet.addresses()
        martlet.connect().close()


@scenario("guest from this machine only")
def guest() -> None:
    """From another address than loopback guest is refused with 403, and the user of --default-user is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # Sends nothing; it only asks for the route.
            host = probe.getsockname()[0]
        except OSError:
            raise Skipped("this machine has no other address") from None
    with Martlet("--port", "0", "--ephemeral", "--listen", "0.0.0.0") as martlet:
        try:
            martlet.connect(host)
            raise AssertionError("logged in")
        except pika.exceptions.ProbableAuthenticationError as error:
            assert "(403)" in str(error), error
        eventually(lambda: "user can only connect via localhost" in martlet.log())
    options = ("--listen", "0.0.0.0", "--default-user", "app")
    with Martlet("--port", "0", "--ephemeral", *options, MARTLET_DEFAULT_PASSWORD="secret") as martlet:
        martlet.connect(host, "app", "secret").close()
        assert "secret" not in martlet.log(), martlet.log()


@scenario("port in use")
def port_in_use() -> None:
    """A port that is taken is one line on standard error and exit code 1; the broker that has it goes on."""
    with Martlet("--port", "0", "--ephemeral") as first:
        second = run("--port", first.port(), "--ephemeral")
        assert_refused(second, 1, f"cannot listen on 127.0.0.1:{first.port()}: Address already in use")
        first.connect().close()


@scenario("TLS port in use")
def tls_port_in_use() -> None:
    """The same for the port of TLS; the plain port is free again then."""
    tls = ("--tls-cert", FIXTURES / "server.pem", "--tls-key", FIXTURES / "server.key")
    with Martlet("--port", "0", "--ephemeral") as first, socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
        probe.close()
        second = run("--port", free, "--ephemeral", *tls, "--tls-port", first.port())
        assert_refused(second, 1, f"cannot listen on 127.0.0.1:{first.port()}: Address already in use")
        socket.create_server(("127.0.0.1", free)).close()


@scenario("address that is not there")
def missing_address() -> None:
    """An address that this machine does not have is one line and exit code 1."""
    ended = run("--port", "0", "--ephemeral", "--listen", "192.0.2.1:5672")
    assert_refused(ended, 1, "cannot listen on 192.0.2.1:5672: Cannot assign requested address")


@scenario("several ports on one address")
def several_ports() -> None:
    """An address may be given with several ports; TLS is served once on it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        second = probe.getsockname()[1]
    tls = ("--tls-port", "0", "--tls-cert", FIXTURES / "server.pem", "--tls-key", FIXTURES / "server.key")
    options = ("--listen", "127.0.0.1", "--listen", f"127.0.0.1:{second}")
    with Martlet("--port", "0", "--ephemeral", *options, *tls) as martlet:
        martlet.connect().close()
        pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", second)).close()
        context = ssl.create_default_context(cafile=str(FIXTURES / "authority.pem"))
        martlet.connect(ssl_options=pika.SSLOptions(context, "localhost")).close()


@scenario("data directory")
def data_directory() -> None:
    """A data directory is created; a file in its place is one line and exit code 1."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "one/two")
        with Martlet("--port", "0", "--data-dir", directory):
            assert directory.is_dir()
        file = Path(folder, "file")
        file.touch()
        ended = run("--port", "0", "--ephemeral", "--data-dir", file)
        assert_refused(ended, 1, f"cannot use data directory {file}: Not a directory")


@scenario("a thousand clients")
def thousand_clients() -> None:
    """It raises its own limit of open files: under a soft limit of 256, a thousand clients are greeted."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2_500:
        raise Skipped(f"at most {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    with Martlet("--port", "0", "--ephemeral", "--shards", "2") as martlet:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2_500, hard))
        clients = [socket.create_connection(("127.0.0.1", martlet.port()), 10) for _ in range(1_000)]
        for client in clients:
            client.sendall(b"AMQP\0\0\x09\x01")
        for client in clients:
            assert client.recv(1) == b"\x01", "not greeted"
        for client in clients:
            client.close()
        eventually(lambda: len(list(Path(f"/proc/{martlet.process.pid}/fd").iterdir())) < 256)


@scenario("no room for more clients")
def out_of_files() -> None:
    """Out of descriptors it says so once a second, serves the clients it has, and accepts again when some have left."""
    with Martlet("--port", "0", "--ephemeral", files=60) as martlet:
        early = martlet.connect()
        channel = early.channel()
        clients = [socket.create_connection(("127.0.0.1", martlet.port()), 5) for _ in range(80)]
        for client in clients:
            client.sendall(b"AMQP\0\0\x09\x01")
        eventually(lambda: martlet.log().count("cannot accept connections: Too many open files") == 2)
        channel.queue_declare("", exclusive=True)
        for client in clients[:40]:
            client.close()
        for client in clients[40:]:
            assert client.recv(1) == b"\x01", "not greeted"
        assert martlet.log().count("cannot accept") < 6, martlet.log()
        early.close()


@scenario("clients on all shards")
def shards() -> None:
    """With --shards 4 clients of different event loops see each other's queues and messages."""
    with Martlet("--port", "0", "--ephemeral", "--shards", "4") as martlet:
        connections = [martlet.connect() for _ in range(4)]
        channels = [connection.channel() for connection in connections]
        for number, channel in enumerate(channels):
            channel.confirm_delivery()
            channel.queue_declare(f"queue {number}")
        for sender, channel in enumerate(channels):
            for number in range(4):
                channel.basic_publish("", f"queue {number}", bytes([sender]), mandatory=True)
        for number in range(4):
            reader = channels[(number + 1) % 4]
            bodies = [reader.basic_get(f"queue {number}", auto_ack=True)[2] for _ in range(4)]
            assert sorted(bodies) == [b"\0", b"\1", b"\2", b"\3"], bodies
        for connection in connections:
            connection.close()
