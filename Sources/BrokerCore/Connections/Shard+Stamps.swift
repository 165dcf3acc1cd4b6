internal import AMQPProtocol

/// Writing stamps into messages that clients publish; see ``MessageStamps``.
///
/// A broker that writes them remembers no routes, so that every publish comes through here; one that does not never asks
/// for a message that goes the usual way.
extension Shard {
    private static let timestampHeader: ShortString = "timestamp_in_ms"
    private static let nodeHeader: ShortString = "x-routed-by"

    /// The properties of a message with our stamps; nil when it stays as it is, because it has them or is malformed, which
    /// is somebody else's to refuse, or because there would not be room for them.
    func stamped(_ properties: UnsafeRawBufferPointer) -> [UInt8]? {
        var reader = WireReader(properties)
        guard var decoded = try? BasicProperties(from: &reader) else { return nil }
        let stamps = self.settings.stamps
        var headers = (decoded.headers ?? [:]).map { (key: $0.key, value: $0.value) }
        var isChanged = false
        func set(_ key: ShortString, _ value: FieldValue, _ rule: MessageStamps.Rule) {
            if let index = headers.firstIndex(where: { $0.key == key }) {
                guard rule == .overwrite else { return }
                headers[index].value = value
            } else {
                headers.append((key, value))
            }
            isChanged = true
        }
        if let rule = stamps.timestamp {
            let now = self.epochMilliseconds(at: self.now)
            set(Self.timestampHeader, .int64(Int64(clamping: now)), rule)
            if decoded.timestamp == nil || rule == .overwrite {
                decoded.timestamp = now / 1000
                isChanged = true
            }
        }
        if let rule = stamps.routingNode {
            set(Self.nodeHeader, .longString(Array(self.settings.clusterName.utf8)), rule)
        }
        guard isChanged else { return nil }
        // By name, as RabbitMQ leaves a table that it has written to; of several with one name the first stays first.
        let ordered = headers.enumerated().sorted {
            ($0.element.key, $0.offset) < ($1.element.key, $1.offset)
        }
        decoded.headers = FieldTable(ordered.map { ($0.element.key, $0.element.value) })
        guard decoded.encodedSize <= MessageRecord.maxPropertiesSize else { return nil }
        return decoded.encoded
    }

    /// Publishes a message with our stamps.
    ///
    /// Returns whether its own buffer has been taken over.
    @inline(never)
    func publishStamped(_ message: inout IncomingMessage, on channel: UnsafeMutablePointer<ChannelState>) -> Bool {
        let octets = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        guard let properties = self.stamped(octets) else { return self.publishUnstamped(&message, on: channel) }
        return properties.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return false }
            var changed = message
            changed.ownBuffer = nil
            changed.contentFrames = nil
            changed.properties = base
            changed.propertiesSize = bytes.count
            changed.propertyFlags =
                UInt16(bigEndian: base.loadUnaligned(as: UInt16.self)) | (message.propertyFlags & Self.unknownMode)
            _ = self.publishUnstamped(&changed, on: channel)
            return false
        }
    }
}
