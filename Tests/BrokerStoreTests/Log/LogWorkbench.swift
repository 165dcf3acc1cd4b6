import BrokerStore

/// A record as a test sees it.
struct SeenRecord: Equatable, CustomStringConvertible {
    let position: UInt64
    let type: UInt8
    let payload: [UInt8]

    var description: String { "\(self.position): \(self.type) \(self.payload.count) octets" }
}

/// A log on a simulated disk, and what it gave back when it was opened.
struct LogWorkbench {
    static let identity: UInt64 = 0x1234_5678_9ABC_DEF0
    static let directory = "log"

    let disk: SimulatedFileSystem
    var options: CommitLogOptions
    private(set) var log: CommitLog
    private(set) var recovered: [SeenRecord] = []
    private(set) var report = RecoveryReport()

    /// Opens what is on a disk.
    init(
        _ disk: SimulatedFileSystem = LogWorkbench.makeDisk(),
        fileBytes: UInt64 = 4096,
        from: LogPosition? = nil
    ) throws {
        self.disk = disk
        self.options = CommitLogOptions(identity: Self.identity, fileBytes: fileBytes, spareFiles: 2)
        self.log = CommitLog(files: disk, directory: Self.directory, options: self.options)
        try self.recover(from: from)
    }

    /// A disk with an empty directory.
    static func makeDisk() -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try? disk.makeDirectory(Self.directory)
        try? disk.syncDirectory("")
        return disk
    }

    /// Starts anew on the same disk, as after the process was killed.
    mutating func reopen(from: LogPosition? = nil) throws {
        self.log = CommitLog(files: self.disk, directory: Self.directory, options: self.options)
        try self.recover(from: from)
    }

    private mutating func recover(from: LogPosition?) throws {
        var seen: [SeenRecord] = []
        self.report = try self.log.recover(from: from) { position, type, payload in
            seen.append(SeenRecord(position: position.octets, type: type, payload: Array(payload)))
        }
        self.recovered = seen
    }

    /// Stages a record.
    @discardableResult
    func append(_ type: UInt8, _ payload: [UInt8]) throws -> SeenRecord {
        let position = try payload.withUnsafeBytes { try self.log.append(type: type, payload: $0) }
        return SeenRecord(position: position.octets, type: type, payload: payload)
    }

    /// Stages records of the given payload sizes and commits them.
    @discardableResult
    func commit(_ sizes: Int..., type: UInt8 = 1) throws -> [SeenRecord] {
        let records = try sizes.map { try self.append(type, Self.payload($0, UInt64($0))) }
        try self.log.commit()
        return records
    }

    /// Octets that differ from one payload to the next.
    static func payload(_ size: Int, _ salt: UInt64) -> [UInt8] {
        var value = salt &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<size).map { _ in
            value = value &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: value >> 33)
        }
    }

    /// The path of a log file.
    static func path(_ sequence: Int) -> String {
        let digits = String(sequence, radix: 16)
        return "\(Self.directory)/log-" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Octets of a record of a payload.
    static func size(_ payload: Int) -> Int { (payload + 12 + 7) / 8 * 8 }
}
