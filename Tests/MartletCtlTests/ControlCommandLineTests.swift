import Foundation
import MartletCtl
import Testing

/// What a command line says and how it ends, when there is a broker, when there is none, and when it makes no sense.
@Suite struct ControlCommandLineTests {
    // MARK: A broker

    @Test func aListOfAVirtualHostThatIsNotThereIsEmpty() async throws {
        try await CtlBroker.run { broker in
            for (command, banner) in [
                ("list_queues", "Timeout: 60.0 seconds ...\nListing queues for vhost nope ...\n"),
                ("list_exchanges", "Listing exchanges for vhost nope ...\n"),
                ("list_bindings", "Listing bindings for vhost nope...\n"),
            ] {
                let answer = await broker.ctl([command, "-p", "nope"])
                #expect(answer.exit == 0)
                #expect(answer.output == banner)
                #expect(answer.error == "Warning: Virtual host 'nope' does not exist\n")
                let json = await broker.ctl([command, "-p", "nope", "--formatter", "json"])
                #expect(json.output == "[\n]\n")
            }
            let policies = await broker.ctl(["list_policies", "-p", "nope", "-q"])
            #expect(policies.exit == 65)
            #expect(policies.error == "Virtual host 'nope' does not exist\n")
            #expect(policies.output == "")
        }
    }

    /// `rabbitmqctl` names its node as well.
    @Test func aProgramReadsThatItIsDone() async throws {
        try await CtlBroker.run { broker in
            let set = await broker.ctl(["set_policy", "p", "x", "{\"max-length\":1}", "--formatter", "json"])
            #expect(set.output == "{\"result\":\"ok\"}\n")
            let trace = await broker.ctl(["trace_on", "--formatter", "json"])
            #expect(trace.output == "{\"result\":\"ok\",\"value\":\"Trace enabled for vhost /\"}\n")
            let quiet = await broker.ctl(["trace_off", "-q"])
            #expect(quiet.output == "Trace disabled for vhost /\n")
            #expect(set.exit == 0 && trace.exit == 0 && quiet.exit == 0)
        }
    }

    @Test func policiesAreThereAfterARestart() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await CtlBroker.run(in: directory, shards: 2) { broker in
            #expect(await broker.ctl(["set_policy", "p", "x", "{\"expires\":5}"]).exit == 0)
        }
        try await CtlBroker.run(in: directory, shards: 3) { broker in
            let listed = await broker.ctl(["list_policies", "-s"])
            #expect(listed.output == "/\tp\tx\tall\t{\"expires\":5}\t0\n")
        }
    }

    @Test func aSnapshotStartsAnotherBroker() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await CtlBroker.run(in: folder + "/data") { broker in
            #expect(await broker.ctl(["set_policy", "p", "x", "{\"expires\":5}"]).exit == 0)
            let made = await broker.ctl(["snapshot", folder + "/copy"])
            #expect(made.exit == 0)
            #expect(
                made.output == "Making a snapshot in \"\(folder)/copy\" ...\nSnapshot made in \(folder)/copy\n"
            )
            #expect(await broker.ctl(["clear_policy", "p"]).exit == 0)
            let again = await broker.ctl(["snapshot", "-q", folder + "/copy"])
            #expect(again.exit == 69)
            #expect(again.error == "Error:\ncannot make the snapshot \(folder)/copy: it exists already\n")
        }
        let relative = await CtlBroker.ctl(["snapshot", "-q", "copy"], ["MARTLET_DATA_DIR": folder + "/data"])
        #expect(relative.exit == 64)
        #expect(relative.error.contains("an absolute path"))
        try await CtlBroker.run(in: folder + "/copy") { broker in
            #expect(await broker.ctl(["list_policies", "-s"]).output == "/\tp\tx\tall\t{\"expires\":5}\t0\n")
        }
    }

    // MARK: No broker, or a strange one

    private func ask(
        _ words: [String] = ["list_policies", "-q"],
        _ answer: String,
        holds: Bool = false
    ) async throws
        -> CtlBroker.Answer
    {
        let broker = try FakeBroker(answer, holds: holds)
        defer { broker.stop() }
        return await CtlBroker.ctl(words, ["MARTLET_CTL_SOCKET": broker.path])
    }

    @Test func withoutABrokerItSaysWhereItHasLooked() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "none-\(UUID().uuidString)").path
        for (words, environment, path) in [
            (["list_vhosts", "--data-dir", folder + "/"], [:], "\(folder)/ctl.sock"),
            (["list_vhosts", "--socket", "\(folder)/s"], ["MARTLET_CTL_SOCKET": "/x"], "\(folder)/s"),
            (["list_vhosts"], ["MARTLET_CTL_SOCKET": "\(folder)/e", "MARTLET_DATA_DIR": "/x"], "\(folder)/e"),
            (["list_vhosts"], ["MARTLET_CTL_SOCKET": "", "MARTLET_DATA_DIR": folder], "\(folder)/ctl.sock"),
        ] {
            let answer = await CtlBroker.ctl(words, environment)
            #expect(answer.exit == 69)
            #expect(answer.output == "")
            #expect(answer.error.hasPrefix("Error: unable to reach a broker at \(path): No such file or directory\n"))
        }
        let lost = await CtlBroker.ctl(["list_vhosts"], [:])
        #expect(lost.exit == 64)
        #expect(lost.error == "Error: say where the broker is: --data-dir DIRECTORY or --socket PATH\n")
    }

    @Test func aTimeoutHasItsOwnExitCode() async throws {
        let answer = try await self.ask(["list_policies", "-q", "-t", "1"], "", holds: true)
        #expect(answer.exit == 75)
        #expect(answer.error.hasSuffix("has not answered in time. Timeout value used: 1000\n"))
        // In the middle of a list, too.
        let begun = try await self.ask(["list_vhosts", "-s", "-t", "1"], "{\"rows\":true}\n[\"a\"]\n", holds: true)
        #expect(begun.exit == 75)
        #expect(begun.output == "a\n")
    }

    @Test(arguments: [
        ("", "Error: the broker has gone without an answer\n"),
        ("{\"rows\":true}\n[\"a\"]\n", "Error: the broker has gone before it had told everything\n"),
        ("nonsense\n", "Error: the broker's answer makes no sense\n"),
        ("[1]\n", "Error: the broker's answer makes no sense\n"),
        ("{}\n", "Error: the broker's answer makes no sense\n"),
        ("{\"rows\":true}\nnonsense\n", "Error: the broker's answer makes no sense\n"),
        ("{\"error\":{\"kind\":\"version\",\"text\":\"older\"}}\n", "Error:\nolder\n"),
        ("{\"error\":{}}\n", "Error:\nthe broker does not say why\n"),
        ("{\"rows\":true}\n{\"error\":{\"kind\":\"unavailable\",\"text\":\"stopping\"}}\n", "Error:\nstopping\n"),
    ])
    func aStrangeAnswerIsAnError(_ text: String, _ error: String) async throws {
        let answer = try await self.ask(["list_policies", "-q"], text)
        #expect(answer.exit == 69)
        #expect(answer.error == error)
    }

    @Test func workingIsNoAnswer() async throws {
        let working = "{\"working\":true}\n"
        let done = try await self.ask(["trace_on", "-q"], working + working + "{\"done\":true}\n")
        #expect(done.exit == 0)
        let failed = try await self.ask(
            ["trace_on", "-q"],
            working + "{\"error\":{\"kind\":\"snapshot\",\"text\":\"no room\"}}\n"
        )
        #expect(failed.error == "Error:\nno room\n")
        #expect(try await self.ask(["trace_on", "-q"], working).error.hasSuffix("without an answer\n"))
    }

    @Test func aLongAnswerComesInPieces() async throws {
        let name = String(repeating: "n", count: 200_000)
        let answer = try await self.ask(
            ["list_vhosts", "-s"],
            "{\"rows\":true}\n[\"\(name)\"]\n[\"b\"]\n{\"end\":true}\n"
        )
        #expect(answer.exit == 0)
        #expect(answer.output == "\(name)\nb\n")
    }

    @Test func helpIsForPeople() async {
        let help = await CtlBroker.ctl(["help"], [:])
        #expect(help.exit == 0)
        #expect(help.output.contains("reschedule_delayed_message"))
        let nothing = await CtlBroker.ctl([], [:])
        #expect(nothing.exit == 64)
        #expect(nothing.output == "")
        #expect(nothing.error == help.output)
    }
}
