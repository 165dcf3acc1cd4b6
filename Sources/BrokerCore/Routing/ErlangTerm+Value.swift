import AMQPProtocol

extension ErlangTerm {
    /// A value of a field table as RabbitMQ prints it, without its type.
    static func text(_ value: FieldValue) -> String {
        switch value {
        case .bool(let octet): octet == 0 ? "false" : "true"
        case .int8, .uint8, .int16, .uint16, .int32, .uint32, .int64, .int64L: "\(value.integerValue ?? 0)"
        case .float(let number): "\(number)"
        case .double(let number): "\(number)"
        case .decimal(let scale, let unscaled): "{\(scale),\(unscaled)}"
        case .longString(let octets), .byteArray(let octets): octets.withUnsafeBytes { self.binary($0) }
        case .timestamp(let seconds): "\(seconds)"
        case .table(let table): self.list(table.map { self.field($0, $1) })
        case .array(let array): self.list(array.map { "{\($0.rabbitTypeName),\(self.text($0))}" })
        case .void: "undefined"
        }
    }

    /// An entry of a field table as RabbitMQ prints it.
    static func field(_ key: ShortString, _ value: FieldValue) -> String {
        let name = key.bytes.withUnsafeBytes { self.binary($0) }
        return "{\(name),\(value.rabbitTypeName),\(self.text(value))}"
    }

    private static func list(_ items: [String]) -> String {
        "[" + items.joined(separator: ",") + "]"
    }
}
