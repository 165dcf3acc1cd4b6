/// What can happen to a broker and its disk besides what clients do; each seed switches some of it off.
package enum Fault: String, CaseIterable, Hashable, Sendable {
    /// The process is killed: what was written stays.
    case kill
    /// Power goes: of what was not synced any part is lost, of renamed and removed files, too.
    case powerLoss = "power loss"
    /// Either of these in the middle of writing, syncing or releasing.
    case inCommit = "in a commit"
    /// …while one log file takes over from another.
    case inFileChange = "in a change of files"
    /// …while a trim is under way.
    case inTrim = "in a trim"
    /// …while a start reads what the last end has left.
    case inRecovery = "in recovery"
    /// …right after a start.
    case twice = "twice in a row"
    /// The broker stops in good order, and is started again.
    case cleanStop = "clean stop"
    /// A sync fails: nothing more is confirmed, the broker ends.
    case syncError = "sync error"
    /// Something else with files fails: the same.
    case fileError = "file error"
    /// There is no room for a while.
    case fullDisk = "full disk"
    /// Nothing is committed for a while.
    case slowDisk = "slow disk"
    /// Nothing can be read from log and scratch files for a while.
    case readError = "read error"
    /// What is live is told again, and older files go.
    case trim
}
