/// The files of a log as they were at a moment, which stay until they are unpinned.
///
/// Records go on being written behind ``end``; what stands before it does not change any more.
public struct LogPin: Sendable {
    /// A file with records.
    struct File: Sendable {
        /// The number in its name.
        let sequence: UInt64
        /// Octets of the whole file.
        let capacity: UInt64
        /// Octets that count: its header, and records up to the end or to where the next file begins.
        let octets: UInt64
    }

    /// The files, oldest first.
    let files: [File]

    /// Everything that was committed before the log was pinned stands before this.
    public let end: LogPosition

    /// Octets that count, of all files.
    public var octets: UInt64 { self.files.reduce(0) { $0 + $1.octets } }
}

extension CommitLog {
    /// Has all files stay until ``unpin()``, as often as it is called.
    func pin() -> LogPin {
        self.pinCount += 1
        let ends = self.held.dropFirst().map(\.firstPosition) + [self.writtenPosition]
        let files = zip(self.held, ends).map { file, end in
            LogPin.File(
                sequence: file.sequence,
                capacity: file.capacity,
                octets: UInt64(LogFileHeader.size) + (end - file.firstPosition)
            )
        }
        return LogPin(files: files, end: LogPosition(self.writtenPosition))
    }

    /// Ends a pin; what was to be released meanwhile is released after the last one.
    func unpin() throws(StoreError) {
        precondition(self.pinCount > 0, "pinned before")
        self.pinCount -= 1
        guard self.pinCount == 0, let position = self.heldBack else { return }
        self.heldBack = nil
        try self.release(upTo: position)
    }
}
