import AMQPProtocol

/// A hash table from names to values that is asked with octets as they lie in the read buffer.
///
/// Looking up allocates nothing, makes no string and retains no key. Invariants:
/// 1. Open addressing with linear probing: a key sits at its home place or in the unbroken run of used places after it.
/// 2. Removal closes the gap by moving later keys of the run back, so that there are no tombstones.
/// 3. At most 7 of 8 places are used; a place is unused exactly when its stored hash is 0.
///
/// One table can hold many small maps (the nodes of a trie): keys then carry the number of their map, the `scope`.
struct BytesTable<Value> {
    private let hasher: BytesHash
    /// The lower half of each key's hash.
    private var hashes: ContiguousArray<UInt32> = []
    /// Nothing as long as all keys are of scope 0.
    private var scopes: ContiguousArray<UInt32> = []
    private var keys: ContiguousArray<ShortString> = []
    private var values: ContiguousArray<Value?> = []
    private var mask = -1
    /// The number of keys.
    private(set) var count = 0

    /// Makes an empty table, which has no memory of its own until the first key comes.
    init(seed: UInt64) {
        self.hasher = BytesHash(seed: seed)
    }

    // MARK: Looking up

    /// The value of a key; nil when there is none.
    @inline(__always)
    subscript(key: UnsafeRawBufferPointer) -> Value? {
        self.lookUp(key, hash: self.hasher.hash(key), scope: 0)
    }

    /// The value of a key; nil when there is none.
    subscript(key: ShortString) -> Value? {
        key.bytes.withUnsafeBytes { self[$0] }
    }

    /// The hash of a key for ``lookUp(_:hash:scope:)``, the same in every scope.
    @inline(__always)
    func hash(_ key: UnsafeRawBufferPointer) -> UInt64 { self.hasher.hash(key) }

    /// The value of a key in a scope, by a hash made before; nil when there is none.
    @inline(__always)
    func lookUp(_ key: UnsafeRawBufferPointer, hash: UInt64, scope: UInt32) -> Value? {
        let place = self.place(of: key, hash: hash, scope: scope)
        return place < 0 ? nil : self.values[place]
    }

    /// All keys of scope 0 by octets, for lists that must not depend on hashes.
    var sortedKeys: [ShortString] {
        self.hashes.indices.filter { self.hashes[$0] != 0 && self.scope(at: $0) == 0 }.map { self.keys[$0] }.sorted()
    }

    // MARK: Changing

    /// Sets the value of a key and gives back the one it had.
    @discardableResult
    mutating func insert(_ value: Value, for key: ShortString, scope: UInt32 = 0) -> Value? {
        let hash = key.bytes.withUnsafeBytes { self.hasher.hash($0) }
        let known = key.bytes.withUnsafeBytes { self.place(of: $0, hash: hash, scope: scope) }
        if known >= 0 {
            let old = self.values[known]
            self.values[known] = value
            return old
        }
        if (self.count + 1) * 8 > (self.mask + 1) * 7 {
            self.grow()
        }
        if scope != 0 && self.scopes.isEmpty {
            self.scopes = ContiguousArray(repeating: 0, count: self.hashes.count)
        }
        self.place(key, value, stored: self.stored(hash, scope), scope: scope)
        self.count += 1
        return nil
    }

    /// Changes the value of a key in place, starting from `initial` when it is new.
    mutating func update<Result>(
        _ key: ShortString,
        scope: UInt32 = 0,
        initial: @autoclosure () -> Value,
        _ change: (inout Value) -> Result
    ) -> Result {
        let hash = key.bytes.withUnsafeBytes { self.hasher.hash($0) }
        var place = key.bytes.withUnsafeBytes { self.place(of: $0, hash: hash, scope: scope) }
        if place < 0 {
            self.insert(initial(), for: key, scope: scope)
            place = key.bytes.withUnsafeBytes { self.place(of: $0, hash: hash, scope: scope) }
        }
        guard var value = self.values[place].take() else {
            preconditionFailure("a used place has a value")
        }
        defer { self.values[place] = value }
        return change(&value)
    }

    /// Forgets a key and gives back its value.
    @discardableResult
    mutating func remove(_ key: ShortString, scope: UInt32 = 0) -> Value? {
        let hash = key.bytes.withUnsafeBytes { self.hasher.hash($0) }
        var hole = key.bytes.withUnsafeBytes { self.place(of: $0, hash: hash, scope: scope) }
        guard hole >= 0 else { return nil }
        let old = self.values[hole]
        var next = (hole + 1) & self.mask
        while self.hashes[next] != 0 {
            let home = Int(truncatingIfNeeded: self.hashes[next]) & self.mask
            // The key at `next` may move back only if the hole is not before its home, going around.
            if (next - home) & self.mask >= (next - hole) & self.mask {
                self.hashes[hole] = self.hashes[next]
                if !self.scopes.isEmpty {
                    self.scopes[hole] = self.scopes[next]
                }
                self.keys.swapAt(hole, next)
                self.values.swapAt(hole, next)
                hole = next
            }
            next = (next + 1) & self.mask
        }
        self.hashes[hole] = 0
        self.keys[hole] = .empty
        self.values[hole] = nil
        self.count -= 1
        return old
    }

    // MARK: Places

    @inline(__always)
    private func place(of key: UnsafeRawBufferPointer, hash: UInt64, scope: UInt32) -> Int {
        guard self.count > 0 else { return -1 }
        let stored = self.stored(hash, scope)
        var place = Int(truncatingIfNeeded: stored) & self.mask
        while true {
            let found = self.hashes[place]
            if found == stored, self.scope(at: place) == scope, Self.isEqual(self.keys[place], key) { return place }
            if found == 0 { return -1 }
            place = (place &+ 1) & self.mask
        }
    }

    /// The hash as it is kept: 0 means unused.
    @inline(__always)
    private func stored(_ hash: UInt64, _ scope: UInt32) -> UInt32 {
        let scoped = UInt32(truncatingIfNeeded: scope == 0 ? hash : self.hasher.scoped(hash, scope))
        return scoped == 0 ? 1 : scoped
    }

    @inline(__always)
    private func scope(at place: Int) -> UInt32 { self.scopes.isEmpty ? 0 : self.scopes[place] }

    @inline(__always)
    private static func isEqual(_ key: ShortString, _ octets: UnsafeRawBufferPointer) -> Bool {
        key.bytes.withUnsafeBytes { known in
            let count = known.count
            guard count == octets.count else { return false }
            guard count > 0, let left = known.baseAddress, let right = octets.baseAddress else { return true }
            var offset = 0
            while offset &+ 8 <= count {
                let leftWord = left.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                guard leftWord == right.loadUnaligned(fromByteOffset: offset, as: UInt64.self) else { return false }
                offset &+= 8
            }
            while offset < count {
                let leftOctet = left.load(fromByteOffset: offset, as: UInt8.self)
                guard leftOctet == right.load(fromByteOffset: offset, as: UInt8.self) else { return false }
                offset &+= 1
            }
            return true
        }
    }

    private mutating func grow() {
        let capacity = max(8, (self.mask + 1) * 2)
        let old = self
        self.hashes = ContiguousArray(repeating: 0, count: capacity)
        self.scopes = old.scopes.isEmpty ? [] : ContiguousArray(repeating: 0, count: capacity)
        self.keys = ContiguousArray(repeating: .empty, count: capacity)
        self.values = ContiguousArray(repeating: nil, count: capacity)
        self.mask = capacity - 1
        for index in old.hashes.indices where old.hashes[index] != 0 {
            guard let value = old.values[index] else { continue }
            self.place(old.keys[index], value, stored: old.hashes[index], scope: old.scope(at: index))
        }
    }

    private mutating func place(_ key: ShortString, _ value: Value, stored: UInt32, scope: UInt32) {
        var place = Int(truncatingIfNeeded: stored) & self.mask
        while self.hashes[place] != 0 {
            place = (place + 1) & self.mask
        }
        self.hashes[place] = stored
        if !self.scopes.isEmpty {
            self.scopes[place] = scope
        }
        self.keys[place] = key
        self.values[place] = value
    }
}
