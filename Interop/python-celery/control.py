"""Remote control and events: what `celery inspect` and Flower use."""

import threading

from scenarios import eventually, scenario, unique
from support import fresh_tasks, worker


@scenario("ping and inspect")
def inspect() -> None:
    """Workers answer ping, stats, registered tasks, active queues and scheduled tasks over pidbox."""
    tasks = fresh_tasks()
    with worker(tasks) as first, worker(tasks) as second:
        names = {first.name, second.name}
        answers = tasks.app.control.ping(timeout=5, limit=2)
        assert {name for answer in answers for name in answer} == names
        inspector = tasks.app.control.inspect(list(names), timeout=5, limit=2)
        assert inspector.stats().keys() == names
        for known in inspector.registered().values():
            assert "tasks.add" in known
        for queues in inspector.active_queues().values():
            assert [queue["name"] for queue in queues] == [tasks.app.conf.task_default_queue]
        result = tasks.add.apply_async((1, 1), countdown=60)
        eventually(lambda: result.id in str(inspector.scheduled()))


@scenario("queues added and left at run time")
def add_and_cancel_consumer() -> None:
    """A worker told to consume from one more queue does, and stops when it is told to."""
    tasks = fresh_tasks()
    extra = unique("extra")
    with worker(tasks) as running:
        tasks.app.control.add_consumer(extra, destination=[running.name], reply=True, timeout=5)
        result = tasks.add.apply_async((3, 4), queue=extra)
        assert result.get(timeout=10) == 7
        tasks.app.control.cancel_consumer(extra, destination=[running.name], reply=True, timeout=5)
        with tasks.app.connection_for_read() as connection:
            state = connection.default_channel.queue_declare(extra, passive=True)
            assert state.consumer_count == 0
            connection.default_channel.queue_delete(extra)


@scenario("revoke")
def revoke() -> None:
    """A task that is revoked before its time is not run."""
    tasks = fresh_tasks()
    with worker(tasks) as running:
        result = tasks.add.apply_async((1, 1), countdown=1)
        tasks.app.control.revoke(result.id, destination=[running.name], reply=True, timeout=5)
        try:
            result.get(timeout=10)
        except Exception as error:
            assert type(error).__name__ == "TaskRevokedError", error
        else:
            raise AssertionError("it ran")


@scenario("shutdown by remote control")
def shutdown() -> None:
    """A worker that is told to shut down ends with 0."""
    tasks = fresh_tasks()
    with worker(tasks) as running:
        tasks.app.control.shutdown(destination=[running.name])
        assert running.process.wait(20) == 0


@scenario("events")
def events() -> None:
    """A monitor sees a task being received, started and done, and the worker's heartbeats."""
    tasks = fresh_tasks()
    seen: dict[str, list[str]] = {}
    listening, stop = threading.Event(), threading.Event()

    def listen() -> None:
        with tasks.app.connection_for_read() as connection:

            def on_event(event: dict) -> None:
                seen.setdefault(event.get("uuid", "worker"), []).append(event["type"])

            receiver = tasks.app.events.Receiver(connection, handlers={"*": on_event})
            with receiver.consumer_context() as (connection, _, _):
                listening.set()
                while not stop.is_set():
                    try:
                        connection.drain_events(timeout=0.1)
                    except TimeoutError:
                        pass

    monitor = threading.Thread(target=listen)
    monitor.start()
    assert listening.wait(10)
    with worker(tasks, "--task-events", "--heartbeat-interval=1"):
        result = tasks.add.delay(1, 2)
        assert result.get(timeout=10) == 3
        eventually(lambda: seen.get(result.id) == ["task-received", "task-started", "task-succeeded"])
        eventually(lambda: "worker-heartbeat" in seen.get("worker", []))
    eventually(lambda: "worker-offline" in seen["worker"])
    stop.set()
    monitor.join(10)
