/// What a slot says of a message that is on disk only.
///
/// ```
/// bit 63        set
/// bit 62        it lies in a scratch file, otherwise in the commit log
/// bit 61        somebody has asked for it
/// bit 60        it lies in a scratch file, and the commit log has it for durable queues somewhere
/// bits 18-59    where its record begins, in words of 8 octets, modulo 2^42
/// bits 1-17     octets of the body and 1; 0 sends the reader to ``PagedAside``
/// bit 0         clear
/// ```
struct PagedWord: Equatable {
    private(set) var rawValue: UInt

    private static let pagedBit: UInt = 1 << 63
    private static let scratchBit: UInt = 1 << 62
    private static let loadingBit: UInt = 1 << 61
    private static let loggedBit: UInt = 1 << 60
    private static let positionBits: UInt64 = 42
    /// Bodies of less fit into the word.
    static let bodyLimit = (1 << 17) - 1

    init(rawValue: UInt) {
        self.rawValue = rawValue
    }

    /// A message whose record begins at a multiple of 8; the size of its body stands elsewhere when it is nil.
    init(position: UInt64, isScratch: Bool, isLogged: Bool, bodySize: Int?) {
        let words = UInt(truncatingIfNeeded: (position >> 3) & ((1 << Self.positionBits) - 1))
        assert(bodySize ?? 0 < Self.bodyLimit, "a size that does not fit")
        let place = isScratch ? Self.scratchBit | (isLogged ? Self.loggedBit : 0) : 0
        self.rawValue = Self.pagedBit | place | words << 18 | UInt(bodySize.map { $0 + 1 } ?? 0) << 1
    }

    var isScratch: Bool { self.rawValue & Self.scratchBit != 0 }

    /// Whether the commit log has it for durable queues, there or elsewhere.
    var isLogged: Bool { self.rawValue & Self.scratchBit == 0 || self.rawValue & Self.loggedBit != 0 }

    var isLoading: Bool {
        get { self.rawValue & Self.loadingBit != 0 }
        set { self.rawValue = newValue ? self.rawValue | Self.loadingBit : self.rawValue & ~Self.loadingBit }
    }

    /// Octets of the body; nil when ``PagedAside`` has them.
    var bodySize: Int? {
        let size = Int(self.rawValue >> 1) & Self.bodyLimit
        return size == 0 ? nil : size - 1
    }

    /// Where the record begins, knowing that it is not 2^44 octets before `end`, nor 2^43 behind it.
    func position(near end: UInt64) -> UInt64 {
        let words = UInt64(self.rawValue >> 18) & ((1 << Self.positionBits) - 1)
        let last = (end >> 3) &+ (1 << (Self.positionBits - 2))
        return (last &- ((last &- words) & ((1 << Self.positionBits) - 1))) << 3
    }
}

/// What does not fit into a ``PagedWord``.
struct PagedAside {
    /// Queue entries and deliveries that need the message.
    var references: UInt32
    /// Octets of the body.
    var bodySize: Int
    /// The log has it for more than one queue; see ``LogLocation/isShared``.
    var isShared = false
    /// It was on disk and is damaged or gone there.
    var isLost = false
    /// The disk refuses to read it, for long: nobody waits for it.
    var isUnread = false
    /// It stands in a record of a message that waits for its time; known of those that are unread.
    var isDelayed = false
}

/// The positions of a shard's scratch files: where the next write goes, and what is alive in each file.
///
/// A file takes the positions of its number times ``fileBytes`` on; a write lies in one file, which a single large message
/// may make longer.
struct ScratchSpace {
    /// Octets of a file.
    static let fileBytes: UInt64 = 64 << 20

    private struct Use {
        /// Messages that slots say are here.
        var live = 0
        /// Writes under way.
        var writes = 0
    }

    /// Where the next write goes at the earliest.
    private(set) var end: UInt64 = 0
    private var files: [UInt64: Use] = [:]
    /// Files in which nothing lives, to be removed.
    var releasedFiles: [UInt64] = []

    /// The number of the file that holds a position.
    static func file(_ position: UInt64) -> UInt64 { position / self.fileBytes }

    /// Takes room for a write; ``endWrite(_:messages:)`` must follow.
    mutating func beginWrite(_ octets: Int) -> UInt64 {
        let count = UInt64(octets)
        let room = Self.fileBytes - self.end % Self.fileBytes
        if count > room && room < Self.fileBytes {
            self.end += room
        }
        let position = self.end
        self.files[Self.file(position), default: Use()].writes += 1
        self.end += (count + 7) & ~7
        // Of a write larger than a file the rest of its last file stays empty.
        if Self.file(self.end) > Self.file(position) + 1 || (count > Self.fileBytes && self.end % Self.fileBytes != 0) {
            self.end = (Self.file(self.end) + 1) * Self.fileBytes
        }
        return position
    }

    /// A write is done; so many of its messages are on disk only now.
    mutating func endWrite(_ position: UInt64, messages: Int) {
        self.change(position) { use in
            use.writes -= 1
            use.live += messages
        }
    }

    /// A message that was here is not any more.
    mutating func release(_ position: UInt64) {
        self.change(position) { $0.live -= 1 }
    }

    private mutating func change(_ position: UInt64, _ body: (inout Use) -> Void) {
        let file = Self.file(position)
        var use = self.files[file] ?? Use()
        body(&use)
        assert(use.live >= 0 && use.writes >= 0, "scratch file released too often")
        guard use.live == 0 && use.writes == 0 else {
            self.files[file] = use
            return
        }
        self.files[file] = nil
        self.releasedFiles.append(file)
        if Self.file(self.end) == file {
            self.end = (file + 1) * Self.fileBytes
        }
    }
}
