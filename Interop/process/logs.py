"""What it logs: lines that programs can read, and that clients cannot forge."""

import json
import re
import socket
from datetime import datetime

from martlet import Martlet
from scenarios import eventually, scenario

_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00 \[(debug|info|warning|error)\] \S.*")
_NAME = 'evil"\\\n2026-01-01 00:00:00.000000+00:00 [error] forged\r\x1b[31m\x00\u2028\u0085'


def _make_some_noise(martlet: Martlet) -> None:
    """Logs in with a name that wants to be a line of its own, asks for what is not there, and sends nonsense."""
    connection = martlet.connect(client_properties={"connection_name": _NAME})
    channel = connection.channel()
    try:
        channel.queue_declare("no\nsuch\x1bqueue", passive=True)
    except Exception:
        connection.close()
    with socket.create_connection(("127.0.0.1", martlet.port()), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while client.recv(100):
            pass
    eventually(lambda: "HTTP request" in martlet.log())


@scenario("JSON log")
def json_log() -> None:
    """With --log-format json every line is an object with time, level and msg, whatever clients call themselves."""
    with Martlet("--port", "0", "--ephemeral", "--log-format", "json", "--log-level", "debug") as martlet:
        _make_some_noise(martlet)
        assert martlet.stop() == 0
        lines = martlet.log().split("\n")
        assert lines.pop() == ""
        assert len(lines) > 5, lines
        for line in lines:
            entry = json.loads(line)
            assert list(entry) == ["time", "level", "msg"], line
            assert entry["level"] in ("debug", "info", "warning", "error"), line
            assert datetime.fromisoformat(entry["time"]).utcoffset() is not None, line
        messages = [json.loads(line)["msg"] for line in lines]
        assert any(_NAME in message for message in messages), messages
        assert messages[-1] == "stopped", messages[-1]


@scenario("text log")
def text_log() -> None:
    """In the text log every line has time and level; control characters in names are escaped, so no line is forged."""
    with Martlet("--port", "0", "--ephemeral", "--log-level", "debug") as martlet:
        _make_some_noise(martlet)
        assert martlet.stop() == 0
        lines = martlet.log().split("\n")
        assert lines.pop() == ""
        for line in lines:
            assert _LINE.fullmatch(line), repr(line)
            assert line.isprintable() or "\u2028" in line, repr(line)
        assert not any(line.endswith("forged") for line in lines)


@scenario("log levels")
def log_levels() -> None:
    """With --log-level error nothing is written when nothing is wrong, and standard output has the ready line only."""
    with Martlet("--port", "0", "--ephemeral", "--log-level", "error") as martlet:
        martlet.connect().close()
        assert martlet.stop() == 0
        assert martlet.log() == "", martlet.log()
        assert martlet.output().count("\n") == 1, martlet.output()
