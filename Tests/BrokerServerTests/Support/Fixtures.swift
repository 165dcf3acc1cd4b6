import Foundation
import NIOSSL

@testable import BrokerServer

/// Certificates and keys; `Fixtures/make` says how they came to be.
enum Fixtures {
    /// The path of a file.
    static func path(_ name: String) -> String {
        "\(Bundle.module.bundlePath)/Fixtures/\(name)"
    }

    /// Options that serve with a fixture's certificate on a port that the system chooses.
    static func tls(
        certificate: String = "server.pem",
        key: String = "server.key",
        authority: String? = nil,
        verifiesPeer: Bool = false
    ) -> TLSOptions {
        TLSOptions(
            port: 0,
            certificateFile: self.path(certificate),
            keyFile: self.path(key),
            authorityFile: authority.map(self.path),
            verifiesPeer: verifiesPeer
        )
    }

    /// A client that trusts the authority that signed the server's certificate; `identity` is what it shows itself.
    static func client(
        identity: String? = nil,
        authority: String = "authority.pem",
        versions: ClosedRange<Int> = 12...13
    ) throws -> NIOSSLContext {
        let known: [Int: TLSVersion] = [10: .tlsv1, 11: .tlsv11, 12: .tlsv12, 13: .tlsv13]
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(self.path(authority))
        configuration.minimumTLSVersion = known[versions.lowerBound] ?? .tlsv12
        configuration.maximumTLSVersion = known[versions.upperBound]
        if let identity {
            let chain = try NIOSSLCertificate.fromPEMFile(self.path("\(identity).pem"))
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(
                try NIOSSLPrivateKey(file: self.path("\(identity).key"), format: .pem)
            )
        }
        return try NIOSSLContext(configuration: configuration)
    }
}
