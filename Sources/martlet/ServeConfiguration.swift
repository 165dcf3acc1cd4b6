internal import BrokerServer
internal import MartletCtl

/// Everything `martlet` needs to serve, after flags, environment, file and defaults have been put together.
struct ServeConfiguration {
    var server = ServerOptions()
    var dataDirectory: String?
    var isEphemeral = false
    var logThreshold = LogThreshold.info
    var logFormat = LogFormat.text

    /// Part of the machine's memory that messages may take before publishers are blocked.
    static let defaultMemoryLimit = "40%"
    /// Milliseconds between two syncs with `--sync interval`.
    static let defaultSyncInterval = 1_000
    /// The word for no socket.
    static let noControlSocket = "none"
    /// Port of AMQP over TLS when only certificate and key are given.
    static let defaultTLSPort: UInt16 = 5671

    /// Reads all settings; `cores` and `memoryBytes` describe the machine.
    ///
    /// `defaultDirectory` is where durable things go if nothing else is said; nil when there is no such place.
    init(
        _ sources: ConfigurationSources,
        cores: Int,
        memoryBytes: UInt64,
        defaultDirectory: String?
    ) throws(StartFailure) {
        if let texts = try sources.texts(.listen) {
            self.server.listen = []
            for text in texts {
                guard let address = ListenAddress(parsing: text) else {
                    throw StartFailure("\(text) is not an address to listen on", isConfiguration: true)
                }
                self.server.listen.append(address)
            }
        }
        if let port = try sources.integer(.port, in: 0...65_535) {
            self.server.port = UInt16(port)
        }
        self.server.tls = try Self.tls(sources)
        self.server.shards = try sources.integer(.shards, in: 1...1_024) ?? max(1, min(cores, 1_024))
        self.server.defaultUser = try sources.text(.defaultUser) ?? self.server.defaultUser
        self.server.defaultPassword = try sources.text(.defaultPassword) ?? self.server.defaultPassword
        self.dataDirectory = try sources.text(.dataDirectory)
        self.isEphemeral = try sources.flag(.ephemeral) ?? false
        if self.dataDirectory == nil && !self.isEphemeral {
            guard let defaultDirectory else {
                throw StartFailure(
                    "there is no home for data: give \(Setting.dataDirectory.flag) DIRECTORY or \(Setting.ephemeral.flag)",
                    isConfiguration: true
                )
            }
            self.dataDirectory = defaultDirectory
        }
        self.server.dataDirectory = self.isEphemeral ? nil : self.dataDirectory
        self.server.controlSocket = try Self.controlSocket(sources, self.server.dataDirectory)
        self.server.sync = try Self.sync(sources)
        self.logThreshold = try sources.choice(.logLevel, of: LogThreshold.self) ?? .info
        self.logFormat = try sources.choice(.logFormat, of: LogFormat.self) ?? .text
        try self.readLimits(sources, memoryBytes: memoryBytes)
    }

    private mutating func readLimits(
        _ sources: ConfigurationSources,
        memoryBytes: UInt64
    ) throws(StartFailure) {
        self.server.memoryLimitBytes =
            try sources.size(.memoryLimit, total: memoryBytes, atLeast: 1 << 20)
            ?? ByteSize.parse(Self.defaultMemoryLimit, total: memoryBytes)
            ?? self.server.memoryLimitBytes
        if let size = try sources.size(.diskFreeLimit, total: memoryBytes, atLeast: 0) {
            self.server.diskFreeLimitBytes = size
        }
        if let size = try sources.size(.maxMessageSize, total: memoryBytes, atLeast: 1) {
            self.server.maxMessageBytes = size
        }
        if let seconds = try sources.integer(.heartbeat, in: 0...65_535) {
            self.server.heartbeatSeconds = UInt16(seconds)
        }
        if let channels = try sources.integer(.channelMax, in: 1...65_535) {
            self.server.channelMax = UInt16(channels)
        }
        self.server.isRedeclareRelaxed = try sources.flag(.relaxedRedeclare) ?? false
        self.server.headerTimestamp = try sources.choice(.setHeaderTimestamp, of: StampWord.self)?.rule
        self.server.headerRoutingNode = try sources.choice(.setHeaderRoutingNode, of: StampWord.self)?.rule
        self.server.consumerMaxPerChannel = try sources.integer(.consumerMaxPerChannel, in: 1...1_000_000)
        self.server.defaultsToQuorumQueues = try sources.choice(.defaultQueueType, of: QueueTypeWord.self) == .quorum
        // 4096 is the least AMQP 0-9-1 allows; a frame is buffered until it is complete, hence an upper bound.
        if let octets = try sources.integer(.frameMax, in: 4_096...134_217_728) {
            self.server.frameMaxBytes = UInt32(octets)
        }
    }

    private static func sync(_ sources: ConfigurationSources) throws(StartFailure) -> SyncMode {
        let word = try sources.choice(.sync, of: SyncWord.self) ?? .always
        let milliseconds = try sources.integer(.syncInterval, in: 1...3_600_000)
        switch word {
        case .interval:
            return .interval(milliseconds: milliseconds ?? Self.defaultSyncInterval)
        case .always, .never:
            guard milliseconds == nil else {
                throw StartFailure(
                    "\(Setting.syncInterval.flag) needs \(Setting.sync.flag) \(SyncWord.interval.rawValue)",
                    isConfiguration: true
                )
            }
            return word == .always ? .always : .never
        }
    }

    /// Where `martlet ctl` finds the broker; in the data directory if nothing else is said.
    private static func controlSocket(
        _ sources: ConfigurationSources,
        _ dataDirectory: String?
    ) throws(StartFailure) -> String? {
        guard let path = try sources.text(.controlSocket) else {
            return dataDirectory.map { ControlCommandLine.socket(in: $0) }
        }
        return path == Self.noControlSocket ? nil : path
    }

    private static func tls(_ sources: ConfigurationSources) throws(StartFailure) -> TLSOptions? {
        let port = try sources.integer(.tlsPort, in: 0...65_535)
        let certificate = try sources.text(.tlsCertificate)
        let key = try sources.text(.tlsKey)
        let authority = try sources.text(.tlsAuthority)
        let verifiesPeer = try sources.flag(.tlsVerifyPeer) ?? false
        guard port != nil || certificate != nil || key != nil || authority != nil || verifiesPeer else { return nil }
        guard let certificate, let key else {
            let missing: Setting = certificate == nil ? .tlsCertificate : .tlsKey
            throw StartFailure("TLS needs \(missing.flag) FILE", isConfiguration: true)
        }
        guard authority != nil || !verifiesPeer else {
            throw StartFailure(
                "\(Setting.tlsVerifyPeer.flag) needs \(Setting.tlsAuthority.flag) FILE",
                isConfiguration: true
            )
        }
        return TLSOptions(
            port: port.map { UInt16($0) } ?? Self.defaultTLSPort,
            certificateFile: certificate,
            keyFile: key,
            authorityFile: authority,
            verifiesPeer: verifiesPeer
        )
    }
}

/// The values of `--default-queue-type`.
enum QueueTypeWord: String, CaseIterable {
    case classic
    case quorum
}

/// The words for `StampRule`.
enum StampWord: String, CaseIterable {
    case keep
    case overwrite

    /// What the word means.
    var rule: StampRule {
        switch self {
        case .keep: .keep
        case .overwrite: .overwrite
        }
    }
}

/// The words for ``SyncMode``.
enum SyncWord: String, CaseIterable {
    case always
    case interval
    case never
}
