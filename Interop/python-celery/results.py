"""Tasks and their results, which come back over rpc://: a queue of the asking program."""

from celery import chain, group
from scenarios import scenario
from support import fresh_tasks, worker


@scenario("task and result")
def task_and_result() -> None:
    """A task runs in a worker process and its result comes back; so does the exception of one that fails."""
    tasks = fresh_tasks()
    with worker(tasks):
        result = tasks.add.delay(2, 3)
        assert result.get(timeout=10) == 5
        assert result.successful()
        try:
            tasks.fail.delay("no way").get(timeout=10)
        except ValueError as error:
            assert str(error) == "no way"
        else:
            raise AssertionError("no exception")


@scenario("large arguments and results")
def large() -> None:
    """A task's argument and result of 2 MB come over whole."""
    tasks = fresh_tasks()
    value = {"text": "ü" * 1_000_000, "list": list(range(1000)), "nothing": None}
    with worker(tasks):
        assert tasks.echo.delay(value).get(timeout=20) == value


@scenario("group")
def tasks_in_a_group() -> None:
    """Fifty tasks sent together are each done once, and their results are collected in order."""
    tasks = fresh_tasks()
    with worker(tasks):
        result = group(tasks.add.s(number, number) for number in range(50)).apply_async()
        assert result.get(timeout=20) == [2 * number for number in range(50)]


@scenario("chain")
def tasks_in_a_chain() -> None:
    """Each task of a chain gets the result of the one before it."""
    tasks = fresh_tasks()
    with worker(tasks):
        assert chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.add.s(4)).apply_async().get(timeout=10) == 10


@scenario("prefork pool")
def prefork() -> None:
    """A worker with two pool processes, with gossip, mingle and heartbeats as by default, does a group of tasks."""
    tasks = fresh_tasks()
    with worker(tasks, "--pool=prefork", "--concurrency=2"):
        result = group(tasks.add.s(number, 1) for number in range(20)).apply_async()
        assert result.get(timeout=20) == [number + 1 for number in range(20)]


@scenario("retry with countdown")
def retry() -> None:
    """A task that asks to be tried again in a moment is, as often as it asks, and then has its result."""
    tasks = fresh_tasks()
    with worker(tasks):
        assert tasks.third_time_lucky.delay().get(timeout=20) == 2


@scenario("more tasks in the future than the prefetch")
def eta() -> None:
    """Tasks that wait for their time do not stop the worker: its prefetch, raised while it consumes, lets others by."""
    tasks = fresh_tasks()
    with worker(tasks, "--concurrency=1", "--prefetch-multiplier=4"):
        later = [tasks.add.apply_async((1, 1), countdown=60) for _ in range(10)]
        assert tasks.add.delay(2, 2).get(timeout=5) == 4
        for result in later:
            result.revoke()
