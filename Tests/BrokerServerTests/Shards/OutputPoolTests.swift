import BrokerCore
import NIOCore
import Testing

@testable import BrokerServer

/// Output memory: blocks are reused once nobody reads them, and never before.
@Suite struct OutputPoolTests {
    private let pool = OutputPool()

    /// Writes octets into a block as the core does.
    private func fill(_ block: inout OutputBlock, _ bytes: [UInt8]) {
        UnsafeMutableRawBufferPointer(start: block.base, count: bytes.count).copyBytes(from: bytes)
        block.count = bytes.count
    }

    @Test(arguments: [
        (1, ServerLimits.smallBlockBytes),
        (ServerLimits.smallBlockBytes, ServerLimits.smallBlockBytes),
        (ServerLimits.smallBlockBytes + 1, ServerLimits.largeBlockBytes),
        (ServerLimits.largeBlockBytes, ServerLimits.largeBlockBytes),
        (ServerLimits.largeBlockBytes + 1, ServerLimits.largeBlockBytes + 1),
        (1 << 20, 1 << 20),
    ])
    func lendsEnough(asked: Int, atLeast: Int) {
        let block = self.pool.lend(atLeast: asked)
        #expect(block.capacity >= atLeast)
        #expect(block.count == 0)
    }

    @Test func handsOverWhatWasWritten() {
        var block = self.pool.lend(atLeast: 10)
        self.fill(&block, [1, 2, 3])
        #expect(Array(self.pool.take(block).readableBytesView) == [1, 2, 3])
    }

    @Test func handsOverNothingWhenNothingWasWritten() {
        #expect(self.pool.take(self.pool.lend(atLeast: 10)).readableBytes == 0)
    }

    @Test func usesABlockAgainThatWasSent() {
        let first = self.pool.lend(atLeast: 10)
        let base = first.base
        _ = self.pool.take(first)
        #expect(self.pool.lend(atLeast: 10).base == base)
    }

    @Test func usesABlockAgainThatWasGivenBack() {
        let first = self.pool.lend(atLeast: 10)
        self.pool.giveBack(first)
        #expect(self.pool.keptCount == 1)
        #expect(self.pool.lend(atLeast: 10).base == first.base)
        #expect(self.pool.keptCount == 0)
    }

    @Test func doesNotTouchOctetsThatAreStillOnTheirWay() {
        var first = self.pool.lend(atLeast: 10)
        self.fill(&first, [1, 2, 3])
        let sending = self.pool.take(first)
        var second = self.pool.lend(atLeast: 10)
        #expect(second.base != first.base)
        self.fill(&second, [9, 9, 9])
        #expect(Array(sending.readableBytesView) == [1, 2, 3])
        #expect(Array(self.pool.take(second).readableBytesView) == [9, 9, 9])
    }

    @Test func lendsManyAtOnceWithoutOverlap() {
        var blocks = (0..<200).map { number in self.pool.lend(atLeast: number.isMultiple(of: 2) ? 100 : 10_000) }
        for index in blocks.indices { self.fill(&blocks[index], Array(repeating: UInt8(index), count: 100)) }
        for (index, block) in blocks.enumerated() {
            #expect(Array(self.pool.take(block).readableBytesView) == Array(repeating: UInt8(index), count: 100))
        }
        #expect(self.pool.keptCount == ServerLimits.keptSmallBlocks + ServerLimits.keptLargeBlocks)
    }

    @Test func keepsNoHugeBlocks() {
        let block = self.pool.lend(atLeast: 4 << 20)
        self.pool.giveBack(block)
        #expect(self.pool.keptCount == 0)
    }

    @Test func keepsNamesOfDroppedBlocksForNewOnes() {
        let first = self.pool.lend(atLeast: 4 << 20)
        self.pool.giveBack(first)
        #expect(self.pool.lend(atLeast: 100).token == first.token)
    }
}
