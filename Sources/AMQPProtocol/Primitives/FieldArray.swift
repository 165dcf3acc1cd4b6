/// A field array, kept as the octets it came in, for the reasons given at ``FieldTable``.
public struct FieldArray: Hashable, Sendable {
    /// The values as on the wire, without the length in front.
    public let encodedBytes: [UInt8]

    /// An array without values.
    @inlinable public static var empty: FieldArray { FieldArray(unchecked: []) }

    /// Encodes values in order.
    public init(_ values: [FieldValue]) {
        var bytes: [UInt8] = []
        for value in values {
            value.append(to: &bytes)
        }
        self.encodedBytes = bytes
    }

    /// Copies encoded values after checking lengths, tags and nesting at every level.
    @inlinable
    public init(validating contents: RawSpan) throws(DecodeError) {
        try FieldStructure.check(contents, isTable: false, depth: 1)
        self.encodedBytes = contents.withUnsafeBytes { unsafe Array($0) }
    }

    /// Copies encoded values after checking lengths, tags and nesting at every level.
    @inlinable
    public init(validating contents: UnsafeRawBufferPointer) throws(DecodeError) {
        try self.init(validating: RawSpan(_unsafeBytes: contents))
    }

    /// Takes octets that have been checked before.
    @inlinable
    init(unchecked bytes: [UInt8]) {
        self.encodedBytes = bytes
    }

    /// Whether there are no values.
    @inlinable public var isEmpty: Bool { self.encodedBytes.isEmpty }

    /// The number of octets on the wire: the length prefix and the values.
    @inlinable public var encodedSize: Int { 4 + self.encodedBytes.count }

    /// The number of values; walks the octets.
    public var count: Int { self.reduce(0) { count, _ in count + 1 } }
}

extension FieldArray: Sequence {
    /// Decodes one value after the other.
    public struct Iterator: IteratorProtocol {
        private let bytes: [UInt8]
        private var offset = 0

        fileprivate init(_ bytes: [UInt8]) {
            self.bytes = bytes
        }

        /// The next value, or nil at the end.
        public mutating func next() -> FieldValue? {
            guard self.offset < self.bytes.count else { return nil }
            var reader = WireReader(self.bytes.span.bytes.extracting(droppingFirst: self.offset))
            do throws(DecodeError) {
                let value = try FieldValue(fromValidated: &reader)
                self.offset += reader.position
                return value
            } catch {
                // Every array was checked when it was made.
                preconditionFailure("a checked array cannot be decoded: \(error)")
            }
        }
    }

    /// Starts at the first value.
    public func makeIterator() -> Iterator { Iterator(self.encodedBytes) }
}

extension FieldArray: ExpressibleByArrayLiteral {
    /// Encodes the values of a literal in order.
    public init(arrayLiteral elements: FieldValue...) {
        self.init(elements)
    }
}

extension FieldArray: CustomStringConvertible {
    /// The decoded values, for logs and test failures.
    public var description: String {
        "[" + self.map { "\($0)" }.joined(separator: ", ") + "]"
    }
}
