internal import AMQPProtocol

/// Where a connection is in its life.
///
/// ```
/// awaitingHeader ─► awaitingStartOk ─► awaitingTuneOk ─► awaitingOpen ─► running
///        │                 │                 │               │             │
///        └────── refused ◄─┴─────────────────┴───────────────┘             ├─► closing   (we sent close)
///                (silence, then the socket is closed)                      ├─► draining  (the client sent close while
///                                                                           │      │      channels hold frames back)
///                                                                           └──────┴─► finishing (the client sent
///                                                                                      │  close, or the socket is gone)
///                                                                                      └─► closed (close-ok is sent)
/// ```
enum ConnectionPhase {
    case awaitingHeader
    case awaitingStartOk
    case awaitingTuneOk
    case awaitingOpen
    case running
    /// We have sent `connection.close` and ignore everything but `close` and `close-ok`.
    case closing
    /// The client has sent `close`; what it sent before and channels hold back is handled first.
    case draining
    /// Queues and consumers of the connection are being taken down; then `close-ok` goes out.
    case finishing
    /// `close-ok` has gone out. The client closes its socket in its own time, or we do after a while: one that finds the
    /// end of the stream right behind `close-ok` may take it for an accident. A further `close` gets its `close-ok`.
    case closed
    /// Nothing is read or answered any more; the socket is closed after a while.
    case refused
}

/// One connection, behind a pointer; only its shard touches it.
struct ConnectionState: ~Copyable {
    let id: ConnectionID
    let peer: PeerInfo
    var phase = ConnectionPhase.awaitingHeader
    /// The socket is gone; what remains is waiting for other shards.
    var isSocketLost = false
    /// Answers to `close` that go out when everything is taken down: one for each.
    var owedCloseOks = 0
    /// What came behind `close` was malformed: nothing is read any more.
    var isDeaf = false
    /// `connection.open` has succeeded, so that there may be exclusive queues.
    var wasOpened = false

    // Input.
    /// The unfinished frame at the end of the last read, or what was not read because the connection is paused.
    var carry: [UInt8] = []
    /// Channel of the body frame that is being streamed in, and the octets of its payload still to come.
    var streamingChannel: UInt16 = 0
    var streamingRemaining = 0
    /// The payload is complete but for the frame end.
    var streamingNeedsEnd = false
    /// Frames are being handled further up the stack: they go on from there.
    var isParsing = false
    /// The channel of the last publish.
    var lastChannel: UnsafeMutablePointer<ChannelState>?
    /// Reasons not to read the socket.
    var pause = PauseReasons()
    var isReading = true
    /// Octets of frames deferred on channels that wait for an answer.
    var deferredBytes = 0
    /// Octets of frames that are parked until an alarm ends.
    var parkedBytes = 0
    /// Bodies of which something has come and not all.
    var openBodies = 0
    /// Bodies that it completes during the memory alarm; it goes on while there are some.
    var begunBodies = 0
    /// Octets of publishes under way to other shards.
    var outstandingBytes = 0

    // Output.
    var outBase: UnsafeMutableRawPointer?
    var outCount = 0
    var outCapacity = 0
    var outToken = 0
    var fullBlocks: [OutputBlock] = []
    /// Octets written that the driver has not taken.
    var pendingBytes = 0
    var isWritable = true
    var isDirty = false
    /// A consumer of this connection waits for room.
    var hasStalledConsumers = false
    /// Octets of remote deliveries to report as sent, per consumer, when the output is taken.
    var hasWindowDebts = false

    // Negotiated.
    /// The client's protocol header asked for 0-8.
    var speaksVersion08 = false
    var frameMaxBytes = ShardLimits.preTuneFrameBytes
    var channelMax = 0
    var heartbeatSeconds: UInt64 = 0
    var lastReceived: BrokerInstant
    var lastSent: BrokerInstant
    let acceptedAt: BrokerInstant

    // The client.
    /// `basic.qos` changes the limits of consumers that are there already.
    ///
    /// py-amqp (kombu, Celery) raises the limit of its consumers while tasks wait for their time. It knows RabbitMQ by
    /// name and asks it for a limit of the channel; of other brokers it expects what the specification says of
    /// `global=false`, and would wait for ever for messages that RabbitMQ's reading holds back.
    var changesPrefetchWhileConsuming = false
    var user = ShortString("")
    var virtualHost: VirtualHost?
    var clientName = ""
    var mechanism = ShortString("")
    var notifiesCancel = false
    var notifiesBlocked = false
    var closesOnAuthenticationFailure = false
    /// Is told why a publish was refused.
    var wantsNackReason = false
    /// Has published during the alarm that holds.
    var isBlocked = false
    /// Has been told so.
    var isBlockedNotified = false

    // Channels.
    var channels = ChannelTable()
    var channelCount = 0
    /// Channels that were closed since the current read began: late acknowledgements for them are ignored.
    var closedInThisRead: [UInt16] = []

    /// Parts of taking the connection down that have not been answered.
    var pendingTeardown = 0

    init(id: ConnectionID, peer: PeerInfo, now: BrokerInstant) {
        self.id = id
        self.peer = peer
        self.lastReceived = now
        self.lastSent = now
        self.acceptedAt = now
    }

    /// Largest payload of a frame to this client.
    @inline(__always)
    var maxPayload: Int { self.frameMaxBytes &- FrameLimits.frameOverheadBytes }
}

/// Why a connection's socket is not read.
struct PauseReasons: OptionSet {
    var rawValue: UInt8

    /// Too many frames wait for an answer from another shard.
    static let deferredFrames = PauseReasons(rawValue: 1)
    /// Too many octets are under way to other shards.
    static let publisherWindow = PauseReasons(rawValue: 2)
    /// An alarm holds, and the connection has published more than is kept meanwhile.
    static let alarm = PauseReasons(rawValue: 4)
    /// The client does not read its answers.
    static let output = PauseReasons(rawValue: 8)
}

/// The channels of a connection by number: an array for the usual small numbers, a dictionary beyond.
struct ChannelTable {
    private var low: [UnsafeMutablePointer<ChannelState>?] = []
    private var high: [UInt16: UnsafeMutablePointer<ChannelState>] = [:]

    private static let lowCount = 2048

    @inline(__always)
    subscript(number: UInt16) -> UnsafeMutablePointer<ChannelState>? {
        get {
            let index = Int(number)
            if index < self.low.count {
                return self.low[index]
            }
            return self.high.isEmpty ? nil : self.high[number]
        }
        set {
            let index = Int(number)
            guard index < Self.lowCount else {
                self.high[number] = newValue
                return
            }
            while self.low.count <= index {
                self.low.append(nil)
            }
            self.low[index] = newValue
        }
    }

    /// All channels in ascending order of their numbers.
    var all: [UnsafeMutablePointer<ChannelState>] {
        self.low.compactMap { $0 } + self.high.keys.sorted().compactMap { self.high[$0] }
    }
}
