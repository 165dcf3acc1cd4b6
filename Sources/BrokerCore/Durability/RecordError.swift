/// Why a record of the commit log means nothing to us.
public enum RecordError: Error, Equatable, Sendable {
    /// The type is none of ``LogRecordType``.
    case unknownType(UInt8)
    /// The record was written in a version that this broker does not know.
    case unknownVersion(UInt8)
    /// The octets are not what we write.
    case damaged
}
