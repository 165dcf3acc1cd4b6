package import AMQPProtocol

extension ModelMessage {
    /// The properties as the publisher sends them, or as everybody else gets them: without BCC.
    ///
    /// Which ones there are depends on the message's number.
    package func properties(isSent: Bool) -> BasicProperties {
        var headers = Self.table(self.headers)
        if !self.copiedTo.isEmpty {
            headers.append(("CC", Self.list(self.copiedTo)))
        }
        let hasHeaders = !headers.isEmpty || !self.secretlyCopiedTo.isEmpty
        if isSent && !self.secretlyCopiedTo.isEmpty {
            headers.append(("BCC", Self.list(self.secretlyCopiedTo)))
        }
        return BasicProperties(
            contentType: self.id % 2 == 0 ? "text/plain" : nil,
            headers: hasHeaders ? FieldTable(headers) : nil,
            deliveryMode: self.isPersistent ? 2 : (self.id % 2 == 0 ? 1 : nil),
            priority: self.id % 5 == 0 ? UInt8(truncatingIfNeeded: self.id % 10) : nil,
            correlationID: self.id % 2 == 0 ? ShortString(truncating: "m\(self.id)") : nil,
            timestamp: self.id % 11 == 0 ? UInt64(self.id) : nil,
            userID: self.id % 7 == 0 ? "guest" : nil
        )
    }

    /// Headers in the order of their names.
    static func table(_ values: [String: Int]) -> [(ShortString, FieldValue)] {
        values.sorted { $0.key < $1.key }.map { (ShortString(truncating: $0.key), .int32(Int32($0.value))) }
    }

    private static func list(_ keys: [String]) -> FieldValue {
        .array(FieldArray(keys.map { .string($0) }))
    }
}
