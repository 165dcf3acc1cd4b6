internal import PlainJSON

/// `martlet ctl`: asks a running broker by its socket, in the words of rabbitmqctl.
public struct ControlCommandLine {
    private let environment: [String: String]
    private let defaultDataDirectory: String?
    private let output: (String) -> Void
    private let error: (String) -> Void

    /// The name of a broker's socket in its data directory.
    public static let socketName = "ctl.sock"
    /// The environment variable that names the socket.
    public static let socketVariable = "MARTLET_CTL_SOCKET"
    /// The environment variable that names the data directory.
    public static let dataDirectoryVariable = "MARTLET_DATA_DIR"

    /// Makes a command line; `output` and `error` get what is to be written.
    public init(
        environment: [String: String],
        defaultDataDirectory: String?,
        output: @escaping (String) -> Void,
        error: @escaping (String) -> Void
    ) {
        self.environment = environment
        self.defaultDataDirectory = defaultDataDirectory
        self.output = output
        self.error = error
    }

    /// Carries out a command; returns what the process shall say at its end.
    public func run(_ arguments: [String]) -> Int32 {
        do throws(CtlFailure) {
            switch try CtlInvocation.parse(arguments) {
            case .help(let command):
                self.output((command.map { CtlHelp.text(of: $0) } ?? CtlHelp.overview) + "\n")
            case .command(let invocation):
                try self.run(invocation)
            }
            return 0
        } catch {
            self.error(error.text + "\n")
            return error.exit.rawValue
        }
    }

    private func run(_ invocation: CtlInvocation) throws(CtlFailure) {
        let isSilent = invocation.isQuiet || invocation.format.isForPrograms
        let banner = isSilent ? "" : invocation.command.banner(invocation).map { $0 + "\n" }.joined()
        let request: JSONValue
        do throws(CtlFailure) {
            request = try invocation.request
        } catch {
            if error.exit != .usage { self.output(banner) }
            throw error.named
        }
        var connection = try CtlConnection(try self.socket(invocation), timeoutSeconds: invocation.timeoutSeconds)
        self.output(banner)
        try connection.send(request.line)
        var head = try Self.object(connection.line())
        // It takes longer; the broker says so before we lose patience.
        while head["working"] != nil { head = try Self.object(connection.line()) }
        if let failure = head["error"] {
            let failure = Self.failure(failure)
            guard failure.exit == .data, invocation.command.list?.takesAnyVirtualHost == true else { throw failure }
            self.error("Warning: \(failure.text)\n")
            self.printer(invocation).end()
        } else if head["rows"] != nil {
            try self.print(invocation, &connection)
        } else if head["done"] != nil {
            self.done(invocation)
        } else {
            throw Self.senseless
        }
    }

    private func done(_ invocation: CtlInvocation) {
        let text = invocation.command.success?(invocation)
        guard invocation.format == .json else {
            if let text { self.output(text + "\n") }
            return
        }
        var members: [JSONValue.Member] = [.init("result", "ok")]
        if let text { members.append(.init("value", .string(text))) }
        self.output(JSONValue.object(members).line + "\n")
    }

    private func printer(_ invocation: CtlInvocation) -> CtlPrinter {
        CtlPrinter(
            invocation.format,
            columns: invocation.columns,
            hasHeader: !invocation.has("silent") && !invocation.has("no-table-headers"),
            write: self.output
        )
    }

    private func print(_ invocation: CtlInvocation, _ connection: inout CtlConnection) throws(CtlFailure) {
        var printer = self.printer(invocation)
        while let line = try connection.line() {
            guard let value = try? JSONValue(parsing: line) else { throw Self.senseless }
            if let row = value.items {
                printer.add(row)
                continue
            }
            if let failure = value["error"] { throw Self.failure(failure) }
            printer.end()
            return
        }
        throw CtlFailure(.unavailable, "Error: the broker has gone before it had told everything")
    }

    // MARK: Answers

    private static let senseless = CtlFailure(.unavailable, "Error: the broker's answer makes no sense")

    private static func object(_ line: [UInt8]?) throws(CtlFailure) -> JSONValue {
        guard let line else { throw CtlFailure(.unavailable, "Error: the broker has gone without an answer") }
        guard let value = try? JSONValue(parsing: line), case .object = value else { throw self.senseless }
        return value
    }

    private static func failure(_ failure: JSONValue) -> CtlFailure {
        let text = failure["text"]?.text ?? "the broker does not say why"
        return failure["kind"]?.text == "no-vhost" ? CtlFailure(.data, text) : CtlFailure(.unavailable, text).named
    }

    // MARK: Where the broker is

    private func socket(_ invocation: CtlInvocation) throws(CtlFailure) -> String {
        if let path = invocation.options["socket"] { return path }
        if let directory = invocation.options["data-dir"] { return Self.socket(in: directory) }
        if let path = self.environment[Self.socketVariable], !path.isEmpty { return path }
        if let directory = self.environment[Self.dataDirectoryVariable], !directory.isEmpty {
            return Self.socket(in: directory)
        }
        guard let directory = self.defaultDataDirectory else {
            throw CtlFailure(.usage, "Error: say where the broker is: --data-dir DIRECTORY or --socket PATH")
        }
        return Self.socket(in: directory)
    }

    /// The socket of a broker with a data directory.
    public static func socket(in directory: String) -> String {
        directory.hasSuffix("/") ? directory + self.socketName : "\(directory)/\(self.socketName)"
    }
}

extension CtlFailure {
    /// As rabbitmqctl says it when the broker has refused.
    fileprivate var named: CtlFailure {
        self.exit == .unavailable ? CtlFailure(.unavailable, "Error:\n\(self.text)") : self
    }
}
