import Foundation
import Testing

/// Command lines that were recorded with rabbitmqctl 3.10.8, given to a broker of ours in the same order.
@Suite struct CtlRecordingTests {
    /// What is different on purpose, with the reason.
    private static let decisions: [String: String] = [
        "set_policy bad x []": "RabbitMQ crashes",
        "set_policy bad x {\"max-length\":10} --apply-to classic_queues": "a word of later versions, which we take",
        "set_operator_policy bad x {\"overflow\":\"x\"}": "a key of later versions, which we take, and check",
        "set_operator_policy bad x {\"overflow\":\"reject-publish\"}": "a key of later versions, which we take",
        "list_policies --formatter bogus": "RabbitMQ crashes",
        "set_policy re1 (a)\\1 {\"max-length\":1}": "no automaton can do back references: refused",
        "set_policy re5 (?>a) {\"max-length\":1}": "no automaton can do atomic groups: refused",
    ]

    private static let commands: Set<String> = [
        "set_policy", "list_policies", "clear_policy", "set_operator_policy", "list_operator_policies",
        "clear_operator_policy",
    ]

    /// The lines of a list come in another order with every RabbitMQ.
    private static func comparable(_ output: String, of words: [String]) -> [Substring] {
        let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
        guard words[0].hasPrefix("list_") else { return lines }
        return lines.map { $0.hasPrefix(",") ? $0.dropFirst() : $0 }.filter { line in
            !["/\tre1\t", "/\tre5\t"].contains { line.hasPrefix($0) }
        }.sorted()
    }

    /// How a command is used is another program's; terms are broken into lines at other places.
    private static func comparable(error: String) -> String {
        let text = error.replacingOccurrences(of: "\u{1b}[1m", with: "").components(separatedBy: "Usage")[0]
        return text.replacing(/,\n +/, with: ",")
    }

    @Test func policiesAreAsRecorded() async throws {
        try await CtlBroker.run { broker in
            var compared = 0
            for file in ["rabbitmqctl-policies.txt", "rabbitmqctl-more.txt"] {
                for recording in try Recording.all(file) where Self.commands.contains(recording.arguments[0]) {
                    let line = recording.arguments.joined(separator: " ")
                    guard Self.decisions[line] == nil else { continue }
                    let answer = await broker.ctl(recording.arguments)
                    #expect(answer.exit == recording.exit, "\(line)")
                    #expect(
                        Self.comparable(answer.output, of: recording.arguments)
                            == Self.comparable(recording.output, of: recording.arguments),
                        "\(line)"
                    )
                    #expect(Self.comparable(error: answer.error) == Self.comparable(error: recording.error), "\(line)")
                    compared += 1
                }
            }
            #expect(compared > 70)
        }
    }
}
