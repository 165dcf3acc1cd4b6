internal import BrokerCore
internal import NIOCore

/// The output memory of one loop: blocks that the core fills *are* `ByteBuffer`s, so nothing is copied on the way out.
///
/// NIO cannot send foreign memory, so the pool keeps the buffers and lends the core the address of their storage.
/// Why that address stays valid while a block is lent:
/// 1. A `ByteBuffer`'s bytes live in one heap allocation of its storage object; moving the struct does not move them.
/// 2. The allocation changes only when the buffer is written, cleared or grown through the struct. Between ``lend``
///    and ``take`` or ``giveBack`` nobody touches the struct: it sits in `slots` and is in no free list.
/// 3. `lend` calls `clear()` first, which gives the slot fresh storage when NIO still holds the old one, so the core
///    never writes into bytes that are on their way to a socket. That is also why a slot may be free again at once
///    after `take`.
final class OutputPool: OutputMemory {
    private var slots: [ByteBuffer] = []
    private var freeSmall: [Int] = []
    private var freeLarge: [Int] = []
    /// Slots whose buffer was dropped.
    private var emptySlots: [Int] = []
    private let allocator = ByteBufferAllocator()

    /// Blocks that are kept for reuse.
    var keptCount: Int { self.freeSmall.count + self.freeLarge.count }

    func lend(atLeast byteCount: Int) -> OutputBlock {
        let token: Int
        if byteCount <= ServerLimits.smallBlockBytes {
            token = self.slot(from: &self.freeSmall, capacity: ServerLimits.smallBlockBytes)
        } else if byteCount <= ServerLimits.largeBlockBytes {
            token = self.slot(from: &self.freeLarge, capacity: ServerLimits.largeBlockBytes)
        } else {
            token = self.newSlot(capacity: byteCount)
        }
        return self.slots[token].withUnsafeMutableWritableBytes { bytes in
            guard let base = bytes.baseAddress else { preconditionFailure("a block has at least one octet") }
            return OutputBlock(base: base, capacity: bytes.count, token: token)
        }
    }

    func giveBack(_ block: OutputBlock) {
        self.release(block.token)
    }

    /// The filled block as a buffer to write; the block's memory now belongs to whoever holds the buffer.
    func take(_ block: OutputBlock) -> ByteBuffer {
        var buffer = self.slots[block.token]
        buffer.moveWriterIndex(to: block.count)
        self.release(block.token)
        return buffer
    }

    /// A free slot, cleared.
    ///
    /// Last in, first out: the block used last is warm, and after a write that the socket took
    /// whole it is ours alone again.
    private func slot(from free: inout [Int], capacity: Int) -> Int {
        guard let token = free.popLast() else { return self.newSlot(capacity: capacity) }
        self.slots[token].clear()
        return token
    }

    private func newSlot(capacity: Int) -> Int {
        let buffer = self.allocator.buffer(capacity: capacity)
        if let token = self.emptySlots.popLast() {
            self.slots[token] = buffer
            return token
        }
        self.slots.append(buffer)
        return self.slots.count - 1
    }

    private func release(_ token: Int) {
        let capacity = self.slots[token].capacity
        if capacity < ServerLimits.largeBlockBytes, self.freeSmall.count < ServerLimits.keptSmallBlocks {
            self.freeSmall.append(token)
        } else if capacity >= ServerLimits.largeBlockBytes, capacity < 2 * ServerLimits.largeBlockBytes,
            self.freeLarge.count < ServerLimits.keptLargeBlocks
        {
            self.freeLarge.append(token)
        } else {
            self.slots[token] = ByteBuffer()
            self.emptySlots.append(token)
        }
    }
}
