internal import BrokerCore

/// Checks logins against users the broker knows by itself.
struct InternalAuthenticator: Authenticator {
    private let users: [[UInt8]: PasswordHash]
    /// Stands in for unknown users, so that they cost the same time as a wrong password.
    private let nobody: PasswordHash

    /// Makes an authenticator for users and their passwords.
    init(users: [(name: String, password: String)]) {
        self.users = Dictionary(
            users.map { (Array($0.name.utf8), PasswordHash(password: Array($0.password.utf8))) },
            uniquingKeysWith: { _, last in last }
        )
        self.nobody = PasswordHash(password: [])
    }

    func authenticate(user: [UInt8], password: [UInt8]) -> Bool {
        let known = self.users[user]
        let matches = (known ?? self.nobody).matches(password)
        return matches && known != nil && !password.isEmpty
    }
}
