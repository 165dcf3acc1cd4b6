/// When the log is synced, and so what a confirm promises.
public enum SyncPolicy: Hashable, Sendable {
    /// Before `onCommitted`: what was confirmed survives a loss of power. The default.
    case always

    /// So long after a write at the latest.
    ///
    /// What was confirmed survives the process being killed; a loss of power costs at most what was confirmed during that
    /// time before it.
    case interval(milliseconds: Int)

    /// When a file is full, and at a clean stop.
    ///
    /// What was confirmed survives the process being killed; a loss of power may cost whatever the system had not written.
    case never
}

/// What a log writer can be told.
public struct LogWriterOptions: Hashable, Sendable {
    /// When to sync.
    public var policy: SyncPolicy

    /// How long a full disk is left alone before the next try.
    public var fullRetryMilliseconds: Int

    /// The defaults.
    public init(policy: SyncPolicy = .always, fullRetryMilliseconds: Int = 250) {
        self.policy = policy
        self.fullRetryMilliseconds = fullRetryMilliseconds
    }
}
