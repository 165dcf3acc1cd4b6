import AMQPProtocol
import NIOCore
import Synchronization

/// One connection that consumes, checks and acknowledges.
final class Consumer: FrameSink {
    private let connection: ClientConnection
    private let loop: LoadLoop
    /// The row of the loop's tracks for each consumer tag, which are 0, 1, 2 and so on.
    private let rows: [Int]
    private let publishers: Int
    private let bodyBytes: UInt64
    private let ackEvery: Int
    /// One past the highest number seen, by consumer tag and publisher; only where several consumers share a queue.
    private var highest: [UInt64]
    private var unacknowledged = 0
    private var lastTag: UInt64 = 0
    private var pendingAcks: [UInt64] = []
    private var consumed: UInt64 = 0
    private var redelivered: UInt64 = 0
    private var isRecording = false
    private var isClosing = false
    private var acks: ByteBuffer

    init(id: Int, connection: ClientConnection, loop: LoadLoop) {
        let queues = loop.plan.queues(ofConsumer: id)
        self.connection = connection
        self.loop = loop
        self.rows = queues.map { loop.row(consumer: id, queue: $0) }
        self.publishers = max(1, loop.plan.publishers)
        self.bodyBytes = UInt64(loop.plan.bodyBytes)
        self.ackEvery = loop.plan.ackEvery
        self.highest = loop.plan.sharesQueues ? Array(repeating: 0, count: self.rows.count * self.publishers) : []
        self.acks = ByteBufferAllocator().buffer(capacity: 0)
    }

    // MARK: Receiving

    /// A read is about to be reported.
    func startRead() {
        self.isRecording = self.loop.state.isRecording.load(ordering: .relaxed)
        self.isClosing = self.loop.state.phase.load(ordering: .relaxed) == .closing
    }

    @inline(__always)
    func receiveMessage(_ message: ScannedMessage) {
        // The server will see no more acknowledgements, so it counts these as not delivered.
        guard !self.isClosing else { return }
        self.consumed &+= 1
        if message.redelivered {
            self.redelivered &+= 1
        }
        if message.bodySize == self.bodyBytes, self.rows.indices.contains(message.consumer) {
            self.check(message)
        } else {
            self.loop.damaged += 1
        }
        guard self.ackEvery > 0 else { return }
        self.lastTag = message.deliveryTag
        self.unacknowledged &+= 1
        if self.unacknowledged >= self.ackEvery {
            self.pendingAcks.append(message.deliveryTag)
            self.unacknowledged = 0
        }
    }

    @inline(__always)
    private func check(_ message: ScannedMessage) {
        guard message.bodySize >= BodyStamp.sequenceBytes else { return }
        let publisher = BodyStamp.publisher(of: message.word)
        let sequence = BodyStamp.sequence(of: message.word)
        let arrival = self.loop.tracks.receive(
            row: self.rows[message.consumer],
            publisher: publisher,
            sequence: sequence
        )
        if !self.highest.isEmpty, publisher < self.publishers {
            self.checkOrder(message, publisher: publisher, sequence: sequence, arrival: arrival)
        }
        if self.isRecording, message.bodySize >= BodyStamp.timeBytes {
            let now = self.connection.readTime
            self.loop.deliveryLatencies.record(now > message.time ? now - message.time : 0)
        }
    }

    /// Where consumers share a queue, only what one of them sees is in order.
    private func checkOrder(
        _ message: ScannedMessage,
        publisher: Int,
        sequence: UInt64,
        arrival: SequenceTrack.Arrival
    ) {
        let slot = message.consumer * self.publishers + publisher
        if sequence < self.highest[slot] {
            if !message.redelivered, arrival != .duplicate {
                self.loop.reordered += 1
            }
        } else {
            self.highest[slot] = sequence + 1
        }
    }

    /// Everything that one read brought was reported.
    func endRead() {
        guard self.consumed > 0 else { return }
        let counters = self.loop.counters
        counters.consumed.add(self.consumed)
        counters.redelivered.add(self.redelivered)
        counters.lastActivity.store(self.connection.readTime, ordering: .relaxed)
        self.consumed = 0
        self.redelivered = 0
        self.sendAcks()
        self.loop.announceRoom()
    }

    // MARK: Acknowledging

    /// Acknowledges what a batch left over, at the end of a run.
    func acknowledgeRest() {
        guard self.unacknowledged > 0 else { return }
        self.pendingAcks.append(self.lastTag)
        self.unacknowledged = 0
        self.sendAcks()
    }

    private func sendAcks() {
        guard !self.pendingAcks.isEmpty else { return }
        self.acks.clear()
        AckFrames.write(
            self.pendingAcks,
            multiple: self.ackEvery > 1,
            channel: ClientConnection.channelNumber,
            into: &self.acks
        )
        self.pendingAcks.removeAll(keepingCapacity: true)
        self.connection.write(self.acks)
        self.connection.flush()
    }

    // MARK: Everything else

    func receiveReturn() { self.loop.damaged += 1 }

    func receiveConfirm(tag: UInt64, multiple: Bool, positive: Bool) { self.loop.misconfirmed += 1 }

    func receiveMethod(channel: UInt16, payload: UnsafeRawBufferPointer) {
        self.connection.receiveMethod(channel: channel, payload: payload)
    }
}
