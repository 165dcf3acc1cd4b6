internal import AMQPProtocol

/// The memory alarm: publishers wait while the messages of all shards together take too much.
///
/// Only content stops: a connection is blocked when it publishes, its socket is then not read; deliveries to it go on.
extension Shard {
    /// Tells the other shards when what this one holds has changed much, and looks at the alarm.
    func updateMemoryAlarm() {
        let held = self.store.heldBytes + self.ringMemory.bytes + self.assemblyBytes
        let step = max(1 << 20, Int(self.settings.memoryLimitBytes >> 7))
        guard abs(held - self.reportedHeldBytes) > step || (held < step && self.reportedHeldBytes >= step) else {
            return
        }
        self.reportedHeldBytes = held
        self.heldBytesByShard[Int(self.index)] = held
        for shard in 0..<self.count where shard != self.index {
            self.send(.memoryHeld(shard: self.index, bytes: held), to: shard)
        }
        self.updateAlarm()
    }

    /// Sets or clears the alarm.
    func updateAlarm() {
        let held = self.heldBytesByShard.reduce(0, +)
        let isOver = UInt64(clamping: held) > self.settings.memoryLimitBytes
        guard isOver != self.isAlarmed else { return }
        self.isAlarmed = isOver
        if self.index == 0 {
            self.log(
                .warning,
                "default",
                isOver
                    ? "memory resource limit alarm set on node \(self.settings.clusterName)"
                    : "memory resource limit alarm cleared on node \(self.settings.clusterName)"
            )
        }
        guard !isOver else { return }
        for connection in self.connections {
            guard let connection, connection.pointee.pause.contains(.alarm) else { continue }
            if connection.pointee.isBlockedNotified {
                connection.pointee.isBlockedNotified = false
                self.sendMethod(ConnectionUnblocked(), connection, channel: 0)
            }
            self.setPause(connection, .alarm, false)
        }
    }

    /// A connection publishes: while the alarm holds it is blocked, and told so if it wants to know.
    @inline(__always)
    func notePublisher(_ connection: UnsafeMutablePointer<ConnectionState>) {
        if self.isAlarmed {
            self.block(connection)
        }
    }

    @inline(never)
    private func block(_ connection: UnsafeMutablePointer<ConnectionState>) {
        guard !connection.pointee.pause.contains(.alarm) else { return }
        if connection.pointee.notifiesBlocked {
            connection.pointee.isBlockedNotified = true
            self.sendMethod(ConnectionBlocked(reason: "low on memory"), connection, channel: 0)
        }
        self.setPause(connection, .alarm, true)
    }
}
