import Testing

@testable import BrokerServer
@testable import martlet

/// What cannot be configured: one line that says which source is wrong and what it must be.
@Suite struct ConfigurationFailureTests {
    /// Sources, and what is said about them.
    struct Row: Sendable, CustomTestStringConvertible {
        var arguments: [String] = []
        var environment: [String: String] = [:]
        var file: String?
        var text: String

        var testDescription: String { "\(self.arguments) \(self.environment) \(self.file ?? "")" }
    }

    private static let port = "must be a whole number from 0 to 65535"
    private static let unusable = "has no value that a setting can have"
    private static let size = "must be a size such as 512MiB, 2GB or 40%, at least"

    static let numbers: [Row] = [
        Row(arguments: ["--port", "65536"], text: "--port \(port)"),
        Row(arguments: ["--port=-1"], text: "--port \(port)"),
        Row(environment: ["MARTLET_PORT": "abc"], text: "MARTLET_PORT \(port)"),
        Row(environment: ["MARTLET_PORT": "65536"], text: "MARTLET_PORT \(port)"),
        Row(environment: ["MARTLET_PORT": ""], text: "MARTLET_PORT \(port)"),
        Row(environment: ["MARTLET_PORT": "99999999999999999999"], text: "MARTLET_PORT \(port)"),
        Row(file: #"{"port": "5672x"}"#, text: "port in FILE \(port)"),
        Row(file: #"{"port": 1.5}"#, text: "port in FILE \(port)"),
        Row(file: #"{"port": true}"#, text: "port in FILE \(port)"),
        Row(file: #"{"port": [1]}"#, text: "port in the configuration file \(unusable)"),
        Row(file: #"{"port": 70000}"#, text: "port in FILE \(port)"),
        Row(arguments: ["--tls-port", "65536"], text: "--tls-port \(port)"),
        Row(file: #"{"tls": {"port": "x"}}"#, text: "tls.port in FILE \(port)"),
        Row(arguments: ["--shards", "0"], text: "--shards must be a whole number from 1 to 1024"),
        Row(arguments: ["--shards", "1025"], text: "--shards must be a whole number from 1 to 1024"),
        Row(arguments: ["--heartbeat", "65536"], text: "--heartbeat \(port)"),
        Row(arguments: ["--channel-max", "0"], text: "--channel-max must be a whole number from 1 to 65535"),
        Row(arguments: ["--channel-max", "65536"], text: "--channel-max must be a whole number from 1 to 65535"),
        Row(arguments: ["--frame-max", "4095"], text: "--frame-max must be a whole number from 4096 to 134217728"),
        Row(
            arguments: ["--frame-max", "134217729"],
            text: "--frame-max must be a whole number from 4096 to 134217728"
        ),
        Row(
            environment: ["MARTLET_FRAME_MAX": "0"],
            text: "MARTLET_FRAME_MAX must be a whole number from 4096 to 134217728"
        ),
        Row(arguments: ["--memory-limit", "1048575"], text: "--memory-limit \(size) 1048576 octets"),
        Row(arguments: ["--memory-limit", "lots"], text: "--memory-limit \(size) 1048576 octets"),
        Row(arguments: ["--memory-limit", ""], text: "--memory-limit \(size) 1048576 octets"),
        Row(environment: ["MARTLET_MEMORY_LIMIT": "0%"], text: "MARTLET_MEMORY_LIMIT \(size) 1048576 octets"),
        Row(file: #"{"memory-limit": true}"#, text: "memory-limit in FILE \(size) 1048576 octets"),
        Row(file: #"{"memory-limit": -5}"#, text: "memory-limit in FILE \(size) 1048576 octets"),
        Row(arguments: ["--max-message-size", "0"], text: "--max-message-size \(size) 1 octets"),
    ]

    static let words: [Row] = [
        Row(arguments: ["--listen", "nonsense:x"], text: "nonsense:x is not an address to listen on"),
        Row(
            arguments: ["--listen", "127.0.0.1", "--listen", "300.1.1.1"],
            text: "300.1.1.1 is not an address to listen on"
        ),
        Row(environment: ["MARTLET_LISTEN": "127.0.0.1,x y"], text: "x y is not an address to listen on"),
        Row(file: #"{"listen": []}"#, text: "listen in FILE must be a list that is not empty"),
        Row(file: #"{"listen": 5}"#, text: "listen in FILE must be a list of texts"),
        Row(file: #"{"listen": [5]}"#, text: "listen in the configuration file \(unusable)"),
        Row(file: #"{"listen": ["::1", 5]}"#, text: "listen in the configuration file \(unusable)"),
        Row(file: #"{"port": "5672"}"#, text: "port in FILE \(port)"),
        Row(file: #"{"ephemeral": "true"}"#, text: "ephemeral in FILE must be true or false"),
        Row(arguments: ["--default-user", ""], text: "--default-user must be a text that is not empty"),
        Row(arguments: ["--default-password", ""], text: "--default-password must be a text that is not empty"),
        Row(
            environment: ["MARTLET_DEFAULT_PASSWORD": ""],
            text: "MARTLET_DEFAULT_PASSWORD must be a text that is not empty"
        ),
        Row(file: #"{"default-user": 5}"#, text: "default-user in FILE must be a text"),
        Row(arguments: ["--disk-free-limit", "much"], text: "--disk-free-limit \(size) 0 octets"),
        Row(arguments: ["--sync", "sometimes"], text: "--sync must be one of always, interval, never"),
        Row(file: #"{"sync": true}"#, text: "sync in FILE must be one of always, interval, never"),
        Row(
            environment: ["MARTLET_SYNC_INTERVAL": "0", "MARTLET_SYNC": "interval"],
            text: "MARTLET_SYNC_INTERVAL must be a whole number from 1 to 3600000"
        ),
        Row(arguments: ["--sync-interval", "5"], text: "--sync-interval needs --sync interval"),
        Row(arguments: ["--sync", "never", "--sync-interval", "5"], text: "--sync-interval needs --sync interval"),
        Row(arguments: ["--data-dir", ""], text: "--data-dir must be a text that is not empty"),
        Row(environment: ["MARTLET_EPHEMERAL": "maybe"], text: "MARTLET_EPHEMERAL must be true or false"),
        Row(file: #"{"ephemeral": 3}"#, text: "ephemeral in FILE must be true or false"),
        Row(arguments: ["--log-level", "loud"], text: "--log-level must be one of debug, info, warning, error"),
        Row(
            environment: ["MARTLET_LOG_LEVEL": "INFO"],
            text: "MARTLET_LOG_LEVEL must be one of debug, info, warning, error"
        ),
        Row(file: #"{"log": {"level": 1}}"#, text: "log.level in FILE must be one of debug, info, warning, error"),
        Row(arguments: ["--log-format", "xml"], text: "--log-format must be one of text, json"),
    ]

    @Test func needsAPlaceForDurableThings() throws {
        let text = "there is no home for data: give --data-dir DIRECTORY or --ephemeral"
        #expect(throws: StartFailure(text, isConfiguration: true)) {
            try Configured(defaultDirectory: nil).read()
        }
        let ephemeral = try Configured(arguments: ["--ephemeral"], defaultDirectory: nil).read().configuration
        #expect(ephemeral.server.dataDirectory == nil)
        let here = try Configured(arguments: ["--data-dir", "/here"], defaultDirectory: nil).read().configuration
        #expect(here.server.dataDirectory == "/here")
        #expect(try Configured().read().configuration.server.dataDirectory == "/default")
        #expect(try Configured(arguments: ["--ephemeral"]).read().configuration.dataDirectory == nil)
    }

    static let tls: [Row] = [
        Row(arguments: ["--tls-port", "0"], text: "TLS needs --tls-cert FILE"),
        Row(arguments: ["--tls-cert", "c"], text: "TLS needs --tls-key FILE"),
        Row(arguments: ["--tls-key", "k"], text: "TLS needs --tls-cert FILE"),
        Row(arguments: ["--tls-ca", "a"], text: "TLS needs --tls-cert FILE"),
        Row(arguments: ["--tls-verify-peer"], text: "TLS needs --tls-cert FILE"),
        Row(
            environment: ["MARTLET_TLS_VERIFY_PEER": "yes please"],
            text: "MARTLET_TLS_VERIFY_PEER must be true or false"
        ),
        Row(
            arguments: ["--tls-cert", "c", "--tls-key", "k", "--tls-verify-peer"],
            text: "--tls-verify-peer needs --tls-ca FILE"
        ),
    ]

    static let files: [Row] = [
        Row(file: "", text: "configuration file FILE is not a JSON object of settings"),
        Row(file: "port = 5672", text: "configuration file FILE is not a JSON object of settings"),
        Row(file: "{\"port\": 1", text: "configuration file FILE is not a JSON object of settings"),
        Row(file: "[]", text: "configuration file FILE is not a JSON object of settings"),
        Row(file: "5672", text: "configuration file FILE is not a JSON object of settings"),
    ]

    @Test(arguments: numbers + words + tls + files)
    func saysInOneLineWhatIsWrong(_ row: Row) {
        let failure = #expect(throws: StartFailure.self) {
            _ = try Configured(arguments: row.arguments, environment: row.environment, file: row.file).read()
        }
        #expect(failure == StartFailure(row.text, isConfiguration: true))
    }

    @Test(arguments: [
        ("missing.json", "No such file or directory"), (".", "Is a directory"), ("file/in-a-file", "Not a directory"),
    ])
    func saysWhyTheFileCannotBeRead(name: String, reason: String) throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        _ = try folder.write("{}", to: "file")
        let path = "\(folder.path)/\(name)"
        let failure = #expect(throws: StartFailure.self) {
            _ = try ConfigurationSources(flags: [:], environment: [:], configFile: path)
        }
        #expect(failure == StartFailure("cannot read configuration file \(path): \(reason)", isConfiguration: true))
    }

    @Test func refusesAFileThatCannotBeConfiguration() throws {
        let text = "{\"default-user\": \"\(String(repeating: "x", count: ConfigurationFile.maxBytes))\"}"
        let failure = #expect(throws: StartFailure.self) { _ = try Configured(file: text).read() }
        #expect(failure?.description == "cannot read configuration file FILE: larger than 1048576 octets")
    }

    @Test func saysWhatItDoesNotKnowInTheFile() throws {
        let file =
            #"{"prot": 1, "tls": {"certificate": "x"}, "log": {"level": "info", "lovel": 1}, "port": 1, "a": {}}"#
        let unknownKeys = try Configured(file: file).read().unknownKeys
        #expect(unknownKeys == ["log.lovel", "prot", "tls.certificate"])
    }

    @Test func nullInTheFileSetsNothing() throws {
        let (configuration, unknownKeys) = try Configured(file: #"{"port": null, "tls": null, "bad": null}"#).read()
        #expect(configuration.server.port == 5672)
        #expect(unknownKeys == [])
    }

    @Test func leavesOtherProgramsVariablesAlone() throws {
        let environment = ["PORT": "x", "TLS_PORT": "x", "LISTEN": "x", "MARTLETPORT": "x", "martlet_port": "x"]
        #expect(try Configured(environment: environment).read().configuration.server.port == 5672)
    }

    @Test func aSwitchThatIsNotGivenLeavesTheWordToTheEnvironment() throws {
        let configuration = try Configured(environment: ["MARTLET_EPHEMERAL": "true"]).read().configuration
        #expect(configuration.isEphemeral)
    }

    @Test func servesTLSOnlyWhenAskedTo() throws {
        #expect(try Configured().read().configuration.server.tls == nil)
        let arguments = ["--tls-cert", "c", "--tls-key", "k"]
        let tls = try Configured(arguments: arguments).read().configuration.server.tls
        #expect(tls == TLSOptions(port: 5671, certificateFile: "c", keyFile: "k"))
    }
}
