internal import AMQPProtocol

// Bodies that have begun when the memory alarm comes must not be what keeps it: they take memory until they are complete,
// and only complete messages leave memory.
//
// 1. During the memory alarm, and only that one, connections that are in the middle of bodies *go on*, a few at a time in
//    the order in which they were held up: as many as have a quarter of the shard's share of the limit to come, or one.
// 2. They go on as without an alarm, other channels included, for what lies between two frames of a body in the stream
//    must be taken to get at the second one. What has begun by then is counted; when that is complete the connection is
//    blocked like any other.
// 3. Nobody goes on while complete messages alone reach the limit: those have to leave memory first, to consumers or to
//    disk. So memory stays below the limit, that quarter of it, and a connection's bodies for each shard.
// 4. A connection that goes on and begins ever more bodies without completing them is closed: ``ShardLimits/begunBodies``.

/// Connections that complete their bodies during the memory alarm.
struct BegunBodies {
    /// Those that go on, in the order in which they began to.
    var connections: [ConnectionID] = []
    /// Octets of their bodies, when they are complete.
    var bytes = 0
    /// Nobody goes on: complete messages take all the memory there is, or the disk is full as well.
    var areHeld = true
    /// Somebody may be let go: a body is complete, or a connection is held up in the middle of one.
    var isLookDue = false
}

extension Shard {
    /// Whether a connection takes whatever comes although there is an alarm.
    func goesOn(_ connection: UnsafeMutablePointer<ConnectionState>) -> Bool {
        connection.pointee.begunBodies > 0 && !self.begun.areHeld && self.alarms == .memory
    }

    /// Lets connections go on that are held up in the middle of bodies, as many as may.
    ///
    /// At the end of a turn; ``runLocalCommands()`` must follow.
    @inline(never)
    func completeBegunBodies() {
        let wasHeld = self.begun.areHeld
        let messages = UInt64(clamping: self.heldByShard.reduce(0) { $0 + $1.messages })
        self.begun.areHeld = self.alarms != .memory || messages > self.settings.memoryLimitBytes
        let isDue = wasHeld || self.begun.isLookDue
        self.begun.isLookDue = false
        guard isDue, !self.begun.areHeld else { return }
        self.chooseBegunBodies()
        var waiting: [ChannelAddress] = []
        let parked = self.parkedChannels
        for address in parked {
            guard let channel = self.channel(address), !channel.pointee.parked.isEmpty else { continue }
            guard channel.pointee.connection.pointee.begunBodies > 0 else {
                waiting.append(address)
                continue
            }
            self.goOn(channel)
        }
        self.parkedChannels = waiting
        for id in self.begun.connections {
            if let connection = self.connection(id) { self.setPause(connection, .alarm, false) }
        }
    }

    private func chooseBegunBodies() {
        let allowance = Int(clamping: self.settings.memoryLimitBytes / 4 / UInt64(self.count))
        for address in self.parkedChannels where self.begun.connections.isEmpty || self.begun.bytes < allowance {
            guard let connection = self.channel(address)?.pointee.connection, connection.pointee.openBodies > 0,
                connection.pointee.begunBodies == 0
            else { continue }
            for channel in connection.pointee.channels.all
            where channel.pointee.content.phase == .body && !channel.pointee.content.isOverflown {
                channel.pointee.content.isCounted = true
                connection.pointee.begunBodies += 1
                self.begun.bytes += channel.pointee.content.bodySize
            }
            if connection.pointee.begunBodies > 0 {
                self.begun.connections.append(connection.pointee.id)
            }
        }
    }

    /// A counted body is complete, or given up.
    @inline(never)
    func endBegunBody(_ channel: UnsafeMutablePointer<ChannelState>) {
        let connection = channel.pointee.connection
        channel.pointee.content.isCounted = false
        self.begun.bytes -= channel.pointee.content.bodySize
        self.begun.isLookDue = true
        connection.pointee.begunBodies -= 1
        guard connection.pointee.begunBodies == 0 else { return }
        self.begun.connections.removeAll { $0 == connection.pointee.id }
        self.updateWindowPause(connection)
    }

    /// The alarm has ended: all go on.
    func forgetBegunBodies() {
        for id in self.begun.connections {
            guard let connection = self.connection(id) else { continue }
            connection.pointee.begunBodies = 0
            for channel in connection.pointee.channels.all {
                channel.pointee.content.isCounted = false
            }
        }
        self.begun = BegunBodies()
    }

    /// Whether a connection that goes on has too much in bodies that have begun; then it is closed.
    @inline(never)
    func refuseBegunBodies(_ channel: UnsafeMutablePointer<ChannelState>) -> Bool {
        let connection = channel.pointee.connection
        guard self.goesOn(connection) else { return false }
        let held = connection.pointee.channels.all.reduce(0) { $0 + $1.pointee.content.heldBytes }
        let most = max(self.settings.memoryLimitBytes, self.settings.maxMessageBytes) * ShardLimits.begunBodies
        guard UInt64(clamping: held) > most else { return false }
        self.closeConnection(
            connection,
            .resourceError,
            "memory alarm: bodies of \(held) octets have begun and none is complete",
            BasicPublish.id
        )
        return true
    }
}
