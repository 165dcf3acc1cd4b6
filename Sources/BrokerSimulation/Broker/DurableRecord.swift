/// One record of the commit log, as a start reads it back.
public struct DurableRecord: Sendable {
    /// What the payload is.
    public let type: UInt8
    /// The octets.
    public let payload: [UInt8]
}
