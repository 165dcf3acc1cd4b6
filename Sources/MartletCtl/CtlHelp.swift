/// What people are told about commands.
enum CtlHelp {
    /// All commands.
    static var overview: String {
        let width = CtlCommands.all.map(\.name.count).max() ?? 0
        let lines = CtlCommands.all.map { command in
            "   \(command.name)\(String(repeating: " ", count: width - command.name.count + 3))\(command.abstract)"
        }
        return """

            Usage

            martlet ctl [--socket <path>] [--data-dir <directory>] [--quiet] <command> [<command options>]

            Available commands:

            \(lines.joined(separator: "\n"))

            Use 'martlet ctl help <command>' to learn more about a specific command
            """
    }

    /// How a command is used.
    static func usage(of command: CtlCommand) -> String { "Usage\n\n\(command.usage)" }

    /// Everything about a command.
    static func text(of command: CtlCommand) -> String {
        var parts = ["", self.usage(of: command), "", "\(command.abstract).", ""]
        for argument in command.arguments {
            parts += ["<\(argument.name)>", "\t\(argument.help)", ""]
        }
        if let list = command.list {
            parts += ["Columns: \(list.columns.joined(separator: ", "))", ""]
            if let others = list.others, !others.isEmpty {
                parts += ["Further columns: \(others.joined(separator: ", "))", ""]
            }
        }
        for option in command.options where !option.help.isEmpty { parts += self.lines(option) }
        parts += ["General Options", ""]
        for option in CtlCommand.general { parts += self.lines(option) }
        parts += ["MARTLET_CTL_SOCKET and MARTLET_DATA_DIR stand for --socket and --data-dir."]
        return parts.joined(separator: "\n")
    }

    private static func lines(_ option: CtlOption) -> [String] {
        let short = option.short.map { "-\($0), " } ?? ""
        let value = option.value.map { " <\($0)>" } ?? ""
        return ["\(short)--\(option.name)\(value)", "\t\(option.help)", ""]
    }
}
