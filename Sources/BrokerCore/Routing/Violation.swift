import AMQPProtocol

/// A peer broke a rule: how far the damage goes, and what it is told.
///
/// The explanation comes without the reply code's name; whoever writes the close method puts `NAME - ` in front of it
/// and cuts the result to the 255 octets of a short string.
enum Violation: Error, Equatable, Sendable {
    /// Ends the channel with `channel.close`; the connection goes on.
    case channel(ReplyCode, text: ReplyText, method: MethodID)
    /// Ends the connection with `connection.close`.
    case connection(ReplyCode, text: ReplyText, method: MethodID)

    /// What the peer is told.
    var text: ReplyText {
        switch self {
        case .channel(_, let text, _), .connection(_, let text, _): text
        }
    }
}
