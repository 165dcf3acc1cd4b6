/// Every size and bound of the load tool, in one place.
enum PerfLimits {
    /// Octets a publisher hands to the socket in one write.
    ///
    /// Large enough that a system call costs nothing per small message, small enough to stay in the cache.
    static let batchBytes = 64 * 1024

    /// Bodies longer than this are sent from one shared image instead of being copied into each batch.
    static let copiedBodyBytes = 8 * 1024

    /// Kinds of messages that take turns.
    static let varieties = 1024

    /// Batches one publisher may send before other connections get their turn.
    static let batchesPerTurn = 4

    /// The largest frame offered to the server in `connection.tune-ok`.
    static let frameMaxBytes: UInt32 = 131_072

    /// The largest method or header frame accepted from the server.
    static let incomingFrameBytes = 1 << 20

    /// Octets of one read where few connections share an event loop.
    static let readBytes = 256 * 1024

    /// Octets of one read where many do: NIO keeps such a buffer for each of them.
    static let crowdedReadBytes = 64 * 1024

    /// Connections from which an event loop counts as crowded.
    static let crowd = 64

    /// Unsent acknowledgements at which a consumer stops reading until the server takes them.
    static let unsentAckBytes = 4 << 20

    /// The farthest jump in a publisher's numbers that is taken for loss; beyond it the number is not one of ours.
    static let sequenceJump: UInt64 = 1 << 26

    /// The largest `--confirm` window.
    static let confirmWindow = 1 << 20

    /// The most publishers: a body carries its publisher in 16 bits.
    static let publishers = 65_535

    /// The longest latency the histogram tells apart, in nanoseconds (one hour).
    static let latencyNanoseconds: UInt64 = 3_600_000_000_000

    /// Connections opened at the same time.
    static let connectsAtOnce = 32

    /// Seconds to wait for the server where it should answer at once.
    static let answerSeconds: Int64 = 30

    /// Seconds that the rest of the messages may take to arrive after the measured part.
    static let drainSeconds: UInt64 = 30

    /// Seconds without any progress after which a run by count or a drain is given up.
    static let stallSeconds: UInt64 = 5
}
