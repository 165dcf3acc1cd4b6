/// Files for messages that do not fit into memory and need not survive.
///
/// Never synced, and removed at the next start at the latest; for one thread. A file holds the positions from its number times `fileBytes` on; records begin with the first octet.
///
/// `@unchecked Sendable`: made by one thread, used by another alone from then on.
public final class ScratchFiles: @unchecked Sendable {
    private let files: any FileSystem
    private let directory: String
    private let owner: Int
    private let fileBytes: UInt64
    private let reader: RecordReader
    private let seed: UInt32
    private var open: [UInt64: any StoreFile] = [:]

    private static let prefix = "scratch-"

    /// The files of one owner in a directory; `identity` is a number that nobody outside knows.
    public init(files: any FileSystem, directory: String, owner: Int, fileBytes: UInt64, identity: UInt64) {
        self.files = files
        self.directory = directory
        self.owner = owner
        self.fileBytes = fileBytes
        self.seed = RecordFormat.seed(identity: identity)
        self.reader = RecordReader(seed: self.seed)
    }

    /// Removes what an earlier process has left.
    public static func removeAll(in directory: String, files: any FileSystem) throws(StoreError) {
        for name in try files.names(in: directory) where name.hasPrefix(self.prefix) {
            try files.remove("\(directory)/\(name)")
        }
    }

    private func path(_ number: UInt64) -> String { "\(self.directory)/\(Self.prefix)\(self.owner)-\(number)" }

    private func file(_ number: UInt64, _ mode: OpenMode) throws(StoreError) -> any StoreFile {
        if let file = self.open[number] { return file }
        let file = try self.files.open(self.path(number), mode)
        self.open[number] = file
        return file
    }

    /// Writes begun records one after the other, after filling in positions and checksums.
    public func write(_ records: UnsafeMutableRawBufferPointer, at position: UInt64) throws(StoreError) {
        guard let base = records.baseAddress else { return }
        var offset = 0
        while offset < records.count {
            RecordFormat.finish(base + offset, position: position + UInt64(offset), flags: 0, seed: self.seed)
            offset += RecordFormat.sizeOfBegun(base + offset)
        }
        let file = try self.file(position / self.fileBytes, .openOrCreate)
        try file.write(UnsafeRawBufferPointer(records), at: position % self.fileBytes)
    }

    /// Reads records, neighbours at once, and hands over the payloads of those that are whole.
    ///
    /// They lie in memory that `allocate` gave. Returns what is wrong with the others.
    public func read(
        _ places: [RecordPlace],
        isSplit: Bool = false,
        allocate: (Int) -> UnsafeMutableRawBufferPointer,
        found: (Int, UnsafeRawBufferPointer) -> Void
    ) -> [ReadProblem] {
        self.reader.read(
            places,
            isSplit: isSplit,
            allocate: allocate,
            source: { (position) throws(StoreError) in
                let file = try self.file(position / self.fileBytes, .readOnly)
                let offset = position % self.fileBytes
                // Only a single large record goes beyond the file's own positions.
                return RecordSource(file: file, offset: offset, room: max(self.fileBytes, try file.size()) - offset)
            },
            found: found
        )
    }

    /// Removes a file in which nothing is needed any more, if it is there.
    public func remove(_ number: UInt64) throws(StoreError) {
        self.open[number] = nil
        do throws(StoreError) {
            try self.files.remove(self.path(number))
        } catch  where error.reason == .missing {}
    }
}
