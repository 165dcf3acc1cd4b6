/// Why a run ended before its time.
enum PerfFailure: Error, Equatable, CustomStringConvertible {
    /// The server closed a connection or channel and said why.
    case serverClosed(scope: Scope, code: UInt16, text: String)
    /// The server cancelled a consumer, usually because its queue is gone.
    case consumerCancelled(tag: String)
    /// The socket closed without a word.
    case connectionLost(String)
    /// There is no connection to be had.
    case cannotConnect(address: String, reason: String)
    /// The server sent something that makes no sense.
    case protocolError(String)
    /// The server did not answer in time.
    case noAnswer(String)
    /// This machine refuses what the run needs.
    case cannotRun(String)

    /// What was closed.
    enum Scope: String, Sendable {
        case connection
        case channel
    }

    /// One line for a person.
    var description: String {
        switch self {
        case .serverClosed(let scope, let code, let text): "server closed the \(scope.rawValue): \(code) \(text)"
        case .consumerCancelled(let tag): "server cancelled consumer \(tag)"
        case .connectionLost(let reason): "connection lost: \(reason)"
        case .cannotConnect(let address, let reason): "cannot connect to \(address): \(reason)"
        case .protocolError(let text): "server broke the protocol: \(text)"
        case .noAnswer(let call): "no answer from the server to \(call)"
        case .cannotRun(let text): text
        }
    }

    /// The reply code of the server, if it gave one.
    var replyCode: UInt16? {
        guard case .serverClosed(_, let code, _) = self else { return nil }
        return code
    }
}
