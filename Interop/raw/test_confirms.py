"""Behaviours 152-165: confirms and transactions."""

from amqp import equal, true
from checks import behaviour


def confirmed(ch, count, nacks=0):
    """Takes confirms until `count` tags are settled; answers (acked, nacked) as sorted lists."""
    open_tags, settled = set(range(1, count + 1)), {"basic.ack": [], "basic.nack": []}
    while open_tags:
        event = ch.expect("basic.ack", "basic.nack")
        tags = [tag for tag in open_tags if tag <= event.delivery_tag] if event.multiple else [event.delivery_tag]
        true(tags and open_tags.issuperset(tags), f"{event!r} confirms what was not open")
        open_tags.difference_update(tags)
        settled[event.name] += tags
    return sorted(settled["basic.ack"]), sorted(settled["basic.nack"])


def confirming(t):
    """A channel in confirm mode."""
    ch = t.channel()
    ch.rpc("confirm.select")
    return ch


@behaviour(152, 153)
def confirms_count_from_select_on(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.publish(b"before", key=queue)
    ch.barrier()
    ch.rpc("confirm.select")
    ch.quiet(0.1)
    for _ in range(100):
        ch.publish(b"x", key=queue)
    equal(confirmed(ch, 100), (list(range(1, 101)), []))
    ch.rpc("confirm.select")
    ch.send("confirm.select", nowait=True)
    ch.publish(b"x", key=queue)
    equal(ch.expect("basic.ack").delivery_tag, 101, "selecting again changes nothing")
    ch.barrier()


@behaviour(152)
def confirms_start_over_on_a_new_channel(t):
    ch = confirming(t)
    ch.publish(b"x", key="raw.nowhere")
    equal(ch.expect("basic.ack").delivery_tag, 1)
    ch.close()
    ch.rpc("channel.open")
    ch.publish(b"not confirmed", key="raw.nowhere")
    ch.barrier()
    ch.rpc("confirm.select")
    ch.publish(b"x", key="raw.nowhere")
    equal(ch.expect("basic.ack").delivery_tag, 1)


@behaviour(154)
def without_a_route_there_is_an_ack(t):
    ch = confirming(t)
    exchange = t.exchange(ch)
    ch.publish(b"dropped", exchange=exchange, key="k")
    equal(ch.expect("basic.ack").delivery_tag, 1)
    ch.publish(b"back", exchange=exchange, key="k", mandatory=True)
    equal(ch.expect("basic.return").body, b"back")
    equal(ch.expect("basic.ack").delivery_tag, 2)


@behaviour(153)
def persistent_messages_are_confirmed(t):
    ch = confirming(t)
    queue = t.queue(ch, durable=True)
    for _ in range(50):
        ch.publish(b"x", key=queue, delivery_mode=2)
    equal(confirmed(ch, 50), (list(range(1, 51)), []))
    t.counts(ch, queue, 50)


@behaviour(155)
def a_full_queue_that_rejects_means_nack(t):
    ch = confirming(t)
    full = t.queue(ch, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    exchange, other = t.exchange(ch, "fanout"), t.queue(ch)
    ch.publish(b"1", key=full)
    ch.expect("basic.ack")
    ch.publish(b"2", key=full)
    equal(ch.expect("basic.nack").delivery_tag, 2)
    ch.bind(full, exchange)
    ch.bind(other, exchange)
    ch.publish(b"3", exchange=exchange)
    equal(ch.expect("basic.nack").delivery_tag, 3, "when only one of several rejects")
    equal((ch.drain(full), ch.drain(other)), ([b"1"], [b"3"]))


@behaviour(156)
def expired_and_dropped_messages_are_acked(t):
    ch = confirming(t)
    short = t.queue(ch, arguments={"x-max-length": 1}, durable=True)
    for _ in range(5):
        ch.publish(b"x", key=short, delivery_mode=2)
    equal(confirmed(ch, 5), ([1, 2, 3, 4, 5], []))
    expiring = t.queue(ch, arguments={"x-message-ttl": 0}, durable=True)
    ch.publish(b"x", key=expiring, delivery_mode=2)
    equal(ch.expect("basic.ack").delivery_tag, 6)


@behaviour(156)
def messages_removed_with_their_queue_are_acked(t):
    ch = confirming(t)
    queue = t.queue(ch, durable=True)
    for _ in range(20):
        ch.publish(b"x", key=queue, delivery_mode=2)
    t.channel().rpc("queue.delete", queue=queue)
    equal(confirmed(ch, 20), (list(range(1, 21)), []))


@behaviour(157)
def no_exchange_means_no_confirm(t):
    ch = confirming(t)
    ch.publish(b"x", exchange="raw.nothing")
    ch.expect_close(404, "basic.publish", "no exchange 'raw.nothing' in vhost '/'")
    ch.rpc("channel.open")
    ch.quiet(0.1)


@behaviour(158)
def confirm_and_tx_exclude_each_other(t):
    ch = confirming(t)
    ch.refused(406, "tx.select", "cannot switch from confirm to tx mode")
    ch.rpc("tx.select")
    ch.refused(406, "confirm.select", "cannot switch from tx to confirm mode")
    ch.rpc("tx.select")
    ch.refused(406, "confirm.select", "cannot switch from tx to confirm mode", nowait=True)


@behaviour(159)
def commit_without_select(t):
    ch = t.channel()
    ch.refused(406, "tx.commit", "channel is not transactional")
    ch.refused(406, "tx.rollback", "channel is not transactional")
    ch.rpc("tx.select")
    ch.rpc("tx.select")
    ch.rpc("tx.commit")
    ch.rpc("tx.rollback")


@behaviour(160)
def publishes_wait_for_commit(t):
    ch = t.channel()
    other = ch.connection.channel()
    queue = t.queue(ch)
    ch.rpc("tx.select")
    for body in (b"1", b"2"):
        ch.publish(body, key=queue)
    ch.publish(b"back", key="raw.nowhere", mandatory=True)
    ch.barrier()
    equal(other.drain(queue), [])
    ch.send("tx.commit")
    equal(ch.expect("basic.return").body, b"back")
    ch.expect("tx.commit-ok")
    equal(other.drain(queue), [b"1", b"2"])


@behaviour(160)
def acknowledgements_wait_for_commit(t):
    ch = t.channel()
    watcher = t.channel()
    queue = t.queue(ch)
    for body in (b"1", b"2", b"3", b"4"):
        ch.publish(body, key=queue)
    ch.barrier()
    ch.rpc("tx.select")
    for _ in range(4):
        ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=1)
    ch.send("basic.reject", delivery_tag=2, requeue=True)
    ch.send("basic.nack", delivery_tag=3)
    ch.barrier()
    equal(watcher.drain(queue), [])
    ch.rpc("tx.commit")
    t.counts(watcher, queue, 1)
    ch.connection.drop()
    t.counts(watcher, queue, 2)
    equal(watcher.drain(queue), [b"2", b"4"])


@behaviour(161)
def rollback(t):
    ch = t.channel()
    other = ch.connection.channel()
    queue = t.queue(ch)
    ch.publish(b"1", key=queue)
    ch.publish(b"2", key=queue)
    ch.barrier()
    ch.rpc("tx.select")
    for _ in range(2):
        ch.get(queue, no_ack=False)
    ch.publish(b"never", key=queue)
    ch.send("basic.ack", delivery_tag=2, multiple=True)
    ch.rpc("tx.rollback")
    ch.quiet(0.1)
    equal(other.drain(queue), [])
    ch.send("basic.ack", delivery_tag=1)
    ch.send("basic.nack", delivery_tag=2, requeue=True)
    ch.rpc("tx.commit")
    equal(other.drain(queue), [b"2"])


@behaviour(162)
def refusals_come_at_once(t):
    ch = t.channel()
    ch.rpc("tx.select")
    ch.publish(b"x", exchange="raw.nothing")
    ch.expect_close(404, "basic.publish", "no exchange 'raw.nothing' in vhost '/'")
    ch.rpc("channel.open")
    ch.rpc("tx.select")
    ch.refused(406, "basic.ack", "unknown delivery tag 5", delivery_tag=5)


@behaviour(162)
def an_ack_twice_in_a_transaction(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.publish(b"x", key=queue)
    ch.barrier()
    ch.rpc("tx.select")
    ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=1)
    ch.refused(406, "basic.ack", "unknown delivery tag 1", delivery_tag=1)
    equal(ch.drain(queue), [b"x"])


@behaviour(163)
def closing_the_channel_rolls_back(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.publish(b"1", key=queue)
    ch.barrier()
    ch.rpc("tx.select")
    ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=1)
    ch.publish(b"never", key=queue)
    ch.close()
    ch.rpc("channel.open")
    equal(ch.drain(queue), [b"1"])


@behaviour(164)
def a_queue_that_rejects_at_commit(t):
    ch = t.channel()
    full = t.queue(ch, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    ch.rpc("tx.select")
    ch.publish(b"1", key=full)
    ch.rpc("tx.commit")
    ch.publish(b"2", key=full)
    ch.refused(406, "tx.commit", "partial tx completion")


@behaviour(165)
def declaring_and_binding_are_not_part(t):
    ch = t.channel()
    other = ch.connection.channel()
    exchange, queue = t.exchange(ch), t.queue(ch)
    ch.rpc("tx.select")
    made = t.queue(ch)
    ch.bind(queue, exchange, "k")
    ch.rpc("tx.rollback")
    other.publish(b"x", exchange=exchange, key="k")
    equal(other.drain(queue), [b"x"])
    true(t.has_queue(ch.connection, made), "declared in a transaction that was rolled back")
