/// Octets of memory that count for the alarm.
struct HeldMemory: Equatable, Sendable {
    /// Messages, and what is remembered of them.
    var messages = 0
    /// Bodies that have arrived in part.
    var bodies = 0

    var all: Int { self.messages + self.bodies }
}

/// The memory alarm: publishers wait while the messages of all shards together take too much.
extension Shard {
    /// Tells the other shards when what this one holds has changed much, and looks at the alarm.
    func updateMemoryAlarm() {
        let messages =
            self.store.heldBytes + self.ringMemory.bytes + self.delays.wheel.heldBytes + self.windows.bytes
            + self.store.unreadCount * MessageStore.unreadBytes
        let held = HeldMemory(messages: messages, bodies: self.assemblyBytes)
        let told = self.heldByShard[Int(self.index)]
        let step = self.memoryStep
        let isLess = held.all < step && told.all >= step
        if abs(held.messages - told.messages) > step || abs(held.all - told.all) > step || isLess {
            self.heldByShard[Int(self.index)] = held
            for shard in 0..<self.count where shard != self.index {
                self.send(.memoryHeld(shard: self.index, held), to: shard)
            }
            self.judgeMemory()
        }
        if self.isAlarmed {
            self.completeBegunBodies()
        }
    }

    /// A change that is not told.
    ///
    /// During the alarm it is little: what all shards together have not told must not keep the alarm.
    private var memoryStep: Int {
        let limit = self.settings.memoryLimitBytes
        guard self.alarms.contains(.memory) else { return max(1 << 20, Int(clamping: limit >> 7)) }
        return max(4096, Int(clamping: min(limit >> 7, (limit >> 5) / UInt64(self.count))))
    }

    /// Sets or clears the alarm.
    ///
    /// It ends a sixteenth below the limit: publishers who are let go by every message less would be stopped by the next.
    func judgeMemory() {
        let held = UInt64(clamping: self.heldByShard.reduce(0) { $0 + $1.all })
        let limit = self.settings.memoryLimitBytes
        let isOver = self.alarms.contains(.memory) ? held > limit - limit >> 4 : held > limit
        guard isOver != self.alarms.contains(.memory) else { return }
        self.setAlarm(.memory, isOver)
    }
}
