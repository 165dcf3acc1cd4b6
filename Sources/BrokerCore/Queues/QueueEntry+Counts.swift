internal import AMQPProtocol

extension QueueEntry.Flags {
    private static let priorityShift: UInt32 = 8
    private static let countShift: UInt32 = 16

    /// The priority the message was published with, whether its queue tells priorities apart or not; bits 8 to 15.
    var priority: UInt8 {
        get { UInt8(truncatingIfNeeded: self.rawValue >> Self.priorityShift) }
        set { self.rawValue = self.rawValue & ~(0xFF << Self.priorityShift) | UInt32(newValue) << Self.priorityShift }
    }

    /// How often the message was handed out and came back; bits 16 to 31.
    ///
    /// It stays at the largest number once there.
    var deliveryCount: UInt16 {
        get { UInt16(truncatingIfNeeded: self.rawValue >> Self.countShift) }
        set { self.rawValue = self.rawValue & ~(0xFFFF << Self.countShift) | UInt32(newValue) << Self.countShift }
    }

    /// Counts one more delivery that came back.
    mutating func countReturn() {
        if self.deliveryCount < .max {
            self.deliveryCount += 1
        }
        self.insert(.redelivered)
    }
}

extension MessageView {
    /// The property `priority`, or 0 without one.
    ///
    /// Properties have been checked when the message came; octets that are none count as no priority.
    var priority: UInt8 {
        let bytes = UnsafeRawBufferPointer(start: self.properties, count: self.propertiesSize)
        guard self.propertiesSize >= 3, self.propertyFlags & PropertyFlags.priority != 0 else { return 0 }
        var reader = WireReader(bytes)
        do throws(DecodeError) {
            let flags = try reader.readUInt16()
            for short in [PropertyFlags.contentType, PropertyFlags.contentEncoding] where flags & short != 0 {
                _ = try reader.skip(Int(try reader.readUInt8()))
            }
            if flags & PropertyFlags.headers != 0 {
                _ = try reader.skip(Int(try reader.readUInt32()))
            }
            if flags & PropertyFlags.deliveryMode != 0 {
                _ = try reader.readUInt8()
            }
            return try reader.readUInt8()
        } catch {
            return 0
        }
    }

    /// Which properties are there.
    var propertyFlags: UInt16 {
        guard self.propertiesSize >= 2 else { return 0 }
        return UInt16(bigEndian: self.properties.loadUnaligned(as: UInt16.self))
    }

    /// The entries of the property `headers`, as they came, without the length in front; nil without any.
    var headers: UnsafeRawBufferPointer? {
        guard self.propertyFlags & PropertyFlags.headers != 0 else { return nil }
        let bytes = UnsafeRawBufferPointer(start: self.properties, count: self.propertiesSize)
        guard let range = (try? PropertyScan.scan(bytes))?.headers else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[range])
    }
}
