/// What a log can be told.
public struct CommitLogOptions: Sendable {
    /// Octets of a log file, a multiple of 8 and at least 4096.
    public var fileBytes: UInt64

    /// Files that are kept to be used again once nothing in them is needed.
    public var spareFiles: Int

    /// Ties files and records to their data directory: `DataDirectory.identity`.
    ///
    /// A number that nobody outside knows: it keeps what clients send from being taken for records.
    public var identity: UInt64

    /// Octets of staging memory that are kept between commits.
    public var stagingBytes: Int

    /// The defaults, for a data directory's identity.
    public init(identity: UInt64, fileBytes: UInt64 = 64 << 20, spareFiles: Int = 2, stagingBytes: Int = 8 << 20) {
        precondition(fileBytes >= 4096 && fileBytes % 8 == 0 && spareFiles >= 0)
        self.identity = identity
        self.fileBytes = fileBytes
        self.spareFiles = spareFiles
        self.stagingBytes = stagingBytes
    }
}
