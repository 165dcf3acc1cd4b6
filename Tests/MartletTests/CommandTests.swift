import ArgumentParser
import Configuration
import Testing

@testable import BrokerServer
@testable import martlet

/// The command line: what it takes, and what it says.
///
/// How a process ends is tested in `Interop/process`.
@Suite struct CommandTests {
    @Test(arguments: [
        (["--prot", "1"], "Unknown option '--prot'. Did you mean '--port'?"),
        (["--bogus"], "Unknown option '--bogus'"),
        (["-x"], "Unknown option '-x'"),
        (["start"], "Unexpected argument 'start'"),
        (["--port"], "Missing value for '--port <port>'"),
        (["--port", "abc"], "The value 'abc' is invalid for '--port <port>'"),
        (["--port", "1.5"], "The value '1.5' is invalid for '--port <port>'"),
        (["--port", ""], "The value '' is invalid for '--port <port>'"),
        (["--port", "99999999999999999999"], "The value '99999999999999999999' is invalid for '--port <port>'"),
        (["--shards", "many"], "The value 'many' is invalid for '--shards <count>'"),
        (["--heartbeat", "1m"], "The value '1m' is invalid for '--heartbeat <seconds>'"),
        (["--tls-port", "tls"], "The value 'tls' is invalid for '--tls-port <port>'"),
        (["--config"], "Missing value for '--config <file>'"),
        (["--ephemeral=yes"], "The option '--ephemeral' does not take any value, but 'yes' was specified."),
    ])
    func saysInOneLineWhatIsWrong(arguments: [String], text: String) throws {
        let error = try #require(throws: (any Error).self) { _ = try MartletCommand.parseAsRoot(arguments) }
        #expect(MartletCommand.message(for: error) == text)
        #expect(MartletCommand.exitCode(for: error) == .validationFailure)
    }

    @Test func helpMentionsEveryOption() {
        let help = MartletCommand.helpMessage(columns: 80)
        for flag in Setting.allCases.map(\.flag) + ["--config", "--version", "--help", "martlet perf"] {
            #expect(help.contains(flag))
        }
        #expect(help.contains("MARTLET_DEFAULT_PASSWORD"))
    }

    @Test func tellsItsVersion() {
        #expect(MartletCommand.configuration.version == "martlet \(ServerOptions.version)")
        #expect(ServerOptions.version.split(separator: ".").count == 3)
    }

    @Test func everySettingHasItsFlag() throws {
        let arguments = [
            "--listen", "127.0.0.1", "--port", "1", "--tls-port", "2", "--tls-cert", "c", "--tls-key", "k", "--tls-ca",
            "a", "--tls-verify-peer", "--shards", "1", "--data-dir", "d", "--ephemeral",
            "--ctl-socket", "s", "--log-level", "info",
            "--log-format", "text", "--memory-limit", "40%", "--disk-free-limit", "1", "--sync", "always",
            "--sync-interval", "1", "--max-message-size", "1", "--heartbeat", "1", "--channel-max", "1",
            "--consumer-max-per-channel", "1", "--default-queue-type", "quorum", "--frame-max", "4096",
            "--relaxed-redeclare", "--set-header-timestamp", "keep", "--set-header-routing-node", "overwrite",
            "--default-user", "u",
            "--default-password", "p",
        ]
        let command = try #require(try MartletCommand.parseAsRoot(arguments) as? MartletCommand)
        #expect(Set(command.flags.keys) == Set(Setting.allCases))
        #expect(command.flags[.defaultPassword]?.isSecret == true)
    }

    @Test func nothingGivenIsNothingSaid() throws {
        let command = try #require(try MartletCommand.parseAsRoot([]) as? MartletCommand)
        #expect(command.flags.isEmpty)
    }

    // MARK: The ready line

    @Test func announcesOneAddressOfEachKind() {
        let listeners = [
            BoundListener(host: "127.0.0.1", port: 5672, isTLS: false),
            BoundListener(host: "::1", port: 5672, isTLS: false),
            BoundListener(host: "127.0.0.1", port: 5671, isTLS: true),
            BoundListener(host: "::1", port: 5671, isTLS: true),
        ]
        #expect(
            Serve.readyLines(listeners) == [
                "martlet ready on amqp://127.0.0.1:5672\n", "martlet ready on amqps://127.0.0.1:5671\n",
            ]
        )
        #expect(Serve.readyLines([listeners[1]]) == ["martlet ready on amqp://[::1]:5672\n"])
        #expect(Serve.readyLines([]) == [])
    }
}
