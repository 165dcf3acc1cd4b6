internal import AMQPProtocol

/// The channel's last (exchange, routing key) and where it leads, so that a publisher with one target never routes.
///
/// Valid while the shard's route epoch is the same. Only routes that do not depend on headers are kept.
struct RouteCache: ~Copyable {
    /// The frame of a `basic.publish` with that exchange and key, without flags; ``namesOffset`` octets on stand exchange
    /// and routing key as they came, with their length octets.
    private let frame: UnsafeMutableRawPointer?
    private var size = 0
    /// Octets of the frame while the route leads to a queue of this shard alone, otherwise 0.
    private(set) var frameSize = 0
    private var version = UInt64.max
    /// Targets of the cached route: plain memory, because an array would be retained for every message.
    private var targetStorage: UnsafeMutablePointer<QueueAddress>?
    private var targetCapacity = 0
    private var targetCount = 0
    /// The route is that of messages with headers, too.
    private(set) var isForHeaders = false
    /// What messages of this route come from if they wait.
    var delayOrigin = CachedOrigin()
    /// The target, if there is just one and it lives on this shard.
    var localQueue: UnsafeMutablePointer<QueueState>?
    /// The target, if there is just one and it lives on another shard.
    var remoteQueue: QueueAddress?

    /// Octets of the frame before the names: its header, the method's two numbers and a reserved one.
    private static let namesOffset = 13
    /// Octets of the frame besides the names.
    private static let frameOverhead = 15

    init() {
        self.frame = nil
    }

    init(capacity: Int) {
        self.frame = .allocate(byteCount: capacity + Self.frameOverhead, alignment: 8)
    }

    deinit {
        self.frame?.deallocate()
        self.targetStorage?.deallocate()
    }

    /// Targets of the cached route; valid until another one is stored.
    var targets: UnsafeBufferPointer<QueueAddress> {
        UnsafeBufferPointer(start: self.targetStorage, count: self.targetCount)
    }

    var hasMemory: Bool { self.frame != nil }

    /// Whether the cached route is that of `names`, in the epoch `version`.
    @inline(__always)
    func matches(_ candidate: UnsafeRawPointer, size: Int, version: UInt64) -> Bool {
        guard size == self.size, version == self.version, let frame = self.frame else { return false }
        return Bytes.areEqual(frame + Self.namesOffset, candidate, size)
    }

    /// Whether what begins there is the frame of a publish that takes the cached route to one queue of this shard.
    ///
    /// ``frameSize`` octets of it are looked at.
    @inline(__always)
    func matchesFrame(_ candidate: UnsafeRawPointer, version: UInt64) -> Bool {
        guard version == self.version, let frame = self.frame else { return false }
        return Bytes.areEqual(frame, candidate, self.frameSize)
    }

    /// Remembers a route.
    mutating func store(
        _ candidate: UnsafeRawPointer,
        size: Int,
        version: UInt64,
        channel: UInt16,
        isForHeaders: Bool,
        targets: [QueueAddress],
        localQueue: UnsafeMutablePointer<QueueState>?,
        remoteQueue: QueueAddress?
    ) {
        guard let frame = self.frame else { return }
        frame.storeBytes(of: FrameType.method, as: UInt8.self)
        frame.storeBytes(of: channel.bigEndian, toByteOffset: 1, as: UInt16.self)
        let payloadSize = UInt32(size + Self.frameOverhead - FrameLimits.frameOverheadBytes)
        frame.storeBytes(of: payloadSize.bigEndian, toByteOffset: 3, as: UInt32.self)
        frame.storeBytes(of: BasicPublish.id.rawValue.bigEndian, toByteOffset: 7, as: UInt32.self)
        frame.storeBytes(of: 0, toByteOffset: 11, as: UInt16.self)
        (frame + Self.namesOffset).copyMemory(from: candidate, byteCount: size)
        frame.storeBytes(of: 0, toByteOffset: Self.namesOffset + size, as: UInt8.self)
        frame.storeBytes(of: FrameLimits.frameEnd, toByteOffset: Self.namesOffset + size + 1, as: UInt8.self)
        self.size = size
        self.frameSize = localQueue == nil ? 0 : size + Self.frameOverhead
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
        self.isForHeaders = isForHeaders
        self.delayOrigin = CachedOrigin()
        self.localQueue = localQueue
        self.remoteQueue = remoteQueue
    }

    /// Forgets the route.
    mutating func clear() {
        self.size = 0
        self.frameSize = 0
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
        if count >= 8 {
            var offset = 0
            let last = count &- 8
            while offset < last {
                guard Self.isSame(left, right, offset, UInt64.self) else { return false }
                offset &+= 8
            }
            // The last eight, some of which may have been looked at.
            return Self.isSame(left, right, last, UInt64.self)
        }
        if count >= 4 {
            return Self.isSame(left, right, 0, UInt32.self) && Self.isSame(left, right, count &- 4, UInt32.self)
        }
        var offset = 0
        while offset < count {
            guard Self.isSame(left, right, offset, UInt8.self) else { return false }
            offset &+= 1
        }
        return true
    }

    @inline(__always)
    private static func isSame<Piece: FixedWidthInteger & BitwiseCopyable>(
        _ left: UnsafeRawPointer,
        _ right: UnsafeRawPointer,
        _ offset: Int,
        _ type: Piece.Type
    ) -> Bool {
        left.loadUnaligned(fromByteOffset: offset, as: type) == right.loadUnaligned(fromByteOffset: offset, as: type)
    }

    /// Copies `count` octets between memory that does not overlap.
    ///
    /// In two pieces that may overlap each other, or four: fewer steps than piece by piece.
    @inline(__always)
    static func copy(_ target: UnsafeMutableRawPointer, _ source: UnsafeRawPointer, _ count: Int) {
        if count >= 16 {
            if count > 64 {
                target.copyMemory(from: source, byteCount: count)
                return
            }
            if count > 32 {
                Self.move(target, source, 16, SIMD16<UInt8>.self)
                Self.move(target, source, count &- 32, SIMD16<UInt8>.self)
            }
            Self.move(target, source, 0, SIMD16<UInt8>.self)
            Self.move(target, source, count &- 16, SIMD16<UInt8>.self)
        } else if count >= 8 {
            Self.move(target, source, 0, UInt64.self)
            Self.move(target, source, count &- 8, UInt64.self)
        } else if count >= 4 {
            Self.move(target, source, 0, UInt32.self)
            Self.move(target, source, count &- 4, UInt32.self)
        } else if count >= 2 {
            Self.move(target, source, 0, UInt16.self)
            Self.move(target, source, count &- 2, UInt16.self)
        } else if count == 1 {
            Self.move(target, source, 0, UInt8.self)
        }
    }

    @inline(__always)
    private static func move<Piece: BitwiseCopyable>(
        _ target: UnsafeMutableRawPointer,
        _ source: UnsafeRawPointer,
        _ offset: Int,
        _ type: Piece.Type
    ) {
        target.storeBytes(of: source.loadUnaligned(fromByteOffset: offset, as: type), toByteOffset: offset, as: type)
    }
}
