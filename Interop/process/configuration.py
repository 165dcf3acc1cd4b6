"""What can be configured, from where, and what is said about mistakes."""

import json
import tempfile
from pathlib import Path

import pika
from martlet import Martlet, assert_refused, run
from scenarios import scenario

_PORT = "must be a whole number from 0 to 65535"


@scenario("wrong options")
def wrong_options() -> None:
    """Each mistake on the command line is one line on standard error and exit code 2."""
    for options, line in (
        (["--prot", "0"], "Unknown option '--prot'. Did you mean '--port'?; see martlet --help"),
        (["serve"], "Unexpected argument 'serve'; see martlet --help"),
        (["--port", "abc"], "The value 'abc' is invalid for '--port <port>'; see martlet --help"),
        (["--port"], "Missing value for '--port <port>'; see martlet --help"),
        (["--port", "65536"], f"--port {_PORT}"),
        (["--listen", "1.2.3"], "1.2.3 is not an address to listen on"),
        (["--shards", "0"], "--shards must be a whole number from 1 to 1024"),
        (["--log-format", "xml"], "--log-format must be one of text, json"),
        (["--memory-limit", "all"], "--memory-limit must be a size such as 512MiB, 2GB or 40%, at least 1048576 octets"),
        (["--tls-port", "0"], "TLS needs --tls-cert FILE"),
        (["--config", "/none"], "cannot read configuration file /none: No such file or directory"),
        (["--config", "/"], "cannot read configuration file /: Is a directory"),
    ):
        assert_refused(run(*options), 2, line)


@scenario("wrong environment")
def wrong_environment() -> None:
    """A mistake in the environment is one line that names the variable, and exit code 2."""
    assert_refused(run(MARTLET_PORT="abc"), 2, f"MARTLET_PORT {_PORT}")
    assert_refused(run(MARTLET_EPHEMERAL="maybe"), 2, "MARTLET_EPHEMERAL must be true or false")
    assert_refused(run(MARTLET_CONFIG="/none"), 2, "cannot read configuration file /none: No such file or directory")


@scenario("wrong configuration file")
def wrong_file() -> None:
    """A mistake in the file is one line that names setting and file, and exit code 2."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "martlet.json")
        for text, line in (
            ("port: 1", f"configuration file {file} is not a JSON object of settings"),
            ("[]", f"configuration file {file} is not a JSON object of settings"),
            ('{"port": true}', f"port in {file} {_PORT}"),
            ('{"tls": {"port": "x"}}', f"tls.port in {file} {_PORT}"),
            ('{"ephemeral": 3}', f"ephemeral in {file} must be true or false"),
        ):
            file.write_text(text)
            assert_refused(run("--config", file), 2, line)


@scenario("flag, environment, file")
def precedence() -> None:
    """A flag wins over the environment, the environment over the file, the file over the default."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "martlet.json")
        file.write_text(json.dumps({"port": 0, "default-user": "file", "default-password": "p", "ephemeral": True}))
        options = ["--config", file]
        variables: dict[str, str] = {}
        for user, more, variable in (
            ("file", [], {}),
            ("environment", [], {"MARTLET_DEFAULT_USER": "environment"}),
            ("flag", ["--default-user", "flag"], {}),
        ):
            options += more
            variables |= variable
            with Martlet(*options, **variables) as martlet:
                martlet.connect(user=user, password="p").close()
                try:
                    martlet.connect(user="guest")
                    raise AssertionError("logged in as guest")
                except pika.exceptions.ProbableAuthenticationError:
                    pass
        with Martlet(MARTLET_CONFIG=str(file)) as martlet:
            martlet.connect(user="file", password="p").close()


@scenario("unknown settings")
def unknown_settings() -> None:
    """What the file has that is no setting is warned about, and the broker serves."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "martlet.json")
        file.write_text('{"prot": 1, "tls": {"certificate": "x"}, "port": 0, "ephemeral": true}')
        with Martlet("--config", file) as martlet:
            for key in ("prot", "tls.certificate"):
                assert f"[warning] unknown setting {key} in the configuration file\n" in martlet.log(), martlet.log()


@scenario("what is offered to clients")
def offers() -> None:
    """Channels, frame size and heartbeat are offered as configured, and a larger body is refused with 406."""
    options = ("--channel-max", "7", "--frame-max", "8192", "--heartbeat", "33", "--max-message-size", "1KiB")
    with Martlet("--port", "0", "--ephemeral", *options) as martlet, martlet.connect() as connection:
        offered = connection._impl.params
        assert (offered.channel_max, offered.frame_max, offered.heartbeat) == (7, 8192, 33), offered
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"x" * 1024)
        try:
            channel.basic_publish("", queue, b"x" * 1025)
            raise AssertionError("taken")
        except pika.exceptions.ChannelClosedByBroker as error:
            assert error.reply_code == 406, error


@scenario("default queue type")
def default_queue_type() -> None:
    """Where quorum is the default, a durable queue is one: its messages count how often they came back."""
    with Martlet("--port", "0", "--ephemeral", "--default-queue-type", "quorum") as martlet:
        with martlet.connect() as connection:
            channel = connection.channel()
            for queue, durable in (("quorum", True), ("classic", False)):
                channel.queue_declare(queue, durable=durable)
                channel.queue_declare(queue, durable=durable)
                channel.basic_publish("", queue, b"x")
                method, _, _ = channel.basic_get(queue)
                channel.basic_nack(method.delivery_tag)
                _, properties, _ = channel.basic_get(queue, auto_ack=True)
                assert ("x-delivery-count" in (properties.headers or {})) == durable, (queue, properties.headers)


@scenario("help and version")
def help_and_version() -> None:
    """Help names every option, version the version; both go to standard output and end with 0."""
    shown = run("--help")
    assert (shown.returncode, shown.stderr) == (0, ""), shown
    for option in (
        "listen port default-user default-password tls-port tls-cert tls-key tls-ca tls-verify-peer data-dir ephemeral "
        "shards memory-limit disk-free-limit sync sync-interval max-message-size heartbeat channel-max "
        "consumer-max-per-channel default-queue-type frame-max config log-level log-format version help"
    ).split():
        assert f"--{option}" in shown.stdout, option
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, ""), version
    assert version.stdout.startswith("martlet ") and version.stdout.count("\n") == 1, version.stdout
