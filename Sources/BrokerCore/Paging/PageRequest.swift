/// What a shard asks of the disk for messages that do not fit into memory; the driver carries it out and answers.
public enum PageRequest: Sendable {
    /// Read messages back; ``Shard/pageLoaded(_:now:)`` answers.
    case read(PageRead)
    /// Write messages to a scratch file; ``Shard/pageWritten(_:error:now:)`` answers.
    case write(PageWrite)
    /// Remove a scratch file of this shard, if it exists: the one that holds the positions of its number times
    /// ``PageWrite/fileBytes`` on.
    case removeScratchFile(UInt64)
}

/// Messages to be read back, and what came of it.
///
/// `@unchecked Sendable`: filled by the shard, handed over whole to the driver, handed back whole.
public final class PageRead: @unchecked Sendable {
    /// A record that is wanted.
    public struct Wanted {
        /// Whether it lies in a scratch file, otherwise in the commit log.
        public let isScratch: Bool
        /// Where it begins.
        public let position: UInt64
        /// Octets of its payload, at least.
        public let size: Int
        let slot: UInt32
        /// It stands in a record of a message that waits for its time; of those in the commit log only.
        var isDelayed = false
        /// The payload, once it is read and its checksum is right.
        fileprivate(set) var payload: UnsafeRawBufferPointer?
        /// Why there is none.
        fileprivate(set) var miss: PageMiss?
    }

    /// The records, in the order in which they are needed; those of one kind mostly ascend.
    public internal(set) var wanted: [Wanted] = []
    /// Who waits for messages.
    enum Reason {
        /// A queue, to deliver them.
        case queue(QueueAddress)
        /// Dead messages, to be handed on.
        case deaths
        /// Messages whose time comes soon.
        case delays
        /// An operator, who wants to see messages that wait for their time.
        case delayList(DelayListing)
        /// The log is told again what is live.
        case snapshot
        /// Nobody: the disk has refused them for long.
        case unread
    }

    let reason: Reason
    /// Octets of all payloads, about.
    public internal(set) var octets = 0
    /// What was read goes back into memory.
    var isToStay: Bool {
        switch self.reason {
        case .delayList: false
        case .queue, .deaths, .delays, .snapshot, .unread: true
        }
    }
    /// What the disk refuses to read at once is to be read in parts: it has refused for more than a moment.
    public var isSplit: Bool { self.refusals >= 4 || self.isForUnread }
    /// Nobody waits for it.
    var isForUnread: Bool {
        if case .unread = self.reason { true } else { false }
    }
    private var buffers: [UnsafeMutableRawPointer] = []
    /// How often the disk has refused these records.
    let refusals: Int

    init(for reason: Reason, refusals: Int = 0) {
        self.reason = reason
        self.refusals = refusals
    }

    deinit {
        for buffer in self.buffers {
            buffer.deallocate()
        }
    }

    /// Memory that payloads lie in; it lives as long as this.
    public func allocate(_ octets: Int) -> UnsafeMutableRawBufferPointer {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(1, octets), alignment: 16)
        self.buffers.append(buffer)
        return UnsafeMutableRawBufferPointer(start: buffer, count: octets)
    }

    /// The payload of a record is here, whole and undamaged, in memory that this has allocated.
    public func found(_ index: Int, _ payload: UnsafeRawBufferPointer) {
        self.wanted[index].payload = payload
    }

    /// A record could not be read, unless it is found all the same.
    public func missed(_ index: Int, _ miss: PageMiss) {
        self.wanted[index].miss = miss
    }
}

/// Why a record could not be read.
public struct PageMiss: Sendable {
    /// What can be done about it.
    public enum Reason: Sendable {
        /// Nothing: it is not there any more, or not whole.
        case damaged
        /// The disk has refused: it may be another time.
        case refused
        /// The disk was not asked, for want of something that comes and goes.
        case shortage
    }

    let reason: Reason
    /// In words, with the file and the place in it.
    let text: String

    /// A reason, for the shard and in words.
    public init(_ reason: Reason, _ text: String) {
        self.reason = reason
        self.text = text
    }
}

/// Messages to be written to a scratch file.
///
/// `@unchecked Sendable`: filled by the shard, handed over whole to the driver, handed back whole.
public final class PageWrite: @unchecked Sendable {
    /// Octets of positions that one scratch file holds; the last write in it may go beyond.
    public static let fileBytes = ScratchSpace.fileBytes

    struct Entry {
        let slot: UInt32
        /// Octets from the beginning of the write.
        let offset: UInt32
        /// Where the record is in memory.
        let base: UnsafeMutableRawPointer
    }

    /// The records, without positions and checksums.
    public let records: LogRecords
    /// Where the first record will stand.
    public internal(set) var position: UInt64 = 0
    var entries: [Entry] = []
    /// The chunk that is written; nil when it is a large record.
    let chunk: UnsafeMutableRawPointer?

    init(chunk: UnsafeMutableRawPointer?, capacity: Int) {
        self.chunk = chunk
        self.records = LogRecords(number: 0, capacity: capacity)
    }
}

/// What a shard remembers of messages that leave memory and come back.
struct PagingState {
    /// A channel's permission for one message; see ``Shard/grant(_:_:_:_:)``.
    struct Grant {
        let queue: QueueAddress
        let consumer: UInt32
        let channel: ChannelAddress
        let channelIndex: UInt32
    }

    /// For the driver.
    var requests: [PageRequest] = []
    /// Octets that are being written to scratch files and still are in memory.
    var writingBytes = 0
    /// More is to leave memory than a turn's worth, and can.
    var isBehind = false
    /// A write has failed: none is tried before.
    var scratchPause = BrokerInstant(nanoseconds: 0)
    /// Queues whose next message is on disk.
    var stalled: [QueueAddress] = []
    /// `basic.get`s that wait, oldest first.
    var gets: [ShardCommand] = []
    /// The dead message whose turn it is is on disk.
    var areDeathsAwaited = false
    /// Reads under way of dead messages.
    var deathLoads = 0
    /// During the memory alarm no dead messages are read before.
    var nextAlarmedDeaths = BrokerInstant(nanoseconds: 0)
    /// A timer reads dead messages then.
    var isMoveTimerSet = false
    /// Dead messages on disk whose queues are gone.
    var orphanCount = 0
    /// Grants of consumers whose next message is on disk.
    var grants: [Grant] = []
    /// Reads that the disk has refused and when they are tried again, in the order in which it did.
    var retries: [(due: BrokerInstant, read: PageRead)] = []
    /// Messages that they ask for: who needs one of these next asks for nothing else, for what does not stay in memory
    /// would be read for ever.
    var refused: Set<UInt32> = []
    /// What the disk has refused for long.
    var unread = UnreadMessages()
    /// Reads under way to tell the log again what is live.
    var snapshotReads = 0
}
