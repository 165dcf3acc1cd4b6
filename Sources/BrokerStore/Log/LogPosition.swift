/// Where a record stands in the log: the octets of records before it since the log began.
///
/// Never used twice, and it does not depend on how the log is cut into files.
public struct LogPosition: Hashable, Comparable, Sendable {
    /// Octets of records before this place.
    public let octets: UInt64

    /// The place after so many octets.
    public init(_ octets: UInt64) {
        self.octets = octets
    }

    /// Where a log begins.
    public static let start = LogPosition(0)

    /// The order of the log.
    public static func < (left: LogPosition, right: LogPosition) -> Bool { left.octets < right.octets }
}
