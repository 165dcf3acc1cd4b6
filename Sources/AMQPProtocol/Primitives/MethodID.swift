/// The class and method number that name a method on the wire.
public struct MethodID: Hashable, Sendable {
    /// The class, such as 50 for `queue`.
    public let classID: UInt16
    /// The method within its class.
    public let methodID: UInt16

    /// Makes an id from its two numbers; nothing says that such a method exists.
    @inlinable
    public init(classID: UInt16, methodID: UInt16) {
        self.classID = classID
        self.methodID = methodID
    }

    /// Makes an id from the first four octets of a method frame's payload.
    @inlinable
    public init(rawValue: UInt32) {
        self.classID = UInt16(truncatingIfNeeded: rawValue >> 16)
        self.methodID = UInt16(truncatingIfNeeded: rawValue)
    }

    /// The class in the upper half, the method in the lower half.
    @inlinable public var rawValue: UInt32 { UInt32(self.classID) << 16 | UInt32(self.methodID) }

    /// What `connection.close` and `channel.close` carry when no method is to blame.
    @inlinable public static var none: MethodID { MethodID(classID: 0, methodID: 0) }
}

extension MethodID: CustomStringConvertible {
    /// The method's name, or its numbers when there is no such method.
    public var description: String { self.name }
}
