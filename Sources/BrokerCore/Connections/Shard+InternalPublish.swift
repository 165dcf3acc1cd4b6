internal import AMQPProtocol

/// What is done when a publish without a channel has arrived in the queues of other shards.
///
/// Whoever publishes so adds a case here and its handling to ``Shard/complete(_:isRejected:)``.
enum PublishCompletion {
    /// Nobody waits for it.
    case nothing
    /// A dead message of a queue of this shard can go.
    case deadLetter(QueueAddress, sequence: UInt64, DeathReason)
    /// A delayed message, by its id.
    case delayed(id: UInt64)
    /// A first message at a window.
    case unique(ticket: UInt64)
}

/// How far a publish without a channel has come when ``Shard/publishInternally(_:_:to:then:)`` returns.
enum InternalPublishOutcome: Equatable {
    /// Every queue of this shard has it, and there are no others.
    ///
    /// What this shard writes to the log from now on stands behind it. `isRejected` when one of the queues refused it.
    case taken(isRejected: Bool)
    /// Queues of other shards have still to answer; the completion is carried out when all have.
    case pending
}

/// Publishes without a channel that queues of other shards have not answered, by ticket.
struct InternalPublishes {
    private struct Open {
        var remaining: Int
        var isRejected: Bool
        /// Octets counted against ``InternalPublishes/bytes``.
        var bytes: Int
        var completion: PublishCompletion
    }

    private var open: [UInt64: Open] = [:]
    private var nextTicket: UInt64 = 1
    /// Octets under way to other shards.
    private(set) var bytes = 0

    /// Publishes that wait for answers.
    var count: Int { self.open.count }

    /// Adds a publish that `answers` shards will answer.
    ///
    /// `isRejected` when a queue of this shard has refused it already.
    mutating func add(answers: Int, isRejected: Bool, bytes: Int, _ completion: PublishCompletion) -> UInt64 {
        let ticket = self.nextTicket
        self.nextTicket += 1
        self.open[ticket] = Open(remaining: answers, isRejected: isRejected, bytes: bytes, completion: completion)
        self.bytes += bytes
        return ticket
    }

    /// What will be done when a publish has arrived.
    func completion(of ticket: UInt64) -> PublishCompletion? { self.open[ticket]?.completion }

    /// Takes one answer; returns what is to be done when it was the last one.
    mutating func answer(_ ticket: UInt64, isRejected: Bool) -> (completion: PublishCompletion, isRejected: Bool)? {
        guard var open = self.open[ticket] else { return nil }
        open.remaining -= 1
        open.isRejected = open.isRejected || isRejected
        guard open.remaining == 0 else {
            self.open[ticket] = open
            return nil
        }
        self.open[ticket] = nil
        self.bytes -= open.bytes
        return (open.completion, open.isRejected)
    }
}

extension ChannelAddress {
    /// Stands for a shard itself as the origin of a publish.
    static func internalOrigin(_ shard: UInt16) -> ChannelAddress {
        // No connection has this number: slots are counted from 0.
        ChannelAddress(shard: shard, number: 0, epoch: 0, connection: .max)
    }

    /// Whether this stands for a shard instead of a channel.
    var isInternalOrigin: Bool { self.connection == .max }
}

/// Publishes without a channel: dead letters, delayed messages, events.
///
/// They are routed on this shard's replica, logged like any other publish, and neither returned nor confirmed.
extension Shard {
    /// Finds the queues of a message; they are in ``routeTargets`` until something else is routed.
    ///
    /// `extraKeys` are further routing keys. Internal exchanges take part; an exchange that is not there is no route.
    func routeInternally(_ message: MessageView, extraKeys: [[UInt8]] = [], in virtualHost: VirtualHost) {
        let exchangeSize = Int(message.names.load(as: UInt8.self))
        let key = message.names + (1 + exchangeSize)
        let properties = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        // Properties were checked when the message came.
        let headers = (try? PropertyScan.scan(properties))?.headers.map {
            UnsafeRawBufferPointer(rebasing: properties[$0])
        }
        let outcome = virtualHost.route(
            exchange: UnsafeRawBufferPointer(start: message.names + 1, count: exchangeSize),
            routingKey: UnsafeRawBufferPointer(start: key + 1, count: Int(key.load(as: UInt8.self))),
            extraKeys: extraKeys,
            headers: headers,
            isInternal: true,
            properties: properties,
            into: &self.routeTargets
        )
        if outcome != .routed {
            self.routeTargets.reset()
        }
    }

    /// Routes a message and gives it to its queues; nil when it has no route.
    func publishInternally(
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        extraKeys: [[UInt8]] = [],
        in virtualHost: VirtualHost,
        then completion: PublishCompletion
    ) -> InternalPublishOutcome? {
        self.routeInternally(message, extraKeys: extraKeys, in: virtualHost)
        guard !self.routeTargets.isEmpty else { return nil }
        return self.publishInternally(message, flags, to: self.routeTargets.queues, then: completion)
    }

    /// Gives a message to queues; `wantsReason` when other shards that refuse it are to say why.
    func publishInternally(
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        to targets: [QueueAddress],
        wantsReason: Bool = false,
        then completion: PublishCompletion
    ) -> InternalPublishOutcome {
        var flags = flags
        flags.priority = message.priority
        let isRejected = self.publishHere(message, flags, to: targets)
        var shards: [UInt16] = []
        for target in targets where target.shard != self.index && !shards.contains(target.shard) {
            shards.append(target.shard)
        }
        guard !shards.isEmpty else { return .taken(isRejected: isRejected) }
        let size = BatchedMessage.size(of: message) * shards.count
        let ticket = self.internalPublishes.add(
            answers: shards.count,
            isRejected: isRejected,
            bytes: size,
            completion
        )
        for shard in shards {
            self.forwardInternally(message, flags, to: shard, targets, ticket: ticket, wantsReason: wantsReason)
        }
        return .pending
    }

    /// Gives a message to those of its queues that live here; returns whether one refused it.
    private func publishHere(_ message: MessageView, _ flags: QueueEntry.Flags, to targets: [QueueAddress]) -> Bool {
        var isRejected = false
        let time = self.timeToLive(message, flags)
        for target in targets where target.shard == self.index {
            guard let queue = self.queue(target) else {
                if let (station, task) = Station.at(target) {
                    let isLogged = self.log.isOn && flags.contains(.persistent)
                    _ = self.arrive(self.storeCopy(message, isLogged: isLogged), flags, at: station, task)
                }
                continue
            }
            // Whoever waits for the log waits for what stands in it already, too.
            _ = self.admit(queue, message, flags, timeToLive: time, &isRejected)
        }
        let location = self.log.places.isEmpty ? nil : self.logMessage(message, flags)
        guard !self.admitted.isEmpty else { return isRejected }
        let slot = self.storeCopy(message, isLogged: location != nil)
        self.noteLogged(slot, at: location)
        self.enqueueAdmitted(slot, flags, timeToLive: time)
        self.store.release(slot)
        return isRejected
    }

    /// Copies a message into the store, if it `isLogged` with room for its place in the log.
    func storeCopy(_ message: MessageView, references: UInt32 = 1, isLogged: Bool = false) -> UInt32 {
        let (slot, record) = self.store.add(
            namesSize: message.namesSize,
            propertiesSize: message.propertiesSize,
            bodySize: message.bodySize,
            references: references,
            hasLocation: isLogged
        )
        let names = record.names
        Bytes.copy(names, message.names, message.namesSize)
        Bytes.copy(names + message.namesSize, message.properties, message.propertiesSize)
        Bytes.copy(names + (message.namesSize + message.propertiesSize), message.body, message.bodySize)
        return slot
    }

    private func forwardInternally(
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        to shard: UInt16,
        _ targets: [QueueAddress],
        ticket: UInt64,
        wantsReason: Bool
    ) {
        let there = targets.filter { $0.shard == shard }
        let base = self.appendPublish(
            message,
            flags,
            to: shard,
            count: there.count,
            sequence: ticket,
            from: .internalOrigin(self.index)
        )
        if wantsReason {
            base.storeBytes(of: 1, toByteOffset: 36, as: UInt32.self)
        }
        for (index, target) in there.enumerated() {
            base.storeBytes(of: target.slot, toByteOffset: 40 + 8 * index, as: UInt32.self)
            base.storeBytes(of: target.generation, toByteOffset: 44 + 8 * index, as: UInt32.self)
        }
    }

    /// Another shard's queues have taken, or refused, a publish without a channel.
    func internalPublishAnswered(_ ticket: UInt64, isRejected: Bool) {
        guard let (completion, isRejected) = self.internalPublishes.answer(ticket, isRejected: isRejected) else {
            return
        }
        self.complete(completion, isRejected: isRejected)
        // There is room again for those who held back.
        self.runDeaths()
    }

    /// Does what was to be done when all queues have answered.
    private func complete(_ completion: PublishCompletion, isRejected: Bool) {
        switch completion {
        case .nothing: break
        case .deadLetter(let queue, let sequence, let reason):
            self.deadLetterAnswered(queue, sequence, reason, isRejected: isRejected)
        case .delayed(let id): self.delayedArrived(id)
        case .unique(let ticket): self.uniqueArrived(ticket, isRejected: isRejected)
        }
    }
}
