/// An AMQP short string: at most 255 octets, compared octet by octet.
///
/// Names of queues, exchanges and routing keys are octets on the wire. Swift's `String` compares by canonical equivalence,
/// which would make two different queues one, so the protocol layer never uses it for names.
public struct ShortString: Hashable, Sendable, Comparable {
    /// The octets, without the length prefix.
    public let bytes: [UInt8]

    /// The empty string, which AMQP uses for "none" and for the default exchange.
    @inlinable public static var empty: ShortString { ShortString(unchecked: []) }

    /// Wraps octets; nil when there are more than 255.
    @inlinable
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count <= FrameLimits.maxShortStringBytes else { return nil }
        self.bytes = Array(bytes)
    }

    /// Copies octets whose count the caller has already limited to 255.
    @inlinable
    public init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= FrameLimits.maxShortStringBytes, "a short string has at most 255 octets")
        self.bytes = Array(bytes)
    }

    /// Takes as much of a text as fits into 255 octets, cut between characters.
    public init(truncating text: String) {
        let limit = FrameLimits.maxShortStringBytes
        guard text.utf8.count > limit else {
            self.bytes = Array(text.utf8)
            return
        }
        var kept: [UInt8] = []
        kept.reserveCapacity(limit)
        for character in text {
            guard kept.count + character.utf8.count <= limit else { break }
            kept.append(contentsOf: character.utf8)
        }
        self.bytes = kept
    }

    /// Wraps octets that are known to be at most 255.
    @inlinable
    init(unchecked bytes: [UInt8]) {
        assert(bytes.count <= FrameLimits.maxShortStringBytes)
        self.bytes = bytes
    }

    /// Whether there are no octets.
    @inlinable public var isEmpty: Bool { self.bytes.isEmpty }

    /// The number of octets on the wire: the length prefix and the octets.
    @inlinable public var encodedSize: Int { 1 + self.bytes.count }

    /// Whether the octets are well-formed UTF-8.
    @inlinable public var isValidUTF8: Bool {
        (try? UTF8Span(validating: self.bytes.span)) != nil
    }

    /// Whether the string starts with the octets of another one.
    @inlinable
    public func hasPrefix(_ other: ShortString) -> Bool {
        self.bytes.starts(with: other.bytes)
    }

    /// Orders by octets, a prefix before the longer string.
    @inlinable
    public static func < (left: ShortString, right: ShortString) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

extension ShortString: ExpressibleByStringLiteral {
    /// Wraps a literal in our source, which must fit into 255 octets.
    public init(stringLiteral literal: StaticString) {
        self = literal.withUTF8Buffer { ShortString(UnsafeRawBufferPointer($0)) }
    }
}

extension ShortString: CustomStringConvertible {
    /// The octets as text; ill-formed UTF-8 shows as U+FFFD.
    public var description: String { String(decoding: self.bytes, as: UTF8.self) }
}
