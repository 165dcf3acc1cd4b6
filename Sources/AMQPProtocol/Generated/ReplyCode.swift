/// The reply codes of `connection.close`, `channel.close` and `basic.return`.
public enum ReplyCode: UInt16, Hashable, Sendable, CaseIterable {
    /// The peer closes because it is done.
    case replySuccess = 200
    /// Content is too large; RabbitMQ says 406 instead.
    case contentTooLarge = 311
    /// A mandatory message could not be routed.
    case noRoute = 312
    /// An immediate message had no consumer; historic.
    case noConsumers = 313
    /// An operator closed the connection.
    case connectionForced = 320
    /// An unknown path; unused.
    case invalidPath = 402
    /// The user may not do this.
    case accessRefused = 403
    /// No such queue, exchange or binding.
    case notFound = 404
    /// Another connection holds the queue exclusively.
    case resourceLocked = 405
    /// The request contradicts the state of what it names.
    case preconditionFailed = 406
    /// A frame is malformed.
    case frameError = 501
    /// A method or table cannot be decoded.
    case syntaxError = 502
    /// A method or mechanism does not exist here.
    case commandInvalid = 503
    /// The channel is not open, or is open already.
    case channelError = 504
    /// A frame came out of order.
    case unexpectedFrame = 505
    /// The server lacks the means.
    case resourceError = 506
    /// The request is forbidden whatever the state.
    case notAllowed = 530
    /// The server does not implement this.
    case notImplemented = 540
    /// The server failed.
    case internalError = 541

    /// The name that starts a reply text, such as `PRECONDITION_FAILED`.
    public var name: String {
        switch self {
        case .replySuccess: "REPLY_SUCCESS"
        case .contentTooLarge: "CONTENT_TOO_LARGE"
        case .noRoute: "NO_ROUTE"
        case .noConsumers: "NO_CONSUMERS"
        case .connectionForced: "CONNECTION_FORCED"
        case .invalidPath: "INVALID_PATH"
        case .accessRefused: "ACCESS_REFUSED"
        case .notFound: "NOT_FOUND"
        case .resourceLocked: "RESOURCE_LOCKED"
        case .preconditionFailed: "PRECONDITION_FAILED"
        case .frameError: "FRAME_ERROR"
        case .syntaxError: "SYNTAX_ERROR"
        case .commandInvalid: "COMMAND_INVALID"
        case .channelError: "CHANNEL_ERROR"
        case .unexpectedFrame: "UNEXPECTED_FRAME"
        case .resourceError: "RESOURCE_ERROR"
        case .notAllowed: "NOT_ALLOWED"
        case .notImplemented: "NOT_IMPLEMENTED"
        case .internalError: "INTERNAL_ERROR"
        }
    }

    /// Whether the code closes the connection rather than a channel.
    public var isConnectionLevel: Bool {
        switch self {
        case .connectionForced: true
        case .invalidPath: true
        case .frameError: true
        case .syntaxError: true
        case .commandInvalid: true
        case .channelError: true
        case .unexpectedFrame: true
        case .resourceError: true
        case .notAllowed: true
        case .notImplemented: true
        case .internalError: true
        case .replySuccess: false
        case .contentTooLarge: false
        case .noRoute: false
        case .noConsumers: false
        case .accessRefused: false
        case .notFound: false
        case .resourceLocked: false
        case .preconditionFailed: false
        }
    }
}
