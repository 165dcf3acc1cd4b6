internal import AMQPProtocol

// What a client that asked for version 0-8 speaks differently, as RabbitMQ does:
// 1. `connection.close` and `close-ok` are methods 60 and 61 of their class.
// 2. `channel.open-ok` has no argument, and neither `basic.consume` nor `channel.close` has got any since 0-9-1 added
//    a table to the former.
// 3. The extensions do not exist: no capabilities are announced, and their methods are unknown.
// Everything else has the same octets.

/// `connection.close` of version 0-8.
private struct Version08ConnectionClose: EncodableMethod {
    let method: ConnectionClose

    static var id: MethodID { MethodID(classID: 10, methodID: 60) }

    var encodedSize: Int { self.method.encodedSize }

    func encode(into writer: inout WireWriter) {
        writer.write(Self.id.rawValue)
        writer.write(self.method.replyCode)
        writer.writeShortString(self.method.replyText)
        writer.write(self.method.classID)
        writer.write(self.method.methodID)
    }
}

/// `connection.close-ok` of version 0-8.
private struct Version08ConnectionCloseOk: EncodableMethod {
    static var id: MethodID { MethodID(classID: 10, methodID: 61) }

    var encodedSize: Int { 4 }

    func encode(into writer: inout WireWriter) {
        writer.write(Self.id.rawValue)
    }
}

/// `channel.open-ok` of version 0-8.
private struct Version08ChannelOpenOk: EncodableMethod {
    static var id: MethodID { ChannelOpenOk.id }

    var encodedSize: Int { 4 }

    func encode(into writer: inout WireWriter) {
        writer.write(Self.id.rawValue)
    }
}

/// Methods that are written and read in the version that the client asked for.
extension Shard {
    /// Writes `connection.close`.
    func sendClose(_ method: ConnectionClose, _ connection: UnsafeMutablePointer<ConnectionState>) {
        if connection.pointee.speaksVersion08 {
            self.sendMethod(Version08ConnectionClose(method: method), connection, channel: 0)
        } else {
            self.sendMethod(method, connection, channel: 0)
        }
    }

    /// Writes `connection.close-ok`.
    func sendCloseOk(_ connection: UnsafeMutablePointer<ConnectionState>) {
        if connection.pointee.speaksVersion08 {
            self.sendMethod(Version08ConnectionCloseOk(), connection, channel: 0)
        } else {
            self.sendMethod(ConnectionCloseOk(), connection, channel: 0)
        }
    }

    /// Writes `channel.open-ok`.
    func sendOpenOk(_ channel: UnsafeMutablePointer<ChannelState>) {
        if channel.pointee.connection.pointee.speaksVersion08 {
            self.sendMethod(Version08ChannelOpenOk(), channel)
        } else {
            self.sendMethod(ChannelOpenOk(), channel)
        }
    }

    /// The number that 0-9-1 has for a method of the connection's version; nil for one that its version has not got.
    static func currentID(_ id: MethodID, _ connection: UnsafeMutablePointer<ConnectionState>) -> MethodID? {
        guard connection.pointee.speaksVersion08 else { return id }
        switch (id.classID, id.methodID) {
        case (10, 60): return ConnectionClose.id
        case (10, 61): return ConnectionCloseOk.id
        case (10, 50...), (40, 30...), (60, 120...), (85, _): return nil
        default: return id
        }
    }

    /// Reads the arguments of a method in the connection's version.
    func decode(
        _ id: MethodID,
        _ reader: inout WireReader,
        _ payload: UnsafeRawBufferPointer,
        _ connection: UnsafeMutablePointer<ConnectionState>
    ) throws(DecodeError) -> Method {
        guard connection.pointee.speaksVersion08 else { return try Method.decode(id, &reader) }
        guard let current = Self.currentID(id, connection) else { throw .unknownMethod(id) }
        guard current == BasicConsume.id else { return try Method.decode(current, &reader) }
        // With the empty table that it has not got it is the method of 0-9-1.
        let octets = payload[4...] + [0, 0, 0, 0]
        var failure: DecodeError?
        let method = octets.withUnsafeBytes { (bytes) -> Method? in
            var reader = WireReader(bytes)
            do throws(DecodeError) {
                return try Method.decode(current, &reader)
            } catch {
                failure = error
                return nil
            }
        }
        guard let method else { throw failure ?? .truncated }
        return method
    }
}
