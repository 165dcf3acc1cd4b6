import Foundation
import Testing

@testable import BrokerServer

/// What earlier versions have written is read, to the last octet.
@Suite struct DataDirectoryFixtureTests {
    @Test func thereIsOneOfEachKind() {
        let kinds = FixtureDirectory.all.filter { $0.name.hasPrefix("v1-") }.map(\.name)
        #expect(kinds == ["v1-plain", "v1-torn", "v1-trimmed"])
    }

    /// Definitions, messages with their properties, marks and order, and nothing that was settled, purged or deleted.
    @Test(arguments: FixtureDirectory.all) func serves(_ fixture: FixtureDirectory) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try fixture.unpack(to: path)
        let dialogue = try fixture.dialogue()
        #expect(dialogue.count > 10)
        var options = TestBroker.options(shards: 2)
        options.dataDirectory = path
        try await TestBroker.run(options) { broker in
            #expect(broker.log.lines.filter { $0.hasPrefix("[error]") || $0.hasPrefix("[critical]") } == [])
            let client = try await broker.connect()
            try await client.open()
            for (number, line) in dialogue.enumerated() {
                switch line {
                case .send(let octets):
                    try await client.send(octets)
                case .receive(var octets):
                    let expected = Frame(takenFrom: &octets)
                    let received = try await client.receiveFrame()
                    try #require(received == expected, "line \(number + 1)")
                }
            }
        }
    }
}
