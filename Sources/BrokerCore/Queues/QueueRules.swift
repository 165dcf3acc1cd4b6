/// What governs a queue and what follows from it: in memory of its own, because it is large and the same for nearly all.
struct QueueRules {
    let settings: QueueSettings
    let returnRules: ReturnRules

    private init(_ settings: QueueSettings) {
        self.settings = settings
        self.returnRules = ReturnRules(settings)
    }

    /// The rules of queues without arguments and policies, which never change or go.
    nonisolated(unsafe) private static let plain = Self.allocate(QueueSettings())

    /// Rules for settings; ``free(_:)`` gives them back.
    static func make(_ settings: QueueSettings) -> UnsafePointer<QueueRules> {
        settings == self.plain.pointee.settings ? self.plain : self.allocate(settings)
    }

    /// Nobody needs rules any more that ``make(_:)`` has made for him.
    static func free(_ rules: UnsafePointer<QueueRules>) {
        guard rules != self.plain else { return }
        let memory = UnsafeMutablePointer(mutating: rules)
        memory.deinitialize(count: 1)
        memory.deallocate()
    }

    private static func allocate(_ settings: QueueSettings) -> UnsafePointer<QueueRules> {
        let memory = UnsafeMutablePointer<QueueRules>.allocate(capacity: 1)
        memory.initialize(to: QueueRules(settings))
        return UnsafePointer(memory)
    }
}
