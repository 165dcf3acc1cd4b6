/// The channel's last (exchange, routing key) and where it leads, so that a publisher with one target never routes.
///
/// Valid while the shard's route epoch is the same. Only routes that do not depend on headers are kept.
struct RouteCache: ~Copyable {
    /// Exchange and routing key as they came, with their length octets.
    private let names: UnsafeMutableRawPointer?
    private var size = 0
    private var version = UInt64.max
    /// Targets of the cached route: plain memory, because an array would be retained for every message.
    private var targetStorage: UnsafeMutablePointer<QueueAddress>?
    private var targetCapacity = 0
    private var targetCount = 0
    /// The target, if there is just one and it lives on this shard.
    var localQueue: UnsafeMutablePointer<QueueState>?
    /// The target, if there is just one and it lives on another shard.
    var remoteQueue: QueueAddress?

    init() {
        self.names = nil
    }

    init(capacity: Int) {
        self.names = .allocate(byteCount: capacity, alignment: 8)
    }

    deinit {
        self.names?.deallocate()
        self.targetStorage?.deallocate()
    }

    /// Targets of the cached route; valid until another one is stored.
    var targets: UnsafeBufferPointer<QueueAddress> {
        UnsafeBufferPointer(start: self.targetStorage, count: self.targetCount)
    }

    var hasMemory: Bool { self.names != nil }

    /// Whether the cached route is that of `names`, in the epoch `version`.
    @inline(__always)
    func matches(_ candidate: UnsafeRawPointer, size: Int, version: UInt64) -> Bool {
        guard size == self.size, version == self.version, let names = self.names else { return false }
        return Bytes.areEqual(names, candidate, size)
    }

    /// Remembers a route.
    mutating func store(
        _ candidate: UnsafeRawPointer,
        size: Int,
        version: UInt64,
        targets: [QueueAddress],
        localQueue: UnsafeMutablePointer<QueueState>?,
        remoteQueue: QueueAddress?
    ) {
        guard let names = self.names else { return }
        names.copyMemory(from: candidate, byteCount: size)
        self.size = size
        self.version = version
        if targets.count > self.targetCapacity {
            self.targetStorage?.deallocate()
            self.targetStorage = .allocate(capacity: targets.count)
            self.targetCapacity = targets.count
        }
        for (index, target) in targets.enumerated() {
            // Allocated above when there is any target.
            (self.targetStorage.unsafelyUnwrapped + index).initialize(to: target)
        }
        self.targetCount = targets.count
        self.localQueue = localQueue
        self.remoteQueue = remoteQueue
    }

    /// Forgets the route.
    mutating func clear() {
        self.size = 0
        self.version = .max
        self.localQueue = nil
        self.remoteQueue = nil
        self.targetCount = 0
    }
}

/// Copying and comparing of short runs of bytes, where a call of the C library costs more than the work.
enum Bytes {
    /// Whether two runs of `count` octets are the same.
    @inline(__always)
    static func areEqual(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, _ count: Int) -> Bool {
        var offset = 0
        while offset &+ 8 <= count {
            let isSame =
                left.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                == right.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            guard isSame else { return false }
            offset &+= 8
        }
        while offset < count {
            let isSame =
                left.load(fromByteOffset: offset, as: UInt8.self)
                == right.load(fromByteOffset: offset, as: UInt8.self)
            guard isSame else { return false }
            offset &+= 1
        }
        return true
    }

    /// Copies `count` octets between memory that does not overlap.
    @inline(__always)
    static func copy(_ target: UnsafeMutableRawPointer, _ source: UnsafeRawPointer, _ count: Int) {
        if count > 64 {
            target.copyMemory(from: source, byteCount: count)
            return
        }
        var offset = 0
        while offset &+ 8 <= count {
            target.storeBytes(
                of: source.loadUnaligned(fromByteOffset: offset, as: UInt64.self),
                toByteOffset: offset,
                as: UInt64.self
            )
            offset &+= 8
        }
        if count & 4 != 0 {
            target.storeBytes(
                of: source.loadUnaligned(fromByteOffset: offset, as: UInt32.self),
                toByteOffset: offset,
                as: UInt32.self
            )
            offset &+= 4
        }
        if count & 2 != 0 {
            target.storeBytes(
                of: source.loadUnaligned(fromByteOffset: offset, as: UInt16.self),
                toByteOffset: offset,
                as: UInt16.self
            )
            offset &+= 2
        }
        if count & 1 != 0 {
            target.storeBytes(
                of: source.load(fromByteOffset: offset, as: UInt8.self),
                toByteOffset: offset,
                as: UInt8.self
            )
        }
    }
}
