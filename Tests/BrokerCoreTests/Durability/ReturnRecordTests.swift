import BrokerSimulation
import Testing

@testable import BrokerCore

/// The records of deliveries that came back.
@Suite struct ReturnRecordTests {
    private static let counted = record(.deliveryCount, DeliveryCountRecord.size(ranges: 2)) {
        DeliveryCountRecord.write(
            queue: 3,
            deliveryCount: 0x0102,
            ranges: [SequenceRange(9, 1), SequenceRange(2, 4)],
            at: $0
        )
    }
    private static let retried = record(.retry, RetryRecord.size(retries: 1)) {
        RetryRecord.write(queue: 3, retries: [.init(sequence: 5, epochMilliseconds: 0x0A0B)], at: $0)
    }
    private static let moved = record(.move, MoveRecord.size) {
        MoveRecord.write(queue: 3, deliveryCount: 7, from: 5, to: 9, at: $0)
    }

    private static func record(
        _ type: LogRecordType,
        _ size: Int,
        _ body: (UnsafeMutableRawPointer) -> Void
    ) -> LoggedRecord {
        let payload = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            if let base = buffer.baseAddress { body(UnsafeMutableRawPointer(base)) }
            count = size
        }
        return LoggedRecord(type: type, payload: payload)
    }

    @Test func haveTheseOctets() {
        #expect(
            Self.counted.payload == [
                1, 0, 2, 1, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
                9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
            ]
        )
        #expect(
            Self.retried.payload == [
                1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
                5, 0, 0, 0, 0, 0, 0, 0, 0x0B, 0x0A, 0, 0, 0, 0, 0, 0,
            ]
        )
        #expect(
            Self.moved.payload == [
                1, 0, 7, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
                5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
            ]
        )
    }

    @Test(arguments: [counted, retried, moved])
    func cutOrLongerIsDamaged(record: LoggedRecord) {
        var state = RecoveredState()
        for count in 0..<record.payload.count {
            #expect(throws: RecordError.damaged) {
                try state.apply(record.type.rawValue, Array(record.payload[..<count]))
            }
        }
        #expect(throws: RecordError.damaged) { try state.apply(record.type.rawValue, record.payload + [0]) }
        var other = record.payload
        other[0] = 9
        #expect(throws: RecordError.unknownVersion(9)) { try state.apply(record.type.rawValue, other) }
    }

    @Test func placesThatDoNotRiseAreDamaged() {
        var state = RecoveredState()
        for (from, to) in [(9, 9), (9, 5), (5, .max)] as [(UInt64, UInt64)] {
            let record = Self.record(.move, MoveRecord.size) {
                MoveRecord.write(queue: 3, deliveryCount: 1, from: from, to: to, at: $0)
            }
            #expect(throws: RecordError.damaged) { try state.apply(record) }
        }
    }

    @Test func tellWhatIsThereAndMayBeToldAgain() throws {
        var state = RecoveredState()
        try state.apply(.queue("q", 3))
        let history: [LoggedRecord] = [
            .publish("a", [DurablePlace(queue: 3, sequence: 2)]), .publish("b", [DurablePlace(queue: 3, sequence: 5)]),
            Self.counted, Self.retried, Self.moved, .settle(3, [SequenceRange(2, 1)]),
        ]
        for _ in 0..<2 {
            for record in history { try state.apply(record) }
            let messages = try #require(state.queues.first.map { Array($0.messages) })
            #expect(messages.map(\.sequence) == [9])
            #expect(messages.map(\.deliveryCount) == [7])
            #expect(messages.map(\.retryAtMilliseconds) == [0])
            #expect(messages.map(\.isRedelivered) == [true])
            #expect(state.queues.first?.nextSequence == 10)
        }
    }

    @Test(arguments: UInt64(1)...20)
    func mutationsNeverTrap(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        var start = RecoveredState()
        try start.apply(.queue("q", 3))
        for sequence in UInt64(0)..<12 {
            try start.apply(.publish("m", [DurablePlace(queue: 3, sequence: sequence)]))
        }
        let samples = [Self.counted, Self.retried, Self.moved]
        for _ in 0..<100 {
            let record = samples[random.below(samples.count)]
            var payload = record.payload
            for _ in 0...random.below(4) {
                payload[random.below(payload.count)] = random.oneIn(3) ? 0xFF : UInt8(random.below(16))
            }
            var state = start
            try? state.apply(record.type.rawValue, payload)
            #expect(state.queues.allSatisfy { Array($0.messages).count == $0.count })
        }
    }
}
