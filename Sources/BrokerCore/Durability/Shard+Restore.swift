internal import AMQPProtocol

/// What every shard does to go on where the last process ended.
///
/// `@unchecked Sendable`: nobody changes it once it is made, and its messages are values.
public final class RestorePlan: @unchecked Sendable {
    /// Steps from an empty topology to the recovered one.
    let changes: [TopologyChange]
    /// The queues with their messages, by where they live now.
    let queues: [(address: QueueAddress, queue: RecoveredQueue)]
    /// Messages that wait for their time, and the ids given so far.
    let delays: (waiting: [RecoveredDelay], highestID: UInt64)
    /// What exchanges with `x-message-deduplication` knew.
    let windows: [RecoveredWindow]
    /// What could not be restored, one line each.
    public let complaints: [String]

    init(
        changes: [TopologyChange],
        queues: [(address: QueueAddress, queue: RecoveredQueue)],
        delays: (waiting: [RecoveredDelay], highestID: UInt64),
        windows: [RecoveredWindow],
        complaints: [String]
    ) {
        self.changes = changes
        self.queues = queues
        self.delays = delays
        self.windows = windows
        self.complaints = complaints
    }

    /// Durable queues.
    public var queueCount: Int { self.queues.count }
    /// Messages on them.
    public var messageCount: Int { self.queues.reduce(0) { $0 + $1.queue.count } }
}

/// Going on with what the log has.
extension Shard {
    /// Gives every recovered queue a place; on shard 0, before anything else.
    public func planRestore(_ state: RecoveredState) -> RestorePlan {
        precondition(self.index == 0, "only the owner of the topology gives places")
        var changes: [TopologyChange] = []
        var places: [(QueueAddress, RecoveredQueue)] = []
        var complaints: [String] = []
        for host in state.virtualHosts {
            if self.topology.virtualHost(named: host.name) == nil {
                changes.append(.addVirtualHost(host.name))
            }
            if host.maxQueues != nil {
                changes.append(.limitQueues(virtualHost: host.name, host.maxQueues))
            }
        }
        for policy in state.policies {
            changes.append(
                .setPolicy(virtualHost: policy.virtualHost, policy.policy, isOperator: policy.isOperator)
            )
        }
        for exchange in state.exchanges {
            changes.append(.addExchange(virtualHost: exchange.virtualHost, exchange.definition))
        }
        self.owner.nextDurableID = max(self.owner.nextDurableID, state.nextDurableID)
        var lost: Set<BindingEnd> = []
        for (number, queue) in state.queues.enumerated() {
            do throws(Violation) {
                let definition = try self.owner.restore(queue.definition, home: UInt16(number % Int(self.count)))
                changes.append(.addQueue(definition))
                places.append((definition.address, queue))
            } catch {
                lost.insert(BindingEnd(virtualHost: queue.definition.virtualHost, name: queue.definition.name))
                complaints.append(
                    "queue '\(queue.definition.name)' in vhost '\(queue.definition.virtualHost)' with "
                        + "\(queue.count) messages is not restored: \(error)"
                )
            }
        }
        for binding in state.bindings {
            let end = BindingEnd(virtualHost: binding.virtualHost, name: binding.definition.destination)
            if binding.definition.kind == .queue && lost.contains(end) { continue }
            changes.append(.addBinding(virtualHost: binding.virtualHost, binding.definition))
        }
        return RestorePlan(
            changes: changes,
            queues: places,
            delays: (state.delays.ordered, state.delays.highestID),
            windows: state.windows,
            complaints: complaints
        )
    }

    private struct BindingEnd: Hashable {
        let virtualHost: ShortString
        let name: ShortString
    }

    /// Takes over the topology and the messages of the queues that live here; on every shard, before the first
    /// connection.
    public func restore(_ plan: RestorePlan, now: BrokerInstant) {
        self.now = now
        self.applyChanges(plan.changes)
        // Messages of more than one queue, by their positions in the log.
        var shared: [UInt64: UInt32] = [:]
        for (address, recovered) in plan.queues where address.shard == self.index {
            guard let queue = self.queue(address) else { continue }
            self.restore(recovered, queue, &shared)
        }
        // Only now: what one queue lets go of may be another one's as well.
        for (address, _) in plan.queues where address.shard == self.index {
            if let queue = self.queue(address), queue.pointee.settings.isLimited {
                self.dropHead(queue)
            }
        }
        self.restore(plan.delays.waiting, highestID: plan.delays.highestID)
        self.restore(plan.windows)
        self.updateMemoryAlarm()
    }

    private func restore(
        _ recovered: RecoveredQueue,
        _ queue: UnsafeMutablePointer<QueueState>,
        _ shared: inout [UInt64: UInt32]
    ) {
        queue.pointee.deliveredUpTo = recovered.deliveredUpTo
        var remaining = UInt64(recovered.count)
        var isInRow = false
        queue.pointee.headSequence = recovered.nextSequence
        // The ring begins behind everything that is not in it.
        let ringStart = recovered.lastWithheld(at: self.epochMilliseconds(at: self.now)).map { $0 + 1 } ?? 0
        let hasLevels = queue.pointee.levels != nil
        for message in recovered.messages {
            // What stands in a row up to the end goes to the ring; what comes before a gap is as if it had come back.
            let mayBeInRow = !hasLevels && message.sequence >= ringStart
            if !isInRow && mayBeInRow && message.sequence + remaining == recovered.nextSequence {
                isInRow = true
                queue.pointee.headSequence = message.sequence
            }
            remaining -= 1
            var flags = message.message.flags
            if message.isRedelivered {
                flags.insert(.redelivered)
            }
            if message.deadline != 0 {
                flags.insert(.hasDeadline)
                let deadline = self.wallClock.instant(epochMilliseconds: message.deadline)
                self.addDeadline(queue, message.sequence, deadline)
            }
            flags.deliveryCount = message.deliveryCount
            let entry = QueueEntry(slot: self.store(message.message, &shared), flags: flags)
            if let key = recovered.keys[message.sequence] {
                queue.pointee.unique?.insert(message.sequence, key, isLogged: true)
            }
            if message.retryAtMilliseconds > self.epochMilliseconds(at: self.now) {
                if let groups = queue.pointee.groups {
                    if message.message.position == nil {
                        message.message.withView { groups.pointee.restoreWaiting(message.sequence, $0) }
                    } else {
                        groups.pointee.restoreUnknown(message.sequence)
                    }
                }
                self.addWithheld(
                    queue,
                    ConsumerState.Delivery(sequence: message.sequence, entry: entry),
                    until: self.wallClock.instant(epochMilliseconds: message.retryAtMilliseconds)
                )
                continue
            }
            self.noteReady(queue, entry, 1)
            if hasLevels {
                queue.pointee.restoreToLevel(message.sequence, entry, isReturned: message.sequence < ringStart)
            } else if isInRow {
                queue.pointee.ready.append(entry)
            } else {
                queue.pointee.restoreAside(message.sequence, entry)
            }
        }
    }

    /// Gives a message a slot: what stays in the log is on disk until it is needed.
    private func store(_ message: RecoveredMessage, _ shared: inout [UInt64: UInt32]) -> UInt32 {
        guard message.isShared, let position = message.position else { return self.restoreSlot(of: message) }
        if let slot = shared[position] {
            self.store.retain(slot)
            return slot
        }
        let slot = self.restoreSlot(of: message)
        shared[position] = slot
        return slot
    }

    /// Gives a message that nothing else has a slot; see ``store(_:_:)``.
    func restoreSlot(of message: RecoveredMessage) -> UInt32 {
        guard let position = message.position else {
            let slot = message.withView { self.storeCopy($0, isLogged: true) }
            // It was read from there; where does not matter until it is told again.
            self.noteLogged(slot, at: .unknown(isShared: false))
            return slot
        }
        self.store.logEnd = max(self.store.logEnd, position)
        return self.store.addLogged(position: position, bodySize: Int(message.bodySize), isShared: message.isShared)
    }
}
