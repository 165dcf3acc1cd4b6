internal import PlainJSON

/// A command as it was given.
struct CtlInvocation: Sendable {
    /// The command.
    let command: CtlCommand
    /// What stands behind it, options left out.
    let arguments: [String]
    /// Options by name; those without a value are empty.
    let options: [String: String]

    /// The virtual host that is meant.
    var virtualHost: String { self.options["vhost"] ?? "/" }
    /// How long to wait for an answer.
    var timeoutSeconds: Int { self.number("timeout").flatMap { Int(exactly: $0) } ?? 60 }
    /// Whether only what was asked for is told.
    var isQuiet: Bool { self.has("quiet") || self.has("silent") }
    /// How rows are told.
    var format: CtlFormat { self.options["formatter"].flatMap { CtlFormat(rawValue: $0) } ?? .table }

    /// Whether an option was given.
    func has(_ option: String) -> Bool { self.options[option] != nil }

    /// The number of an option; it was checked to be one.
    func number(_ option: String) -> Int64? { self.options[option].flatMap { Int64($0) } }

    /// An argument that is a number and not negative.
    func natural(_ index: Int) throws(CtlFailure) -> JSONValue {
        guard let number = Int64(self.arguments[index]), number >= 0 else {
            throw CtlFailure(
                .usage,
                "\(self.command.arguments[index].name) is a number that is not negative, not \(self.arguments[index])"
            )
        }
        return .integer(number)
    }

    /// The columns that are asked for.
    var columns: [String] {
        guard let list = self.command.list else { return [] }
        return self.arguments.isEmpty ? list.columns : self.arguments
    }

    /// The line for the broker.
    var request: JSONValue {
        get throws(CtlFailure) {
            var members: [JSONValue.Member] = [
                .init("version", 1), .init("command", .string(self.command.name)),
                .init("vhost", .string(self.virtualHost)),
            ]
            if self.command.list != nil {
                members.append(.init("columns", .array(self.columns.map { .string($0) })))
            }
            members += try self.command.members(self)
            return .object(members)
        }
    }
}

extension CtlInvocation {
    /// What a command line asks for.
    enum Wish {
        /// A command.
        case command(CtlInvocation)
        /// To be told about a command, or about all.
        case help(CtlCommand?)
    }

    /// Understands a command line.
    static func parse(_ words: [String]) throws(CtlFailure) -> Wish {
        let line = try CtlLine(words)
        guard let name = line.words.first else {
            guard line.options["help"] == nil else { return .help(nil) }
            throw CtlFailure(.usage, CtlHelp.overview)
        }
        if name == "help" { return .help(try line.words.dropFirst().first.map(self.known)) }
        let command = try self.known(name)
        guard line.options["help"] == nil else { return .help(command) }
        let invocation = CtlInvocation(
            command: command,
            arguments: Array(line.words.dropFirst()),
            options: line.options
        )
        try invocation.check(line, given: words)
        return .command(invocation)
    }

    private static func known(_ name: String) throws(CtlFailure) -> CtlCommand {
        if let command = CtlCommands.all.first(where: { $0.name == name }) { return command }
        throw CtlFailure(.usage, "\nCommand '\(name)' not found. \n\(CtlHelp.overview)")
    }

    private func check(_ line: CtlLine, given words: [String]) throws(CtlFailure) {
        func wrong(_ reason: String) -> CtlFailure {
            let given = words.joined(separator: " ")
            let text = "\(reason)\nArguments given:\n\t\(given)\n\n\(CtlHelp.usage(of: self.command))"
            return CtlFailure(.usage, "Error (argument validation): \(text)")
        }
        let known = Set(self.command.allOptions.map(\.name))
        var unusable = line.unusable
        for name in self.options.keys.sorted() where !known.contains(name) { unusable.append(("--\(name)", "")) }
        if let word = self.options["formatter"], CtlFormat(rawValue: word) == nil {
            unusable.append(("--formatter", word))
        }
        if let seconds = self.number("timeout"), !(1...86_400).contains(seconds) {
            unusable.append(("--timeout", "\(seconds)"))
        }
        guard unusable.isEmpty else {
            let lines = unusable.map { "\($0) : \($1)" }.joined(separator: "\n")
            throw wrong("Invalid options for this command:\n\(lines)")
        }
        if let list = self.command.list {
            guard let others = list.others else {
                guard self.arguments.isEmpty else { throw wrong("too many arguments.") }
                return
            }
            let unknown = Set(self.arguments).subtracting(list.columns + others).sorted()
            guard unknown.isEmpty else {
                throw wrong("Info key(s) \(unknown.joined(separator: ",")) are not supported")
            }
            return
        }
        let count = self.command.arguments.count
        guard self.arguments.count >= count else { throw wrong("not enough arguments.") }
        guard self.arguments.count <= count else { throw wrong("too many arguments.") }
    }
}

/// The words of a command line, sorted.
private struct CtlLine {
    /// What is no option.
    private(set) var words: [String] = []
    /// Options by name.
    private(set) var options: [String: String] = [:]
    /// Options that nobody knows, or whose value cannot be.
    private(set) var unusable: [(String, String)] = []

    init(_ given: [String]) throws(CtlFailure) {
        // Options may stand before the command, so that those of all commands are known here.
        let known = CtlCommand.general + CtlCommand.ignored + CtlCommands.all.flatMap(\.options)
        var rest = given[...]
        while let word = rest.popFirst() {
            if word == "--" {
                self.words += rest
                return
            }
            guard word.hasPrefix("-"), word.count > 1 else {
                self.words.append(word)
                continue
            }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let option = known.first { option in
                parts[0] == "--\(option.name)" || option.short.map { parts[0] == "-\($0)" } ?? false
            }
            guard let option else {
                self.unusable.append((parts[0], parts.count > 1 ? parts[1] : ""))
                continue
            }
            guard option.value != nil else {
                self.options[option.name] = ""
                continue
            }
            guard let value = parts.count > 1 ? parts[1] : rest.popFirst() else {
                self.unusable.append(("--\(option.name)", ""))
                continue
            }
            guard !option.isNumber || Int64(value) != nil else {
                self.unusable.append(("--\(option.name)", value))
                continue
            }
            self.options[option.name] = value
        }
    }
}
