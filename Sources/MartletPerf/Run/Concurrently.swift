/// Runs `body` for each number, a limited number at a time, and stops at the first failure.
func concurrently(
    _ range: Range<Int>,
    limit: Int = PerfLimits.connectsAtOnce,
    _ body: @escaping @Sendable (Int) async throws(PerfFailure) -> Void
) async throws(PerfFailure) {
    do {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var running = 0
            for index in range {
                if running == limit {
                    try await group.next()
                    running -= 1
                }
                group.addTask { try await body(index) }
                running += 1
            }
            try await group.waitForAll()
        }
    } catch {
        throw error as? PerfFailure ?? .cannotRun("\(error)")
    }
}
