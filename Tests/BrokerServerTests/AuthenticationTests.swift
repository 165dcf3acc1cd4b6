import Testing

@testable import BrokerServer

@Suite struct AuthenticationTests {
    /// RabbitMQ's documented example: salt 908DC60A, password `test12`, SHA-256.
    @Test func hashesAsRabbitMQDoes() {
        let hash = PasswordHash(password: Array("test12".utf8), salt: [0x90, 0x8D, 0xC6, 0x0A])
        #expect(hash.digest.prefix(8) == [0xA5, 0xB9, 0x24, 0xB3, 0x09, 0x6B, 0x88, 0x97])
        #expect(hash.digest.count == 32)
    }

    @Test func matchesItsPasswordOnly() {
        let hash = PasswordHash(password: Array("secret".utf8))
        #expect(hash.matches(Array("secret".utf8)))
        #expect(!hash.matches(Array("Secret".utf8)))
        #expect(!hash.matches([]))
    }

    @Test(arguments: ["127.0.0.1", "127.0.0.1:5672", "[::1]:5672", "[::1]", "0.0.0.0:1"])
    func addressesAreRead(text: String) {
        #expect(ListenAddress(parsing: text) != nil)
    }

    @Test(arguments: ["127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "[::1", "[::1]5672", ""])
    func malformedAddressesAreRefused(text: String) {
        #expect(ListenAddress(parsing: text) == nil)
    }
}
