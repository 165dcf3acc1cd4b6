internal import AMQPProtocol

/// What a close method says, octet by octet.
///
/// Names in it are the client's octets, which need not be UTF-8 (the exchange of `basic.publish`, for one): a `String`
/// would replace what it cannot decode. Written like a `String`, by literal and interpolation.
struct ReplyText: Equatable, Sendable {
    /// The octets.
    var bytes: [UInt8] = []

    /// Takes the octets of a text.
    init(_ text: String) {
        self.bytes = Array(text.utf8)
    }

    /// Takes octets as they are.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = Array(bytes)
    }

    /// Whether there is nothing to say.
    var isEmpty: Bool { self.bytes.isEmpty }

    /// As a short string; one above 255 octets is cut and ends in dots, as RabbitMQ does.
    var shortString: ShortString {
        ShortString(self.bytes) ?? ShortString(self.bytes.prefix(252) + Array("...".utf8)) ?? ""
    }
}

extension ReplyText: CustomStringConvertible {
    /// For the log; ill-formed UTF-8 shows as U+FFFD.
    var description: String { String(decoding: self.bytes, as: UTF8.self) }
}

extension ReplyText: ExpressibleByStringInterpolation {
    /// Gathers octets.
    struct StringInterpolation: StringInterpolationProtocol {
        var bytes: [UInt8] = []

        init(literalCapacity: Int, interpolationCount: Int) {
            self.bytes.reserveCapacity(literalCapacity + 32 * interpolationCount)
        }

        mutating func appendLiteral(_ literal: String) {
            self.bytes.append(contentsOf: literal.utf8)
        }

        /// A name, as it came.
        mutating func appendInterpolation(_ name: ShortString) {
            self.bytes.append(contentsOf: name.bytes)
        }

        mutating func appendInterpolation(_ text: ReplyText) {
            self.bytes.append(contentsOf: text.bytes)
        }

        mutating func appendInterpolation(_ value: some CustomStringConvertible) {
            self.bytes.append(contentsOf: value.description.utf8)
        }
    }

    init(stringLiteral value: String) {
        self.init(value)
    }

    init(stringInterpolation: StringInterpolation) {
        self.bytes = stringInterpolation.bytes
    }

    static func + (left: ReplyText, right: ReplyText) -> ReplyText {
        var sum = left
        sum.bytes.append(contentsOf: right.bytes)
        return sum
    }
}
