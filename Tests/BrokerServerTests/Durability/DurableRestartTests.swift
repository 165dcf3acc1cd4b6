import AMQPProtocol
import Foundation
import Testing

@testable import BrokerServer

/// A broker with a data directory, on a real disk.
@Suite struct DurableRestartTests {
    /// Runs `body` with a path where nothing is yet; what it leaves there is removed.
    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await body(path)
    }

    private func options(_ directory: String, shards: Int) -> ServerOptions {
        var options = TestBroker.options(shards: shards)
        options.dataDirectory = directory
        return options
    }

    private func publish(_ client: TestClient, _ text: String) async throws {
        try await client.send(Frame.publish(to: "work", isPersistent: true, body: Array(text.utf8)))
        guard case .basicAck = try await client.receiveMethod() else {
            Issue.record("not confirmed")
            return
        }
    }

    @Test func whatWasConfirmedIsThereAfterARestart() async throws {
        try await self.withDirectory { directory in
            try await TestBroker.run(self.options(directory, shards: 2)) { broker in
                let client = try await broker.connect()
                try await client.open()
                _ = try await client.call(QueueDeclare(queue: "work", durable: true))
                _ = try await client.call(ConfirmSelect())
                try await self.publish(client, "one")
                try await self.publish(client, "two")
            }
            try await TestBroker.run(self.options(directory, shards: 3)) { broker in
                let client = try await broker.connect()
                try await client.open()
                try await client.send(BasicGet(queue: "work", noAck: true))
                #expect(try await client.receiveContent().body == Array("one".utf8))
                guard case .queueDeclareOk(let ok) = try await client.call(QueueDeclare(queue: "work", passive: true))
                else {
                    Issue.record("no queue")
                    return
                }
                #expect(ok.messageCount == 1)
            }
        }
    }

    @Test func twoBrokersDoNotShareADirectory() async throws {
        try await self.withDirectory { directory in
            try await TestBroker.run(self.options(directory, shards: 1)) { _ in
                await #expect(throws: StartFailure.self) {
                    try await TestBroker.run(self.options(directory, shards: 1)) { _ in }
                }
            }
            // Free again.
            try await TestBroker.run(self.options(directory, shards: 1)) { _ in }
        }
    }

    @Test func aDirectoryOfSomethingElseIsLeftAlone() async throws {
        try await self.withDirectory { directory in
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try Data("precious".utf8).write(to: URL(filePath: directory + "/file"))
            await #expect(throws: StartFailure.self) {
                try await TestBroker.run(self.options(directory, shards: 1)) { _ in }
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["file"])
        }
    }
}
