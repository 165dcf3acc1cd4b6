/// Every limit of the codec, in one place.
///
/// Limits that belong to a connection or a queue (negotiated frame size, message size) live with their owner; these hold
/// for any octets, whoever sent them. They are computed so that other modules see plain constants.
public enum FrameLimits {
    /// The most octets a short string can have; its length prefix is one octet.
    @inlinable public static var maxShortStringBytes: Int { 255 }

    /// The deepest nesting of tables and arrays, the outermost table counted as one.
    ///
    /// Validation recurses once a level, so this also bounds the stack that a peer can use.
    @inlinable public static var maxTableDepth: Int { 32 }

    /// The smallest frame-max a peer may ask for, and the limit before `connection.tune-ok`.
    @inlinable public static var minFrameMaxBytes: Int { 4096 }

    /// Octets of a frame around its payload: seven before and the end marker.
    @inlinable public static var frameOverheadBytes: Int { 8 }

    /// Octets of type, channel and size in front of a payload.
    @inlinable public static var frameHeaderBytes: Int { 7 }

    /// The octet after every payload.
    @inlinable public static var frameEnd: UInt8 { 0xCE }

    /// Octets over frame-max that RabbitMQ still accepts.
    ///
    /// Some clients count the overhead into the payload, and RabbitMQ never refused them.
    @inlinable public static var frameMaxToleranceBytes: Int { 8 }
}
