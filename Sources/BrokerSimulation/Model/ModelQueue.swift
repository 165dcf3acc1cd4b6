/// A queue of the model.
package final class ModelQueue {
    /// Its number; its name is made of it, so that no name is used twice.
    package let id: Int
    /// The connection it belongs to, if it is exclusive.
    package let owner: Int?
    /// It goes with its last consumer.
    package let isAutoDelete: Bool
    /// One consumer at a time gets everything.
    package let isSingleActive: Bool

    /// Whether it is there.
    package var existence = Existence.starting
    /// The log has it, as far as it is there.
    package var isLogged = false
    /// Declarations of it that are under way, or were when their connection broke.
    package var openDeclarations = 0
    /// It has had a consumer for certain.
    package var hadConsumer = false
    /// Messages that may be on it, in the order of publishing.
    package var messages: [ModelMessage] = []
    /// When it was last not certainly there, by the judge's clock.
    package var lastDoubt = 0
    /// Messages sent before this time may be marked as redelivered without having been seen.
    package var mayBeMarkedBefore = 0
    /// The consumer that had the last delivery.
    package var activeConsumer: ModelConsumer?

    /// Makes a queue that nobody has asked for yet.
    package init(id: Int, owner: Int? = nil, isAutoDelete: Bool = false, isSingleActive: Bool = false) {
        self.id = id
        self.owner = owner
        self.isAutoDelete = isAutoDelete
        self.isSingleActive = isSingleActive
    }

    /// Whether it is declared as durable.
    package var isDurable: Bool { self.name.utf8.reduce(0) { $0 &+ $1 } % 2 == 0 }
    /// Whether it survives the broker.
    package var survives: Bool { self.isDurable && self.owner == nil }

    /// Its name.
    package var name: String { Self.name(self.id) }

    /// The name of a queue.
    package static func name(_ id: Int) -> String { "q\(id)" }
}

/// A consumer of the model.
package final class ModelConsumer {
    /// Where it is in its life.
    package enum State {
        case starting
        case active
        /// The client has asked to cancel it, or to close its channel.
        case stopping
        case ended
    }

    /// Its tag, used once.
    package let tag: String
    /// The queue.
    package let queue: Int
    /// It does not acknowledge.
    package let noAck: Bool
    /// Deliveries it may have open; 0 is any number.
    package let prefetch: Int
    /// Where it is in its life.
    package var state = State.starting
    /// Deliveries it has open.
    package var unacknowledged = 0

    /// Makes a consumer that has been asked for.
    package init(tag: String, queue: Int, noAck: Bool, prefetch: Int) {
        self.tag = tag
        self.queue = queue
        self.noAck = noAck
        self.prefetch = noAck ? 0 : prefetch
    }
}
