import Synchronization

/// A value that changes on other threads and that a test waits for, without asking again and again.
///
/// A wait ends with `CancellationError` when the test is out of time.
final class Watched<Value: Sendable>: Sendable {
    private struct State {
        var value: Value
        /// Counts changes, so that one between looking and waiting is not missed.
        var changes: UInt64 = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>

    init(_ value: Value) {
        self.state = Mutex(State(value: value))
    }

    /// The value now.
    var value: Value { self.state.withLock { $0.value } }

    /// Changes the value and wakes whoever waits.
    func update(_ change: (inout Value) -> Void) {
        let waiting = self.state.withLock { state in
            change(&state.value)
            state.changes += 1
            let waiting = state.waiting
            state.waiting = []
            return waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Waits until `look` finds what it wants; it may take it out of the value.
    func wait<Result: Sendable>(_ look: (inout Value) -> Result?) async throws -> Result {
        while true {
            let (result, changes) = self.state.withLock { state in (look(&state.value), state.changes) }
            if let result { return result }
            try Task.checkCancellation()
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isLate = self.state.withLock { state in
                        guard state.changes == changes else { return true }
                        state.waiting.append(continuation)
                        return false
                    }
                    if isLate { continuation.resume() }
                }
            } onCancel: {
                self.update { _ in }
            }
        }
    }
}
