import AMQPProtocol

extension FieldValue {
    /// Whether two values are one to RabbitMQ once their tags are forgotten.
    ///
    /// Numbers and timestamps are compared by number, exactly, strings and byte arrays by octets. Truth values are no numbers, and
    /// void equals only void.
    func meansTheSame(as other: FieldValue) -> Bool {
        if let left = self.wholeNumber, let right = other.wholeNumber { return left == right }
        if let left = self.wholeNumber, let right = other.fraction { return Int128(exactly: right) == left }
        if let left = self.fraction, let right = other.wholeNumber { return Int128(exactly: left) == right }
        if let left = self.fraction, let right = other.fraction { return left == right }
        if let left = self.octets, let right = other.octets { return left == right }
        return self.isEquivalent(to: other)
    }

    /// Whether two values are one as arguments of a declaration: as ``meansTheSame(as:)``, but 1 and 1.0 differ.
    func isTheSameArgument(as other: FieldValue) -> Bool {
        (self.fraction == nil) == (other.fraction == nil) && self.meansTheSame(as: other)
    }

    private var wholeNumber: Int128? {
        if case .timestamp(let seconds) = self { return Int128(seconds) }
        return self.integerValue.map { Int128($0) }
    }

    private var fraction: Double? {
        switch self {
        case .float(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    private var octets: [UInt8]? {
        switch self {
        case .longString(let octets), .byteArray(let octets): octets
        default: nil
        }
    }
}
