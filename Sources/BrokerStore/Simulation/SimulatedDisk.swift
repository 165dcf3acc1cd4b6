/// What a simulated file system holds: what would survive a loss of power, and what would not.
struct SimulatedDisk {
    /// A file, whatever its name.
    struct Node {
        /// What every reader sees.
        var content: [UInt8] = []
        /// What survives.
        var synced: [UInt8] = []
        /// Writes since the last sync, in order.
        var pending: [(offset: Int, bytes: [UInt8])] = []
        /// The open file that has the lock.
        var lockedBy: ObjectIdentifier?
    }

    /// A change of names that no directory sync has made durable.
    enum NameChange {
        case add(path: String, node: Int)
        case remove(path: String)
        case rename(path: String, newPath: String, node: Int)
    }

    /// Writes reach the medium in units of this many octets.
    static let sectorBytes = 512

    var nodes: [Int: Node] = [:]
    var names: [String: Int] = [:]
    var syncedNames: [String: Int] = [:]
    var nameChanges: [NameChange] = []
    var directories: Set<String> = [""]
    /// Directories whose names are not durable.
    private var unsyncedDirectories: Set<String> = []
    /// Directories whose new names are not durable.
    private var directoryRenames: [(path: String, newPath: String)] = []
    var nextNode = 0

    /// Octets that files with names take.
    var usedBytes: UInt64 {
        self.names.values.reduce(0) { $0 + UInt64(self.nodes[$1]?.content.count ?? 0) }
    }

    static func parent(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }

    mutating func change(_ change: NameChange) {
        Self.apply(change, to: &self.names)
        self.nameChanges.append(change)
    }

    /// Adds a directory; false if there is one.
    mutating func makeDirectory(_ path: String) -> Bool {
        guard self.directories.insert(path).inserted else { return false }
        self.unsyncedDirectories.insert(path)
        return true
    }

    /// Removes a directory, durably; false if there is something in it.
    mutating func removeDirectory(_ path: String) -> Bool {
        guard !(Array(self.names.keys) + self.directories).contains(where: { $0.hasPrefix(path + "/") }) else {
            return false
        }
        self.directories.remove(path)
        self.unsyncedDirectories.remove(path)
        return true
    }

    /// Renames a directory; false if the new name is in use.
    mutating func renameDirectory(_ path: String, to newPath: String) -> Bool {
        guard !self.directories.contains(newPath), self.names[newPath] == nil else { return false }
        self.move(path, to: newPath)
        self.directoryRenames.append((path, newPath))
        return true
    }

    private mutating func move(_ path: String, to newPath: String) {
        func moved(_ name: String) -> String {
            name == path || name.hasPrefix(path + "/") ? newPath + name.dropFirst(path.count) : name
        }
        func moved(_ names: [String: Int]) -> [String: Int] {
            Dictionary(names.map { (moved($0.key), $0.value) }, uniquingKeysWith: { first, _ in first })
        }
        self.names = moved(self.names)
        self.syncedNames = moved(self.syncedNames)
        self.directories = Set(self.directories.map(moved))
        self.unsyncedDirectories = Set(self.unsyncedDirectories.map(moved))
        self.nameChanges = self.nameChanges.map { change in
            switch change {
            case .add(let path, let node): .add(path: moved(path), node: node)
            case .remove(let path): .remove(path: moved(path))
            case .rename(let path, let newPath, let node):
                .rename(path: moved(path), newPath: moved(newPath), node: node)
            }
        }
    }

    /// Makes the names in a directory durable.
    mutating func syncNames(in directory: String) {
        let directory = directory == "." ? "" : directory
        self.unsyncedDirectories = self.unsyncedDirectories.filter { Self.parent(of: $0) != directory }
        self.directoryRenames.removeAll { Self.parent(of: $0.path) == directory }
        var rest: [NameChange] = []
        for change in self.nameChanges {
            if Self.directory(of: change) == directory {
                Self.apply(change, to: &self.syncedNames)
            } else {
                rest.append(change)
            }
        }
        self.nameChanges = rest
    }

    mutating func write(_ bytes: [UInt8], at offset: Int, to node: Int) {
        guard var file = self.nodes.removeValue(forKey: node) else { return }
        Self.write(bytes[...], at: offset, to: &file.content)
        file.pending.append((offset, bytes))
        self.nodes[node] = file
    }

    mutating func sync(_ node: Int) {
        guard var file = self.nodes.removeValue(forKey: node) else { return }
        for write in file.pending {
            Self.write(write.bytes[...], at: write.offset, to: &file.synced)
        }
        file.pending = []
        self.nodes[node] = file
    }

    /// A sync has failed: what was to be written can be read until power goes, and no later sync will write it.
    mutating func failSync(_ node: Int) {
        self.nodes[node]?.pending = []
    }

    /// Takes away a directory and everything in it.
    private mutating func lose(_ directory: String) {
        let prefix = directory + "/"
        self.directories = self.directories.filter { $0 != directory && !$0.hasPrefix(prefix) }
        self.syncedNames = self.syncedNames.filter { !$0.key.hasPrefix(prefix) }
    }

    /// Loses power: of everything that was not synced, chance keeps none, all or any part.
    mutating func losePower(_ chance: inout SimulatedChance) {
        for change in self.nameChanges where chance.isTrue {
            Self.apply(change, to: &self.syncedNames)
        }
        self.nameChanges = []
        for (path, newPath) in self.directoryRenames.reversed() where chance.isTrue { self.move(newPath, to: path) }
        self.directoryRenames = []
        for directory in self.unsyncedDirectories.sorted() where chance.isTrue { self.lose(directory) }
        self.unsyncedDirectories = []
        self.names = self.syncedNames
        for node in self.nodes.keys.sorted() {
            guard var file = self.nodes.removeValue(forKey: node) else { continue }
            for write in file.pending {
                Self.tear(write, into: &file.synced, &chance)
            }
            file.content = file.synced
            file.pending = []
            file.lockedBy = nil
            self.nodes[node] = file
        }
        let named = Set(self.names.values)
        self.nodes = self.nodes.filter { named.contains($0.key) }
    }

    private static func tear(
        _ write: (offset: Int, bytes: [UInt8]),
        into content: inout [UInt8],
        _ chance: inout SimulatedChance
    ) {
        switch chance.below(4) {
        case 0:
            break
        case 1:
            self.write(write.bytes[...], at: write.offset, to: &content)
        case 2:
            self.write(write.bytes[..<chance.below(write.bytes.count + 1)], at: write.offset, to: &content)
        default:
            var start = 0
            while start < write.bytes.count {
                let sectorEnd = ((write.offset + start) / self.sectorBytes + 1) * self.sectorBytes - write.offset
                let end = min(sectorEnd, write.bytes.count)
                if chance.isTrue { self.write(write.bytes[start..<end], at: write.offset + start, to: &content) }
                start = end
            }
        }
    }

    private static func write(_ bytes: ArraySlice<UInt8>, at offset: Int, to content: inout [UInt8]) {
        let end = offset + bytes.count
        if content.count < end { content.append(contentsOf: repeatElement(0, count: end - content.count)) }
        content.replaceSubrange(offset..<end, with: bytes)
    }

    private static func apply(_ change: NameChange, to names: inout [String: Int]) {
        switch change {
        case .add(let path, let node):
            names[path] = node
        case .remove(let path):
            names[path] = nil
        case .rename(let path, let newPath, let node):
            // The old name may be another's by now, or was never there.
            if names[path] == node { names[path] = nil }
            names[newPath] = node
        }
    }

    private static func directory(of change: NameChange) -> String {
        switch change {
        case .add(let path, _), .remove(let path), .rename(let path, _, _): self.parent(of: path)
        }
    }
}

/// Chance from a seed (splitmix64).
struct SimulatedChance {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    var isTrue: Bool { mutating get { self.next() >> 63 == 1 } }

    mutating func below(_ bound: Int) -> Int { Int(self.next() % UInt64(bound)) }

    private mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var value = self.state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
