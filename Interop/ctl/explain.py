"""Why a message goes where it goes, or nowhere, asked by command line."""

import pika
from ctl import ctl, folder, rows
from martlet import Martlet
from scenarios import eventually, scenario


def _line(lines: list[dict], what: str) -> dict:
    """Returns the only line of a kind."""
    (line,) = [line for line in lines if line["what"] == what]
    return line


@scenario("a lost message is explained by command line")
def lost() -> None:
    """A message that no queue got is listed, and explained down to the word of its key; with another key, or a full queue,
    explain foretells what then happens."""
    with folder() as data, Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
        channel = martlet.connect().channel()
        channel.exchange_declare("t", "topic", arguments={"alternate-exchange": "spare"})
        channel.exchange_declare("spare", "headers")
        channel.queue_declare("q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        channel.queue_bind("q", "t", "orders.*.paid")
        channel.queue_bind("q", "spare", arguments={"country": "de"})
        channel.basic_publish("t", "orders.7.sent", b"lost", pika.BasicProperties(headers={"country": "at"}))
        eventually(lambda: rows(data, "list_unroutable"))
        (row,) = rows(data, "list_unroutable")
        assert (row["exchange"], row["routing_key"], row["user"], row["fate"]) == ("t", "orders.7.sent", "guest", "dropped"), row
        asked = "explain", "--exchange", "t", "--routing-key", "orders.7.sent", "--headers"
        lines = rows(data, *asked, '{"country": "at"}')
        bindings = [(line["verdict"], line["reason"]) for line in lines if line["what"] == "binding"]
        assert bindings == [
            ("no", "word 3 is 'sent' where 'paid' is wanted"),
            ("no", "header 'country' is 'at', 'de' is wanted"),
        ], bindings
        assert _line(lines, "alternate")["verdict"] == "taken", lines
        assert _line(lines, "outcome")["verdict"] == "unroutable", lines
        lines = rows(data, *asked, '{"country": "de"}')
        assert (_line(lines, "queue")["verdict"], _line(lines, "outcome")["verdict"]) == ("takes", "routed"), lines
        channel.confirm_delivery()
        channel.basic_publish("t", "orders.7.paid", b"first")
        lines = rows(data, "explain", "--exchange", "t", "--routing-key", "orders.7.paid")
        assert _line(lines, "queue")["verdict"] == "refuses", lines
        try:
            channel.basic_publish("t", "orders.7.paid", b"second")
            raise AssertionError("a full queue has taken a message")
        except pika.exceptions.NackError:
            pass
        wrong = ctl(data, "explain", "--headers", "[]")
        assert (wrong.returncode, wrong.stderr) == (64, "headers are a JSON object, not []\n"), wrong
        people = ctl(data, "explain", "--exchange", "none")
        assert "no exchange 'none' in vhost '/'" in people.stdout, people
