/// What was found in a log at start.
public struct RecoveryReport: Equatable, Sendable {
    /// Damage in octets that had been committed.
    public struct Damage: Equatable, Sendable {
        /// The path of the file.
        public let file: String
        /// Where in the file the damage begins.
        public let offset: UInt64
        /// Octets of records that are known to be lost; 0 when only a copy of the file's header was damaged, which was
        /// mended.
        public let lostBytes: UInt64
        /// Whether the file ends there: records that stood behind are lost too, and nothing tells whether there were any.
        public let isCutOff: Bool
        /// The path of the copy that was kept aside before anything was changed, if one could be made.
        public let keptAs: String?

        /// Describes damage.
        public init(file: String, offset: UInt64, lostBytes: UInt64, isCutOff: Bool = false, keptAs: String?) {
            self.file = file
            self.offset = offset
            self.lostBytes = lostBytes
            self.isCutOff = isCutOff
            self.keptAs = keptAs
        }
    }

    /// Octets behind the last whole commit of the last file.
    ///
    /// Nothing tells a commit that was being written when the process ended, hence never confirmed, from damage that
    /// reaches to the end.
    public struct TornTail: Equatable, Sendable {
        /// The path of the file.
        public let file: String
        /// Where the log ends now.
        public let offset: UInt64
        /// Octets that were cut.
        public let bytes: UInt64

        /// Describes a tail.
        public init(file: String, offset: UInt64, bytes: UInt64) {
            self.file = file
            self.offset = offset
            self.bytes = bytes
        }
    }

    /// Records that were handed to the caller.
    public internal(set) var records = 0

    /// Octets of those records.
    public internal(set) var octets: UInt64 = 0

    /// Log files whose content was read.
    public internal(set) var filesRead = 0

    /// Where the oldest record that is held stands.
    public internal(set) var first = LogPosition.start

    /// Where the next record will stand.
    public internal(set) var end = LogPosition.start

    /// What was cut from the tail; nil when the log ends where a commit does.
    public internal(set) var tornTail: TornTail?

    /// Damage to committed octets, in the order of the log.
    public internal(set) var damages: [Damage] = []

    /// An empty log's.
    public init() {}
}
