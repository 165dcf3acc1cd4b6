/// Why a text is no JSON, and where.
public struct JSONError: Error, Equatable {
    /// The octet at which it was found.
    public let position: Int
}

extension JSONValue {
    /// Reads a text that is one JSON value and nothing else.
    ///
    /// Lists and objects may be nested 64 deep.
    public init(parsing octets: some Collection<UInt8>) throws(JSONError) {
        var reader = JSONReader(Array(octets))
        self = try reader.document()
    }

    /// Reads a text that is one JSON value and nothing else.
    public init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }
}

/// Reads octet by octet what RFC 8259 says.
private struct JSONReader {
    private static let maxDepth = 64

    private let octets: [UInt8]
    private var position = 0
    private var depth = 0

    init(_ octets: [UInt8]) {
        self.octets = octets
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try self.value()
        self.skipSpace()
        guard self.position == self.octets.count else { throw self.error }
        return value
    }

    private var error: JSONError { JSONError(position: self.position) }
    private var peek: UInt8? { self.position < self.octets.count ? self.octets[self.position] : nil }

    private mutating func skipSpace() {
        while let octet = self.peek, octet == 32 || octet == 9 || octet == 10 || octet == 13 { self.position += 1 }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard self.peek == UInt8(ascii: scalar) else { return false }
        self.position += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        self.skipSpace()
        switch self.peek {
        case UInt8(ascii: "{"): return try self.object()
        case UInt8(ascii: "["): return try self.array()
        case UInt8(ascii: "\""): return .string(try self.text())
        case UInt8(ascii: "t"): return try self.word("true", .bool(true))
        case UInt8(ascii: "f"): return try self.word("false", .bool(false))
        case UInt8(ascii: "n"): return try self.word("null", .null)
        default: return try self.number()
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard self.octets[self.position...].starts(with: word.utf8) else { throw self.error }
        self.position += word.utf8.count
        return value
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        try self.enter()
        var members: [JSONValue.Member] = []
        self.skipSpace()
        if self.take("}") {
            self.depth -= 1
            return .object([])
        }
        repeat {
            self.skipSpace()
            guard self.peek == UInt8(ascii: "\"") else { throw self.error }
            let name = try self.text()
            self.skipSpace()
            guard self.take(":") else { throw self.error }
            members.append(.init(name, try self.value()))
            self.skipSpace()
        } while self.take(",")
        guard self.take("}") else { throw self.error }
        self.depth -= 1
        return .object(members)
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        try self.enter()
        var items: [JSONValue] = []
        self.skipSpace()
        if self.take("]") {
            self.depth -= 1
            return .array([])
        }
        repeat {
            items.append(try self.value())
            self.skipSpace()
        } while self.take(",")
        guard self.take("]") else { throw self.error }
        self.depth -= 1
        return .array(items)
    }

    private mutating func enter() throws(JSONError) {
        self.depth += 1
        guard self.depth <= Self.maxDepth else { throw self.error }
        self.position += 1
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = self.position
        _ = self.take("-")
        let digits = self.position
        self.skipDigits()
        guard self.position > digits else { throw self.error }
        // A number has no zero in front.
        guard self.octets[digits] != UInt8(ascii: "0") || self.position == digits + 1 else { throw self.error }
        var isWhole = true
        if self.take(".") {
            isWhole = false
            let fraction = self.position
            self.skipDigits()
            guard self.position > fraction else { throw self.error }
        }
        if self.take("e") || self.take("E") {
            isWhole = false
            if !self.take("+") { _ = self.take("-") }
            let exponent = self.position
            self.skipDigits()
            guard self.position > exponent else { throw self.error }
        }
        let text = String(decoding: self.octets[start..<self.position], as: UTF8.self)
        if isWhole, let integer = Int64(text) { return .integer(integer) }
        guard let number = Double(text) else { throw self.error }
        return .number(number)
    }

    private mutating func skipDigits() {
        while let octet = self.peek, (48...57).contains(octet) { self.position += 1 }
    }

    private mutating func text() throws(JSONError) -> String {
        self.position += 1
        var text: [UInt8] = []
        while let octet = self.peek {
            switch octet {
            case UInt8(ascii: "\""):
                self.position += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                self.position += 1
                try self.escape(into: &text)
            case 0..<32:
                throw self.error
            default:
                text.append(octet)
                self.position += 1
            }
        }
        throw self.error
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard let octet = self.peek else { throw self.error }
        self.position += 1
        switch octet {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(octet)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "u"): try self.unicode(into: &text)
        default: throw self.error
        }
    }

    private mutating func unicode(into text: inout [UInt8]) throws(JSONError) {
        var code = try self.hex()
        if (0xD800...0xDBFF).contains(code) {
            guard self.take("\\"), self.take("u") else { throw self.error }
            let low = try self.hex()
            guard (0xDC00...0xDFFF).contains(low) else { throw self.error }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw self.error }
        text.append(contentsOf: String(Character(scalar)).utf8)
    }

    private mutating func hex() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let octet = self.peek else { throw self.error }
            switch octet {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 + UInt32(octet - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 + UInt32(octet - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 + UInt32(octet - UInt8(ascii: "A") + 10)
            default: throw self.error
            }
            self.position += 1
        }
        return value
    }
}
