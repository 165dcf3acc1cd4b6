/// Writes the enum of reply codes.
enum ReplyCodeEmitter {
    /// The file.
    static func file(for tables: SpecTables) -> String {
        var source = SourceText(from: "Spec/amqp-0-9-1.json")
        source.doc("The reply codes of `connection.close`, `channel.close` and `basic.return`.")
        source.block("public enum ReplyCode: UInt16, Hashable, Sendable, CaseIterable") { source in
            for row in tables.replyCodes {
                source.doc(row.about)
                source.line("case \(SwiftName.constant(row.name)) = \(row.code)")
            }
            source.line()
            source.doc("The name that starts a reply text, such as `PRECONDITION_FAILED`.")
            source.block("public var name: String") { source in
                source.block("switch self") { source in
                    for row in tables.replyCodes {
                        source.line("case .\(SwiftName.constant(row.name)): \"\(row.name)\"")
                    }
                }
            }
            source.line()
            source.doc("Whether the code closes the connection rather than a channel.")
            source.block("public var isConnectionLevel: Bool") { source in
                source.block("switch self") { source in
                    for row in tables.replyCodes {
                        source.line("case .\(SwiftName.constant(row.name)): \(row.level == .connection)")
                    }
                }
            }
        }
        return source.text
    }
}
