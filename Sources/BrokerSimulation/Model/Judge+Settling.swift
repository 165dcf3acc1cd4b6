/// What must be true when nothing moves any more.
extension Judge {
    /// What somebody who looks finds in place of a queue.
    package enum Observation {
        case absent
        /// It belongs to another connection.
        case locked
        case present(messages: Int, consumers: Int)
    }

    /// Nothing moves any more, and every client has read everything.
    package func settles() {
        guard self.failure == nil else { return }
        self.note("settled")
        for client in self.clients where client.state != .ended && !client.isSilent {
            guard client.state == .open else {
                return self.fail("c\(client.id) is still \(client.state)")
            }
            for channel in client.orderedChannels where channel.state != .closed {
                self.completeAll(before: .max, on: channel)
                if let open = channel.unconfirmed.keys.min() {
                    self.fail("\(channel.name): publish \(open) is not confirmed")
                }
                channel.globalLimits.removeFirst(channel.globalLimits.count - 1)
            }
        }
        self.resolve()
        self.everythingIsLogged()
        self.forgetMessages()
    }

    /// What was under way has been carried out, or never will be.
    func resolve() {
        self.settleRequests()
        for queue in self.weakened.sorted() {
            for message in self.queues[queue].messages {
                if case .queue = message.copies[queue, default: .init()].place {
                    message.copies[queue, default: .init()].mayBeLost = true
                }
            }
        }
        self.weakened = []
        for queue in self.returning {
            self.queues[queue].mayBeMarkedBefore = self.clock + 1
        }
        self.returning = []
    }

    /// Requests of broken connections have been carried out, or never will be.
    private func settleRequests() {
        for request in self.abandonedRequests {
            switch request {
            case .declareQueue(let queue, _):
                self.queues[queue].openDeclarations -= 1
                self.doubt(self.queues[queue])
            case .declareExchange(let exchange):
                if self.topology.exchanges[exchange].existence == .starting {
                    self.topology.exchanges[exchange].existence = .doubtful
                }
            case .bind(let binding, _):
                self.closeRequest(about: binding, isUnbind: false)
                self.topology.bindings[binding].existence = .doubtful
            case .unbind(let binding):
                self.closeRequest(about: binding, isUnbind: true)
                self.topology.bindings[binding].existence = .doubtful
            default:
                break
            }
        }
        self.abandonedRequests = []
    }

    /// Drops what cannot be seen again, so that later looks are short.
    private func forgetMessages() {
        for queue in self.queues {
            if queue.existence == .gone {
                queue.messages = []
                continue
            }
            queue.messages.removeAll { message in
                if message.isReturned { return true }
                switch message.copies[queue.id]?.place ?? .queue {
                case .queue, .out, .doubtful: return false
                case .settled, .consumed, .purged, .ended: return true
                }
            }
        }
    }

    /// Somebody has looked for a queue while nothing moved.
    package func observes(_ number: Int, _ observation: Observation) {
        guard self.failure == nil else { return }
        let queue = self.queues[number]
        let consumers = self.consumers(of: number)
        switch observation {
        case .absent:
            guard queue.existence != .certain else { return self.fail("\(queue.name) is gone") }
            self.vanish(queue)
        case .locked, .present:
            guard queue.existence != .gone else { return self.fail("\(queue.name) is still there") }
            if let owner = queue.owner, self.clients[owner].state == .ended {
                return self.fail("\(queue.name) outlives its connection")
            }
            if queue.isAutoDelete && queue.hadConsumer && consumers.isEmpty {
                return self.fail("\(queue.name) outlives its last consumer")
            }
            if queue.existence != .certain {
                queue.lastDoubt = self.clock
                queue.existence = .certain
            }
            queue.isLogged = true
        }
        if case .present(let messages, let count) = observation {
            self.checkCounts(queue, messages, count, consumers)
        }
    }

    private func consumers(of queue: Int) -> [(channel: ModelChannel, consumer: ModelConsumer)] {
        self.channels.flatMap { channel in
            channel.consumers.filter { $0.queue == queue && $0.state == .active }.map { (channel, $0) }
        }
    }

    private func checkCounts(
        _ queue: ModelQueue,
        _ ready: Int,
        _ consumerCount: Int,
        _ consumers: [(channel: ModelChannel, consumer: ModelConsumer)]
    ) {
        self.note("\(queue.name) has \(ready) messages and \(consumerCount) consumers")
        if consumerCount != consumers.count {
            self.fail("\(queue.name) has \(consumerCount) consumers, should have \(consumers.count)")
        }
        let must = queue.messages.filter { self.mustBeReady($0, in: queue.id) }
        if ready < must.count {
            let names = must.map { "m\($0.id)" }.joined(separator: " ")
            self.fail("\(queue.name) has \(ready) messages, \(must.count) are missed: \(names)")
        }
        let may = queue.messages.count { self.mayBeReady($0, in: queue.id) }
        if ready > may {
            self.fail("\(queue.name) has \(ready) messages, at most \(may) can be there")
        }
        let withRoom = consumers.filter { self.hasRoom($0.consumer, $0.channel) }
        let mustTake = queue.isSingleActive ? withRoom.count == consumers.count : true
        if ready > 0 && mustTake, let idle = withRoom.first {
            self.fail("\(queue.name) keeps \(ready) messages, but consumer \(idle.consumer.tag) could take one")
        }
    }

    /// Deliveries that clients have not settled, by queue, while nothing moves; nil when a silent client may have more.
    package var openDeliveries: [String: Int]? {
        var open: [String: Int] = [:]
        for channel in self.channels {
            guard !channel.client.isSilent else { return nil }
            for delivery in channel.unacknowledged + channel.transactionSettlements.map(\.delivery) {
                open[ModelQueue.name(delivery.queue), default: 0] += 1
            }
        }
        return open
    }

    private func hasRoom(_ consumer: ModelConsumer, _ channel: ModelChannel) -> Bool {
        let limit = channel.globalLimits.last ?? 0
        return !channel.client.isSilent
            && (consumer.prefetch == 0 || consumer.unacknowledged < consumer.prefetch)
            && (limit == 0 || channel.openDeliveries < limit)
    }

    private func mustBeReady(_ message: ModelMessage, in queue: Int) -> Bool {
        guard message.certainty == .certain, message.must.contains(queue) else { return false }
        guard let copy = message.copies[queue] else { return true }
        if case .queue = copy.place { return !copy.mayBeLost }
        return false
    }

    private func mayBeReady(_ message: ModelMessage, in queue: Int) -> Bool {
        guard message.certainty != .never, !message.isReturned else { return false }
        switch message.copies[queue]?.place ?? .queue {
        case .queue, .doubtful: return true
        case .out(let holder, _): return holder.client.isSilent
        case .settled, .consumed, .purged, .ended: return false
        }
    }

    // MARK: Purging and draining, while nothing else goes on

    /// A queue has been purged while nothing else went on, and had as many messages as `count` says.
    package func purgesQuietly(_ number: Int, count: Int, expected: Int) {
        self.note("\(ModelQueue.name(number)) is purged of \(count) messages")
        if count != expected {
            self.fail("\(ModelQueue.name(number)) was purged of \(count) messages, but had \(expected)")
        }
        // What a transaction has not published yet is not there to be purged.
        for message in self.queues[number].messages where message.certainty != .never {
            switch message.copies[number, default: .init()].place {
            case .queue: message.copies[number, default: .init()].place = .purged
            case .doubtful, .out, .settled, .consumed, .purged, .ended: break
            }
        }
    }

    /// A queue has been deleted while nothing else went on, and had as many messages as `count` says.
    package func deletesQuietly(_ number: Int, count: Int, expected: Int) {
        self.tick()
        self.note("\(ModelQueue.name(number)) is deleted with \(count) messages")
        if count != expected {
            self.fail("\(ModelQueue.name(number)) was deleted with \(count) messages, but had \(expected)")
        }
        self.vanish(self.queues[number])
    }

    /// A queue has been emptied from its head, while nothing else went on; nothing may be missing, in wrong order too.
    package func drains(_ number: Int, _ order: [Int]) {
        guard self.failure == nil else { return }
        let queue = self.queues[number]
        let missing = queue.messages.filter { self.mustBeReady($0, in: number) }
        if !missing.isEmpty {
            self.fail("\(queue.name) has lost \(missing.map { "m\($0.id)" }.joined(separator: " "))")
        }
        var last: [ObjectIdentifier: Int] = [:]
        for id in order {
            let publisher = ObjectIdentifier(self.messages[id].publisher)
            if let before = last[publisher], before > id {
                self.fail("\(queue.name) had m\(id) behind m\(before), which the same channel published later")
            }
            last[publisher] = id
        }
    }
}
