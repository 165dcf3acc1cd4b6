internal import NIOCore
internal import Synchronization

/// What other loops may hold of a loop: a place to leave batches.
///
/// Batches of one sender arrive in the order they were posted. However many are posted before the loop comes round, it is
/// woken once.
final class Mailbox<Batch: Sendable>: Sendable {
    private struct State {
        var batches: [Batch] = []
        var isScheduled = false
        var receive: (@Sendable ([Batch]) -> Void)?
    }

    private let eventLoop: any EventLoop
    private let state = Mutex(State())

    /// Makes the mailbox of `eventLoop`; what is posted waits until ``open(_:)``.
    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// Sets who reads the mailbox; called on its loop with everything that came since the last call.
    func open(_ receive: @escaping @Sendable ([Batch]) -> Void) {
        let mustWake = self.state.withLock { state in
            state.receive = receive
            guard !state.batches.isEmpty, !state.isScheduled else { return false }
            state.isScheduled = true
            return true
        }
        if mustWake { self.wake() }
    }

    /// Leaves a batch; callable from any thread.
    func post(_ batch: Batch) {
        let mustWake = self.state.withLock { state in
            state.batches.append(batch)
            guard state.receive != nil, !state.isScheduled else { return false }
            state.isScheduled = true
            return true
        }
        if mustWake { self.wake() }
    }

    /// Drops the reader and what waits.
    func close() {
        self.state.withLock { state in
            state.receive = nil
            state.batches = []
        }
    }

    private func wake() {
        self.eventLoop.execute {
            let (batches, receive) = self.state.withLock { state in
                let batches = state.batches
                state.batches = []
                state.isScheduled = false
                return (batches, state.receive)
            }
            if !batches.isEmpty { receive?(batches) }
        }
    }
}
