internal import AMQPProtocol
internal import DequeModule

/// Where a channel is in its life; a channel that is not open has no state at all.
enum ChannelPhase {
    case open
    /// We have sent `channel.close`: everything but `close` and `close-ok` is ignored.
    case closing
    /// The client has sent `close`: `close-ok` follows when its deliveries are back in their queues.
    case finishing
}

/// What a channel has promised to be.
enum ChannelMode {
    case plain
    case confirm
    case transaction
}

/// Names a channel for answers from other shards; never the same twice, so that late answers find nobody.
struct ChannelAddress: Hashable, Sendable {
    var shard: UInt16
    var number: UInt16
    var epoch: UInt32
    var connection: UInt64
}

/// A delivery that waits for its acknowledgement, as the channel sees it: where to send the outcome.
struct LedgerEntry {
    /// Index in ``ChannelState/consumers``.
    var consumer: UInt32
    /// The queue's number for the delivery.
    var serial: UInt64
}

/// One channel of a connection, behind a pointer.
struct ChannelState: ~Copyable {
    let number: UInt16
    let epoch: UInt32
    let connection: UnsafeMutablePointer<ConnectionState>
    var phase = ChannelPhase.open
    var mode = ChannelMode.plain

    /// A method waits for its answer from another shard; later frames wait in ``deferred``.
    var isWaiting = false
    var deferred = DeferredFrames()
    /// A publish that came during an alarm, and what is kept behind it; all of it came before ``deferred``.
    var parked = DeferredFrames()
    /// Answers from queues that ``ChannelPhase/finishing`` waits for.
    var pendingTeardown = 0
    /// `connection` takes the channel down, nobody waits for `close-ok`.
    var owesCloseOk = false

    // Publishing.
    var content = ContentAssembly()
    var route = RouteCache()
    var confirms = Confirms()
    var transaction: Transaction?

    // Consuming.
    var nextDeliveryTag: UInt64 = 1
    var ledger = SparseRing<LedgerEntry>()
    var consumers: [UnsafeMutablePointer<ChannelConsumer>?] = []
    var consumersByTag: [ShortString: UInt32] = [:]
    var getters: [QueueAddress: UInt32] = [:]
    /// The queue of the last `basic.get`.
    var getQueue = ShortString("")
    /// Limit for consumers started from now on; 0 is none.
    var prefetchCount: UInt32 = 0
    /// Limit for all consumers of the channel together; 0 is none.
    var globalPrefetchCount: UInt32 = 0
    /// Deliveries that count against ``globalPrefetchCount``: unacknowledged ones and granted ones.
    var globalInFlight: UInt32 = 0
    /// Consumers that asked for a grant and wait for room.
    var waitingForGrant: Deque<UInt32> = []
    /// `basic.consume` from the direct reply-to pseudo queue: its tag.
    var replyConsumerTag: ShortString?
    /// The unguessable part of this channel's reply address.
    var replySecret: UInt64 = 0
    var lastQueue: ShortString?
    /// The method that waits for its answer came with nowait.
    var pendingNoWait = false
    /// The topology's method that nobody has decided about, or ``noMethod``.
    var pendingMethod = ChannelState.noMethod
    /// Answers that are known and wait for other shards or the log; see ``Shard/topologyDecided(_:_:_:)``.
    var answers = HeldAnswers()
    /// Tags of consumers whose queue went while `queue.delete` waits for its answer; the client hears of them after it.
    var goneWithQueue: [ShortString] = []

    static let noMethod = MethodID(classID: 0, methodID: 0)

    init(number: UInt16, epoch: UInt32, connection: UnsafeMutablePointer<ConnectionState>) {
        self.number = number
        self.epoch = epoch
        self.connection = connection
    }
}

/// A consumer as its channel sees it.
///
/// The queue has a ``ConsumerState`` for the same.
///
/// `basic.get` with acknowledgement uses one per queue, too, so that settlement is one mechanism.
struct ChannelConsumer: ~Copyable {
    let index: UInt32
    let tag: ShortString
    let queue: QueueAddress
    let queueName: ShortString
    let noAck: Bool
    let isGetter: Bool
    /// The queue's number for the consumer; known when the queue has answered.
    var consumer: UInt32 = 0
    var isAttached = false
    /// The first answer of the queue is under way.
    var isPending = true
    /// Cancelled, but deliveries are still open.
    var isCancelled = false
    /// The queue knows that it is cancelled: it goes with its last open delivery.
    var isRetired = false
    /// Whether the cancel came with nowait.
    var cancelNoWait = false
    var consumeNoWait = false
    var isExclusive = false
    /// As the client gave them.
    var arguments = FieldTable.empty
    /// Deliveries open in the channel's ledger.
    var unacknowledged = 0
    /// Octets of remote deliveries written to the connection's output and not yet reported to the queue.
    var windowDebt = 0
    /// Counts against the channel's global prefetch.
    var isGlobalLimited = false
    /// Grants given to its queue that have come to nothing yet.
    var grants: UInt32 = 0
    /// The start of every `basic.deliver` frame: up to and including the consumer tag.
    var deliverPrefix: UnsafeMutableRawPointer
    var deliverPrefixSize: Int

    init(
        index: UInt32,
        tag: ShortString,
        queue: QueueInfo,
        noAck: Bool,
        isGetter: Bool,
        channel: UInt16
    ) {
        self.index = index
        self.tag = tag
        self.queue = queue.address
        self.queueName = queue.name
        self.noAck = noAck
        self.isGetter = isGetter
        self.deliverPrefixSize = 12 + tag.bytes.count
        self.deliverPrefix = .allocate(byteCount: self.deliverPrefixSize, alignment: 8)
        self.deliverPrefix.storeBytes(of: FrameType.method, as: UInt8.self)
        self.deliverPrefix.storeBytes(of: channel.bigEndian, toByteOffset: 1, as: UInt16.self)
        self.deliverPrefix.storeBytes(of: 0, toByteOffset: 3, as: UInt32.self)
        self.deliverPrefix.storeBytes(of: BasicDeliver.id.rawValue.bigEndian, toByteOffset: 7, as: UInt32.self)
        self.deliverPrefix.storeBytes(of: UInt8(tag.bytes.count), toByteOffset: 11, as: UInt8.self)
        for (offset, byte) in tag.bytes.enumerated() {
            self.deliverPrefix.storeBytes(of: byte, toByteOffset: 12 + offset, as: UInt8.self)
        }
    }

    deinit {
        self.deliverPrefix.deallocate()
    }
}
