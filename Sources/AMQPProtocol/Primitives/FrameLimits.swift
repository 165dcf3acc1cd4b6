/// Every limit of the codec, in one place.
///
/// Limits that belong to a connection or a queue (negotiated frame size, message size) live with their owner; these hold
/// for any octets, whoever sent them.
public enum FrameLimits {
    /// The most octets a short string can have; its length prefix is one octet.
    public static let maxShortStringBytes = 255

    /// The deepest nesting of tables and arrays, the outermost table counted as one.
    ///
    /// Validation recurses once a level, so this also bounds the stack that a peer can use.
    public static let maxTableDepth = 32

    /// The smallest frame-max a peer may ask for, and the limit before `connection.tune-ok`.
    public static let minFrameMaxBytes = 4096

    /// Octets of a frame around its payload: seven before and the end marker.
    public static let frameOverheadBytes = 8

    /// Octets of type, channel and size in front of a payload.
    public static let frameHeaderBytes = 7

    /// The octet after every payload.
    public static let frameEnd: UInt8 = 0xCE

    /// Octets over frame-max that RabbitMQ still accepts.
    ///
    /// Some clients count the overhead into the payload, and RabbitMQ never refused them.
    public static let frameMaxToleranceBytes = 8
}
