"""Where durable things are kept: the default place, directories that cannot be used, a full disk, the end under load."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pika
from martlet import environment, Martlet, assert_refused, program, run
from scenarios import Skipped, eventually, scenario

_PERSISTENT = pika.BasicProperties(delivery_mode=2)


@contextmanager
def _small_disk(mebibytes: int, options: str = "") -> Iterator[Path]:
    """Mounts a file system of that size in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="martlet-storage-") as folder:
        kind = f"size={mebibytes}M{options}"
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", kind, "martlet", folder], capture_output=True, text=True)
        if mounted.returncode:
            raise Skipped(f"cannot mount a small disk: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def _publish(channel: pika.adapters.blocking_connection.BlockingChannel, body: bytes) -> None:
    channel.basic_publish("", "kept", body, _PERSISTENT)


@scenario("the default directory")
def default_directory() -> None:
    """Without options it is durable, in a directory of the user; a second one is told who uses it; --ephemeral is not."""
    with tempfile.TemporaryDirectory() as folder:
        # Root has /var/lib/martlet, which these scenarios leave alone: an ordinary user's is what is looked at.
        home = Path(folder, "home")
        home.mkdir()
        os.chmod(folder, 0o755)
        prefix: list[str] = []
        if os.getuid() == 0:
            shutil.copy(program(), Path(folder, "martlet"))
            os.chown(home, 65534, 65534)
            prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env"]
            prefix += ["-u", "XDG_DATA_HOME", f"HOME={home}"]
            command = [*prefix, str(Path(folder, "martlet"))]
        else:
            command = ["env", "-u", "XDG_DATA_HOME", f"HOME={home}", program()]
        data = home / ".local/share/martlet"
        with Martlet("--port", "0", command=command) as martlet:
            channel = martlet.connect().channel()
            channel.queue_declare("kept", durable=True)
            channel.confirm_delivery()
            _publish(channel, b"1")
            assert (data / "format").exists()
            assert f"durable queues and persistent messages are kept in {data}\n" in martlet.log()
            second = subprocess.run(
                [*command, "--port", "0"], capture_output=True, text=True, timeout=10, env=environment()
            )
            # `setpriv` and `env` become the program, so that the number is its own.
            line = f"cannot use data directory {data}: cannot use {data}: process {martlet.process.pid} is using it"
            assert second.returncode == 1, second
            assert second.stderr.endswith(f"martlet: {line}\n"), second.stderr
            martlet.process.kill()
            martlet.process.wait()
        with Martlet("--port", "0", command=command) as martlet:
            assert martlet.connect().channel().basic_get("kept", auto_ack=True)[2] == b"1"
        shutil.rmtree(home / ".local")
        with Martlet("--port", "0", "--ephemeral", command=command):
            assert list(home.iterdir()) == []


@scenario("directories that cannot be used")
def unusable_directories() -> None:
    """One that is not ours, newer, locked, read-only or damaged: one line naming file and reason, 1, nothing changed."""
    with tempfile.TemporaryDirectory() as folder:

        def contents(path: Path) -> dict[str, bytes]:
            return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "lock"}

        def refuse(path: Path, reason: str) -> None:
            before = contents(path)
            ended = run("--port", "0", "--data-dir", path)
            assert ended.returncode == 1, ended
            last = ended.stderr.splitlines()[-1]
            assert last == f"martlet: cannot use data directory {path}: {reason}", f"{last!r} instead of {reason!r}"
            assert before == contents(path), "something was changed"

        foreign = Path(folder, "foreign")
        foreign.mkdir()
        (foreign / "thesis.txt").write_text("years of work")
        refuse(
            foreign,
            f"cannot use {foreign}: it is not a data directory and not empty: it has no file 'format', but 'thesis.txt'",
        )
        ours = Path(folder, "ours")
        with Martlet("--port", "0", "--data-dir", ours) as martlet:
            channel = martlet.connect().channel()
            channel.queue_declare("kept", durable=True)
            channel.confirm_delivery()
            _publish(channel, b"1")
            # Its owner prepares files in quiet moments: until it has.
            seen: list[int] = []
            while len(seen) < 4 or len(set(seen[-4:])) > 1:
                seen.append(hash(frozenset(contents(ours).items())))
                time.sleep(0.5)
            refuse(ours, f"cannot use {ours}: process {martlet.process.pid} is using it")
            assert martlet.stop() == 0
        sound = (ours / "format").read_bytes()
        (ours / "format").write_bytes(sound[:8] + (7).to_bytes(8, "little") + sound[16:])
        refuse(
            ours,
            f"cannot use {ours}: it was written by a newer version (format 7, this version reads up to 1)",
        )
        (ours / "format").write_bytes(sound[:20] + bytes([sound[20] ^ 1]) + sound[21:])
        refuse(ours, f"cannot use {ours}/format: it is damaged")
        (ours / "format").write_bytes(b"something else")
        refuse(ours, f"cannot use {ours}: its file 'format' is not ours")
        (ours / "format").write_bytes(sound)
        with Martlet("--port", "0", "--data-dir", ours) as martlet:
            assert martlet.connect().channel().basic_get("kept", auto_ack=True)[2] == b"1"
        file = Path(folder, "file")
        file.write_text("")
        assert_refused(run("--data-dir", file), 1, f"cannot use data directory {file}: Not a directory")


@scenario("a directory that is read-only")
def read_only_directory() -> None:
    """A data directory on a read-only file system: one line naming it and the reason, and 1."""
    with _small_disk(8, ",ro") as disk:
        ended = run("--port", "0", "--data-dir", disk)
        assert ended.returncode == 1, ended
        assert ended.stderr == f"martlet: cannot use data directory {disk}: Read-only file system\n", ended.stderr


@scenario("disk alarm")
def disk_alarm() -> None:
    """With little room publishers are told within 0.1 s and others go on; with room again they are let go."""
    with _small_disk(200) as disk:
        options = ("--port", "0", "--data-dir", disk / "data", "--disk-free-limit", "60MB")
        with Martlet(*options) as martlet:
            connection = martlet.connect()
            told: list[str] = []
            connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
            connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))
            channel = connection.channel()
            channel.queue_declare("kept", durable=True)
            _publish(channel, b"1")
            connection.process_data_events(0.1)
            assert told == [], told
            filler = disk / "filler"
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, os.statvfs(disk).f_bavail * 4096 - 50_000_000)
            filled = time.monotonic()
            eventually(lambda: "disk resource limit alarm set on node" in martlet.log(), pause=0.005)
            late = time.monotonic() - filled
            # Looked at every 50 ms; the rest is what a busy machine takes.
            assert late < 0.1 + 0.4, f"told after {late:.3f} s"
            _publish(channel, b"2")
            eventually(lambda: connection.process_data_events(0.01) or told)
            assert told == ["low on disk"], told
            other = martlet.connect().channel()
            method, _, body = other.basic_get("kept")
            assert body == b"1"
            other.basic_ack(method.delivery_tag)
            other.queue_declare("more", durable=True)
            assert other.queue_declare("kept", passive=True).method.message_count == 0
            filler.unlink()
            room = time.monotonic()
            eventually(lambda: connection.process_data_events(0.01) or told[-1] == "unblocked")
            assert time.monotonic() - room < 2
            eventually(lambda: other.basic_get("kept")[2] == b"2")
            assert "Free disk space is insufficient. Free bytes: " in martlet.log()
            assert "disk resource limit alarm cleared on node" in martlet.log()


@scenario("a disk that is full")
def full_disk() -> None:
    """Without any room confirms wait, consumers are served and it stays up; with room everything is confirmed and kept."""
    with _small_disk(64) as disk:
        data = disk / "data"
        with Martlet("--port", "0", "--data-dir", data, "--disk-free-limit", "0") as martlet:
            connection = martlet.connect()
            told: list[str] = []
            connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
            connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))
            channel = connection.channel()
            channel.queue_declare("kept", durable=True)
            sent = 0

            def publish() -> None:
                nonlocal sent
                while not told and sent < 1_000:
                    _publish(channel, b"%06d" % sent + bytes(100_000))
                    sent += 1
                    connection.process_data_events(0)

            publisher = threading.Thread(target=publish, daemon=True)
            publisher.start()
            eventually(lambda: "no space left for the commit log" in martlet.log())
            other = martlet.connect()
            consumer = other.channel()
            for number in range(200):
                method, _, body = consumer.basic_get("kept")
                assert body[:6] == b"%06d" % number
                consumer.basic_ack(method.delivery_tag)
            subprocess.run(["mount", "-o", "remount,size=400M", disk], check=True)
            room = time.monotonic()
            eventually(lambda: "disk resource limit alarm cleared on node" in martlet.log())
            assert time.monotonic() - room < 2
            # When the buffers of its socket are full, pika hears of the alarm when it has written what it was writing.
            publisher.join(10)
            assert not publisher.is_alive()
            eventually(lambda: connection.process_data_events(0.01) or told[-1] == "unblocked")
            assert told == ["low on disk", "unblocked"], (told, sent)
            # The log took less than the disk, and more than half of it.
            assert 300 < sent < 1_000, sent
            # Behind a confirm, what was acknowledged before is in the log.
            channel.confirm_delivery()
            _publish(channel, b"last")
            consumer.confirm_delivery()
            _publish(consumer, b"very last")
            martlet.process.kill()
            martlet.process.wait()
        with Martlet("--port", "0", "--data-dir", data) as martlet:
            channel = martlet.connect().channel()
            assert channel.queue_declare("kept", passive=True).method.message_count == sent - 200 + 2
            assert channel.basic_get("kept", auto_ack=True)[2][:6] == b"000200"


@scenario("stop under load keeps what was confirmed")
def stop_under_load() -> None:
    """SIGTERM while four connections publish: it ends within 5 s with 0, and everything confirmed is there afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        confirmed: list[list[int]] = [[] for _ in range(4)]
        with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:

            def publish(publisher: int) -> None:
                channel = martlet.connect().channel()
                channel.queue_declare(f"load {publisher}", durable=True)
                channel.confirm_delivery()
                with suppress(pika.exceptions.AMQPError):
                    for number in range(1_000_000):
                        channel.basic_publish("", f"load {publisher}", b"%d" % number, _PERSISTENT)
                        confirmed[publisher].append(number)

            threads = [threading.Thread(target=publish, args=(number,), daemon=True) for number in range(4)]
            for thread in threads:
                thread.start()
            eventually(lambda: all(len(numbers) > 50 for numbers in confirmed), seconds=20)
            started = time.monotonic()
            assert martlet.stop() == 0
            assert time.monotonic() - started < 5, time.monotonic() - started
            for thread in threads:
                thread.join(5)
        with Martlet("--port", "0", "--data-dir", data) as martlet:
            channel = martlet.connect().channel()
            for publisher, numbers in enumerate(confirmed):
                count = channel.queue_declare(f"load {publisher}", passive=True).method.message_count
                got = [int(channel.basic_get(f"load {publisher}", auto_ack=True)[2]) for _ in range(count)]
                assert got[: len(numbers)] == numbers, f"{len(numbers)} confirmed, {count} kept"


@scenario("sync options")
def sync_options() -> None:
    """With every --sync a kill costs nothing that was confirmed."""
    for options in (["--sync", "always"], ["--sync", "interval", "--sync-interval", "50"], ["--sync", "never"]):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder, "data")
            with Martlet("--port", "0", "--data-dir", data, *options) as martlet:
                channel = martlet.connect().channel()
                channel.queue_declare("kept", durable=True)
                channel.confirm_delivery()
                for number in range(100):
                    _publish(channel, b"%d" % number)
                martlet.process.kill()
                martlet.process.wait()
            with Martlet("--port", "0", "--data-dir", data, *options) as martlet:
                channel = martlet.connect().channel()
                got = [int(channel.basic_get("kept", auto_ack=True)[2]) for _ in range(100)]
                assert got == list(range(100)), got
