import AMQPProtocol
import BrokerCore

/// Output memory as the server's: blocks that are lent, taken back and lent again.
final class PooledMemory: OutputMemory {
    private var free: [UnsafeMutableRawPointer] = []
    private let blockSize = 256 * 1024

    func lend(atLeast byteCount: Int) -> OutputBlock {
        precondition(byteCount <= self.blockSize, "a block larger than any of these workloads needs")
        let base = self.free.popLast() ?? .allocate(byteCount: self.blockSize, alignment: 16)
        return OutputBlock(base: base, capacity: self.blockSize, token: 0)
    }

    func giveBack(_ block: OutputBlock) {
        self.free.append(block.base)
    }
}

/// Random numbers that need not be random.
final class CountingRandom: RandomSource {
    private var value: UInt64 = 0

    func next() -> UInt64 {
        self.value += 1
        return self.value
    }
}

/// Lets everybody in.
struct OpenDoor: Authenticator {
    func authenticate(user: [UInt8], password: [UInt8]) -> Bool { true }
}

/// One shard with connections whose output goes nowhere.
final class Bench {
    let memory = PooledMemory()
    let shard: Shard
    private(set) var outputBytes = 0
    private let now = BrokerInstant(nanoseconds: 1)

    init() {
        self.shard = Shard(
            index: 0,
            count: 1,
            settings: BrokerSettings(),
            authenticator: OpenDoor(),
            random: CountingRandom(),
            output: self.memory,
            now: self.now
        )
    }

    /// Accepts a connection, logs in, opens channel 1.
    func connect() -> ConnectionID {
        let peer = PeerInfo(peerHost: "127.0.0.1", peerPort: 1, localHost: "127.0.0.1", localPort: 2, isLoopback: true)
        let connection = self.shard.accept(peer, now: self.now)
        var bytes: [UInt8] = [65, 77, 81, 80, 0, 0, 9, 1]
        bytes += Self.frame(
            ConnectionStartOk(
                clientProperties: .empty,
                mechanism: "PLAIN",
                response: Array("\0guest\0guest".utf8),
                locale: "en_US"
            ),
            channel: 0
        )
        bytes += Self.frame(ConnectionTuneOk(channelMax: 2047, frameMax: 131_072, heartbeat: 0), channel: 0)
        bytes += Self.frame(ConnectionOpen(virtualHost: "/"), channel: 0)
        bytes += Self.frame(ChannelOpen(), channel: 1)
        self.send(bytes, on: connection)
        return connection
    }

    /// One turn: a socket read and everything that follows.
    func send(_ bytes: [UInt8], on connection: ConnectionID) {
        bytes.withUnsafeBytes { self.shard.receive($0, on: connection, now: self.now) }
        self.shard.endTurn(now: self.now)
        while let id = self.shard.takeDirtyConnection() {
            self.shard.takeOutput(of: id) { block in
                self.outputBytes += block.count
                self.memory.giveBack(block)
            }
            self.shard.endTurn(now: self.now)
        }
        self.shard.takeEffects { _ in }
    }

    /// Encodes a method frame.
    static func frame(_ method: some EncodableMethod, channel: UInt16) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: method.frameSize) { buffer, count in
            var writer = WireWriter(UnsafeMutableRawBufferPointer(buffer))
            method.encodeFrame(channel: channel, into: &writer)
            count = writer.offset
        }
    }

    /// Encodes a publish to a queue with a priority and a body of 16 octets.
    static func publish(routingKey: ShortString, priority: UInt8) -> [UInt8] {
        var bytes = Self.frame(BasicPublish(exchange: "", routingKey: routingKey), channel: 1)
        bytes += [2, 0, 1, 0, 0, 0, 15, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0x08, 0, priority, 0xCE]
        bytes += [3, 0, 1, 0, 0, 0, 16] + [UInt8](repeating: 120, count: 16) + [0xCE]
        return bytes
    }

    /// Encodes a publish without properties, its body in one frame.
    static func publish(exchange: ShortString, routingKey: ShortString, bodySize: Int) -> [UInt8] {
        var bytes = Self.frame(BasicPublish(exchange: exchange, routingKey: routingKey), channel: 1)
        func size(_ value: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
        bytes += [2, 0, 1] + size(14) + [0, 60, 0, 0, 0, 0, 0, 0] + size(bodySize) + [0, 0, 0xCE]
        bytes += [3, 0, 1] + size(bodySize) + [UInt8](repeating: 120, count: bodySize) + [0xCE]
        return bytes
    }
}
