/// A field table, kept as the octets it came in.
///
/// Messages carry tables that nobody on the way looks into, and clients check the exact types of what comes back, so a
/// table is checked once and decoded only by those who ask. Two tables are equal when their octets are.
public struct FieldTable: Hashable, Sendable {
    /// The entries as on the wire, without the length in front.
    public let encodedBytes: [UInt8]

    /// The deepest nesting that a table may have; the same as ``FrameLimits/maxTableDepth``.
    @inlinable public static var maxDepth: Int { FrameLimits.maxTableDepth }

    /// A table without entries.
    @inlinable public static var empty: FieldTable { FieldTable(unchecked: []) }

    /// Encodes entries in order.
    public init(_ pairs: [(ShortString, FieldValue)]) {
        var bytes: [UInt8] = []
        for (key, value) in pairs {
            bytes.append(UInt8(key.bytes.count))
            bytes.append(contentsOf: key.bytes)
            value.append(to: &bytes)
        }
        self.encodedBytes = bytes
    }

    /// Copies encoded entries after checking lengths, tags and nesting at every level.
    @inlinable
    public init(validating contents: RawSpan) throws(DecodeError) {
        try FieldStructure.check(contents, isTable: true, depth: 1)
        self.encodedBytes = contents.withUnsafeBytes { unsafe Array($0) }
    }

    /// Copies encoded entries after checking lengths, tags and nesting at every level.
    @inlinable
    public init(validating contents: UnsafeRawBufferPointer) throws(DecodeError) {
        try self.init(validating: RawSpan(_unsafeBytes: contents))
    }

    /// Takes octets that have been checked before, such as a table inside a checked table.
    @inlinable
    init(unchecked bytes: [UInt8]) {
        self.encodedBytes = bytes
    }

    /// Whether there are no entries.
    @inlinable public var isEmpty: Bool { self.encodedBytes.isEmpty }

    /// The number of octets on the wire: the length prefix and the entries.
    @inlinable public var encodedSize: Int { 4 + self.encodedBytes.count }

    /// The number of entries, duplicate names included; walks the octets.
    public var count: Int { self.reduce(0) { count, _ in count + 1 } }

    /// The first value with a name, or nil; walks the octets.
    ///
    /// RabbitMQ, too, lets the first of several entries with one name win.
    public subscript(key: ShortString) -> FieldValue? {
        self.first { $0.key == key }?.value
    }
}

extension FieldTable: Sequence {
    /// Decodes one entry after the other.
    public struct Iterator: IteratorProtocol {
        private let bytes: [UInt8]
        private var offset = 0

        fileprivate init(_ bytes: [UInt8]) {
            self.bytes = bytes
        }

        /// The next entry, or nil at the end.
        public mutating func next() -> (key: ShortString, value: FieldValue)? {
            guard self.offset < self.bytes.count else { return nil }
            var reader = WireReader(self.bytes.span.bytes.extracting(droppingFirst: self.offset))
            do throws(DecodeError) {
                let key = try reader.readShortString()
                let value = try FieldValue(fromValidated: &reader)
                self.offset += reader.position
                return (key, value)
            } catch {
                // Every table was checked when it was made.
                preconditionFailure("a checked table cannot be decoded: \(error)")
            }
        }
    }

    /// Starts at the first entry.
    public func makeIterator() -> Iterator { Iterator(self.encodedBytes) }
}

extension FieldTable: ExpressibleByDictionaryLiteral {
    /// Encodes the entries of a literal in order.
    public init(dictionaryLiteral elements: (ShortString, FieldValue)...) {
        self.init(elements)
    }
}

extension FieldTable: CustomStringConvertible {
    /// The decoded entries, for logs and test failures.
    public var description: String {
        "[" + self.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + "]"
    }
}
