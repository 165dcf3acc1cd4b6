import Testing

@testable import BrokerServer

/// Logins against users the broker knows by itself.
@Suite struct InternalAuthenticatorTests {
    private let authenticator = InternalAuthenticator(users: [
        ("guest", "guest"), ("empty", ""), ("ünï", "pässwörd"), ("twice", "first"), ("twice", "second"),
    ])

    @Test(arguments: [
        ("guest", "guest", true),
        ("guest", "Guest", false),
        ("guest", "", false),
        ("guest", "guest\0", false),
        ("Guest", "guest", false),
        ("", "guest", false),
        ("", "", false),
        ("nobody", "", false),
        ("nobody", "guest", false),
        ("empty", "", false),
        ("ünï", "pässwörd", true),
        ("twice", "first", false),
        ("twice", "second", true),
    ])
    func authenticates(user: String, password: String, isKnown: Bool) {
        #expect(self.authenticator.authenticate(user: Array(user.utf8), password: Array(password.utf8)) == isKnown)
    }

    @Test func takesNamesAndPasswordsThatAreNoText() {
        #expect(!self.authenticator.authenticate(user: [0xFF, 0x00], password: [0xC3]))
    }
}
