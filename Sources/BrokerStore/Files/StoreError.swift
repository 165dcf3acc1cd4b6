/// Why something with the data directory failed: what was tried, on which file, and the reason.
///
/// Made to be shown to an operator as it is: "cannot sync /var/lib/martlet/log-0000000000000001: Input/output error".
public struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What a caller can tell apart.
    public enum Reason: Hashable, Sendable {
        /// The system refused, with this error number.
        case system(Int32)
        /// The file system is full; the same call may succeed later.
        case noSpace
        /// The system has no file descriptor or memory to spare; the same call may succeed later.
        case shortage
        /// There is no such file.
        case missing
        /// There is such a file already.
        case exists
        /// Another process uses the directory; its number if it left one.
        case locked(process: Int32?)
        /// The content is none of ours.
        case notOurs
        /// The content was written by a newer version.
        case newerFormat(UInt32)
        /// The content was ours and is damaged.
        case damaged
        /// What was asked for makes no sense.
        case unusable
        /// Somebody has called it off.
        case cancelled
        /// An earlier write or sync failed, so that nothing more can be promised.
        case poisoned
    }

    /// What was tried.
    ///
    /// The raw value completes "cannot … FILE".
    public enum Operation: String, Hashable, Sendable {
        case open
        case create
        case read
        case write
        case sync
        case fill
        case measure
        case lock
        case list
        case remove
        case rename
        case makeDirectory = "make directory"
        case syncDirectory = "sync directory"
        case findFreeSpace = "find the free space of"
        case use
        case recover
        case commit = "commit to"
        case snapshot = "make the snapshot"
    }

    /// What a caller can tell apart.
    public let reason: Reason

    /// What was tried.
    public let operation: Operation

    /// The path of the file or directory.
    public let file: String

    /// The reason in words; the system's own where it was the system.
    public let text: String

    /// Describes a failure.
    public init(_ reason: Reason, _ operation: Operation, _ file: String, _ text: String) {
        self.reason = reason
        self.operation = operation
        self.file = file
        self.text = text
    }

    /// One sentence for a log.
    public var description: String { "cannot \(self.operation.rawValue) \(self.file): \(self.text)" }
}
