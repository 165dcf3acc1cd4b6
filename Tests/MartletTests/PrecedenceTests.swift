import Foundation
import Testing

@testable import BrokerServer
@testable import martlet

/// Every setting can come from a flag, the environment and the file, and the stronger source wins.
@Suite struct PrecedenceTests {
    /// A setting in all sources, and how it looks when it came from there.
    struct Row: Sendable, CustomTestStringConvertible {
        var setting: Setting
        /// The member of the JSON object, and how that reads.
        var file: (json: String, seen: String)
        var environment: (value: String, seen: String)
        var flag: (arguments: [String], seen: String)
        var byDefault: String
        var look: @Sendable (ServeConfiguration) -> String

        var testDescription: String { self.setting.rawValue }
    }

    static let rows: [Row] = [
        Row(
            setting: .listen,
            file: (#"["127.0.0.3"]"#, "127.0.0.3"),
            environment: ("127.0.0.4,[::1]:7", "127.0.0.4 [::1]:7"),
            flag: (["--listen", "0.0.0.0:8", "--listen", "::"], "0.0.0.0:8 [::]"),
            byDefault: "127.0.0.1 [::1]",
            look: { $0.server.listen.map(\.description).joined(separator: " ") }
        ),
        Row(
            setting: .port,
            file: ("1", "1"),
            environment: ("2", "2"),
            flag: (["--port", "3"], "3"),
            byDefault: "5672",
            look: { "\($0.server.port)" }
        ),
        Row(
            setting: .tlsPort,
            file: ("1", "1"),
            environment: ("2", "2"),
            flag: (["--tls-port", "3"], "3"),
            byDefault: "5671",
            look: { "\($0.server.tls?.port ?? 0)" }
        ),
        Row(
            setting: .tlsCertificate,
            file: (#""f.pem""#, "f.pem"),
            environment: ("e.pem", "e.pem"),
            flag: (["--tls-cert", "c.pem"], "c.pem"),
            byDefault: "base.pem",
            look: { $0.server.tls?.certificateFile ?? "" }
        ),
        Row(
            setting: .tlsKey,
            file: (#""f.key""#, "f.key"),
            environment: ("e.key", "e.key"),
            flag: (["--tls-key", "c.key"], "c.key"),
            byDefault: "base.key",
            look: { $0.server.tls?.keyFile ?? "" }
        ),
        Row(
            setting: .tlsAuthority,
            file: (#""f.pem""#, "f.pem"),
            environment: ("e.pem", "e.pem"),
            flag: (["--tls-ca", "c.pem"], "c.pem"),
            byDefault: "base-ca.pem",
            look: { $0.server.tls?.authorityFile ?? "" }
        ),
        Row(
            setting: .tlsVerifyPeer,
            file: ("true", "true"),
            environment: ("false", "false"),
            flag: (["--tls-verify-peer"], "true"),
            byDefault: "false",
            look: { "\($0.server.tls?.verifiesPeer ?? false)" }
        ),
        Row(
            setting: .shards,
            file: ("1", "1"),
            environment: ("2", "2"),
            flag: (["--shards", "3"], "3"),
            byDefault: "4",
            look: { "\($0.server.shards)" }
        ),
        Row(
            setting: .dataDirectory,
            file: (#""/f""#, "/f"),
            environment: ("/e", "/e"),
            flag: (["--data-dir", "/c"], "/c"),
            byDefault: "/default",
            look: { $0.dataDirectory ?? "none" }
        ),
        Row(
            setting: .ephemeral,
            file: ("true", "true"),
            environment: ("false", "false"),
            flag: (["--ephemeral"], "true"),
            byDefault: "false",
            look: { "\($0.isEphemeral)" }
        ),
        Row(
            setting: .controlSocket,
            file: (#""/file.sock""#, "/file.sock"),
            environment: ("/environment.sock", "/environment.sock"),
            flag: (["--ctl-socket", "none"], "none"),
            byDefault: "/default/ctl.sock",
            look: { $0.server.controlSocket ?? "none" }
        ),
        Row(
            setting: .logLevel,
            file: (#""debug""#, "debug"),
            environment: ("warning", "warning"),
            flag: (["--log-level", "error"], "error"),
            byDefault: "info",
            look: { $0.logThreshold.rawValue }
        ),
        Row(
            setting: .logFormat,
            file: (#""json""#, "json"),
            environment: ("text", "text"),
            flag: (["--log-format", "json"], "json"),
            byDefault: "text",
            look: { $0.logFormat.rawValue }
        ),
        Row(
            setting: .memoryLimit,
            file: ("2000000", "2000000"),
            environment: ("2MiB", "2097152"),
            flag: (["--memory-limit", "50%"], "4000000"),
            byDefault: "3200000",
            look: { "\($0.server.memoryLimitBytes)" }
        ),
        Row(
            setting: .diskFreeLimit,
            file: ("0", "0"),
            environment: ("2MiB", "2097152"),
            flag: (["--disk-free-limit", "50%"], "4000000"),
            byDefault: "50000000",
            look: { "\($0.server.diskFreeLimitBytes)" }
        ),
        Row(
            setting: .sync,
            file: (#""interval""#, "interval(milliseconds: 1000)"),
            environment: ("always", "always"),
            flag: (["--sync", "never"], "never"),
            byDefault: "always",
            look: { "\($0.server.sync)" }
        ),
        Row(
            setting: .syncInterval,
            file: ("5", "interval(milliseconds: 5)"),
            environment: ("6", "interval(milliseconds: 6)"),
            flag: (["--sync-interval", "7"], "interval(milliseconds: 7)"),
            byDefault: "interval(milliseconds: 1000)",
            look: { "\($0.server.sync)" }
        ),
        Row(
            setting: .maxMessageSize,
            file: (#""1k""#, "1024"),
            environment: ("1", "1"),
            flag: (["--max-message-size", "3MB"], "3000000"),
            byDefault: "134217728",
            look: { "\($0.server.maxMessageBytes)" }
        ),
        Row(
            setting: .heartbeat,
            file: ("0", "0"),
            environment: ("65535", "65535"),
            flag: (["--heartbeat", "10"], "10"),
            byDefault: "60",
            look: { "\($0.server.heartbeatSeconds)" }
        ),
        Row(
            setting: .channelMax,
            file: ("1", "1"),
            environment: ("65535", "65535"),
            flag: (["--channel-max", "10"], "10"),
            byDefault: "2047",
            look: { "\($0.server.channelMax)" }
        ),
        Row(
            setting: .consumerMaxPerChannel,
            file: ("1", "1"),
            environment: ("1000000", "1000000"),
            flag: (["--consumer-max-per-channel", "10"], "10"),
            byDefault: "any",
            look: { $0.server.consumerMaxPerChannel.map { "\($0)" } ?? "any" }
        ),
        Row(
            setting: .defaultQueueType,
            file: (#""quorum""#, "true"),
            environment: ("classic", "false"),
            flag: (["--default-queue-type", "quorum"], "true"),
            byDefault: "false",
            look: { "\($0.server.defaultsToQuorumQueues)" }
        ),
        Row(
            setting: .frameMax,
            file: ("4096", "4096"),
            environment: ("134217728", "134217728"),
            flag: (["--frame-max", "8192"], "8192"),
            byDefault: "131072",
            look: { "\($0.server.frameMaxBytes)" }
        ),
        Row(
            setting: .relaxedRedeclare,
            file: ("true", "true"),
            environment: ("false", "false"),
            flag: (["--relaxed-redeclare"], "true"),
            byDefault: "false",
            look: { "\($0.server.isRedeclareRelaxed)" }
        ),
        Row(
            setting: .setHeaderTimestamp,
            file: (#""keep""#, "keep"),
            environment: ("overwrite", "overwrite"),
            flag: (["--set-header-timestamp", "keep"], "keep"),
            byDefault: "none",
            look: { $0.server.headerTimestamp.map { "\($0)" } ?? "none" }
        ),
        Row(
            setting: .setHeaderRoutingNode,
            file: (#""overwrite""#, "overwrite"),
            environment: ("keep", "keep"),
            flag: (["--set-header-routing-node", "overwrite"], "overwrite"),
            byDefault: "none",
            look: { $0.server.headerRoutingNode.map { "\($0)" } ?? "none" }
        ),
        Row(
            setting: .defaultUser,
            file: (#""f""#, "f"),
            environment: ("e", "e"),
            flag: (["--default-user", "c"], "c"),
            byDefault: "guest",
            look: { $0.server.defaultUser }
        ),
        Row(
            setting: .defaultPassword,
            file: (#""f""#, "f"),
            environment: ("e", "e"),
            flag: (["--default-password", "c"], "c"),
            byDefault: "guest",
            look: { $0.server.defaultPassword }
        ),
    ]

    @Test func coversEverySetting() {
        #expect(Self.rows.map(\.setting) == Setting.allCases)
    }

    @Test(arguments: rows, [false, true])
    func flagWinsOverEnvironmentOverFileOverDefault(_ row: Row, hasAll: Bool) throws {
        #expect(try self.see(row) == row.byDefault)
        #expect(try self.see(row, file: true) == row.file.seen)
        #expect(try self.see(row, file: hasAll, environment: true) == row.environment.seen)
        #expect(try self.see(row, file: hasAll, environment: hasAll, flag: true) == row.flag.seen)
    }

    /// What becomes of a setting that is in some sources; what TLS needs beside it is in the file.
    private func see(
        _ row: Row,
        file: Bool = false,
        environment: Bool = false,
        flag: Bool = false
    ) throws -> String {
        var members: [String: String] = [:]
        var tls: [String: String] = [:]
        if row.setting.components.first == "tls" {
            tls = ["cert": #""base.pem""#, "key": #""base.key""#, "ca": #""base-ca.pem""#]
        }
        if row.setting == .syncInterval {
            members["sync"] = #""interval""#
        }
        if file {
            if row.setting.components.count == 1 {
                members[row.setting.rawValue] = row.file.json
            } else if row.setting.components[0] == "tls" {
                tls[row.setting.components[1]] = row.file.json
            } else {
                members["log"] = "{\"\(row.setting.components[1])\":\(row.file.json)}"
            }
        }
        if !tls.isEmpty { members["tls"] = Self.object(tls) }
        let sources = Configured(
            arguments: flag ? row.flag.arguments : [],
            environment: environment ? [row.setting.environmentVariable: row.environment.value] : [:],
            file: Self.object(members)
        )
        let (configuration, unknownKeys) = try sources.read()
        #expect(unknownKeys == [])
        return row.look(configuration)
    }

    private static func object(_ members: [String: String]) -> String {
        "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }

    @Test(arguments: [
        (Setting.port, "--port", "MARTLET_PORT", "port"),
        (.tlsCertificate, "--tls-cert", "MARTLET_TLS_CERT", "tls.cert"),
        (.tlsVerifyPeer, "--tls-verify-peer", "MARTLET_TLS_VERIFY_PEER", "tls.verify-peer"),
        (.maxMessageSize, "--max-message-size", "MARTLET_MAX_MESSAGE_SIZE", "max-message-size"),
        (.logLevel, "--log-level", "MARTLET_LOG_LEVEL", "log.level"),
    ])
    func namesSettingsTheSameEverywhere(setting: Setting, flag: String, variable: String, path: String) {
        #expect(setting.flag == flag)
        #expect(setting.environmentVariable == variable)
        #expect(setting.rawValue == path)
    }
}
