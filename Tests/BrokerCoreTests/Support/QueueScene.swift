import AMQPProtocol
import BrokerCore
import BrokerSimulation

/// A broker with clients, for tests of what queues do by themselves.
struct QueueScene {
    let broker: SimulatedBroker
    let client: SimulatedClient

    /// Starts a broker; with a log if `isDurable`.
    init(shards: Int = 1, isDurable: Bool = false) {
        var settings = BrokerSettings()
        settings.isDurable = isDurable
        self.init(SimulatedBroker(shardCount: shards, settings: settings))
    }

    init(_ broker: SimulatedBroker) {
        self.broker = broker
        self.client = SimulatedClient(broker).open()
    }

    /// Another process with the same log, `milliseconds` later by the time of day.
    func restarted(shards: Int = 1, afterMilliseconds milliseconds: UInt64 = 0) throws -> QueueScene {
        var settings = BrokerSettings()
        settings.isDurable = true
        let next = SimulatedBroker(shardCount: shards, settings: settings)
        let passed = (self.broker.now.nanoseconds - 1_000_000_000) / 1_000_000
        next.setWallClock(epochMilliseconds: SimulatedBroker.startOfTime + passed + milliseconds)
        try next.restore(self.broker.durableRecords)
        return QueueScene(next)
    }

    /// Declares a queue; answers the lines that came.
    @discardableResult
    func declare(_ name: ShortString, durable: Bool = false, _ arguments: FieldTable = [:]) -> [String] {
        self.client.call(QueueDeclare(queue: name, durable: durable, arguments: arguments)).lines
    }

    /// Declares `dead`, bound to the fanout `dlx`, and `q`, whose dead letters go there.
    func declareDeadLetters(durable: Bool = false, _ arguments: [(ShortString, FieldValue)] = []) {
        self.client.call(ExchangeDeclare(exchange: "dlx", type: "fanout", durable: durable))
        self.declare("dead", durable: durable)
        self.client.call(QueueBind(queue: "dead", exchange: "dlx"))
        self.declare("q", durable: durable, FieldTable([("x-dead-letter-exchange", .text("dlx"))] + arguments))
    }

    /// Publishes bodies one by one.
    func publish(
        _ bodies: String...,
        to queue: ShortString = "q",
        exchange: ShortString = "",
        expiration: ShortString? = nil,
        persistent: Bool = false,
        headers: FieldTable? = nil
    ) {
        for body in bodies {
            let properties = BasicProperties(
                headers: headers,
                deliveryMode: persistent ? 2 : nil,
                expiration: expiration
            )
            self.client.publish(exchange: exchange, routingKey: queue, properties: properties, body: Array(body.utf8))
        }
        self.client.receive()
    }

    /// Ready messages and consumers, as a passive declare tells them; nil when the queue is gone.
    func counts(_ queue: ShortString) -> String? {
        let other = SimulatedClient(self.broker).open()
        let line = other.call(QueueDeclare(queue: queue, passive: true)).lines.last
        other.disconnect()
        self.broker.run()
        guard let line, let range = line.firstRange(of: "declare-ok ") else { return nil }
        return String(line[range.upperBound...])
    }

    /// Takes a message out.
    func get(_ queue: ShortString, noAck: Bool = true) -> SimulatedClient.Received? {
        let received = self.client.call(BasicGet(queue: queue, noAck: noAck)).last
        guard case .content = received else { return nil }
        return received
    }

    /// The bodies of all ready messages, which are taken out.
    func drain(_ queue: ShortString) -> [String] {
        var bodies: [String] = []
        while let text = self.get(queue)?.text {
            bodies.append(text)
        }
        return bodies
    }

    /// Takes a message and rejects it.
    func reject(_ queue: ShortString) {
        guard case .content(_, .basicGetOk(let ok), _, _)? = self.get(queue, noAck: false) else { return }
        self.client.call(BasicReject(deliveryTag: ok.deliveryTag, requeue: false))
    }

    func advance(_ milliseconds: UInt64) {
        self.broker.advance(milliseconds: milliseconds)
    }
}

extension SimulatedClient.Received {
    /// Properties of what has some.
    var properties: BasicProperties? {
        if case .content(_, _, let properties, _) = self { return properties }
        return nil
    }

    /// `queue reason count` of each entry of `x-death`.
    var deaths: [String] {
        guard case .array(let entries)? = self.properties?.headers?["x-death"] else { return [] }
        return entries.map { entry in
            guard case .table(let table) = entry else { return "?" }
            func text(_ key: ShortString) -> String {
                table[key]?.stringValue.map { String(decoding: $0, as: UTF8.self) } ?? "?"
            }
            return "\(text("queue")) \(text("reason")) \(table["count"]?.integerValue ?? 0)"
        }
    }
}
