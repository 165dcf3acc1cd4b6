internal import BrokerCore
internal import PlainJSON

/// Turns lines of `martlet ctl` into requests, and answers into lines.
///
/// A request is an object: `version`, `command`, and members that the command needs. The answer begins with an object that
/// has `version` and one of
/// - `done`: it is carried out, on the disk too if there is one,
/// - `error`, an object of `kind` and `text`,
/// - `working`: it takes longer, and another such object follows,
/// - `rows`: lines with lists follow, one a row, and a last line with an object; that has `error` when the rows are not all.
struct ControlService: Sendable {
    /// The version of both.
    static let version: Int64 = 1

    /// Takes a part of the answer; returns when the client has taken it, or most of it.
    typealias Send = @Sendable ([UInt8]) async throws -> Void

    /// Who carries requests out.
    let administration: any BrokerAdministration

    /// The first line of an answer.
    private static func head(_ name: String, _ value: JSONValue) -> JSONValue {
        .object([.init("version", .integer(self.version)), .init(name, value)])
    }

    /// An answer that says no.
    static func failure(_ kind: String, _ text: String) -> JSONValue {
        self.head("error", ["kind": .string(kind), "text": .string(text)])
    }

    /// Answers a line.
    func answer(_ line: [UInt8], _ send: Send) async throws {
        do throws(ControlRefusal) {
            let request = try ControlRequest(line)
            switch try request.kind {
            case .change(let change):
                try await self.carryOut(change)
                try await Self.sent { try await send(Self.head("done", true).octets) }
            case .list(let list):
                try await self.tell(list, send)
            case .snapshot(let directory):
                try await self.makeSnapshot(in: directory, send)
                try await Self.sent { try await send(Self.head("done", true).octets) }
            }
        } catch {
            if let failure = error.sendFailure { throw failure }
            try await send(Self.failure(error.kind, error.text).octets)
        }
    }

    private func carryOut(_ change: AdministrationRequest) async throws(ControlRefusal) {
        if case .failed(let failure) = await self.administration.administer(change) { throw ControlRefusal(failure) }
    }

    /// Has a snapshot made, and the client know that it takes time; one that goes has it called off.
    private func makeSnapshot(in directory: String, _ send: Send) async throws(ControlRefusal) {
        var nextWord = ContinuousClock.now + ServerLimits.controlWorking
        for await step in await self.administration.snapshot(in: directory) {
            switch step {
            case .copied:
                let now = ContinuousClock.now
                guard now >= nextWord else { continue }
                nextWord = now + ServerLimits.controlWorking
                try await Self.sent { try await send(Self.head("working", true).octets) }
            case .done: return
            case .failed(let text): throw ControlRefusal("snapshot", text)
            }
        }
        throw ControlRefusal(.unavailable("the broker is stopping"))
    }

    // MARK: Lists

    private func tell(_ list: ControlList, _ send: Send) async throws(ControlRefusal) {
        var page = list
        var hasBegun = false
        while true {
            let answer = await self.administration.administer(page.request)
            if case .failed(let failure) = answer {
                guard hasBegun else { throw ControlRefusal(failure) }
                let refusal = ControlRefusal(failure)
                try await Self.sent { try await send(Self.failure(refusal.kind, refusal.text).octets) }
                return
            }
            if !hasBegun {
                hasBegun = true
                try await Self.sent { try await send(Self.head("rows", true).octets) }
            }
            var lines: [UInt8] = []
            for row in page.rows(of: answer) {
                lines += JSONValue.array(row).octets
                guard lines.count >= ServerLimits.controlWriteBytes else { continue }
                let part = lines
                try await Self.sent { try await send(part) }
                lines.removeAll()
            }
            guard let next = page.next(after: answer) else {
                lines += JSONValue.object([.init("end", true)]).octets
                let part = lines
                try await Self.sent { try await send(part) }
                return
            }
            let part = lines
            try await Self.sent { try await send(part) }
            page = next
        }
    }

    /// Sends, and has a failure of that end everything.
    private static func sent(_ body: () async throws -> Void) async throws(ControlRefusal) {
        do {
            try await body()
        } catch {
            throw ControlRefusal(sending: error)
        }
    }
}

/// Why a request is not carried out.
struct ControlRefusal: Error {
    /// A word for the program.
    let kind: String
    /// Words for a person.
    let text: String
    /// The client cannot be told anything any more.
    var sendFailure: (any Error)?

    init(_ kind: String, _ text: String) {
        self.kind = kind
        self.text = text
    }

    init(sending failure: any Error) {
        self.init("gone", "the client has gone")
        self.sendFailure = failure
    }

    init(_ failure: AdministrationFailure) {
        switch failure {
        case .noVirtualHost(let name): self.init("no-vhost", "Virtual host '\(name)' does not exist")
        case .notFound(let text): self.init("not-found", text)
        case .invalid(let text): self.init("invalid", text)
        case .limit(let text): self.init("limit", text)
        case .unavailable(let text): self.init("unavailable", text)
        }
    }
}

extension JSONValue {
    /// The value as a line of its own.
    var octets: [UInt8] {
        var octets: [UInt8] = []
        self.write(to: &octets)
        octets.append(UInt8(ascii: "\n"))
        return octets
    }
}
