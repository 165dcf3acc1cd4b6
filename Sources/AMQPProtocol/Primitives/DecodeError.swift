/// Why octets from a peer could not be read as AMQP values.
///
/// Every case is a peer's mistake and is answered with a reply code; none is a bug of ours.
public enum DecodeError: Error, Equatable, Sendable {
    /// The octets end in the middle of a value.
    case truncated

    /// Octets are left over after the last value.
    case trailingBytes

    /// A table or array is not a whole number of well-formed entries.
    case malformedTable

    /// The property flags announce a second flags word.
    case malformedProperties

    /// A field value has a tag that RabbitMQ does not know.
    case unknownFieldType(UInt8)

    /// Tables and arrays are nested deeper than ``FrameLimits/maxTableDepth``.
    case nestingTooDeep

    /// A name is not valid UTF-8.
    case invalidUTF8

    /// No method has this class and method id.
    case unknownMethod(MethodID)
}
