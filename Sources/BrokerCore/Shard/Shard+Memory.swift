/// The memory alarm: publishers wait while the messages of all shards together take too much.
extension Shard {
    /// Tells the other shards when what this one holds has changed much, and looks at the alarm.
    func updateMemoryAlarm() {
        let messages = self.store.heldBytes + self.ringMemory.bytes + self.assemblyBytes
        let held = messages + self.delays.wheel.heldBytes + self.windows.bytes
        let step = max(1 << 20, Int(self.settings.memoryLimitBytes >> 7))
        guard abs(held - self.reportedHeldBytes) > step || (held < step && self.reportedHeldBytes >= step) else {
            return
        }
        self.reportedHeldBytes = held
        self.heldBytesByShard[Int(self.index)] = held
        for shard in 0..<self.count where shard != self.index {
            self.send(.memoryHeld(shard: self.index, bytes: held), to: shard)
        }
        self.judgeMemory()
    }

    /// Sets or clears the alarm.
    ///
    /// It ends a sixteenth below the limit: publishers who are let go by every message less would be stopped by the next.
    func judgeMemory() {
        let held = UInt64(clamping: self.heldBytesByShard.reduce(0, +))
        let limit = self.settings.memoryLimitBytes
        let isOver = self.alarms.contains(.memory) ? held > limit - limit >> 4 : held > limit
        guard isOver != self.alarms.contains(.memory) else { return }
        self.setAlarm(.memory, isOver)
    }
}
