import Testing

@testable import BrokerServer

/// Certificate, key and authority files: what is wrong with them is said in one line that names the file.
@Suite struct TLSContextTests {
    @Test(arguments: [
        Fixtures.tls(),
        Fixtures.tls(certificate: "chain.pem"),
        Fixtures.tls(authority: "authority.pem"),
        Fixtures.tls(authority: "authority.pem", verifiesPeer: true),
    ])
    func takesGoodFiles(_ options: TLSOptions) throws {
        _ = try TLSContext.make(options)
    }

    /// Options, and what is said about them with the folder of the fixtures left out.
    static let failures: [(options: TLSOptions, text: String)] = [
        (Fixtures.tls(certificate: "none"), "cannot read TLS certificate none: No such file or directory"),
        (Fixtures.tls(certificate: "."), "cannot read TLS certificate .: Is a directory"),
        (Fixtures.tls(certificate: "server.key"), "TLS certificate server.key is not a PEM certificate"),
        (Fixtures.tls(certificate: "make"), "TLS certificate make is not a PEM certificate"),
        (Fixtures.tls(key: "none"), "cannot read TLS key none: No such file or directory"),
        (Fixtures.tls(key: "."), "cannot read TLS key .: Is a directory"),
        (Fixtures.tls(key: "server.pem"), "TLS key server.pem is not a PEM private key without password"),
        (Fixtures.tls(key: "make"), "TLS key make is not a PEM private key without password"),
        (Fixtures.tls(key: "encrypted.key"), "TLS key encrypted.key is not a PEM private key without password"),
        (Fixtures.tls(key: "client.key"), "TLS key client.key does not belong to certificate server.pem"),
        (Fixtures.tls(key: "rsa.key"), "TLS key rsa.key does not belong to certificate server.pem"),
        (Fixtures.tls(authority: "none"), "cannot read TLS authority none: No such file or directory"),
        (Fixtures.tls(authority: "server.key"), "TLS authority server.key is not a PEM certificate"),
        (Fixtures.tls(verifiesPeer: true), "checking client certificates needs a TLS authority file"),
    ]

    @Test(arguments: failures)
    func saysWhichFileIsWrong(options: TLSOptions, text: String) {
        let failure = #expect(throws: StartFailure.self) { _ = try TLSContext.make(options) }
        #expect(failure?.isConfiguration == true)
        let said = failure?.description.split(separator: Fixtures.path(""), omittingEmptySubsequences: false).joined()
        #expect(said == text)
    }

    @Test(arguments: [
        ("error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", "WRONG_VERSION_NUMBER"),
        ("a [error:1:x:OPENSSL_internal:ONE at f.c:1, error:2:y:OPENSSL_internal:TWO at g.c:2]", "ONE, TWO"),
        ("nothing of the kind", "nothing of the kind"),
    ])
    func findsReasonsInErrorsOfTheLibrary(text: String, reasons: String) {
        #expect(TLSFailure.reasons(in: TestClient.Surprise(description: text)) == reasons)
    }
}
