"""The socket that `martlet ctl` asks: where it is, whose it is, what becomes of it."""

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

from ctl import change, ctl, folder, rows
from martlet import Martlet, environment, program
from scenarios import Skipped, eventually, scenario


@scenario("socket of a broker")
def file() -> None:
    """It is in the data directory, for its user alone; it goes with the broker; one that a killed broker has left is
    replaced; without a broker the command line says so and ends with 69."""
    with folder() as data:
        path = Path(data, "ctl.sock")
        for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            with Martlet("--port", "0", "--data-dir", data) as martlet:
                mode = path.stat().st_mode
                assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode)
                assert rows(data, "list_vhosts") == [{"name": "/"}]
                assert martlet.stop(end) == (0 if end == signal.SIGTERM else -9)
            assert path.exists() == (end == signal.SIGKILL)
            ended = ctl(data, "list_vhosts")
            reason = "Connection refused" if end == signal.SIGKILL else "No such file or directory"
            assert (ended.returncode, ended.stdout) == (69, ""), ended
            assert ended.stderr.startswith(f"Error: unable to reach a broker at {path}: {reason}\n"), ended.stderr


@scenario("socket elsewhere")
def elsewhere() -> None:
    """--ctl-socket and MARTLET_CTL_SOCKET say where it is, with --ephemeral too, which has none by itself; `none` makes
    none; a place that cannot be had costs a warning, not the start."""
    with folder() as data:
        os.mkdir(data)
        path = f"{data}/here.sock"
        command = [program(), "ctl", "-q", "list_vhosts", "--no-table-headers"]
        with Martlet("--port", "0", "--ephemeral", MARTLET_CTL_SOCKET=path):
            asked = subprocess.run(command, capture_output=True, text=True, env=environment(MARTLET_CTL_SOCKET=path))
            assert (asked.returncode, asked.stdout) == (0, "/\n"), asked
            with Martlet("--port", "0", "--ephemeral", "--ctl-socket", path) as second:
                warning = f"martlet ctl cannot reach this broker: {path}: another process listens there"
                eventually(lambda: warning in second.log())
                second.stop()
            asked = subprocess.run([*command, "--socket", path], capture_output=True, text=True, env=environment())
            assert (asked.returncode, asked.stdout) == (0, "/\n"), asked
        with Martlet("--port", "0", "--ephemeral") as martlet:
            assert martlet.log().count("ctl") == 0, martlet.log()
        kept = f"{data}/kept"
        with Martlet("--port", "0", "--data-dir", kept, "--ctl-socket", "none"):
            assert not Path(kept, "ctl.sock").exists()
        Path(kept, "ctl.sock").write_text("not a socket")
        with Martlet("--port", "0", "--data-dir", kept) as martlet:
            assert "ctl.sock: there is something that is no socket" in martlet.log(), martlet.log()
            martlet.connect().close()
        assert Path(kept, "ctl.sock").read_text() == "not a socket"


@scenario("socket with a long path")
def long_path() -> None:
    """A data directory whose path is longer than a socket's address can be asked all the same."""
    with folder() as data:
        deep = "/".join([data, *["d" * 100] * 3])
        with Martlet("--port", "0", "--data-dir", deep):
            change(deep, "set_policy", "p", "x", '{"max-length":1}')
            assert [row["name"] for row in rows(deep, "list_policies")] == ["p"]


@scenario("socket of another user")
def another_user() -> None:
    """Who is neither the broker's user nor root is not let in; root is."""
    if os.getuid() != 0:
        raise Skipped("needs root to be somebody else")
    with folder() as data:
        os.chmod(Path(data).parent, 0o755)
        with Martlet("--port", "0", "--data-dir", data):
            os.chmod(data, 0o755)
            nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "python3", "-c"]
            probe = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
            asked = subprocess.run([*nobody, probe, f"{data}/ctl.sock"], capture_output=True, text=True)
            assert "PermissionError" in asked.stderr, asked
            # Even if somebody has opened the file to all.
            os.chmod(f"{data}/ctl.sock", 0o666)
            probe = (
                "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); "
                "print(s.recv(100))"
            )
            asked = subprocess.run([*nobody, probe, f"{data}/ctl.sock"], capture_output=True, text=True)
            assert asked.stdout == "b''\n" or "ConnectionReset" in asked.stderr, asked
            assert rows(data, "list_vhosts") == [{"name": "/"}]


@scenario("hostile clients of the socket")
def hostile() -> None:
    """Clients that say nothing, too much or nonsense, or do not read, cost little memory and hold up neither the command
    line nor publishers."""
    with folder() as data, Martlet("--port", "0", "--data-dir", data) as martlet:
        connection = martlet.connect()
        channel = connection.channel()
        channel.confirm_delivery()
        name = "n" * 200
        for number in range(2000):
            channel.queue_declare(f"{name}{number}")
        rss = _resident(martlet.process.pid)
        clients = []
        columns = ",".join(['"name"'] * 16)
        list_all = f'{{"version":1,"command":"list_queues","vhost":"/","columns":[{columns}]}}\n'.encode()
        for _ in range(10):
            deaf = socket.socket(socket.AF_UNIX)
            deaf.connect(f"{data}/ctl.sock")
            deaf.sendall(list_all)
            clients.append(deaf)
        for _ in range(200):
            loud = socket.socket(socket.AF_UNIX)
            loud.settimeout(10)
            try:
                loud.connect(f"{data}/ctl.sock")
                for _ in range(64):
                    loud.sendall(b"x" * 65536)
            except (BrokenPipeError, ConnectionResetError, BlockingIOError, TimeoutError):
                pass
            loud.close()
        channel.basic_publish("", f"{name}0", b"still here")
        assert len(rows(data, "list_queues", "name")) == 2000
        grown = _resident(martlet.process.pid) - rss
        assert grown < 24 << 20, f"{grown} octets more"
        for deaf in clients:
            deaf.close()
        connection.close()


def _resident(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) << 10
    raise AssertionError("no process")
