internal import PlainJSON

/// An option of a command.
struct CtlOption: Sendable {
    /// The name behind two dashes.
    let name: String
    /// A letter behind one dash.
    let short: Character?
    /// What its value is called; nil when it has none.
    let value: String?
    /// Whether the value is a whole number.
    let isNumber: Bool
    /// What it is for.
    let help: String

    init(_ name: String, short: Character? = nil, value: String? = nil, isNumber: Bool = false, help: String = "") {
        self.name = name
        self.short = short
        self.value = value
        self.isNumber = isNumber
        self.help = help
    }

    /// How it stands in a line of usage.
    var usage: String { self.value.map { "[--\(self.name) <\($0)>]" } ?? "[--\(self.name)]" }
}

/// Something that stands behind a command.
struct CtlArgument: Sendable {
    let name: String
    let help: String

    init(_ name: String, _ help: String) {
        self.name = name
        self.help = help
    }
}

/// What a command that lists can tell.
struct CtlList: Sendable {
    /// The columns that are told if none is named.
    let columns: [String]
    /// Further ones; nil when columns cannot be chosen.
    let others: [String]?
    /// Whether a virtual host that is not there has an empty list, as rabbitmqctl has it.
    let takesAnyVirtualHost: Bool

    init(_ columns: [String], others: [String]? = nil) {
        self.columns = columns
        self.others = others
        self.takesAnyVirtualHost = others != nil
    }
}

/// A command of `martlet ctl`.
struct CtlCommand: Sendable {
    /// RabbitMQ's name where it has such a command.
    let name: String
    /// One line for people.
    let abstract: String
    let options: [CtlOption]
    let arguments: [CtlArgument]
    let list: CtlList?
    /// What is said before it is known how it went.
    let banner: @Sendable (CtlInvocation) -> [String]
    /// What is said when it went well.
    let success: (@Sendable (CtlInvocation) -> String)?
    /// What the request has besides the command and the virtual host.
    let members: @Sendable (CtlInvocation) throws(CtlFailure) -> [JSONValue.Member]

    init(
        _ name: String,
        _ abstract: String,
        options: [CtlOption] = [],
        arguments: [CtlArgument] = [],
        list: CtlList? = nil,
        banner: @escaping @Sendable (CtlInvocation) -> [String],
        success: (@Sendable (CtlInvocation) -> String)? = nil,
        members: @escaping @Sendable (CtlInvocation) throws(CtlFailure) -> [JSONValue.Member] = { _ in [] }
    ) {
        self.name = name
        self.abstract = abstract
        self.options = options
        self.arguments = arguments
        self.list = list
        self.banner = banner
        self.success = success
        self.members = members
    }

    /// Options that every command takes.
    static let general = [
        CtlOption("socket", value: "path", help: "socket of the broker (default: ctl.sock in its data directory)"),
        CtlOption("data-dir", value: "directory", help: "data directory of the broker, as it was started with"),
        CtlOption("timeout", short: "t", value: "seconds", isNumber: true, help: "to wait for an answer (default: 60)"),
        CtlOption("quiet", short: "q", help: "suppress informational messages"),
        CtlOption("silent", short: "s", help: "suppress informational messages and table header row"),
        CtlOption("formatter", value: "formatter", help: "table, pretty_table, json or csv (default: table)"),
        CtlOption("no-table-headers", help: "suppress table header row"),
        CtlOption("help", short: "?", help: "displays command help"),
    ]

    /// Options of rabbitmqctl that mean nothing here.
    static let ignored = [
        CtlOption("node", short: "n", value: "node"),
        CtlOption("longnames", short: "l"),
        CtlOption("erlang-cookie", value: "cookie"),
        CtlOption("vhost", short: "p", value: "vhost"),
    ]

    /// All options that may stand with the command.
    var allOptions: [CtlOption] { self.options + Self.general + Self.ignored }

    /// The line that says how it is used.
    var usage: String {
        var words = ["martlet ctl [--socket <path>] [--data-dir <directory>] [--quiet]", self.name]
        words += self.options.map(\.usage)
        if let list = self.list {
            words.append("[--no-table-headers]")
            if list.others != nil { words.append("[<column> ...]") }
        }
        words += self.arguments.map { "<\($0.name)>" }
        return words.joined(separator: " ")
    }
}
