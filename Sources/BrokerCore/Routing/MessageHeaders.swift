import AMQPProtocol

/// The headers and properties of a message on its way through exchanges, decoded when the first exchange asks.
struct MessageHeaders {
    private let encoded: UnsafeRawBufferPointer?
    private let allProperties: UnsafeRawBufferPointer?
    private var decoded: [(key: ShortString, value: FieldValue)]?

    /// Wraps the entries of a header table, without its length, and all properties, if they are at hand; both must stay
    /// valid.
    init(encoded: UnsafeRawBufferPointer?, properties: UnsafeRawBufferPointer? = nil) {
        self.encoded = encoded
        self.allProperties = properties
    }

    /// The message's properties and where each of them is; nil when they are not known.
    func properties() -> (octets: UnsafeRawBufferPointer, scan: PropertyScan)? {
        guard let octets = self.allProperties, let scan = try? PropertyScan.scan(octets) else { return nil }
        return (octets, scan)
    }

    /// The entries ordered by name.
    mutating func entries() -> [(key: ShortString, value: FieldValue)] {
        if let decoded = self.decoded { return decoded }
        let decoded = Self.decode(self.encoded)
        self.decoded = decoded
        return decoded
    }

    /// Whoever took the message in has checked the table; octets that are no table count as no headers.
    private static func decode(_ encoded: UnsafeRawBufferPointer?) -> [(key: ShortString, value: FieldValue)] {
        guard let encoded, !encoded.isEmpty, let table = try? FieldTable(validating: encoded) else { return [] }
        // The first of several headers with one name counts, so it must stay in front.
        return table.enumerated()
            .sorted { ($0.element.key, $0.offset) < ($1.element.key, $1.offset) }
            .map { (key: $0.element.key, value: $0.element.value) }
    }

    /// The value of a name in ordered entries; nil when there is none.
    static func find(_ key: ShortString, in entries: [(key: ShortString, value: FieldValue)]) -> FieldValue? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].key < key {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < entries.count && entries[low].key == key ? entries[low].value : nil
    }
}
