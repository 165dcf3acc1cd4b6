/// The windows of publishers: octets that other shards and the log have not taken yet.
///
/// Each connection has one of its own. When all of a shard together have much under way, as with a slow disk, each gets
/// a small one, so that their number does not decide how much memory waits for the disk.
extension Shard {
    /// Counts octets against a connection's window.
    @inline(__always)
    func takeCredit(_ connection: UnsafeMutablePointer<ConnectionState>, _ bytes: Int) {
        self.outstandingBytes &+= bytes
        connection.pointee.outstandingBytes &+= bytes
        if self.outstandingBytes > ShardLimits.publisherWindowBytesOfAll {
            self.publisherWindowBytes = ShardLimits.smallPublisherWindowBytes
        }
        if connection.pointee.outstandingBytes > self.publisherWindowBytes {
            self.updateWindowPause(connection)
        }
    }

    /// Octets of a connection's publishes have been taken.
    func returnCredit(_ id: ConnectionID, _ bytes: Int) {
        self.outstandingBytes -= bytes
        if self.outstandingBytes <= ShardLimits.publisherWindowBytesOfAll {
            self.publisherWindowBytes = ShardLimits.publisherWindowBytes
        }
        guard let connection = self.connection(id) else { return }
        connection.pointee.outstandingBytes -= bytes
        self.updateWindowPause(connection)
    }

    /// Stops reading a connection whose window is used up, and goes on when half of it is free.
    ///
    /// During an alarm content is parked, and acknowledgements must get through: it is read, unless it goes on publishing.
    @inline(never)
    func updateWindowPause(_ connection: UnsafeMutablePointer<ConnectionState>) {
        let window = self.publisherWindowBytes
        let isPaused = connection.pointee.pause.contains(.publisherWindow)
        let mustPause =
            connection.pointee.outstandingBytes > (isPaused ? window / 2 : window)
            && (!self.isAlarmed || connection.pointee.begunBodies > 0)
        if mustPause != isPaused {
            self.setPause(connection, .publisherWindow, mustPause)
        }
    }
}
