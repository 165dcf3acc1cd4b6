/// Judges how near a file system is to being full.
///
/// Space is short below the limit, and enough again a twentieth above it, one mebibyte at least: publishers who are let go
/// by every octet more would be stopped by the next.
public struct SpaceGauge: Sendable {
    /// Free octets below which space is short.
    public let limitBytes: UInt64

    /// Whether space is short.
    public private(set) var isShort = false

    /// A disk is supposed to fill no faster than this many octets a second.
    private static let fillRate: UInt64 = 10 << 30
    /// How often to look when the limit is near, and when it is far away.
    private static let soonMilliseconds: UInt64 = 50
    private static let lateMilliseconds: UInt64 = 1_000

    /// A gauge that supposes that there is space.
    public init(limitBytes: UInt64) {
        self.limitBytes = limitBytes
    }

    /// Notes the free octets; returns what is new: space has become short (`true`) or enough (`false`), or nil.
    public mutating func note(freeBytes: UInt64) -> Bool? {
        let margin = max(self.limitBytes / 20, 1 << 20)
        let (enough, overflow) = self.limitBytes.addingReportingOverflow(margin)
        let isShort = self.isShort ? freeBytes < (overflow ? .max : enough) : freeBytes < self.limitBytes
        guard isShort != self.isShort else { return nil }
        self.isShort = isShort
        return isShort
    }

    /// When to look again: before the disk can have filled up, and often when it is nearly full.
    public func millisecondsToNextLook(freeBytes: UInt64) -> UInt64 {
        guard !self.isShort, freeBytes > self.limitBytes else { return Self.soonMilliseconds }
        let time = (freeBytes - self.limitBytes) / (Self.fillRate / 1_000)
        return min(max(time, Self.soonMilliseconds), Self.lateMilliseconds)
    }
}
