/// A point in time as the core sees it: nanoseconds of a monotonic clock.
///
/// The driver reads its clock once per turn and passes the value down; the core never asks a clock.
public struct BrokerInstant: Hashable, Comparable, Sendable {
    /// Nanoseconds since an arbitrary start that is the same for all shards of a process.
    public var nanoseconds: UInt64

    /// Makes an instant from nanoseconds of the driver's monotonic clock.
    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// Orders instants by time.
    public static func < (left: BrokerInstant, right: BrokerInstant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The instant `milliseconds` later; saturates instead of overflowing.
    public func advanced(milliseconds: UInt64) -> BrokerInstant {
        let (product, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, overflow2) = self.nanoseconds.addingReportingOverflow(product)
        return BrokerInstant(nanoseconds: overflow || overflow2 ? .max : sum)
    }
}
