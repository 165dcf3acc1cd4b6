internal import Synchronization

/// A file system in memory that can lose power, fail, and be full, on demand and the same way every time.
///
/// Knows what was synced. `losePower` keeps any part of the rest: any of the unsynced writes, any octets at the beginning of
/// one or any of its sectors, any of the names that were changed. Several threads may use it.
public final class SimulatedFileSystem: FileSystem {
    /// What can be counted, and made to fail.
    public enum Kind: Hashable, Sendable, CaseIterable {
        case open, write, sync, rename, remove, syncDirectory, read
    }

    private struct State {
        var disk = SimulatedDisk()
        var counts: [Kind: Int] = [:]
        var changes = 0
        var failures: [Kind: (at: Int, error: Int32)] = [:]
        var powerOffAfter: Int?
        /// Octets of the first write that comes too late which are written all the same.
        var lastOctets = 0
        /// What came too late first.
        var firstMissed: (kind: Kind, path: String)?
        var capacityBytes: UInt64 = .max
        var ignoresSyncs = false
        var badOctets: (path: String, range: Range<UInt64>)?
        var onSync: (@Sendable (String) -> Void)?
    }

    private let state = Mutex(State())

    /// An empty file system with a root directory, "".
    public init() {}

    /// A copy of everything, synced or not, without locks: what a process would find that started now.
    public func copy() -> SimulatedFileSystem {
        let copy = SimulatedFileSystem()
        var disk = self.state.withLock { $0.disk }
        for node in disk.nodes.keys { disk.nodes[node]?.lockedBy = nil }
        let frozen = disk
        copy.state.withLock { $0.disk = frozen }
        return copy
    }

    // MARK: Faults

    /// Loses power and comes back: open files, locks and whatever was not made durable are gone, the latter as `seed` wills.
    public func losePower(seed: UInt64) {
        self.state.withLock { state in
            var chance = SimulatedChance(seed: seed)
            state.disk.losePower(&chance)
            state.powerOffAfter = nil
            state.failures = [:]
        }
    }

    /// Kills the process: open files and locks are gone, everything that was written stays.
    public func kill() {
        self.state.withLock { state in
            for node in state.disk.nodes.keys { state.disk.nodes[node]?.lockedBy = nil }
            state.powerOffAfter = nil
            state.failures = [:]
        }
    }

    /// Takes back `powerOff`: it was only the process that ended.
    public func powerOn() {
        self.state.withLock { $0.powerOffAfter = nil }
    }

    /// Lets so many more changes of files and names happen, syncs included, and then fails everything until `losePower` or
    /// `kill`.
    ///
    /// If the first change that comes too late is a write, so many octets of it are written all the same.
    public func powerOff(afterChanges count: Int, lastOctets: Int = 0) {
        self.state.withLock { state in
            state.powerOffAfter = state.changes + count
            state.lastOctets = lastOctets
            state.firstMissed = nil
        }
    }

    /// What was the first to fail because power was off, if anything was.
    public var firstMissed: (kind: Kind, path: String)? { self.state.withLock { $0.firstMissed } }

    /// Makes the `n`-th next operation of a kind fail with an error number, EIO unless told.
    ///
    /// 1 is the next one.
    public func fail(_ kind: Kind, _ n: Int = 1, error: Int32 = 5) {
        self.state.withLock { $0.failures[kind] = ($0.counts[kind, default: 0] + n, error) }
    }

    /// Takes back failures that have not happened; returns whether all had.
    @discardableResult
    public func forgetFailures() -> Bool {
        self.state.withLock { state in
            let hadAll = state.failures.allSatisfy { $1.at <= state.counts[$0, default: 0] }
            state.failures = [:]
            return hadAll
        }
    }

    /// Has every read fail that touches some octets of a file, until it is told otherwise: bad sectors.
    public func setBadOctets(_ octets: (path: String, range: Range<UInt64>)?) {
        self.state.withLock { $0.badOctets = octets }
    }

    /// Octets that files take.
    public var usedBytes: UInt64 { self.state.withLock { $0.disk.usedBytes } }

    /// Sets how many octets fit; what is there already stays.
    public func setCapacity(_ octets: UInt64) {
        self.state.withLock { $0.capacityBytes = octets }
    }

    /// Has syncs of files succeed without making anything durable: a disk that lies.
    public func setIgnoresSyncs(_ isIgnoring: Bool) {
        self.state.withLock { $0.ignoresSyncs = isIgnoring }
    }

    /// Calls a function, which may block, in the middle of every sync of a file, with its path.
    public func onSync(_ function: (@Sendable (String) -> Void)?) {
        self.state.withLock { $0.onSync = function }
    }

    // MARK: Looking

    /// Operations of a kind so far, failed ones included.
    public func count(_ kind: Kind) -> Int {
        self.state.withLock { $0.counts[kind, default: 0] }
    }

    /// Changes of files and names so far.
    public var changeCount: Int { self.state.withLock { $0.changes } }

    /// What a reader of a file sees, or nil when there is no such file.
    public func content(of path: String) -> [UInt8]? {
        self.state.withLock { state in state.disk.names[path].flatMap { state.disk.nodes[$0]?.content } }
    }

    /// Sets a file's content, durably: damage, or a file of somebody else's.
    public func setContent(of path: String, _ content: [UInt8]) {
        self.state.withLock { state in
            let node = state.disk.names[path] ?? state.disk.nextNode
            state.disk.nextNode = max(state.disk.nextNode, node + 1)
            state.disk.nodes[node] = SimulatedDisk.Node(content: content, synced: content)
            state.disk.names[path] = node
            state.disk.syncedNames[path] = node
        }
    }

    // MARK: FileSystem

    /// Does what the protocol says.
    public func open(_ path: String, _ mode: OpenMode) throws(StoreError) -> any StoreFile {
        let node = try self.perform(.open, .open, path, isChange: mode != .readOnly && mode != .readWrite) {
            state -> Result<Int, StoreError> in
            guard state.disk.directories.contains(SimulatedDisk.parent(of: path)) else {
                return .failure(StoreError(.missing, .open, path, "No such file or directory"))
            }
            if let node = state.disk.names[path] {
                if mode == .create { return .failure(StoreError(.exists, .create, path, "File exists")) }
                guard mode == .replace else { return .success(node) }
                // Emptied as a new file is made: the old content may come back, whole, if power goes.
            } else if mode == .readOnly || mode == .readWrite {
                return .failure(StoreError(.missing, .open, path, "No such file or directory"))
            }
            let node = state.disk.nextNode
            state.disk.nextNode += 1
            state.disk.nodes[node] = SimulatedDisk.Node()
            state.disk.change(.add(path: path, node: node))
            return .success(node)
        }
        return SimulatedFile(system: self, path: path, node: node)
    }

    /// Does what the protocol says.
    public func names(in directory: String) throws(StoreError) -> [String] {
        try self.perform(.read, .list, directory, isChange: false) { state -> Result<[String], StoreError> in
            guard state.disk.directories.contains(directory) else {
                return .failure(StoreError(.missing, .list, directory, "No such file or directory"))
            }
            let paths = state.disk.names.keys + state.disk.directories.filter { !$0.isEmpty }
            let inside = paths.filter { SimulatedDisk.parent(of: $0) == directory }
            return .success(inside.map { String($0.dropFirst(directory.count + 1)) }.sorted())
        }
    }

    /// Does what the protocol says.
    public func remove(_ path: String) throws(StoreError) {
        try self.perform(.remove, .remove, path) { state -> Result<Void, StoreError> in
            guard state.disk.names[path] != nil else {
                return .failure(StoreError(.missing, .remove, path, "No such file or directory"))
            }
            state.disk.change(.remove(path: path))
            return .success(())
        }
    }

    /// Does what the protocol says.
    public func rename(_ path: String, to newPath: String) throws(StoreError) {
        try self.perform(.rename, .rename, path) { state -> Result<Void, StoreError> in
            guard let node = state.disk.names[path] else {
                return .failure(StoreError(.missing, .rename, path, "No such file or directory"))
            }
            state.disk.change(.rename(path: path, newPath: newPath, node: node))
            return .success(())
        }
    }

    /// Does what the protocol says.
    public func makeDirectory(_ path: String) throws(StoreError) {
        try self.perform(.open, .makeDirectory, path) { state -> Result<Void, StoreError> in
            guard state.disk.directories.contains(SimulatedDisk.parent(of: path)) else {
                return .failure(StoreError(.missing, .makeDirectory, path, "No such file or directory"))
            }
            guard state.disk.makeDirectory(path) else {
                return .failure(StoreError(.exists, .makeDirectory, path, "File exists"))
            }
            return .success(())
        }
    }

    /// Does what the protocol says.
    public func removeDirectory(_ path: String) throws(StoreError) {
        try self.perform(.remove, .remove, path) { state -> Result<Void, StoreError> in
            guard state.disk.directories.contains(path) else {
                return .failure(StoreError(.missing, .remove, path, "No such file or directory"))
            }
            guard state.disk.removeDirectory(path) else {
                return .failure(StoreError(.system(39), .remove, path, "Directory not empty"))
            }
            return .success(())
        }
    }

    /// Does what the protocol says.
    public func renameDirectory(_ path: String, to newPath: String) throws(StoreError) {
        try self.perform(.rename, .rename, path) { state -> Result<Void, StoreError> in
            guard state.disk.directories.contains(path) else {
                return .failure(StoreError(.missing, .rename, path, "No such file or directory"))
            }
            guard state.disk.renameDirectory(path, to: newPath) else {
                return .failure(StoreError(.exists, .rename, path, "File exists"))
            }
            return .success(())
        }
    }

    /// Does what the protocol says.
    public func syncDirectory(_ path: String) throws(StoreError) {
        try self.perform(.syncDirectory, .syncDirectory, path) { state -> Result<Void, StoreError> in
            state.disk.syncNames(in: path)
            return .success(())
        }
    }

    /// Does what the protocol says.
    public func freeBytes(at path: String) throws(StoreError) -> UInt64 {
        try self.perform(.read, .findFreeSpace, path, isChange: false) { state -> Result<UInt64, StoreError> in
            .success(state.capacityBytes - min(state.capacityBytes, state.disk.usedBytes))
        }
    }

    // MARK: Files

    /// Counts an operation, fails it if it is its turn, or does it.
    private func perform<Value>(
        _ kind: Kind,
        _ operation: StoreError.Operation,
        _ path: String,
        isChange: Bool = true,
        _ work: (inout State) -> Result<Value, StoreError>
    ) throws(StoreError) -> Value {
        let result = self.state.withLock { state -> Result<Value, StoreError> in
            state.counts[kind, default: 0] += 1
            if isChange { state.changes += 1 }
            if let last = state.powerOffAfter, state.changes > last {
                if state.firstMissed == nil, isChange { state.firstMissed = (kind, path) }
                return .failure(StoreError(.system(SystemCall.deviceError), operation, path, "power is off"))
            }
            if let failure = state.failures[kind], failure.at == state.counts[kind] {
                return .failure(SystemCall.error(-Int(failure.error), operation, path))
            }
            return work(&state)
        }
        return try result.get()
    }

    fileprivate func size(_ file: SimulatedFile) throws(StoreError) -> UInt64 {
        try self.perform(.read, .measure, file.path, isChange: false) { state -> Result<UInt64, StoreError> in
            .success(UInt64(state.disk.nodes[file.node]?.content.count ?? 0))
        }
    }

    fileprivate func read(_ file: SimulatedFile, count: Int, at offset: UInt64) throws(StoreError) -> [UInt8] {
        try self.perform(.read, .read, file.path, isChange: false) { state -> Result<[UInt8], StoreError> in
            guard let content = state.disk.nodes[file.node]?.content, offset < UInt64(content.count) else {
                return .success([])
            }
            if let bad = state.badOctets, bad.path == file.path, bad.range.overlaps(offset..<offset + UInt64(count)) {
                return .failure(StoreError(.system(5), .read, file.path, "Input/output error"))
            }
            return .success(Array(content[Int(offset)..<min(content.count, Int(offset) + count)]))
        }
    }

    fileprivate func write(
        _ file: SimulatedFile,
        _ bytes: [UInt8],
        at offset: UInt64,
        _ operation: StoreError.Operation
    ) throws(StoreError) {
        self.tear(file, bytes, at: offset)
        try self.perform(.write, operation, file.path) { state -> Result<Void, StoreError> in
            let size = UInt64(state.disk.nodes[file.node]?.content.count ?? 0)
            let growth = max(size, offset + UInt64(bytes.count)) - size
            let used = state.disk.usedBytes
            guard growth == 0 || (used <= state.capacityBytes && growth <= state.capacityBytes - used) else {
                return .failure(StoreError(.noSpace, operation, file.path, "No space left on device"))
            }
            state.disk.write(bytes, at: Int(offset), to: file.node)
            return .success(())
        }
    }

    /// Writes what of the last write still came through before power went off.
    private func tear(_ file: SimulatedFile, _ bytes: [UInt8], at offset: UInt64) {
        self.state.withLock { state in
            guard let last = state.powerOffAfter, state.changes == last, state.lastOctets > 0 else { return }
            let size = UInt64(state.disk.nodes[file.node]?.content.count ?? 0)
            let part = Array(bytes.prefix(state.lastOctets))
            // As everywhere, what does not fit is not written.
            guard offset + UInt64(part.count) <= size else { return }
            state.disk.write(part, at: Int(offset), to: file.node)
        }
    }

    fileprivate func sync(_ file: SimulatedFile) throws(StoreError) {
        self.state.withLock { $0.onSync }?(file.path)
        do throws(StoreError) {
            try self.perform(.sync, .sync, file.path) { state -> Result<Void, StoreError> in
                if !state.ignoresSyncs { state.disk.sync(file.node) }
                return .success(())
            }
        } catch {
            self.state.withLock { state in
                let isOff = state.powerOffAfter.map { state.changes > $0 } ?? false
                if !isOff { state.disk.failSync(file.node) }
            }
            throw error
        }
    }

    fileprivate func lock(_ file: SimulatedFile) throws(StoreError) -> Bool {
        try self.perform(.open, .lock, file.path) { state -> Result<Bool, StoreError> in
            let owner = ObjectIdentifier(file)
            guard let node = state.disk.nodes[file.node], node.lockedBy == nil || node.lockedBy == owner else {
                return .success(false)
            }
            state.disk.nodes[file.node]?.lockedBy = owner
            return .success(true)
        }
    }

    /// Ends the lock of an open file that is being closed, if power did not end it before.
    fileprivate func unlock(_ node: Int, _ owner: ObjectIdentifier) {
        self.state.withLock { state in
            if state.disk.nodes[node]?.lockedBy == owner { state.disk.nodes[node]?.lockedBy = nil }
        }
    }
}

/// A file in memory.
private final class SimulatedFile: StoreFile {
    let path: String
    let node: Int
    private let system: SimulatedFileSystem
    private var hasLock = false

    init(system: SimulatedFileSystem, path: String, node: Int) {
        self.system = system
        self.path = path
        self.node = node
    }

    deinit {
        if self.hasLock { self.system.unlock(self.node, ObjectIdentifier(self)) }
    }

    func size() throws(StoreError) -> UInt64 { try self.system.size(self) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StoreError) -> Int {
        let bytes = try self.system.read(self, count: buffer.count, at: offset)
        buffer.copyBytes(from: bytes)
        return bytes.count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StoreError) {
        try self.system.write(self, Array(bytes), at: offset, .write)
    }

    func fillWithZeros(from start: UInt64, to end: UInt64) throws(StoreError) {
        guard start < end else { return }
        try self.system.write(self, [UInt8](repeating: 0, count: Int(end - start)), at: start, .fill)
    }

    func reserve(size: UInt64) throws(StoreError) { try self.fillWithZeros(from: 0, to: size) }

    func sync() throws(StoreError) { try self.system.sync(self) }

    func lock() throws(StoreError) -> Bool {
        self.hasLock = try self.system.lock(self)
        return self.hasLock
    }
}
