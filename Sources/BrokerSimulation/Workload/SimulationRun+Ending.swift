internal import AMQPProtocol
internal import BrokerCore

/// The end of a run: nothing may be left.
extension SimulationRun {
    /// All connections end, every queue is emptied, nothing may be left.
    func finish() {
        guard self.judge.failure == nil else { return }
        if !self.plan.faults.isEmpty && self.random.oneIn(2) {
            self.suffer()
        }
        self.look()
        self.compareLog()
        guard !self.random.oneIn(5) else { return self.stop() }
        for actor in self.actors where actor.model.state == .open {
            if self.random.oneIn(2) {
                actor.cut()
            } else {
                actor.close()
            }
        }
        self.look()
        self.drainQueues()
        guard self.judge.failure == nil else { return }
        self.observer.disconnect()
        self.broker.run()
        for (index, shard) in self.broker.shards.enumerated() {
            let census = shard.census
            guard census.isEmpty else {
                return self.judge.fail("shard \(index) is not empty at the end: \(census)")
            }
        }
        self.checkOutputMemory()
    }

    /// The broker stops: every client is told, and no connection stays.
    private func stop() {
        guard self.judge.failure == nil else { return }
        self.judge.note("the broker stops")
        self.judge.isStopping = true
        self.broker.stop()
        for actor in self.actors {
            // What waited for a slow reader comes first.
            while actor.read() || self.broker.hasEvents {
                self.broker.run(self.random)
            }
            let socket = actor.client.socket
            if actor.model.state != .ended || !(socket.isClosed || socket.isLost) {
                self.judge.fail("c\(actor.model.id) is not closed when the broker stops")
            }
        }
        guard case .method(0, .connectionClose)? = self.observer.receive().last else {
            return self.judge.fail("the observer is not told that the broker stops")
        }
        self.observer.send(ConnectionCloseOk(), channel: 0)
        self.broker.run()
        for (index, shard) in self.broker.shards.enumerated() where shard.census.connections != 0 {
            self.judge.fail("shard \(index) keeps \(shard.census.connections) connections when it stops")
        }
        self.checkOutputMemory()
    }

    private func checkOutputMemory() {
        if self.broker.lentBlocks != 0 {
            self.judge.fail("\(self.broker.lentBlocks) blocks of output memory are not given back")
        }
    }

    private func drainQueues() {
        let drainer = SimulationActor(
            self.judge,
            self.broker,
            shard: self.random.below(self.broker.shards.count),
            frameMaxBytes: 131_072,
            heartbeatSeconds: 0,
            readLimit: .max
        )
        self.actors = [drainer]
        self.settle()
        drainer.openChannel(1)
        self.settle()
        for queue in self.judge.queues where queue.existence.isPossible {
            guard self.judge.failure == nil, let channel = drainer.model.channels[1] else { return }
            self.drain(queue, drainer, channel)
            guard self.judge.failure == nil else { return }
            drainer.send(.deleteQueue(queue.id, ifUnused: true, ifEmpty: true), on: channel)
            self.settle()
        }
        drainer.close()
        self.settle()
    }

    private func drain(_ queue: ModelQueue, _ drainer: SimulationActor, _ channel: ModelChannel) {
        var order: [Int] = []
        while self.judge.failure == nil {
            let before = channel.lastTag
            let noAck = self.random.oneIn(2)
            drainer.send(.get(queue: queue.id, noAck: noAck), on: channel)
            self.broker.run(self.random)
            _ = drainer.read()
            guard channel.lastTag > before else { break }
            if let last = self.judge.lastTaken {
                order.append(last)
            }
            if !noAck {
                drainer.send(.settle(tag: channel.lastTag, isMultiple: false, .acknowledge), on: channel)
            }
        }
        self.settle()
        self.judge.drains(queue.id, order)
    }
}
