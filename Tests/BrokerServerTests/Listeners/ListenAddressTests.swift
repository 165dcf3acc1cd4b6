import Testing

@testable import BrokerServer

/// Addresses to listen on as people write them.
@Suite struct ListenAddressTests {
    /// A text, and what must be read from it.
    struct Reading: Sendable, CustomTestStringConvertible {
        var text: String
        var host: String
        var port: UInt16?
        var description: String
        var testDescription: String { self.text }
    }

    static let readings = [
        Reading(text: "127.0.0.1", host: "127.0.0.1", description: "127.0.0.1"),
        Reading(text: "127.0.0.1:5672", host: "127.0.0.1", port: 5672, description: "127.0.0.1:5672"),
        Reading(text: "0.0.0.0:1", host: "0.0.0.0", port: 1, description: "0.0.0.0:1"),
        Reading(text: "0.0.0.0:0", host: "0.0.0.0", port: 0, description: "0.0.0.0:0"),
        Reading(text: "127.0.0.1:65535", host: "127.0.0.1", port: 65_535, description: "127.0.0.1:65535"),
        Reading(text: "127.0.0.1:00080", host: "127.0.0.1", port: 80, description: "127.0.0.1:80"),
        Reading(text: "::", host: "::", description: "[::]"),
        Reading(text: "::1", host: "::1", description: "[::1]"),
        Reading(text: "[::1]", host: "::1", description: "[::1]"),
        Reading(text: "[::1]:5673", host: "::1", port: 5673, description: "[::1]:5673"),
        Reading(text: "[::ffff:127.0.0.1]:1", host: "::ffff:127.0.0.1", port: 1, description: "[::ffff:127.0.0.1]:1"),
        Reading(text: "2001:DB8::1", host: "2001:DB8::1", description: "[2001:DB8::1]"),
        Reading(text: "fe80::1%eth0", host: "fe80::1%eth0", description: "[fe80::1%eth0]"),
        Reading(text: "localhost", host: "localhost", description: "localhost"),
        Reading(text: "localhost:5672", host: "localhost", port: 5672, description: "localhost:5672"),
        Reading(text: "my_host-1.example", host: "my_host-1.example", description: "my_host-1.example"),
    ]

    @Test(arguments: readings)
    func readsAddresses(_ reading: Reading) throws {
        let address = try #require(ListenAddress(parsing: reading.text))
        #expect(address.host == reading.host)
        #expect(address.port == reading.port)
        #expect(address.isRequired)
        #expect(address.description == reading.description)
        #expect(ListenAddress(parsing: address.description) == address)
    }

    @Test(arguments: [
        "", ":", ":5672", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:65536", "127.0.0.1:+1",
        "127.0.0.1:-1", "127.0.0.1: 1", "127.0.0.1:١", "[::1", "[::1]5672", "[::1]:", "[::1]:x", "[::1]:65536", "[]",
        "[]:1", "[127.0.0.1]", "[localhost]:1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.", "256.1.1.1", "5672",
        "g::1", "::1 ", "local host", "höst", "amqp://localhost", "localhost/", "user@host", "*", "*:5672",
        String(repeating: "a", count: 254),
    ])
    func refusesWhatIsNoAddress(text: String) {
        #expect(ListenAddress(parsing: text) == nil)
    }

    @Test(arguments: [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")])
    func putsBracketsAroundIPv6InURLs(host: String, inURL: String) {
        #expect(ListenAddress(host: host, port: 1).urlHost == inURL)
    }

    @Test func defaultsToLoopbackWithIPv6WhereThereIsOne() {
        #expect(ServerOptions.loopback.map(\.host) == ["127.0.0.1", "::1"])
        #expect(ServerOptions.loopback.map(\.isRequired) == [true, false])
        #expect(ServerOptions().listen == ServerOptions.loopback)
    }

    @Test func namesURLsOfBothKinds() {
        #expect(BoundListener(host: "127.0.0.1", port: 5672, isTLS: false).url == "amqp://127.0.0.1:5672")
        #expect(BoundListener(host: "::1", port: 5671, isTLS: true).url == "amqps://[::1]:5671")
    }
}
