internal import AMQPProtocol

/// Judges what clients see against a small model of a broker.
///
/// It is told what clients send (``sends(_:on:mustFail:)`` and others) and what they receive
/// (``receives(_:client:)``), in the order in which that happens outside of the broker, and finds out for itself what
/// the broker may have done in between:
///
/// 1. What a client has sent counts as done from the client's side; it is *known* to be done when an answer to it, or
///    to something later on its channel, has come.
/// 2. Routing goes through what is certainly there (must) and possibly there (may), over the whole time between
///    sending and knowing.
/// 3. What only may have happened (the connection broke first) is doubtful, and held against nobody.
/// 4. When nothing moves any more (``settles()``) everything sent is done; messages are counted, consumers must have
///    all they can take.
///
/// The first contradiction is kept in ``failure``; nothing is judged after it.
package final class Judge {
    /// Exchanges and bindings.
    package var topology = ModelTopology()
    /// Queues by number.
    package var queues: [ModelQueue] = []
    /// Messages by number.
    package var messages: [ModelMessage] = []
    /// Connections by number.
    package var clients: [ModelClient] = []
    /// The current step of the simulation.
    package var step = 0
    /// Counts what is sent and received, so that it has an order within a step, too.
    package private(set) var clock = 0
    /// What contradicts the model, if anything does.
    package private(set) var failure: String?
    /// What has happened, one line each.
    package private(set) var trace: [String] = []

    /// The message whose publisher was told last that it is on its queues.
    var lastConfirmed: ModelMessage?
    /// Lives of the broker that have ended.
    var era = 0
    /// The log has everything that clients had seen before this time: something sent then was answered from the log.
    var logProof = 0
    /// The broker stops and says so to everybody.
    var isStopping = false
    /// The message that a client took last.
    var lastTaken: Int?
    /// Messages whose routing may still be going on.
    var routing: [ModelMessage] = []
    /// Queues whose messages may get lost, by purging or on the way to a consumer that is going.
    var weakened: Set<Int> = []
    /// Queues to which unseen deliveries may be coming back.
    var returning: Set<Int> = []
    /// Requests about bindings and queues whose connection has broken: done, if at all, before anything settles.
    var abandonedRequests: [Operation] = []
    /// When an exchange last was not certainly there, by ``clock``.
    var exchangeDoubts: [Int: Int] = [:]

    /// Makes the judge of a new broker.
    package init() {}

    /// Something is sent or received.
    func tick() {
        self.clock += 1
    }

    /// Notes what happens.
    package func note(_ line: @autoclosure () -> String) {
        self.trace.append("\(self.step) \(line())")
    }

    /// Notes a contradiction; only the first counts.
    package func fail(_ text: String) {
        guard self.failure == nil else { return }
        self.failure = text
        self.note("FAILED: \(text)")
    }

    /// All channels of all connections that have not ended, in a fixed order.
    var channels: [ModelChannel] {
        self.clients.filter { $0.state != .ended }.flatMap(\.orderedChannels)
    }

    // MARK: Connections

    /// A connection is being opened; its number is returned.
    package func connects() -> ModelClient {
        let client = ModelClient(id: self.clients.count)
        self.clients.append(client)
        self.note("c\(client.id) connects")
        return client
    }

    /// A client has sent `connection.close`.
    package func closes(_ client: ModelClient) {
        self.tick()
        self.note("c\(client.id) > connection.close")
        client.state = .closing
        for channel in client.orderedChannels {
            self.startEnding(channel)
        }
        self.doubtQueues(of: client)
    }

    /// A connection has broken, from whichever side.
    package func loses(_ client: ModelClient) {
        guard client.state != .ended else { return }
        self.tick()
        self.note("c\(client.id) is cut")
        for channel in client.orderedChannels {
            self.startEnding(channel)
            self.abandon(channel)
            self.endChannel(channel)
        }
        self.doubtQueues(of: client)
        client.state = .ended
    }

    /// Exclusive queues go with their connection.
    private func doubtQueues(of client: ModelClient) {
        for queue in self.queues where queue.owner == client.id {
            self.doubt(queue)
        }
    }

    // MARK: Receiving

    /// A client has received something.
    package func receives(_ received: SimulatedClient.Received, client: ModelClient) {
        guard self.failure == nil else { return }
        self.tick()
        switch received {
        case .heartbeat:
            break
        case .protocolHeader:
            self.fail("c\(client.id) got a protocol header")
        case .method(let number, let method):
            if number == 0 {
                self.receiveOnConnection(method, client)
            } else {
                self.withChannel(number, client, method) { self.receives(method, on: $0) }
            }
        case .content(let number, let method, let properties, let body):
            self.withChannel(number, client, method) { channel in
                self.receivesContent(method, properties, body, on: channel)
            }
        }
    }

    private func withChannel(
        _ number: UInt16,
        _ client: ModelClient,
        _ method: Method,
        _ body: (ModelChannel) -> Void
    ) {
        guard let channel = client.channels[number], channel.state != .closed else {
            self.fail("c\(client.id).\(number) got \(method.id.name), but the channel is not open")
            return
        }
        body(channel)
    }

    private func receiveOnConnection(_ method: Method, _ client: ModelClient) {
        switch method {
        case .connectionStart, .connectionTune:
            break
        case .connectionOpenOk:
            self.note("c\(client.id) < open-ok")
            guard client.state == .connecting else { return self.fail("c\(client.id) is opened twice") }
            client.state = .open
        case .connectionCloseOk:
            self.note("c\(client.id) < close-ok")
            guard client.state == .closing else { return self.fail("c\(client.id) is closed without asking") }
            for channel in client.orderedChannels {
                self.finish(channel)
            }
            for queue in self.queues where queue.owner == client.id {
                self.vanish(queue)
            }
            client.state = .ended
        case .connectionClose(let close)
        where self.isStopping && close.replyCode == ReplyCode.connectionForced.rawValue:
            self.note("c\(client.id) < connection.close")
            self.loses(client)
        default:
            self.fail("c\(client.id) got \(method.id.name): \(method)")
        }
    }

    // MARK: Existence

    /// Something may be taking a queue away.
    func doubt(_ queue: ModelQueue) {
        guard queue.existence == .certain || queue.existence == .starting else { return }
        queue.existence = .doubtful
        queue.lastDoubt = self.clock
        self.topologyChanged()
    }

    /// A queue is gone.
    func vanish(_ queue: ModelQueue) {
        guard queue.existence != .gone else { return }
        queue.existence = .gone
        self.topologyChanged()
    }

    /// Routes what is being routed once more, now that something has changed.
    func topologyChanged() {
        while self.doubtAutoDeleteExchange() {}
        for message in self.routing {
            self.route(message, isFirst: false)
        }
    }

    /// Works out where a message must and may go at this moment.
    func route(_ message: ModelMessage, isFirst: Bool) {
        let certain = self.targets(of: message) { $0 == .certain }
        let possible = self.targets(of: message, isThere: \.isPossible)
        if isFirst {
            message.must = certain
        } else {
            message.must.formIntersection(certain)
        }
        for queue in possible.sorted() where message.may.insert(queue).inserted {
            self.queues[queue].messages.append(message)
        }
    }

    private func targets(of message: ModelMessage, isThere: (Existence) -> Bool) -> Set<Int> {
        let found: Set<Int>
        if let exchange = message.exchange {
            found = self.topology.route(
                from: exchange,
                keys: message.keys,
                headers: message.headers,
                isThere: isThere
            )
        } else {
            let names = Set(message.keys)
            found = Set(self.queues.indices.filter { names.contains(ModelQueue.name($0)) })
        }
        return found.filter { isThere(self.queues[$0].existence) }
    }

    /// Whether an exchange has certainly been there since a time.
    func wasCertain(exchange: Int?, since time: Int) -> Bool {
        guard let exchange else { return true }
        return self.topology.exchanges[exchange].existence == .certain
            && self.exchangeDoubts[exchange, default: -1] < time
    }

    /// Whether a queue has certainly been there since a time.
    func wasCertain(queue: Int, since time: Int) -> Bool {
        let queue = self.queues[queue]
        return queue.existence == .certain && queue.lastDoubt < time && !self.mayLoseConsumer(queue)
    }

    /// Whether a consumer of an auto-delete queue may be gone without its client knowing yet.
    private func mayLoseConsumer(_ queue: ModelQueue) -> Bool {
        queue.isAutoDelete
            && self.channels.contains { channel in
                channel.consumers.contains { $0.queue == queue.id && $0.state != .ended }
                    && channel.pending.contains { $0.mustFail || $0.operation.isRefusable }
            }
    }
}
