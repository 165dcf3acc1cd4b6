internal import Crypto

/// A password as RabbitMQ stores it: SHA-256 of a salt and the password.
///
/// The stored form is base64 of the salt's four octets followed by the digest (`rabbit_password_hashing_sha256`).
struct PasswordHash: Sendable, Equatable {
    /// Octets of the salt.
    static let saltSize = 4

    /// The salt.
    let salt: [UInt8]
    /// SHA-256 of salt and password.
    let digest: [UInt8]

    /// Hashes a password with a salt.
    init(password: [UInt8], salt: [UInt8]) {
        self.salt = salt
        self.digest = Self.digest(salt, password)
    }

    /// Hashes a password with a random salt.
    init(password: [UInt8]) {
        var generator = SystemRandomNumberGenerator()
        self.init(
            password: password,
            salt: (0..<Self.saltSize).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        )
    }

    /// The octets that are stored: salt, then digest.
    var stored: [UInt8] { self.salt + self.digest }

    /// Whether `password` is the one that was hashed; takes the same time wherever the digests differ.
    func matches(_ password: [UInt8]) -> Bool {
        let candidate = Self.digest(self.salt, password)
        var difference: UInt8 = 0
        for (left, right) in zip(candidate, self.digest) {
            difference |= left ^ right
        }
        return difference == 0 && candidate.count == self.digest.count
    }

    private static func digest(_ salt: [UInt8], _ password: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        salt.withUnsafeBytes { hash.update(bufferPointer: $0) }
        password.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return Array(hash.finalize())
    }
}
