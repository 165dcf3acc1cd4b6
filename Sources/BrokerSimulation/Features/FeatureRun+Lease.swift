internal import AMQPProtocol
internal import BrokerCore

/// A queue that goes when nobody has used it for a while.
///
/// It is declared, filled and looked for by the observer only, at times when nothing else moves: so it is known to the
/// millisecond whether it is there. What is in it when it goes makes no dead letters.
struct FeatureLease {
    /// How long it stays unused.
    var milliseconds: UInt64 = 0
    /// When it was last used.
    var lastUse: UInt64 = 0
    /// It has been declared.
    var isDeclared = false
    /// Its time was over when the broker ended, which may not have been in the log.
    var isDoubtful = false

    static let name: ShortString = "lease"
    static let deadName: ShortString = "lease-dead"
}

extension FeatureRun {
    /// Looks for the queue, which renews its time, and declares it anew if it has gone.
    func checkLease() {
        guard self.judge.failure == nil else { return }
        if self.lease.isDeclared {
            let isThere = self.observesLease(FeatureLease.name) != nil
            let mustBeThere = self.judge.now < self.lease.lastUse + self.lease.milliseconds
            self.judge.note("the lease is \(isThere ? "there" : "over")")
            if isThere != mustBeThere && !self.lease.isDoubtful {
                let end = self.lease.lastUse + self.lease.milliseconds
                return self.judge.fail("the lease ends at \(end), and the queue is \(isThere ? "still there" : "gone")")
            }
            self.lease.isDeclared = isThere
            self.lease.isDoubtful = false
        }
        if !self.lease.isDeclared {
            self.lease.milliseconds = UInt64(100 + self.random.below(8000))
            self.declareLease()
        }
        self.lease.lastUse = self.judge.now
        if let letters = self.observesLease(FeatureLease.deadName), letters > 0 {
            self.judge.fail("the lease's messages have become \(letters) dead letters")
        }
    }

    /// The broker has ended, and another one is there: a restart is a use.
    func leaseSurvives() {
        guard self.lease.isDeclared else { return }
        if self.judge.now >= self.lease.lastUse + self.lease.milliseconds { self.lease.isDoubtful = true }
        self.lease.lastUse = self.judge.now
    }

    private func declareLease() {
        let client = SimulatedClient(self.broker, shard: self.random.below(self.broker.shards.count)).open()
        client.send(QueueDeclare(queue: FeatureLease.deadName, durable: true))
        client.send(
            QueueDeclare(
                queue: FeatureLease.name,
                durable: true,
                arguments: FieldTable([
                    ("x-expires", .int64(Int64(self.lease.milliseconds))),
                    ("x-dead-letter-exchange", .string("")),
                    ("x-dead-letter-routing-key", .longString(FeatureLease.deadName.bytes)),
                ])
            )
        )
        for _ in 0..<self.random.below(3) {
            client.publish(
                routingKey: FeatureLease.name,
                properties: BasicProperties(deliveryMode: 2),
                body: [UInt8](repeating: 7, count: 20)
            )
        }
        for case .method(_, .channelClose(let close)) in client.receive() {
            self.judge.fail("declaring the lease: \(close.replyText)")
        }
        client.disconnect()
        self.settle()
        self.lease.isDeclared = true
    }

    /// The number of messages of a queue, or nil when it is not there.
    private func observesLease(_ name: ShortString) -> Int? {
        let client = SimulatedClient(self.broker, shard: self.random.below(self.broker.shards.count)).open()
        defer {
            client.disconnect()
            self.settle()
        }
        switch client.call(QueueDeclare(queue: name, passive: true)).first {
        case .method(_, .queueDeclareOk(let ok))?: return Int(ok.messageCount)
        case .method(_, .channelClose)?: return nil
        case let other:
            self.judge.fail("the lease's observer got \(String(describing: other))")
            return nil
        }
    }

    /// It is deleted like every other queue at the end.
    func deleteLease() {
        let client = SimulatedClient(self.broker, shard: 0).open()
        client.call(QueueDelete(queue: FeatureLease.name))
        client.call(QueueDelete(queue: FeatureLease.deadName))
        client.disconnect()
        self.broker.run()
    }
}
