import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// The keys of one exchange: which are known, and how many there can be.
@Suite struct DeduplicationWindowTests {
    private static func window(_ size: Int32) -> DeduplicationWindow {
        DeduplicationWindow(["x-cache-size": .int32(size)])
    }

    private static func key(_ number: Int) -> [UInt8] { Array("key \(number)".utf8) }

    private func known(_ window: DeduplicationWindow, _ numbers: ClosedRange<Int>, now: UInt64 = 0) -> [Int] {
        numbers.filter { window.entry(of: Self.key($0), now: now) != nil }
    }

    @Test func theOldestGoesAndKeysThatComeAgainTakeNoRoom() {
        var window = Self.window(3)
        for number in [1, 2, 3, 2, 2, 2] { window.insert(Self.key(number), deadline: .max, isLogged: true) }
        #expect(self.known(window, 1...4) == [1, 2, 3])
        window.insert(Self.key(4), deadline: .max, isLogged: true)
        #expect(self.known(window, 1...4) == [2, 3, 4])
        window.insert(Self.key(5), deadline: .max, isLogged: true)
        #expect(self.known(window, 1...5) == [2, 4, 5], "2 came after 3")
    }

    @Test func whatWasRefusedTakesNoRoomEither() {
        var window = Self.window(2)
        window.insert(Self.key(1), deadline: .max, isLogged: true)
        for ticket in 1...100 as ClosedRange<UInt64> {
            window.insert(Self.key(2), deadline: .max, isLogged: true, ticket: ticket)
            window.settle(Self.key(2), ticket: ticket, isRejected: true)
            // An answer to what is not the key's last message changes nothing.
            window.settle(Self.key(1), ticket: ticket, isRejected: true)
        }
        #expect(self.known(window, 1...2) == [1])
        #expect(window.places <= 2 * 1 + 17)
        #expect(window.bytes == Self.key(1).count + ShardLimits.windowKeyBytes)
    }

    @Test func keysWhoseTimeHasPassedGo() {
        var window = Self.window(1_000_000)
        for number in 1...5000 {
            let now = UInt64(number) * 10
            window.insert(Self.key(number), deadline: now + 1000, isLogged: true, now: now)
        }
        #expect(window.count == 100)
        #expect(self.known(window, 1...5000, now: 50_000) == Array(4901...5000))
        #expect(self.known(window, 1...5000, now: 50_990) == [5000])
    }

    @Test func octetsAreBounded() {
        var window = Self.window(.max)
        for number in 1...1000 {
            window.insert(Self.key(number), deadline: .max, isLogged: true, most: 50 * 200)
        }
        #expect(window.bytes <= 50 * 200 && window.bytes > 49 * 200 - 200)
        #expect(self.known(window, 1...1000).last == 1000)
        window.insert(Array(repeating: 7, count: 20_000), deadline: .max, isLogged: true, most: 50 * 200)
        #expect(window.count == 0 && window.bytes == 0 && window.places == 0, "more than there is room for")
    }

    /// Random messages against an array; what a start would be told, piece by piece, must make the same window.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func agreesWithAnArray(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var window = Self.window(20)
        var model: [(number: Int, ticket: UInt64)] = []
        for ticket in 1...5000 as ClosedRange<UInt64> {
            let number = Int(random.next() % 40)
            if random.next() % 4 == 0, let last = model.last, last.ticket != 0 {
                let isRejected = random.next() % 2 == 0
                window.settle(Self.key(last.number), ticket: last.ticket, isRejected: isRejected)
                model.removeLast()
                if !isRejected { model.append((last.number, 0)) }
            }
            window.insert(Self.key(number), deadline: .max, isLogged: true, ticket: ticket)
            model.removeAll { $0.number == number }
            model.append((number, ticket))
            if model.count > 20 { model.removeFirst() }
            #expect(self.known(window, 0...39) == model.map(\.number).sorted(), "seed \(seed), message \(ticket)")
        }
        #expect(window.places <= 2 * window.count + 17)
        var told: [[UInt8]] = []
        var place: UInt64? = 0
        var pieces = 0
        while let from = place {
            var budget = 500
            place = window.forEachLogged(from: from, &budget) { key, _ in told.append(key) }
            pieces += 1
        }
        #expect(told == model.filter { $0.ticket == 0 }.map { Self.key($0.number) }, "seed \(seed)")
        #expect(told.count < 6 || pieces > 1)
    }

    @Test func allExchangesTogetherAreBounded() {
        var settings = BrokerSettings()
        settings.memoryLimitBytes = 8 << 20
        let broker = SimulatedBroker(shardCount: 1, settings: settings)
        let client = SimulatedClient(broker).open()
        let arguments: FieldTable = ["x-message-deduplication": .bool(1), "x-cache-size": .int32(.max)]
        func fill(_ exchange: ShortString) {
            client.call(ExchangeDeclare(exchange: exchange, type: "fanout", arguments: arguments))
            let padding = String(repeating: "x", count: 1000)
            for number in 0..<1200 {
                let headers: FieldTable = ["x-deduplication-header": .text("\(exchange) \(number) \(padding)")]
                client.publish(
                    exchange: exchange,
                    routingKey: "",
                    properties: BasicProperties(headers: headers),
                    body: []
                )
            }
            client.receive()
        }
        fill("a")
        let windows = { broker.shards[0].windows }
        #expect(windows().bytes <= 1 << 20 && windows().bytes > 1000 << 10, "an eighth of the memory")
        for exchange in ["b", "c"] as [ShortString] { fill(exchange) }
        #expect(windows().bytes <= 1 << 20 + 2 * ShardLimits.windowShareBytes)
        #expect(windows().byStation.values.allSatisfy { $0.bytes > ShardLimits.windowShareBytes - 2000 })
        for exchange in ["a", "b", "c"] as [ShortString] { client.call(ExchangeDelete(exchange: exchange)) }
        #expect(windows().bytes == 0 && windows().byStation.isEmpty)
    }
}
