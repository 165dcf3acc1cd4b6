import Testing

@testable import BrokerServer

/// Passwords as they are stored.
@Suite struct PasswordHashTests {
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

    @Test func storesSaltBeforeDigest() {
        let hash = PasswordHash(password: Array("a".utf8), salt: [1, 2, 3, 4])
        #expect(hash.stored == [1, 2, 3, 4] + hash.digest)
        #expect(hash.stored.count == 36)
    }

    @Test func saltsEachPasswordAnew() {
        let password = Array("same".utf8)
        let hashes = Set((0..<8).map { _ in PasswordHash(password: password).stored })
        #expect(hashes.count == 8)
    }
}
