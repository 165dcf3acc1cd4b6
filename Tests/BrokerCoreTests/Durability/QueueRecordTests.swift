import BrokerSimulation
import Testing

@testable import BrokerCore

/// The records that shards write for messages and queues.
@Suite struct QueueRecordTests {
    private static let places = [DurablePlace(queue: 1, sequence: 2), DurablePlace(queue: .max, sequence: .max - 1)]

    private static let samples: [LoggedRecord] = [
        .publish("body", places), .publish("", []), .publish("x", [places[0]], persistent: false),
        .settle(3, [SequenceRange(0, 4), SequenceRange(9, 1)]), .settle(3, []), .delivered(5, upTo: 6),
        .purge(7, upTo: 8, kept: [SequenceRange(1, 2), SequenceRange(5, 1)]), .purge(7, upTo: 8),
        LoggedRecord(type: .topology, payload: TopologyRecord.encode(TopologyRecordTests.everyChange) ?? []),
    ]

    private func read<Record>(
        _ payload: [UInt8],
        _ body: (UnsafeRawBufferPointer) throws -> Record
    ) rethrows -> Record {
        try payload.withUnsafeBytes { try body($0) }
    }

    @Test func publishHasTheseOctets() {
        #expect(
            LoggedRecord.publish("hi", [DurablePlace(queue: 3, sequence: 0x0102)]).payload == [
                1, 1, 4, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0,
                3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0,
                1, 0x65, 1, 0x6B, 0, 0, 0x68, 0x69,
            ]
        )
    }

    @Test(arguments: [true, false])
    func publishComesBack(persistent: Bool) throws {
        let payload = LoggedRecord.publish("body", Self.places, persistent: persistent).payload
        try self.read(payload) { bytes in
            let record = try PublishRecord(bytes)
            #expect(record.flags == (persistent ? .persistent : []))
            #expect((0..<record.placeCount).map { record.place($0) } == Self.places)
            #expect(record.message(at: nil).bytes == [1, 0x65, 1, 0x6B, 0, 0] + Array("body".utf8))
            record.message(at: nil).withView { view in
                #expect(view.namesSize == 4)
                #expect(view.propertiesSize == 2)
                #expect(view.bodySize == 4)
                #expect(view.body == view.names + 6)
            }
        }
    }

    @Test func settleComesBack() throws {
        let ranges = [SequenceRange(9, 1), SequenceRange(0, 4), SequenceRange(.max - 1, 1)]
        let record = try self.read(LoggedRecord.settle(3, ranges).payload) { try SettleRecord($0) }
        #expect(record.queue == 3)
        #expect(record.ranges == ranges)
    }

    @Test func deliveredComesBack() throws {
        let record = try self.read(LoggedRecord.delivered(.max, upTo: 9).payload) { try DeliveredRecord($0) }
        #expect(record.queue == .max)
        #expect(record.upTo == 9)
    }

    @Test func purgeComesBack() throws {
        let kept = [SequenceRange(1, 2), SequenceRange(3, 1)]
        let record = try self.read(LoggedRecord.purge(4, upTo: 9, kept: kept).payload) { try PurgeRecord($0) }
        #expect(record.queue == 4)
        #expect(record.upTo == 9)
        #expect(record.kept == kept)
    }

    @Test(arguments: samples.dropLast())
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

    @Test func unknownTypesAreRefused() {
        var state = RecoveredState()
        #expect(throws: RecordError.unknownType(0)) { try state.apply(0, [1]) }
        #expect(throws: RecordError.unknownType(8)) { try state.apply(8, [1]) }
    }

    @Test func whatWeNeverWriteIsDamaged() {
        var state = RecoveredState()
        let publish = LoggedRecord.publish("hi", [DurablePlace(queue: 3, sequence: 1)]).payload
        // An unknown flag, a name that is longer than the names, one that is shorter, a place that has none after it.
        for (offset, octet) in [(1, 3), (32, 2), (32, 0), (34, 9)] as [(Int, UInt8)] {
            var payload = publish
            payload[offset] = octet
            #expect(throws: RecordError.damaged) { try state.apply(2, payload) }
        }
        let last = LoggedRecord.publish("hi", [DurablePlace(queue: 3, sequence: .max)]).payload
        #expect(throws: RecordError.damaged) { try state.apply(2, last) }
        var empty = LoggedRecord.settle(1, [SequenceRange(5, 1)]).payload
        empty[24] = 0
        #expect(throws: RecordError.damaged) { try state.apply(3, empty) }
        #expect(throws: RecordError.damaged) {
            try state.apply(3, LoggedRecord.settle(1, [SequenceRange(.max, 1)]).payload)
        }
        var overlapping = LoggedRecord.purge(1, upTo: 9, kept: [SequenceRange(1, 2), SequenceRange(3, 1)]).payload
        overlapping[40] = 2
        #expect(throws: RecordError.damaged) { try state.apply(5, overlapping) }
    }

    /// Whatever a damaged file holds is an error or a value; a failed record changes nothing.
    @Test(arguments: UInt64(1)...20)
    func mutationsNeverTrap(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        var start = RecoveredState()
        for number in UInt64(1)...8 {
            try start.apply(.queue("q\(number)", number))
            try start.apply(.publish("m", [DurablePlace(queue: number, sequence: 3)]))
        }
        for round in 0..<100 {
            let record = Self.samples[random.below(Self.samples.count)]
            var payload = record.payload
            for _ in 0...random.below(4) {
                payload[random.below(payload.count)] = random.oneIn(3) ? 0xFF : UInt8(random.below(256))
            }
            if random.oneIn(4) { payload.removeLast(random.below(payload.count)) }
            var state = start
            do {
                try state.apply(record.type.rawValue, payload)
            } catch {
                #expect(state.listing == start.listing, "seed \(seed) round \(round)")
                #expect(state.nextDurableID == start.nextDurableID)
            }
            #expect(state.queues.allSatisfy { Array($0.messages).count == $0.count })
        }
    }
}

/// Publish records with deadlines.
@Suite struct TimedPublishRecordTests {
    private static let places = [
        DurablePlace(queue: 1, sequence: 2, deadline: 1_700_000_000_000), DurablePlace(queue: 2, sequence: 3),
    ]

    @Test func deadlinesMakeVersionTwo() throws {
        let payload = LoggedRecord.publish("body", Self.places).payload
        #expect(payload.first == 2)
        try payload.withUnsafeBytes { bytes throws in
            let record = try PublishRecord(bytes)
            #expect((0..<record.placeCount).map { record.place($0) } == Self.places)
            #expect(record.message(at: nil).bytes.suffix(4) == Array("body".utf8))
        }
    }

    @Test func everyShorterPayloadIsRefused() {
        let payload = LoggedRecord.publish("body", Self.places).payload
        for count in 0..<payload.count {
            #expect(throws: RecordError.self) {
                try payload.prefix(count).withUnsafeBytes { bytes throws in _ = try PublishRecord(bytes) }
            }
        }
    }

    @Test func aClientsDeathsAreKept() throws {
        for count in [0, 3, QueueEntry.Flags.maxOwnDeaths, 200] {
            let flags = QueueEntry.Flags.ownDeaths(count).union(.persistent)
            #expect(flags.ownDeathCount == min(count, QueueEntry.Flags.maxOwnDeaths))
        }
        #expect(QueueEntry.Flags.persistent.ownDeathCount == nil)
    }
}
