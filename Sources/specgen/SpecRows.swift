/// One JSON file of tables.
struct SpecFile: Decodable {
    var replyCodes: [ReplyCodeRow]?
    var properties: [PropertyRow]?
    var classes: [ClassRow]
}

/// A class and its methods.
struct ClassRow: Decodable {
    var name: String
    var id: UInt16
    /// What the class is about, to finish "Methods about …".
    var about: String
    var methods: [MethodRow]
}

/// A method and its arguments in wire order.
struct MethodRow: Decodable {
    /// Who may send a method.
    enum Sender: String, Decodable {
        case client, server, both
    }

    var name: String
    var id: UInt16
    var from: Sender
    /// The methods that answer this one.
    var replies: [String]?
    /// Whether a content header and body follow.
    var content: Bool?
    /// Where the specification or RabbitMQ defines it.
    var source: String
    var fields: [FieldRow]
}

/// An argument of a method.
struct FieldRow: Decodable {
    var name: String
    var type: WireType
    /// Not in the struct: skipped on read, zero or empty on write.
    var reserved: Bool?
    /// False for a short string that may hold any octets.
    var utf8: Bool?
}

/// A content property.
struct PropertyRow: Decodable {
    var name: String
    var bit: Int
    var type: WireType
    var source: String
}

/// A reply code.
struct ReplyCodeRow: Decodable {
    /// What a code closes.
    enum Level: String, Decodable {
        case none, channel, connection
    }

    var code: UInt16
    var name: String
    var level: Level
    var source: String
    var about: String
}
