import AMQPProtocol
import Testing

@testable import BrokerCore

@Suite struct RecoveredStateTests {
    private func listing(_ records: LoggedRecord...) throws -> [String] {
        var state = RecoveredState()
        for record in records { try state.apply(record) }
        return state.listing
    }

    private func at(_ queue: UInt64, _ sequence: UInt64) -> DurablePlace {
        DurablePlace(queue: queue, sequence: sequence)
    }

    @Test func beginsWithNothing() {
        let state = RecoveredState()
        #expect(state.listing.isEmpty)
        #expect(state.virtualHosts == [RecoveredState.Host(name: "/", maxQueues: nil)])
        #expect(state.nextDurableID == 1)
    }

    @Test func keepsVirtualHosts() throws {
        var state = RecoveredState()
        try state.apply(.topology(.addVirtualHost("b"), .addVirtualHost("a"), .limitQueues(virtualHost: "b", 4)))
        try state.apply(.topology(.addVirtualHost("b")))
        #expect(state.virtualHosts.map { "\($0.name) \($0.maxQueues ?? -1)" } == ["/ -1", "a -1", "b 4"])
    }

    @Test func ordersMessagesAndMarksThoseHandedOut() throws {
        let lines = try self.listing(
            .queue("q", 1),
            .publish("a", [self.at(1, 5)]),
            .publish("c", [self.at(1, 9)], persistent: false),
            .publish("b", [self.at(1, 7)]),
            .delivered(1, upTo: 8),
            .delivered(1, upTo: 6)
        )
        #expect(lines == ["queue / q id 1 next 10 count 3", "5 a again", "7 b again", "9 c transient"])
    }

    @Test func sharesTheOctetsOfAMessage() throws {
        var state = RecoveredState()
        try state.apply(.queue("q", 1))
        try state.apply(.queue("r", 2))
        try state.apply(.publish("body", [self.at(1, 0), self.at(2, 0), self.at(3, 0)]))
        let copies = state.queues.flatMap { $0.messages.map(\.message.bytes) }
        let addresses = copies.map { $0.withUnsafeBytes { $0.baseAddress } }
        #expect(addresses.count == 2)
        #expect(Set(addresses).count == 1)
        #expect(state.nextDurableID == 4)
    }

    @Test func settlesRangesOfAnySize() throws {
        let lines = try self.listing(
            .queue("q", 1),
            .publish("a", [self.at(1, 1)]),
            .publish("b", [self.at(1, 2)]),
            .publish("c", [self.at(1, 3)]),
            .settle(1, [SequenceRange(2, 1)]),
            .settle(1, [SequenceRange(3, 1 << 62), SequenceRange(0, 1)])
        )
        #expect(lines == ["queue / q id 1 next \((1 << 62) + 3) count 1", "1 a"])
    }

    @Test func purgesAllButWhatIsKept() throws {
        let lines = try self.listing(
            .queue("q", 1),
            .publish("a", [self.at(1, 1)]),
            .publish("b", [self.at(1, 2)]),
            .publish("c", [self.at(1, 3)]),
            .publish("d", [self.at(1, 4)]),
            .purge(1, upTo: 4, kept: [SequenceRange(0, 1), SequenceRange(2, 1), SequenceRange(9, 1)])
        )
        #expect(lines == ["queue / q id 1 next 5 count 2", "2 b", "4 d"])
    }

    @Test func forgetsWhatADeletedQueueHad() throws {
        let lines = try self.listing(
            .queue("q", 1),
            .topology(.addBinding(virtualHost: "/", .toQueue("amq.topic", "q"))),
            .publish("a", [self.at(1, 1)]),
            .topology(.removeQueue(virtualHost: "/", "q", durableID: 1)),
            .queue("q", 2),
            .publish("late", [self.at(1, 2)]),
            .settle(1, [SequenceRange(1, 1)]),
            .delivered(1, upTo: 9),
            .purge(1, upTo: 9)
        )
        #expect(lines == ["queue / q id 2 next 0 count 0"])
    }

    /// Whoever has lost a definition must know what went with it.
    @Test func countsMessagesOfQueuesThatNothingDefines() throws {
        var state = RecoveredState()
        try state.apply(.queue("q", 1))
        for sequence in 1...5 as ClosedRange<UInt64> {
            try state.apply(.publish("a", [self.at(1, sequence), self.at(2, sequence), self.at(3, sequence)]))
        }
        #expect(state.strays == [2: 5, 3: 5])
        try state.apply(.settle(1, [SequenceRange(1, 1)]))
        try state.apply(.settle(2, [SequenceRange(1, 2)]))
        #expect(state.strays == [2: 3, 3: 5])
        try state.apply(.topology(.removeQueue(virtualHost: "/", "gone", durableID: 3)))
        #expect(state.strays == [2: 3])
        try state.apply(.settle(2, [SequenceRange(3, 9)]))
        #expect(state.strays == [:])
        try state.apply(.publish("a", [self.at(4, 1)]))
        try state.apply(.queue("late", 4))
        #expect(state.strays == [:])
    }

    @Test func dropsBindingsWithTheirEnds() throws {
        let between = BindingDefinition(
            source: "e",
            kind: .exchange,
            destination: "f",
            routingKey: "",
            arguments: .empty
        )
        var state = RecoveredState()
        try state.apply(.queue("q", 1))
        try state.apply(
            .topology(
                .addExchange(virtualHost: "/", .durable("e")),
                .addExchange(virtualHost: "/", .durable("f")),
                .addBinding(virtualHost: "/", between),
                .addBinding(virtualHost: "/", .toQueue("f", "q", "b")),
                .addBinding(virtualHost: "/", .toQueue("f", "q", "a")),
                .addBinding(virtualHost: "/", .toQueue("f", "q", "a")),
                .addBinding(virtualHost: "/", .toQueue("nowhere", "q")),
                .addBinding(virtualHost: "/", .toQueue("f", "nobody"))
            )
        )
        let found = state.bindings.map { "\($0.definition.source)\($0.definition.routingKey)" }
        #expect(found == ["e", "fa", "fb"])
        try state.apply(.topology(.removeBinding(virtualHost: "/", .toQueue("f", "q", "b"))))
        #expect(state.bindings.map(\.definition) == [between, .toQueue("f", "q", "a")])
        try state.apply(.topology(.removeExchange(virtualHost: "/", "f")))
        #expect(state.listing == ["exchange / e", "queue / q id 1 next 0 count 0"])
    }

    @Test func readingAgainDuplicatesNothing() throws {
        let records: [LoggedRecord] = [
            .queue("q", 1), .publish("a", [self.at(1, 0)]), .publish("b", [self.at(1, 1)]),
            .settle(1, [SequenceRange(0, 1)]), .delivered(1, upTo: 1), .publish("c", [self.at(1, 2)]),
        ]
        var state = RecoveredState()
        for record in records + [LoggedRecord(type: .snapshotBegin, payload: [])] + records + records.suffix(2) {
            try state.apply(record)
        }
        #expect(state.listing == ["queue / q id 1 next 3 count 2", "1 b", "2 c"])
    }

    @Test func holesBetweenLiveMessagesDoNotPileUp() throws {
        var state = RecoveredState()
        try state.apply(.queue("q", 1))
        try state.apply(.publish("first", [self.at(1, 0)]))
        for sequence in UInt64(1)..<1000 {
            try state.apply(.publish("x", [self.at(1, sequence)]))
            try state.apply(.settle(1, [SequenceRange(sequence, 1)]))
        }
        let queue = try #require(state.queues.first)
        #expect(queue.entryCount < 70)
        #expect(state.listing == ["queue / q id 1 next 1000 count 1", "0 first"])
    }
}
