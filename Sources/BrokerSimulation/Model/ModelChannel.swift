/// A connection of the model.
package final class ModelClient {
    /// Where it is in its life.
    package enum State {
        case connecting
        case open
        /// The client has sent `connection.close`.
        case closing
        case ended
    }

    /// Its number.
    package let id: Int
    /// Where it is in its life.
    package var state = State.connecting
    /// Its channels by number, those of the current life.
    package var channels: [UInt16: ModelChannel] = [:]
    /// It has stopped to show signs of life: the broker will close it at a time of its own.
    package var isSilent = false
    /// The highest message that came without the mark of a redelivery, by queue and publisher.
    package var lastDelivered: [DeliveryOrder: Int] = [:]

    /// What is delivered in the order of publishing.
    package struct DeliveryOrder: Hashable {
        let queue: Int
        let publisher: ObjectIdentifier
    }

    /// Makes a connection that is being opened.
    package init(id: Int) {
        self.id = id
    }

    /// Its channels in the order of their numbers.
    package var orderedChannels: [ModelChannel] {
        self.channels.keys.sorted().compactMap { self.channels[$0] }
    }
}

/// One life of a channel of the model, as its client sees it: what the client has sent counts as done.
package final class ModelChannel {
    /// Where it is in its life.
    package enum State {
        case opening
        case open
        /// The client has sent `channel.close`.
        case closing
        case closed
    }

    /// What a channel has promised to be.
    package enum Mode {
        case plain
        case confirm
        case transaction
    }

    /// A delivery that the client has not settled.
    package struct Delivery {
        package let tag: UInt64
        package let message: ModelMessage
        package let queue: Int
        package let consumer: ModelConsumer?
    }

    /// Its connection.
    package unowned let client: ModelClient
    /// Its number.
    package let number: UInt16
    /// Where it is in its life.
    package var state = State.opening
    /// What it has promised to be.
    package var mode = Mode.plain
    /// What has been sent and is not known to have been carried out, oldest first.
    package var pending: [PendingOperation] = []
    /// The number of the next operation.
    package var nextOperation = 1

    /// What is to be settled, oldest first.
    package var unacknowledged: [Delivery] = []
    /// The last delivery tag.
    package var lastTag: UInt64 = 0
    /// Its consumers in the order they were asked for, ended ones included.
    package var consumers: [ModelConsumer] = []
    /// Limit for consumers to come.
    package var prefetch = 0
    /// Limits for all consumers together that may be in force; 0 is none.
    package var globalLimits = [0]
    /// Deliveries of consumers that are open.
    package var openDeliveries = 0
    /// `basic.recover` is under way.
    package var isRecovering = false

    /// What an operation that is not known to be carried out has settled, by its number.
    package var settledBy: [Int: [Delivery]] = [:]

    /// Settlements that the log may not have, by the number of their operation, oldest first.
    package var unloggedSettlements: [(operation: Int, delivery: Delivery)] = []

    /// Publishes that wait for their confirm, by number.
    package var unconfirmed: [UInt64: ModelMessage] = [:]
    /// The number of the last publish in confirm mode.
    package var lastPublish: UInt64 = 0

    /// Publishes of the current transaction.
    package var transactionMessages: [ModelMessage] = []
    /// Settlements of the current transaction.
    package var transactionSettlements: [(delivery: Delivery, outcome: Operation.Outcome)] = []
    /// Publishes of transactions that are being committed, by the number of the commit.
    package var committing: [Int: [ModelMessage]] = [:]

    /// Makes a channel that is being opened.
    package init(client: ModelClient, number: UInt16) {
        self.client = client
        self.number = number
    }

    /// How traces call it.
    package var name: String { "c\(self.client.id).\(self.number)" }

    /// The consumer with a tag.
    package func consumer(_ tag: String) -> ModelConsumer? {
        self.consumers.first { $0.tag == tag }
    }
}
