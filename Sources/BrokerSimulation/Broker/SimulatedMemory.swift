internal import BrokerCore

/// Output memory from the heap, filled with rubbish so that nothing relies on zeros.
final class SimulatedMemory: OutputMemory {
    private(set) var lentBlocks = 0

    func lend(atLeast byteCount: Int) -> OutputBlock {
        self.lentBlocks += 1
        let base = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
        base.initializeMemory(as: UInt8.self, repeating: 0xA5, count: byteCount)
        return OutputBlock(base: base, capacity: byteCount, token: self.lentBlocks)
    }

    func giveBack(_ block: OutputBlock) {
        self.lentBlocks -= 1
        block.base.deallocate()
    }
}

/// Lets `guest` in with the password `guest`, and nobody else.
struct GuestAuthenticator: Authenticator {
    func authenticate(user: [UInt8], password: [UInt8]) -> Bool {
        user == Array("guest".utf8) && password == Array("guest".utf8)
    }
}
