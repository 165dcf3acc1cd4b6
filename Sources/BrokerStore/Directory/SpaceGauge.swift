/// Judges how near a file system is to being full.
///
/// Space is short below the limit, and enough again a twentieth above it, one mebibyte at least: publishers who are let go
/// by every octet more would be stopped by the next.
public struct SpaceGauge: Sendable {
    /// Free octets below which space is short.
    public let limitBytes: UInt64

    /// Whether space is short.
    public private(set) var isShort = false

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
}
