import Foundation
import PlainJSON
import Testing

@testable import MartletCtl

/// Understanding command lines as rabbitmqctl does.
@Suite struct CtlInvocationTests {
    private func invocation(_ words: [String]) throws -> CtlInvocation {
        guard case .command(let invocation) = try CtlInvocation.parse(words) else {
            throw CtlFailure(.usage, "no command")
        }
        return invocation
    }

    @Test(arguments: [
        ["set_policy", "-p", "v", "--priority", "-3", "--apply-to", "queues", "n", "^q", "{\"max-length\":1}"],
        ["-p", "v", "set_policy", "n", "--priority=-3", "^q", "{\"max-length\":1}", "--apply-to=queues", "-q"],
        ["--vhost=v", "-n", "rabbit@host", "-l", "set_policy", "n", "^q", "{\"max-length\":1}", "--priority", "-3"]
            + ["--apply-to", "queues", "--silent"],
        ["set_policy", "--vhost", "v", "--priority", "-3", "--apply-to", "queues", "--", "n", "^q"]
            + ["{\"max-length\":1}"],
    ])
    func optionsStandAnywhere(_ words: [String]) throws {
        let request = try self.invocation(words).request
        #expect(
            request.line
                == #"{"version":1,"command":"set_policy","vhost":"v","name":"n","pattern":"^q","#
                + #""definition":{"max-length":1},"priority":-3,"apply_to":"queues"}"#
        )
    }

    @Test func whatIsNotGivenHasDefaults() throws {
        let invocation = try self.invocation(["set_policy", "n", "", "{}"])
        #expect(
            try invocation.request.line
                == #"{"version":1,"command":"set_policy","vhost":"/","name":"n","pattern":"","#
                + #""definition":{},"priority":0,"apply_to":"all"}"#
        )
        #expect(!invocation.isQuiet)
        #expect(invocation.timeoutSeconds == 60)
        #expect(try self.invocation(["list_queues"]).columns == ["name", "messages"])
        #expect(try self.invocation(["list_queues", "policy", "name"]).columns == ["policy", "name"])
    }

    @Test func delayedMessagesAreNamedByNumber() throws {
        #expect(
            try self.invocation(["reschedule_delayed_message", "12", "0"]).request.line
                == #"{"version":1,"command":"reschedule_delayed_message","vhost":"/","id":12,"delay":0}"#
        )
        #expect(
            try self.invocation(["list_delayed_messages", "--limit", "5", "-p", "v"]).request["limit"]?.integer == 5
        )
        #expect(
            try self.invocation(["cancel_delayed_message", "-p", "v", "7@a@b"]).request.line
                == #"{"version":1,"command":"cancel_delayed_message","vhost":"v","id":7,"queue":"a@b"}"#
        )
        for words in [
            ["cancel_delayed_message", "x"], ["cancel_delayed_message", "--", "-1"], ["cancel_delayed_message", "@q"],
        ] {
            #expect(throws: CtlFailure.self) { try self.invocation(words).request }
        }
    }

    @Test func anAlterationIsAnObject() throws {
        #expect(
            try self.invocation(["alter_queue", "-p", "v", "q", #"{"x-max-priority": 5, "x-max-length": null}"#])
                .request.line
                == #"{"version":1,"command":"alter_queue","vhost":"v","name":"q","#
                + #""arguments":{"x-max-priority":5,"x-max-length":null}}"#
        )
        for arguments in ["[]", "{", "", "5"] {
            #expect(throws: CtlFailure.self) { try self.invocation(["alter_queue", "q", arguments]).request }
        }
    }

    @Test func explainAsksAboutAMessage() throws {
        #expect(
            try self.invocation(["explain"]).request.line
                == #"{"version":1,"command":"explain","vhost":"/","columns":["what","name","verdict","reason"],"#
                + #""exchange":"","routing_key":"","mandatory":false,"persistent":false,"bytes":0}"#
        )
        let words = ["--exchange", "e", "--routing-key=k", "--headers", #"{"a":1}"#, "--user", "u", "--mandatory"]
        let request = try self.invocation(["explain"] + words).request
        #expect(request["exchange"] == "e" && request["routing_key"] == "k" && request["user"] == "u")
        #expect(request["headers"] == ["a": 1] && request["mandatory"] == true)
        for headers in ["[]", "{", ""] {
            #expect(throws: CtlFailure.self) { try self.invocation(["explain", "--headers", headers]).request }
        }
        #expect(try self.invocation(["list_unroutable", "--limit", "-1"]).request["limit"] == 0)
    }

    /// What rabbitmqctl says of a command line that makes no sense, down to the line that says how it is used.
    @Test(arguments: [
        ["set_policy", "bad", "x", "{\"max-length\":10}", "--priority", "abc"],
        ["set_policy", "bad", "x", "{\"max-length\":10}", "--priority", "1.5"],
        ["set_policy", "bad", "x"],
        ["set_policy", "bad", "x", "{\"max-length\":10}", "extra"],
        ["set_policy", "--bogus", "a", "b", "{\"max-length\":1}"],
        ["list_queues", "bogus"],
        ["bogus_command"],
    ])
    func mistakesAreNamedAsRecorded(_ words: [String]) throws {
        let recording = try #require(
            try Recording.all("rabbitmqctl-policies.txt").first { $0.arguments == words }
        )
        let failure = #expect(throws: CtlFailure.self) { try CtlInvocation.parse(words) }
        #expect(failure?.exit.rawValue == recording.exit)
        let expected = recording.error.components(separatedBy: "\u{1b}[1mUsage")[0]
        #expect(!expected.isEmpty)
        #expect(failure?.text.components(separatedBy: "Usage")[0] == expected)
    }

    @Test(arguments: [
        [], ["list_policies", "--formatter", "bogus"], ["list_policies", "extra"], ["list_queues", "-t", "0"],
        ["list_queues", "--priority", "1"], ["clear_policy"], ["clear_policy", "a", "b"], ["set_policy", "--vhost"],
        ["help", "nothing"],
    ])
    func otherMistakesHaveTheSameExitCode(_ words: [String]) {
        let failure = #expect(throws: CtlFailure.self) { try CtlInvocation.parse(words) }
        #expect(failure?.exit == .usage)
    }

    @Test(arguments: [["help"], ["--help"], ["-?"]])
    func helpTellsOfAllCommands(_ words: [String]) throws {
        guard case .help(nil) = try CtlInvocation.parse(words) else {
            Issue.record("no help")
            return
        }
        for command in CtlCommands.all { #expect(CtlHelp.overview.contains(command.name)) }
    }

    @Test(arguments: [["help", "list_queues"], ["list_queues", "--help"]])
    func helpTellsOfACommand(_ words: [String]) throws {
        guard case .help(let command?) = try CtlInvocation.parse(words) else {
            Issue.record("no help")
            return
        }
        let text = CtlHelp.text(of: command)
        #expect(text.contains("effective_policy_definition"))
        #expect(text.contains("--data-dir"))
    }

    @Test func everyCommandHasAWordOfItsOwn() {
        #expect(Set(CtlCommands.all.map(\.name)).count == CtlCommands.all.count)
        // Options may stand before the command, so that a name must mean the same everywhere.
        for command in CtlCommands.all {
            let names = command.options.map(\.name) + CtlCommand.general.map(\.name)
            #expect(Set(names).count == names.count)
        }
    }
}
