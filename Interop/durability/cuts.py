"""Power cuts: the process ends, and with it everything that it had not synced, in part or wholly."""

import shutil
import signal
import tempfile
from pathlib import Path

from account import LARGE
from clients import open_channel
from confirms import Confirms
from disk import Disk, assert_same
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, Plan, run_rounds, tell
from scenarios import scenario

_QUEUE = "durability.cut"


def _run(name: str, rounds: int, plan: Plan) -> None:
    counts = run_rounds(name, rounds, plan).counts
    what = "writes not synced", "writes torn", "changes of names not synced", "changes of names lost"
    tell(f"{name}: {counts['cuts']} cuts: " + ", ".join(f"{counts[key]} {key}" for key in what))


@scenario("power cut under load", limit=LIMIT)
def under_load() -> None:
    """From the first start in nothing on, whatever was not synced is lost or torn: all that was confirmed is there."""
    _run("power cut under load", max(2, ROUNDS // 4), Plan(has_power_cuts=True, shards=(1, 2), early_kills=(0, 1)))


@scenario("power cut while log files change", limit=LIMIT)
def while_files_change() -> None:
    """The same while the log goes from file to file, and while it starts."""
    plan = Plan(has_power_cuts=True, first=LARGE, early_kills=(1, 0, 2))
    _run("power cut while log files change", max(2, ROUNDS // 4), plan)


@scenario("power cut while the log is trimmed", limit=LIMIT)
def while_trimmed() -> None:
    """The same when what is live has just been told again and old files go."""
    plan = Plan(has_power_cuts=True, first=LARGE, files=2)
    _run("power cut while the log is trimmed", max(1, ROUNDS // 10), plan)


def _confirm(directory: Path, variables: dict[str, str], count: int) -> None:
    """Starts a broker, has messages confirmed, and kills it."""
    with Martlet("--port", "0", "--data-dir", directory, **variables) as martlet:
        channel = open_channel(martlet)
        channel.rpc("queue.declare", queue=_QUEUE, durable=True)
        channel.rpc("confirm.select")
        confirms = Confirms()
        for number in range(count):
            confirms.add(number)
            channel.publish(b"%d" % number * 100, key=_QUEUE, delivery_mode=2)
        while confirms:
            confirms.take(channel.expect("basic.ack"))
        assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL


@scenario("the power cut is one")
def is_real() -> None:
    """The check itself: it sees every write, for without a sync nothing at all is left, and then misses what is lost."""
    for plant in ("data", "names"):
        disk = Disk(f"{SEED} {plant}")
        try:
            directory = disk.root / "data"
            _confirm(directory, disk.variables(), 200)
            disk.cut()
            with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
                before = Path(folder, "before")
                shutil.copytree(directory, before)
                _confirm(directory, disk.variables(plant), 200)
                disk.cut(loses_all=True)
                if plant == "data":
                    # Names were synced, so there may be new ones, of files without content.
                    for path in before.iterdir():
                        assert (directory / path.name).read_bytes() == path.read_bytes(), path.name
                else:
                    new = {path.name for path in directory.iterdir()} - {path.name for path in before.iterdir()}
                    assert not new, new
            with Martlet("--port", "0", "--data-dir", directory) as martlet:
                channel = open_channel(martlet)
                assert channel.counts(_QUEUE)[0] == (200 if plant == "data" else 400), channel.counts(_QUEUE)
        finally:
            disk.close()
    for plant in ("data", "names"):
        try:
            run_rounds(f"planted: {plant} are not synced", 12, Plan(has_power_cuts=True, plant=plant))
        except AssertionError:
            continue
        raise AssertionError(f"syncs of {plant} counted for nothing, and nothing was missed")
