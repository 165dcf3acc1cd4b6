/// How important a line in the log is.
public enum LogLevel: Sendable {
    /// For developers.
    case debug
    /// Normal life: connections come and go.
    case info
    /// Something an operator may want to look at.
    case warning
    /// Something failed.
    case error
}

/// Something the core wants done outside of it; rare, never per message.
public enum ShardEffect: Sendable {
    /// Close the socket once everything written so far is sent, `afterMilliseconds` from now.
    ///
    /// The driver then calls ``Shard/connectionLost(_:now:)``. If the peer does not take the rest within
    /// `afterMilliseconds` plus three seconds the socket is closed all the same.
    case close(ConnectionID, afterMilliseconds: UInt64)
    /// Stop (`false`) or resume (`true`) reading from the socket.
    case setReading(ConnectionID, Bool)
    /// Write a line to the log, category `connection`, `channel`, `queue` or `default`.
    case log(LogLevel, category: String, String)
    /// Tell the operator who asked with this ticket; see ``Shard/administer(_:ticket:now:)``.
    case answer(UInt64, AdministrationAnswer)
}
