/// A block of memory that the driver lends to the core for bytes on their way to a socket.
public struct OutputBlock {
    /// First octet of the block.
    public var base: UnsafeMutableRawPointer
    /// Octets that fit into the block.
    public var capacity: Int
    /// Octets the core has written, from the start of the block.
    public var count: Int
    /// The driver's own name for the block.
    public var token: Int

    /// Makes an empty block.
    public init(base: UnsafeMutableRawPointer, capacity: Int, token: Int) {
        self.base = base
        self.capacity = capacity
        self.count = 0
        self.token = token
    }
}

/// Lends memory for outbound bytes: one call per touched connection and turn, not per frame.
///
/// The block stays with the core until it hands it back through ``Shard/takeOutput(of:_:)``. Blocks of connections
/// that end before are handed back through ``giveBack(_:)``.
public protocol OutputMemory: AnyObject {
    /// Lends a block of at least `byteCount` octets.
    func lend(atLeast byteCount: Int) -> OutputBlock

    /// Takes back a block that nobody will send.
    func giveBack(_ block: OutputBlock)
}
