"""Test suites that clients bring along for RabbitMQ, unchanged, against the broker under test."""

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from scenarios import scenario, url


def _source(package: str) -> Path:
    """Returns the unpacked source of the version that is installed; gets it from PyPI unless an earlier run did."""
    name = f"{package}-{importlib.metadata.version(package)}"
    folder = Path(tempfile.gettempdir(), f"martlet-interop-source-{name}")
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / "complete"
        if not complete.exists():
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            options = [f"--no-binary={package}", "--dest", str(folder), name.replace("-", "==")]
            subprocess.run([*download, *options], check=True)
            with tarfile.open(folder / f"{name}.tar.gz") as archive:
                archive.extractall(folder, filter="data")
            complete.touch()
    return folder / name


def _run(package: str, tests: list[str], expression: str = "test", **variables: str) -> None:
    """Runs pytest on files of the package's own tests."""
    # Tests that their authors mark as flaky, for what they take for granted of timing, have the tries they are given.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests, "-k", expression]
    done = subprocess.run(
        command, cwd=_source(package), env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"pytest ended with {done.returncode}: {done.stdout[-3000:]}{done.stderr[-1000:]}"


def _tox_variables() -> dict[str, str]:
    """What py-amqp and kombu have from their tox and its containers."""
    address = urlsplit(url())
    return {"RABBITMQ_HOST": str(address.hostname), "RABBITMQ_5672_TCP": str(address.port)}


@scenario("py-amqp", limit=120)
def py_amqp() -> None:
    """py-amqp's own tests with RabbitMQ pass; those over TLS need a key that its source leaves out."""
    _run("amqp", ["t/integration/test_rmq.py"], "not tls", **_tox_variables())


@scenario("kombu", limit=180)
def kombu() -> None:
    """kombu's own tests with RabbitMQ over py-amqp pass."""
    _run("kombu", ["t/integration/test_py_amqp.py"], **_tox_variables())


@scenario("rabbitpy", limit=120)
def rabbitpy() -> None:
    """rabbitpy's own tests with RabbitMQ pass."""
    _run("rabbitpy", ["tests/test_integration.py", "tests/integration"], RABBITMQ_URL=url())


@scenario("amqpstorm", limit=180)
def amqpstorm() -> None:
    """amqpstorm's own functional tests pass, but for those that need an HTTP interface and those that go on for long."""
    address = urlsplit(url())
    functional = "amqpstorm/tests/functional"
    files = ["basic", "exchange", "generic", "legacy", "queue", "reliability", "tx"]
    _run(
        "amqpstorm",
        ["-p", "amqpstorm_here", *(f"{functional}/test_{name}.py" for name in files)],
        # What is left out opens connections or sends messages in thousands, each of them with three ways to wait.
        "not loop and not until_empty and not Select and not Poll",
        PYTHONPATH=str(Path(__file__).resolve().parent),
        AMQP_HOST=str(address.hostname),
        AMQP_PORT=str(address.port),
        AMQP_USERNAME=str(address.username),
        AMQP_PASSWORD=str(address.password),
        AMQP_URI=url(),
    )


_GO_CLIENT = Path("/usr/share/gocode/src/github.com/streadway/amqp")


@scenario("go", limit=300)
def go() -> None:
    """The Go client's own tests with RabbitMQ pass; its source comes from Debian, with Go if that is not there."""
    if not _GO_CLIENT.is_dir() or not shutil.which("go"):
        packages = ["golang-go", "golang-github-streadway-amqp-dev"]
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-qq", *command], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as path:
        package = Path(path, "src/github.com/streadway/amqp")
        shutil.copytree(_GO_CLIENT, package)
        variables = {"GOPATH": path, "GOCACHE": f"{path}/cache", "GO111MODULE": "off", "AMQP_URL": url()}
        # Closing from many threads at once is a matter of luck: not once.
        for tests in (["-tags", "integration"], ["-tags", "integration", "-run", "TestConcurrentClose", "-count", "20"]):
            done = subprocess.run(
                ["go", "test", *tests, "."],
                cwd=package, env=os.environ | variables, capture_output=True, text=True, check=False,
            )
            assert done.returncode == 0, f"go test ended with {done.returncode}: {done.stdout[-3000:]}{done.stderr[-1000:]}"
