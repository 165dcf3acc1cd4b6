internal import AMQPProtocol

// While an alarm holds, content stops and nothing else does.
//
// 1. A publish that comes during an alarm is *parked*: its frames are kept, its connection is blocked and told so, once.
//    RabbitMQ blocks at the same moment: who does not publish is neither blocked nor told.
// 2. What follows a parked publish on its channel is parked behind it, in order, for a client may rely on that order: a
//    publish and the close of its channel, say. What cannot be told apart from having come first goes on: acknowledgements
//    of deliveries that are open, `basic.cancel` and `basic.qos`. Other channels and channel 0 go on as ever;
//    `connection.close` waits for what is parked, as it waits for everything its client sent before.
// 3. The socket is read on until its connection, or all connections of the shard, have too much parked.
// 4. Who is in the middle of bodies completes them during the memory alarm: see Shard+BegunBodies.
// 5. When the last alarm ends, `connection.unblocked` is sent and what is parked goes on before anything newer.
//
//   running ──publish──► blocked (parked frames; read) ──too much──► blocked (not read)
//      ▲                    │                                            │
//      └── the alarm ends ──┴────────────────────────────────────────────┘

/// Alarms, and the publishers they block.
extension Shard {
    /// The disk is full, or nearly (`true`), or has room again (`false`); to be told to every shard.
    public func setDiskAlarm(_ isSet: Bool, now: BrokerInstant) {
        self.now = now
        guard isSet != self.alarms.contains(.disk) else { return }
        self.setAlarm(.disk, isSet)
        self.runLocalCommands()
        self.dispatchTouchedQueues()
    }

    /// Sets or clears one alarm; ``runLocalCommands()`` must follow.
    func setAlarm(_ alarm: ResourceAlarms, _ isSet: Bool) {
        if isSet {
            self.alarms.insert(alarm)
        } else {
            self.alarms.remove(alarm)
        }
        if self.index == 0 {
            let name = alarm == .memory ? "memory" : "disk"
            self.log(
                .warning,
                "default",
                "\(name) resource limit alarm \(isSet ? "set" : "cleared") on node \(self.settings.clusterName)"
            )
        }
        self.tell(alarm, isSet: isSet)
        guard self.alarms.isEmpty == self.isAlarmed else { return }
        self.isAlarmed = !self.alarms.isEmpty
        if !self.isAlarmed {
            self.forgetBegunBodies()
            self.unblockPublishers()
        }
        for connection in self.connections {
            if let connection { self.updateWindowPause(connection) }
        }
    }

    // MARK: Blocking

    /// Whether a frame of an open channel waits until the alarm ends; then it is kept.
    ///
    /// To be asked during alarms only.
    @inline(never)
    func park(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) -> Bool {
        if self.goesOn(channel.pointee.connection) { return false }
        if channel.pointee.parked.isEmpty {
            let isContent = channel.pointee.content.phase != .idle
            guard isContent || Self.methodID(header, payload) == BasicPublish.id.rawValue else { return false }
            self.block(channel.pointee.connection)
            if channel.pointee.connection.pointee.openBodies > 0 { self.begun.isLookDue = true }
            self.parkedChannels.append(self.address(of: channel))
        } else if let method = self.methodThatMayPass(channel, header, payload) {
            self.receive(method, on: channel)
            return true
        }
        let connection = channel.pointee.connection
        let size = channel.pointee.parked.append(payload)
        connection.pointee.parkedBytes += size
        self.parkedBytes += size
        self.startParkPause(connection, size)
        return true
    }

    /// Stops reading a connection that has too much parked.
    ///
    /// Who takes messages is read far longer: what its client had sent before it heard of the alarm, which may fill the
    /// buffers of both systems, must not keep its acknowledgements from ending that alarm.
    private func startParkPause(_ connection: UnsafeMutablePointer<ConnectionState>, _ size: Int) {
        let parked = connection.pointee.parkedBytes
        // Looked at now and then: there may be many channels, and many small frames.
        guard (parked ^ (parked - size)) >= ShardLimits.parkedStepBytes else { return }
        let isDraining = connection.pointee.channels.all.contains { channel in
            !channel.pointee.ledger.isEmpty || !channel.pointee.consumersByTag.isEmpty
        }
        let limit = isDraining ? ShardLimits.drainingParkedBytes : ShardLimits.parkedBytes
        let limitOfAll = isDraining ? ShardLimits.drainingParkedBytesOfAll : ShardLimits.parkedBytesOfAll
        if parked > limit || self.parkedBytes > limitOfAll {
            self.setPause(connection, .alarm, true)
        }
    }

    private func block(_ connection: UnsafeMutablePointer<ConnectionState>) {
        guard !connection.pointee.isBlocked else { return }
        connection.pointee.isBlocked = true
        self.blockedConnections.append(connection.pointee.id)
        if connection.pointee.notifiesBlocked {
            connection.pointee.isBlockedNotified = true
            self.sendMethod(ConnectionBlocked(reason: self.alarms.reason), connection, channel: 0)
        }
    }

    /// The method of a frame behind a parked publish that may go before it, or nil.
    private func methodThatMayPass(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) -> Method? {
        // A transaction is one thing: its acknowledgements are settled with its publishes.
        guard channel.pointee.mode != .transaction, let id = Self.methodID(header, payload) else { return nil }
        var reader = WireReader(UnsafeRawBufferPointer(rebasing: payload[4...]))
        let methodID = MethodID(classID: UInt16(id >> 16), methodID: UInt16(truncatingIfNeeded: id))
        // What is wrong in itself is refused in its turn.
        guard let method = try? Method.decode(methodID, &reader) else { return nil }
        let mayPass =
            switch method {
            case .basicAck(let ack): self.isOpen(channel, ack.deliveryTag, isMultiple: ack.multiple)
            case .basicNack(let nack): self.isOpen(channel, nack.deliveryTag, isMultiple: nack.multiple)
            case .basicReject(let reject): self.isOpen(channel, reject.deliveryTag, isMultiple: false)
            case .basicQos(let qos): qos.prefetchSize == 0
            case .basicCancel, .basicCancelOk: true
            default: false
            }
        return mayPass ? method : nil
    }

    /// Whether a settlement of this tag succeeds.
    private func isOpen(_ channel: UnsafeMutablePointer<ChannelState>, _ tag: UInt64, isMultiple: Bool) -> Bool {
        (isMultiple && tag == 0) || channel.pointee.ledger.value(tag) != nil
    }

    /// Class and method of a method frame, as one number; nil for other frames.
    private static func methodID(_ header: FrameHeader, _ payload: UnsafeRawBufferPointer) -> UInt32? {
        guard header.type == FrameType.method, payload.count >= 4 else { return nil }
        return UInt32(bigEndian: payload.loadUnaligned(as: UInt32.self))
    }

    // MARK: Unblocking

    /// The last alarm has ended.
    private func unblockPublishers() {
        let connections = self.blockedConnections
        self.blockedConnections.removeAll()
        for id in connections {
            guard let connection = self.connection(id) else { continue }
            connection.pointee.isBlocked = false
            if connection.pointee.isBlockedNotified {
                connection.pointee.isBlockedNotified = false
                // Nothing follows our `connection.close`.
                guard connection.pointee.phase == .running || connection.pointee.phase == .draining else { continue }
                self.sendMethod(ConnectionUnblocked(), connection, channel: 0)
            }
        }
        let channels = self.parkedChannels
        self.parkedChannels.removeAll()
        for address in channels {
            if let channel = self.channel(address) { self.goOn(channel) }
        }
        for id in connections {
            if let connection = self.connection(id) { self.setPause(connection, .alarm, false) }
        }
    }

    /// What is parked of a channel goes on, before anything newer.
    func goOn(_ channel: UnsafeMutablePointer<ChannelState>) {
        self.unpark(channel)
        if !channel.pointee.isWaiting && !channel.pointee.deferred.isEmpty {
            self.resumableChannels.append(self.address(of: channel))
        }
    }

    /// Puts a channel's parked frames before those that wait for their turn; ``endParkPause(_:)`` follows when the channel
    /// goes on.
    func unpark(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard !channel.pointee.parked.isEmpty else { return }
        let connection = channel.pointee.connection
        let size = channel.pointee.parked.count
        self.forgetParked(connection, size)
        connection.pointee.deferredBytes += size
        channel.pointee.parked.append(channel.pointee.deferred)
        channel.pointee.deferred = channel.pointee.parked
        channel.pointee.parked = DeferredFrames()
    }

    /// Forgets the parked frames of a channel that has ended.
    func dropParked(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard !channel.pointee.parked.isEmpty else { return }
        self.forgetParked(channel.pointee.connection, channel.pointee.parked.count)
        channel.pointee.parked = DeferredFrames()
        self.endParkPause(channel.pointee.connection)
    }

    private func forgetParked(_ connection: UnsafeMutablePointer<ConnectionState>, _ size: Int) {
        connection.pointee.parkedBytes -= size
        self.parkedBytes -= size
    }

    /// Reads a connection again when nothing of it is parked.
    func endParkPause(_ connection: UnsafeMutablePointer<ConnectionState>) {
        if connection.pointee.pause.contains(.alarm), connection.pointee.parkedBytes == 0 {
            self.setPause(connection, .alarm, false)
        }
    }
}
