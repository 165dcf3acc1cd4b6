import NIOCore
import Testing

@testable import BrokerServer

/// Read buffers of a loop: lent to whoever reads, few are kept.
@Suite struct ReadBuffersTests {
    private let buffers = ReadBuffers()
    private let allocator = ByteBufferAllocator()

    private func address(_ buffer: ByteBuffer) -> UnsafeRawPointer? {
        buffer.withVeryUnsafeBytes { $0.baseAddress }
    }

    @Test func makesLargeOnes() {
        #expect(self.buffers.take(self.allocator).capacity == ServerLimits.readBufferBytes)
    }

    @Test func lendsTheSameOneAgain() {
        var buffer = self.buffers.take(self.allocator)
        buffer.writeString("what the last reader got")
        let address = self.address(buffer)
        self.buffers.giveBack(buffer)
        buffer = ByteBuffer()
        let again = self.buffers.take(self.allocator)
        #expect(self.address(again) == address)
        #expect(again.readableBytes == 0)
    }

    @Test func doesNotLendMemoryThatSomebodyStillReads() {
        var held = self.buffers.take(self.allocator)
        held.writeString("kept")
        self.buffers.giveBack(held)
        var next = self.buffers.take(self.allocator)
        next.writeString("other")
        #expect(String(buffer: held) == "kept")
    }

    @Test func keepsOnlyAFew() {
        let taken = (0..<5).map { _ in self.buffers.take(self.allocator) }
        let addresses = Set(taken.map { self.address($0) })
        for buffer in taken { self.buffers.giveBack(buffer) }
        let again = (0..<5).map { _ in self.address(self.buffers.take(self.allocator)) }
        // Those that were held in `taken` are in use, so what is kept gets memory of its own when it is lent.
        #expect(addresses.isDisjoint(with: again))
        #expect(addresses.count == 5)
    }

    @Test func leavesSmallOnesToTheirOwner() {
        let small = self.allocator.buffer(capacity: ServerLimits.firstReadBytes)
        self.buffers.giveBack(small)
        #expect(self.buffers.take(self.allocator).capacity == ServerLimits.readBufferBytes)
    }

    @Test func startsAConnectionWithASmallBuffer() {
        var allocator = LoopRecvAllocator(self.buffers, ReadAppetite())
        let first = allocator.buffer(allocator: self.allocator)
        #expect(first.capacity == ServerLimits.firstReadBytes)
        let mayUseAnother = allocator.record(actualReadBytes: 8)
        #expect(mayUseAnother)
        #expect(allocator.nextBufferSize() == nil)
        #expect(allocator.buffer(allocator: self.allocator).capacity == ServerLimits.readBufferBytes)
    }

    @Test func aConnectionThatFloodsReadsInSmallPieces() {
        let appetite = ReadAppetite()
        var allocator = LoopRecvAllocator(self.buffers, appetite)
        _ = allocator.record(actualReadBytes: 8)
        appetite.isSmall = true
        var short = allocator.buffer(allocator: self.allocator)
        #expect(short.capacity == ServerLimits.shortReadBytes)
        let address = self.address(short)
        self.buffers.giveBack(short)
        short = ByteBuffer()
        appetite.isSmall = false
        let long = allocator.buffer(allocator: self.allocator)
        #expect(long.capacity == ServerLimits.readBufferBytes)
        appetite.isSmall = true
        #expect(self.address(self.buffers.take(self.allocator, isShort: true)) == address)
    }
}
