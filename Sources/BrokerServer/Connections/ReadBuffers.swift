internal import NIOCore

/// The read buffers of one loop, lent to whichever plain connection reads.
///
/// An idle connection owns no read buffer beyond its first few hundred octets.
///
/// `@unchecked Sendable`: NIO wants receive allocators to be `Sendable`, but calls them on their channel's loop only, and
/// all channels that share a list belong to the loop that made it (``ConnectionHandler`` gives buffers back there too).
final class ReadBuffers: @unchecked Sendable {
    private var free: [ByteBuffer] = []
    private var freeShort: [ByteBuffer] = []

    /// A buffer nobody else holds.
    ///
    /// Cleared here and not in ``giveBack(_:)``: there NIO still holds a reference and `clear()` would allocate.
    func take(_ allocator: ByteBufferAllocator, isShort: Bool = false) -> ByteBuffer {
        guard var buffer = isShort ? self.freeShort.popLast() : self.free.popLast() else {
            return allocator.buffer(capacity: isShort ? ServerLimits.shortReadBytes : ServerLimits.readBufferBytes)
        }
        buffer.clear()
        return buffer
    }

    /// Takes a buffer back that has been read; anything but those of ``take(_:isShort:)`` is left to its owner.
    func giveBack(_ buffer: ByteBuffer) {
        if buffer.capacity >= ServerLimits.readBufferBytes {
            if self.free.count < ServerLimits.keptReadBuffers {
                self.free.append(buffer)
            }
        } else if buffer.capacity >= ServerLimits.shortReadBytes, self.freeShort.count < ServerLimits.keptReadBuffers {
            self.freeShort.append(buffer)
        }
    }
}

/// How much a connection should read at once; shared by its handler, which knows, and its allocator, which decides.
///
/// `@unchecked Sendable` for the reason of ``ReadBuffers``: both live on the connection's loop.
final class ReadAppetite: @unchecked Sendable {
    /// Read in small pieces, so that others on the loop come in between.
    var isSmall = false
}

/// Gives a connection a small first buffer of its own and the loop's large ones from then on.
///
/// With `nextBufferSize()` nil and `record` true NIO asks for a buffer on every read and never reuses the one it has
/// kept. `maxMessagesPerRead` must be 1: it is also the number of buffers NIO keeps.
struct LoopRecvAllocator: RecvByteBufferAllocator {
    private let shared: ReadBuffers
    private let appetite: ReadAppetite
    private var hasRead = false

    init(_ shared: ReadBuffers, _ appetite: ReadAppetite) {
        self.shared = shared
        self.appetite = appetite
    }

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        self.hasRead
            ? self.shared.take(allocator, isShort: self.appetite.isSmall)
            : allocator.buffer(capacity: ServerLimits.firstReadBytes)
    }

    func nextBufferSize() -> Int? {
        nil
    }

    mutating func record(actualReadBytes: Int) -> Bool {
        self.hasRead = true
        return true
    }
}
