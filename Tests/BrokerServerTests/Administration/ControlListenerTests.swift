import AMQPProtocol
import Foundation
import PlainJSON
import Testing

@testable import BrokerServer

/// The control socket of a running broker.
@Suite struct ControlListenerTests {
    /// Runs `body` with a broker and the path of its socket.
    private func withBroker(shards: Int = 1, _ body: (TestBroker, String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = TestBroker.options(shards: shards)
        options.controlSocket = folder.appending(path: "ctl.sock").path
        try await TestBroker.run(options) { try await body($0, folder.appending(path: "ctl.sock").path) }
        #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "ctl.sock").path))
    }

    private static let list = #"{"version":1,"command":"list_queues","vhost":"/","columns":["name","policy"]}"#

    private static func failure(_ kind: String, _ text: String) -> [JSONValue] {
        [["version": 1, "error": ["kind": .string(kind), "text": .string(text)]]]
    }

    @Test func policiesAreSetListedAndCleared() async throws {
        try await self.withBroker(shards: 2) { broker, path in
            let client = try await broker.connect()
            try await client.open()
            _ = try await client.call(QueueDeclare(queue: "q1"))
            let set = #"""
                {"version":1,"command":"set_policy","vhost":"/","name":"p","pattern":"^q","definition":{"max-length":1},\#
                "priority":3,"apply_to":"queues"}
                """#
            #expect(try await ControlClient.ask(path, set) == [["version": 1, "done": true]])
            #expect(
                try await ControlClient.ask(path, Self.list) == [
                    ["version": 1, "rows": true], ["q1", "p"], ["end": true],
                ]
            )
            let columns = #"["name","pattern","apply-to","definition","priority","vhost"]"#
            let list = #"{"version":1,"command":"list_policies","vhost":"/","columns":\#(columns)}"#
            #expect(
                try await ControlClient.ask(path, list)[1] == ["p", "^q", "queues", #"{"max-length":1}"#, 3, "/"]
            )
            let clear = #"{"version":1,"command":"clear_policy","vhost":"/","name":"p"}"#
            #expect(try await ControlClient.ask(path, clear) == [["version": 1, "done": true]])
            #expect(
                try await ControlClient.ask(path, clear) == Self.failure("not-found", "Parameter does not exist")
            )
        }
    }

    @Test func publishesAreExplained() async throws {
        try await self.withBroker(shards: 2) { broker, path in
            let client = try await broker.connect()
            try await client.open()
            _ = try await client.call(QueueDeclare(queue: "q"))
            _ = try await client.call(ExchangeDeclare(exchange: "t", type: "topic"))
            _ = try await client.call(QueueBind(queue: "q", exchange: "t", routingKey: "a.*"))
            let columns = #"["what","name","verdict","reason"]"#
            let ask = #"""
                {"version":1,"command":"explain","vhost":"/","exchange":"t","routing_key":"b.c","mandatory":true,\#
                "columns":\#(columns)}
                """#
            let rows = try await ControlClient.ask(path, ask)
            #expect(rows.first == ["version": 1, "rows": true] && rows.last == ["end": true])
            #expect(
                rows.suffix(4).dropLast() == [
                    ["exchange", "t (topic)", "visited", "published here"],
                    ["binding", "t -> queue q [a.*]", "no", "word 1 is 'b' where 'a' is wanted"],
                    ["outcome", "", "unroutable", "unroutable: returned with NO_ROUTE"],
                ]
            )
            let found = try await ControlClient.ask(path, ask.replacing("b.c", with: "a.c"))
            #expect(found.contains { $0.items?.first == "queue" && $0.items?[2] == "takes" })
            try await client.send(Frame.publish(to: "b.c", exchange: "t", body: [1]))
            _ = try await client.call(QueueDeclare(queue: "q"))
            let list = #"""
                {"version":1,"command":"list_unroutable","vhost":"/","limit":5,\#
                "columns":["exchange","routing_key","user","fate","message_bytes"]}
                """#
            #expect(
                try await ControlClient.ask(path, list)[1...] == [["t", "b.c", "guest", "dropped", 1], ["end": true]]
            )
        }
    }

    @Test(arguments: [
        ("", "malformed", "the request is no JSON object"),
        ("[]", "malformed", "the request is no JSON object"),
        ("{\"version\":2}", "version", "this broker speaks version 1"),
        ("{\"version\":1}", "malformed", "command is a string"),
        (#"{"version":1,"command":"dance"}"#, "unknown", "the broker knows no command dance"),
        (#"{"version":1,"command":"list_queues","vhost":"/"}"#, "malformed", "columns is a list of up to 64 names"),
        (
            #"{"version":1,"command":"list_queues","vhost":"/","columns":["name","y","x",1]}"#,
            "column", "Info key(s) ,x,y are not supported"
        ),
        (
            #"{"version":1,"command":"list_queues","vhost":"nope","columns":["name"]}"#,
            "no-vhost", "Virtual host 'nope' does not exist"
        ),
        (
            #"{"version":1,"command":"set_policy","vhost":"/","name":"p","pattern":"x","definition":[],"priority":0}"#,
            "invalid", "Validation failed\n\na policy definition is a JSON object\n"
        ),
        (
            #"{"version":1,"command":"cancel_delayed_message","id":-1}"#, "malformed",
            "id is a number that is not negative"
        ),
        (#"{"version":1,"command":"cancel_delayed_message","id":5}"#, "not-found", "Delayed message does not exist"),
        (
            #"{"version":1,"command":"explain","vhost":"/","exchange":"","routing_key":"","headers":[],"columns":["what"]}"#,
            "invalid", "headers are a JSON object"
        ),
        (#"{"version":1,"command":"trace_on","vhost":"x"}"#, "no-vhost", "Virtual host 'x' does not exist"),
    ])
    func refusesWhatMakesNoSense(_ line: String, _ kind: String, _ text: String) async throws {
        try await self.withBroker { _, path in
            let answer = try await ControlClient.ask(path, line)
            #expect(answer == Self.failure(kind, text))
        }
    }

    @Test func aRequestHasALimit() async throws {
        try await self.withBroker { _, path in
            let limit = ServerLimits.controlRequestBytes
            let padded = Self.list + String(repeating: " ", count: limit - Self.list.utf8.count)
            #expect(try await ControlClient.ask(path, padded).count == 2)
            let expected = Self.failure("too-large", "the request is larger than \(limit) octets")
            #expect(try await ControlClient.ask(path, padded + " ") == expected)
            // Without an end, and cut anywhere.
            let endless = try await ControlClient.connect(path)
            for _ in 0..<17 { try await endless.send(String(repeating: "x", count: 4_096)) }
            #expect(try await endless.answer() == expected)
        }
    }

    @Test func aRequestMayComeInPieces() async throws {
        try await self.withBroker { _, path in
            let client = try await ControlClient.connect(path)
            for character in Self.list + "\n" { try await client.send(String(character)) }
            #expect(try await client.answer() == [["version": 1, "rows": true], ["end": true]])
        }
    }

    @Test func clientsHaveALimitOfNumber() async throws {
        try await self.withBroker { _, path in
            var silent: [ControlClient] = []
            for _ in 0..<ServerLimits.controlConnections { silent.append(try await ControlClient.connect(path)) }
            let refused = try await ControlClient.connect(path)
            #expect(try await refused.answer() == Self.failure("unavailable", "too many clients ask at once"))
            let last = silent.removeLast()
            // Who is there may still ask; its seat is the next one's.
            try await last.send(Self.list + "\n")
            #expect(try await last.answer().count == 2)
            var answer = try await ControlClient.ask(path, Self.list)
            while answer.count == 1 { answer = try await ControlClient.ask(path, Self.list) }
            #expect(answer.count == 2)
            for client in silent { await client.close() }
        }
    }

    @Test func longListsComeInPagesFromAllShards() async throws {
        try await self.withBroker(shards: 3) { broker, path in
            var names: Set<String> = []
            for number in 0..<3 {
                let client = try await broker.connect()
                try await client.open()
                for queue in 0..<500 {
                    let name = "q\(number)-\(queue)"
                    names.insert(name)
                    try await client.send(
                        QueueDeclare(queue: try #require(ShortString(Array(name.utf8))), noWait: true)
                    )
                }
                _ = try await client.call(QueueDeclare(queue: "last"))
            }
            names.insert("last")
            let answer = try await ControlClient.ask(path, Self.list)
            #expect(answer.last == ["end": true])
            let rows = answer.dropFirst().dropLast().map { $0.items?.first?.text ?? "" }
            #expect(rows.count == names.count)
            #expect(Set(rows) == names)
        }
    }

    @Test func whoDoesNotReadHoldsUpNobody() async throws {
        try await self.withBroker { broker, path in
            let client = try await broker.connect()
            try await client.open()
            let long = String(repeating: "n", count: 200)
            for queue in 0..<2_000 {
                let name = try #require(ShortString(Array("\(long)\(queue)".utf8)))
                try await client.send(QueueDeclare(queue: name, noWait: true))
            }
            _ = try await client.call(QueueDeclare(queue: "last"))
            // More than the system keeps for a socket.
            let columns = (0..<8).map { _ in "\"name\"" }.joined(separator: ",")
            let list = #"{"version":1,"command":"list_queues","vhost":"/","columns":[\#(columns)]}"#
            let deaf = try await ControlClient.connect(path, reads: false)
            try await deaf.send(list + "\n")
            #expect(try await ControlClient.ask(path, list).count == 2_003)
            _ = try await client.call(QueueDeclare(queue: "later"))
            #expect(!deaf.hasEnded)
            await deaf.close()
        }
    }

    @Test func aBrokerWithoutItServesAllTheSame() async throws {
        var options = TestBroker.options()
        options.controlSocket = "/nowhere/ctl.sock"
        try await TestBroker.run(options) { broker in
            try await broker.log.wait(for: "[warning] martlet ctl cannot reach this broker: /nowhere: No such file")
            let client = try await broker.connect()
            try await client.open()
        }
    }
}
