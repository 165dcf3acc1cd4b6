// Counts what a message costs in the core: heap allocations, retains, releases. Counts repeat exactly where seconds do
// not, so that CI can hold us to them. Run as: swift run -c release AllocationBudgets

import AMQPProtocol
import BrokerCore
import CAllocationCounter
import Glibc

/// A workload, the messages (or deliveries) it handles, and what each may cost.
struct Budget {
    var name: String
    var messages: Int
    var allocations: Double
    var retains: Double
    var run: () -> Void
}

let batch = 2000
let rounds = 100

/// A publisher, `queues` queues bound to `exchange` if that is not the default one, and a consumer of all of them.
func makeScene(
    queues: Int,
    exchange: ShortString,
    consume: BasicConsume,
    prefetch: UInt16
) -> (Bench, ConnectionID, ConnectionID) {
    let bench = Bench()
    let publisher = bench.connect()
    let consumer = bench.connect()
    if prefetch > 0 {
        bench.send(Bench.frame(BasicQos(prefetchCount: prefetch), channel: 1), on: consumer)
    }
    if !exchange.isEmpty {
        bench.send(Bench.frame(ExchangeDeclare(exchange: exchange, type: "fanout"), channel: 1), on: publisher)
    }
    for number in 0..<queues {
        let name = ShortString(truncating: "queue-\(number)")
        bench.send(Bench.frame(QueueDeclare(queue: name), channel: 1), on: publisher)
        if !exchange.isEmpty {
            bench.send(Bench.frame(QueueBind(queue: name, exchange: exchange), channel: 1), on: publisher)
        }
        var consume = consume
        consume.queue = name
        consume.consumerTag = ShortString(truncating: "consumer-\(number)")
        bench.send(Bench.frame(consume, channel: 1), on: consumer)
    }
    return (bench, publisher, consumer)
}

/// Publishes of a read.
func publishes(exchange: ShortString, routingKey: ShortString, count: Int) -> [UInt8] {
    let one = Bench.publish(exchange: exchange, routingKey: routingKey, bodySize: 16)
    return (0..<count).flatMap { _ in one }
}

func automaticAck() -> Budget {
    let (bench, publisher, _) = makeScene(queues: 1, exchange: "", consume: BasicConsume(noAck: true), prefetch: 0)
    let bytes = publishes(exchange: "", routingKey: "queue-0", count: batch)
    return Budget(name: "16 B, automatic ack", messages: batch * rounds, allocations: 0.02, retains: 0.2) {
        for _ in 0..<rounds { bench.send(bytes, on: publisher) }
    }
}

func confirmed() -> Budget {
    let (bench, publisher, _) = makeScene(queues: 1, exchange: "", consume: BasicConsume(noAck: true), prefetch: 0)
    bench.send(Bench.frame(ConfirmSelect(), channel: 1), on: publisher)
    let bytes = publishes(exchange: "", routingKey: "queue-0", count: batch)
    return Budget(name: "16 B, confirms", messages: batch * rounds, allocations: 0.02, retains: 0.2) {
        for _ in 0..<rounds { bench.send(bytes, on: publisher) }
    }
}

func acknowledged(every: Int, name: String, retains: Double) -> Budget {
    let (bench, publisher, consumer) = makeScene(queues: 1, exchange: "", consume: BasicConsume(), prefetch: 0)
    let bytes = publishes(exchange: "", routingKey: "queue-0", count: batch)
    var tag: UInt64 = 0
    var acks: [[UInt8]] = []
    for _ in 0...rounds {
        var bytes: [UInt8] = []
        for _ in 0..<batch / every {
            tag += UInt64(every)
            bytes += Bench.frame(BasicAck(deliveryTag: tag, multiple: every > 1), channel: 1)
        }
        acks.append(bytes)
    }
    var next = 0
    return Budget(name: name, messages: batch * rounds, allocations: 0.02, retains: retains) {
        let isWarmUp = next == 0
        for _ in 0..<(isWarmUp ? 1 : rounds) {
            bench.send(bytes, on: publisher)
            bench.send(acks[next], on: consumer)
            next += 1
        }
    }
}

func fanout(_ queues: Int) -> Budget {
    let (bench, publisher, _) = makeScene(
        queues: queues,
        exchange: "fan",
        consume: BasicConsume(noAck: true),
        prefetch: 0
    )
    let bytes = publishes(exchange: "fan", routingKey: "", count: batch / queues)
    return Budget(
        name: "16 B, fanout to \(queues), per delivery",
        messages: batch / queues * queues * rounds,
        allocations: 0.02,
        retains: 0.2
    ) {
        for _ in 0..<rounds { bench.send(bytes, on: publisher) }
    }
}

/// 100,000 messages of ten priorities that pile up and are consumed then; the queue tells the priorities apart or not.
func backlog(hasPriorities: Bool) -> Budget {
    let count = 100_000
    let bench = Bench()
    let publisher = bench.connect()
    let consumer = bench.connect()
    let arguments: FieldTable = hasPriorities ? ["x-max-priority": .int32(9)] : .empty
    bench.send(Bench.frame(QueueDeclare(queue: "backlog", arguments: arguments), channel: 1), on: publisher)
    // In no order, and the same each time.
    let reads = (0..<count / batch).map { read in
        (0..<batch).flatMap { number in
            Bench.publish(routingKey: "backlog", priority: UInt8((read &* 7 &+ number &* 13) % 10))
        }
    }
    let start = Bench.frame(BasicConsume(queue: "backlog", consumerTag: "c", noAck: true), channel: 1)
    let end = Bench.frame(BasicCancel(consumerTag: "c"), channel: 1)
    return Budget(
        name: "16 B, backlog of 100,000 at ten priorities, \(hasPriorities ? "told apart" : "plain")",
        messages: count * 2,
        allocations: 0.05,
        retains: 0.5
    ) {
        for _ in 0..<2 {
            for bytes in reads { bench.send(bytes, on: publisher) }
            bench.send(start, on: consumer)
            bench.send(end, on: consumer)
        }
    }
}

let budgets = [
    automaticAck(),
    confirmed(),
    acknowledged(every: 50, name: "16 B, ack multiple of 50", retains: 0.2),
    acknowledged(every: 1, name: "16 B, ack each", retains: 0.2),
    fanout(10),
    backlog(hasPriorities: false),
    backlog(hasPriorities: true),
]
// One workload alone, without counting, for callgrind and perf: `AllocationBudgets --only N`.
if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "--only", let index = Int(CommandLine.arguments[2]),
    budgets.indices.contains(index)
{
    budgets[index].run()
    let clock = ContinuousClock()
    let elapsed = clock.measure { budgets[index].run() }
    let nanoseconds = Double(elapsed.components.attoseconds) / 1e9 + Double(elapsed.components.seconds) * 1e9
    print("\(budgets[index].name): \(nanoseconds / Double(budgets[index].messages)) ns a message")
    exit(0)
}
var failed = 0
for budget in budgets {
    budget.run()
    martlet_counters_start()
    budget.run()
    martlet_counters_stop()
    let count = Double(budget.messages)
    let allocations = Double(martlet_counted_allocations()) / count
    let retains = Double(martlet_counted_retains()) / count
    let releases = Double(martlet_counted_releases()) / count
    let isOver = allocations > budget.allocations || retains > budget.retains || releases > budget.retains
    failed += isOver ? 1 : 0
    print(
        "\(budget.name): \(allocations) allocations, \(retains) retains, \(releases) releases a message"
            + (isOver ? " OVER BUDGET (\(budget.allocations), \(budget.retains))" : "")
    )
}
print("\(budgets.count - failed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
