internal import NIOCore
internal import NIOSSL

/// Reads certificate, key and authorities, and says in one line which file is at fault.
enum TLSContext {
    /// Makes the context all TLS connections share.
    static func make(_ options: TLSOptions) throws(StartFailure) -> NIOSSLContext {
        let chain = try self.certificates(options.certificateFile, what: "TLS certificate")
        let key = try self.privateKey(options.keyFile)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        configuration.minimumTLSVersion = .tlsv12
        configuration.shutdownTimeout = .milliseconds(Int64(ServerLimits.closeGraceMilliseconds))
        if let file = options.authorityFile {
            configuration.trustRoots = .certificates(try self.certificates(file, what: "TLS authority"))
            configuration.sendCANameList = true
            // Names in client certificates are not host names; without `verifiesPeer` a client may show none.
            configuration.certificateVerification =
                options.verifiesPeer ? .noHostnameVerification : .optionalVerification
        } else if options.verifiesPeer {
            throw StartFailure("checking client certificates needs a TLS authority file", isConfiguration: true)
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch NIOSSLError.failedToLoadPrivateKey {
            // Both were read before; the library refuses a key beside a certificate only when they do not match.
            throw StartFailure(
                "TLS key \(options.keyFile) does not belong to certificate \(options.certificateFile)",
                isConfiguration: true
            )
        } catch {
            let reason = TLSFailure.reasons(in: error)
            throw StartFailure(
                "cannot use TLS certificate \(options.certificateFile) with key \(options.keyFile): \(reason)",
                isConfiguration: true
            )
        }
    }

    private static func certificates(_ file: String, what: String) throws(StartFailure) -> [NIOSSLCertificate] {
        try self.checkReadable(file, what: what)
        let certificates: [NIOSSLCertificate]
        do {
            certificates = try NIOSSLCertificate.fromPEMFile(file)
        } catch {
            throw StartFailure("\(what) \(file) is not a PEM certificate", isConfiguration: true)
        }
        guard !certificates.isEmpty else {
            throw StartFailure("\(what) \(file) holds no certificate", isConfiguration: true)
        }
        return certificates
    }

    private static func privateKey(_ file: String) throws(StartFailure) -> NIOSSLPrivateKey {
        try self.checkReadable(file, what: "TLS key")
        do {
            // Without a callback the library would ask for the password of an encrypted key on the terminal.
            return try NIOSSLPrivateKey(file: file, format: .pem) { setPassphrase in
                setPassphrase([UInt8]())
            }
        } catch {
            throw StartFailure(
                "TLS key \(file) is not a PEM private key without password",
                isConfiguration: true
            )
        }
    }

    private static func checkReadable(_ file: String, what: String) throws(StartFailure) {
        if let reason = Platform.whyUnreadable(file) {
            throw StartFailure("cannot read \(what) \(file): \(reason)", isConfiguration: true)
        }
    }
}

/// Puts the library's words for what went wrong into ones for a log.
enum TLSFailure {
    /// What happened, as a person would say it.
    static func describe(_ error: BoringSSLError) -> String {
        let reason = self.reasons(in: error)
        return switch true {
        case reason.contains("HTTP_REQUEST"), reason.contains("WRONG_VERSION_NUMBER"):
            "the client does not speak TLS (\(reason))"
        case reason.contains("UNSUPPORTED_PROTOCOL"): "the client offers only versions of TLS before 1.2 (\(reason))"
        case reason.contains("PEER_DID_NOT_RETURN_A_CERTIFICATE"): "the client showed no certificate (\(reason))"
        default: reason
        }
    }

    /// The names of the reasons in an error of the library, such as `WRONG_VERSION_NUMBER`.
    static func reasons(in error: any Error) -> String {
        let text = "\(error)"
        let marker = "OPENSSL_internal:"
        let pieces = text.split(separator: " ").filter { $0.contains(marker) }
        let reasons = pieces.compactMap { piece -> String? in
            guard let last = piece.split(separator: ":").last else { return nil }
            return String(last.prefix { $0.isLetter || $0.isNumber || $0 == "_" })
        }
        return reasons.isEmpty ? text : reasons.joined(separator: ", ")
    }
}
