internal import AMQPProtocol

/// The end of connections and channels, whoever wants it.
///
/// A connection that ends takes down its channels (their consumers leave, their deliveries go back to their queues) and
/// its exclusive queues; all of that is done before `close-ok` is sent.
extension Shard {
    /// Refuses a connection: `connection.close` with the code's name before the text.
    func closeConnection(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ code: ReplyCode,
        _ text: ReplyText,
        _ method: MethodID
    ) {
        switch connection.pointee.phase {
        case .closing, .finishing, .closed, .refused: return
        case .awaitingHeader, .awaitingStartOk, .awaitingTuneOk, .awaitingOpen, .running, .draining: break
        }
        let explanation: ReplyText = text.isEmpty ? ReplyText(code.name) : "\(code.name) - \(text)"
        self.log(
            .error,
            "connection",
            "Error on AMQP connection (\(self.describe(connection)), user: '\(connection.pointee.user)'): "
                + "operation \(method.name) caused a connection exception \(code.name): \(text)"
        )
        guard connection.pointee.phase != .draining else {
            // The client is waiting for `close-ok` and gets that.
            self.beginTeardown(connection)
            return
        }
        self.sendClose(
            ConnectionClose(
                replyCode: code.rawValue,
                replyText: explanation.shortString,
                classID: method.classID,
                methodID: method.methodID
            ),
            connection
        )
        connection.pointee.phase = .closing
        self.endChannels(connection)
        // What it still sends is thrown away, and its answer comes behind that: a blocked publisher is read again.
        self.setPause(connection, connection.pointee.pause, false)
        self.scheduleEnd(of: connection)
    }

    /// Bounds the time in which the other side may answer `close`, or close its socket behind `close-ok`: 30 seconds, or
    /// the heartbeat's interval if that is less.
    private func scheduleEnd(of connection: UnsafeMutablePointer<ConnectionState>) {
        let heartbeat = connection.pointee.heartbeatSeconds * 1000
        let wait = heartbeat > 0 ? min(heartbeat, ShardLimits.closingMilliseconds) : ShardLimits.closingMilliseconds
        self.timers.schedule(at: self.now.advanced(milliseconds: wait), .closing(connection.pointee.id))
    }

    /// Refuses a frame: the stream cannot be trusted any more, so the socket is closed even without `close-ok`.
    func refuseFrame(_ connection: UnsafeMutablePointer<ConnectionState>, _ text: ReplyText) {
        if connection.pointee.phase == .draining || connection.pointee.phase == .finishing {
            // The client is waiting for `close-ok` and gets that.
            connection.pointee.isDeaf = true
            return
        }
        guard connection.pointee.phase == .running else {
            self.refuse(connection, "bad frame: \(text)")
            return
        }
        self.closeConnection(connection, .frameError, text, MethodID(classID: 0, methodID: 0))
        connection.pointee.phase = .refused
        self.effects.append(
            .close(connection.pointee.id, afterMilliseconds: self.settings.refusalDelayMilliseconds)
        )
    }

    /// Refuses a frame that is of no use in itself.
    ///
    /// Where it ends is known, so `close-ok` can be waited for.
    func refuseUnknownFrame(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        let text = ErlangTerm.frame(header.type, payload, .unknownFrame)
        switch connection.pointee.phase {
        case .awaitingOpen, .running:
            self.closeConnection(connection, .frameError, text, MethodID(classID: 0, methodID: 0))
        case .awaitingHeader, .awaitingStartOk, .awaitingTuneOk, .closing, .draining, .finishing, .closed, .refused:
            self.refuseFrame(connection, text)
        }
    }

    /// Carries a refusal out.
    func refuse(_ channel: UnsafeMutablePointer<ChannelState>, _ violation: Violation) {
        switch violation {
        case .channel(let code, let text, let method):
            self.closeChannel(channel, code, text, method)
        case .connection(let code, let text, let method):
            self.closeConnection(channel.pointee.connection, code, text, method)
        }
    }

    /// A frame after `connection.close` has been sent, by the client or by us.
    func receiveWhileClosing(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        guard header.type == FrameType.method, header.channel == 0, payload.count >= 4 else { return }
        var reader = WireReader(payload)
        guard let classID = try? reader.readUInt16(), let methodID = try? reader.readUInt16() else { return }
        let id = Self.currentID(MethodID(classID: classID, methodID: methodID), connection)
        let isTakenDown = connection.pointee.phase == .closing || connection.pointee.phase == .closed
        if id == ConnectionClose.id {
            if isTakenDown {
                self.sendCloseOk(connection)
            } else if connection.pointee.owedCloseOks < ShardLimits.owedCloseOks {
                connection.pointee.owedCloseOks += 1
            }
        } else if isTakenDown, id == ConnectionCloseOk.id {
            connection.pointee.phase = .refused
            self.effects.append(.close(connection.pointee.id, afterMilliseconds: 0))
        }
    }

    // MARK: Taking down a connection

    /// Whether channels have frames to handle, or answers to give, to what the client sent before `close`.
    func holdsFramesBack(_ connection: UnsafeMutablePointer<ConnectionState>) -> Bool {
        connection.pointee.channels.all.contains { channel in
            channel.pointee.isWaiting || !channel.pointee.deferred.isEmpty || !channel.pointee.parked.isEmpty
        }
    }

    /// Begins to take down one connection that has been closed and holds nothing back any more, if there is one.
    func beginDueTeardown() -> Bool {
        for (index, id) in self.drainingConnections.enumerated() {
            guard let connection = self.connection(id), connection.pointee.phase == .draining else {
                self.drainingConnections.remove(at: index)
                return true
            }
            guard self.holdsFramesBack(connection) else {
                self.drainingConnections.remove(at: index)
                self.beginTeardown(connection)
                return true
            }
        }
        return false
    }

    /// The client has sent `close`, or the socket is gone.
    func beginTeardown(_ connection: UnsafeMutablePointer<ConnectionState>) {
        connection.pointee.phase = .finishing
        self.endChannels(connection)
        self.finishTeardownIfDone(connection)
    }

    /// Ends all channels and asks the owner to delete the connection's exclusive queues; at most once has an effect.
    private func endChannels(_ connection: UnsafeMutablePointer<ConnectionState>) {
        // Counted before the channels end: the last channel to go must find that the connection still waits for the
        // owner, or it would free it here.
        let hasExclusiveQueues = connection.pointee.wasOpened
        connection.pointee.wasOpened = false
        connection.pointee.pendingTeardown += 1
        for channel in connection.pointee.channels.all where channel.pointee.phase != .finishing {
            self.endChannel(channel, owesCloseOk: false)
        }
        guard hasExclusiveQueues else {
            connection.pointee.pendingTeardown -= 1
            return
        }
        self.tellClosed(connection)
        self.send(
            .endConnection(ConnectionAddress(shard: self.index, id: connection.pointee.id.rawValue)),
            to: 0
        )
    }

    /// The owner has deleted the connection's exclusive queues.
    func connectionEnded(_ address: ConnectionAddress) {
        guard let connection = self.connection(ConnectionID(rawValue: address.id)) else { return }
        connection.pointee.pendingTeardown -= 1
        self.finishTeardownIfDone(connection)
    }

    private func finishTeardownIfDone(_ connection: UnsafeMutablePointer<ConnectionState>) {
        guard connection.pointee.pendingTeardown == 0, connection.pointee.channelCount == 0 else { return }
        if connection.pointee.isSocketLost {
            self.freeConnection(connection)
        } else if connection.pointee.owedCloseOks > 0 {
            for _ in 0..<connection.pointee.owedCloseOks {
                self.sendCloseOk(connection)
            }
            connection.pointee.owedCloseOks = 0
            connection.pointee.phase = .closed
            self.log(
                .info,
                "connection",
                "closing AMQP connection (\(self.describe(connection)), user: '\(connection.pointee.user)')"
            )
            self.scheduleEnd(of: connection)
        }
    }

    private func freeConnection(_ connection: UnsafeMutablePointer<ConnectionState>) {
        self.discardOutput(connection)
        let slot = connection.pointee.id.slot
        self.connections[slot] = nil
        self.freeConnectionSlots.append(UInt32(slot))
        self.connectionCount -= 1
        connection.deinitialize(count: 1)
        connection.deallocate()
    }

    // MARK: Channels

    /// Refuses a channel: `channel.close`, and everything it has goes back.
    func closeChannel(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ code: ReplyCode,
        _ text: ReplyText,
        _ method: MethodID
    ) {
        guard channel.pointee.phase == .open else { return }
        let connection = channel.pointee.connection
        self.log(
            .error,
            "channel",
            "Channel error on connection \(self.describe(connection)), channel \(channel.pointee.number): operation "
                + "\(method.name) caused a channel exception \(code.name): \(text)"
        )
        self.dropContent(channel)
        // What was confirmed so far is told before the close.
        self.flushConfirms(channel)
        self.sendMethod(
            ChannelClose(
                replyCode: code.rawValue,
                replyText: ("\(code.name) - \(text)" as ReplyText).shortString,
                classID: method.classID,
                methodID: method.methodID
            ),
            channel
        )
        channel.pointee.phase = .closing
        channel.pointee.answers = HeldAnswers()
        self.releaseChannel(channel)
        // Frames that waited are ignored in their turn, but for the client's own `channel.close`.
        self.unpark(channel)
        self.resume(channel)
        self.endParkPause(connection)
    }

    /// Ends a channel that the client or the connection closes.
    func endChannel(_ channel: UnsafeMutablePointer<ChannelState>, owesCloseOk: Bool) {
        let wasClosing = channel.pointee.phase == .closing
        channel.pointee.phase = .finishing
        channel.pointee.owesCloseOk = owesCloseOk
        self.dropContent(channel)
        channel.pointee.isWaiting = false
        channel.pointee.answers = HeldAnswers()
        self.dropDeferred(channel)
        if !wasClosing {
            self.releaseChannel(channel)
        }
        self.finishChannelIfDone(channel)
    }

    /// Takes consumers out of their queues and puts deliveries back; answers come for those on other shards.
    private func releaseChannel(_ channel: UnsafeMutablePointer<ChannelState>) {
        if let transaction = channel.pointee.transaction {
            for publish in transaction.publishes {
                self.store.release(publish.slot)
            }
            channel.pointee.transaction = nil
        }
        channel.pointee.replyConsumerTag = nil
        let address = self.address(of: channel)
        for consumer in channel.pointee.consumers {
            guard let consumer else { continue }
            // One whose first answer is under way is detached when the answer arrives.
            if consumer.pointee.isPending {
                channel.pointee.pendingTeardown += 1
            }
            guard consumer.pointee.isAttached else { continue }
            self.tellDeleted(consumer, of: channel)
            channel.pointee.pendingTeardown += 1
            let queue = consumer.pointee.queue
            if queue.shard == self.index {
                // At once: nothing may be delivered behind `channel.close`.
                self.detach(queue, consumer.pointee.consumer, address)
            } else {
                self.send(.detach(queue, consumer: consumer.pointee.consumer, address), to: queue.shard)
            }
        }
        self.waitForPublishes(channel)
        self.tellClosed(channel)
    }

    /// Has every other shard answer behind what the channel has published.
    ///
    /// Whoever knows of `close-ok`, of the channel or of its connection, finds its messages in their queues, confirms or
    /// not, wherever he comes from.
    private func waitForPublishes(_ channel: UnsafeMutablePointer<ChannelState>) {
        let connection = channel.pointee.connection
        guard connection.pointee.outstandingBytes > 0, !connection.pointee.isSocketLost else { return }
        for shard in 0..<self.count where shard != self.index {
            channel.pointee.pendingTeardown += 1
            self.send(.channelEnds(self.address(of: channel)), to: shard)
        }
    }

    /// A consumer has left its queue.
    func detachReply(_ address: ChannelAddress) {
        guard let channel = self.channel(address) else { return }
        channel.pointee.pendingTeardown -= 1
        self.finishChannelIfDone(channel)
    }

    /// Frees a channel whose deliveries are back, and answers `close-ok`.
    func finishChannelIfDone(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard channel.pointee.phase == .finishing, channel.pointee.pendingTeardown == 0 else { return }
        let connection = channel.pointee.connection
        if channel.pointee.owesCloseOk {
            self.sendMethod(ChannelCloseOk(), channel)
        }
        connection.pointee.channels[channel.pointee.number] = nil
        connection.pointee.channelCount -= 1
        connection.pointee.closedInThisRead.append(channel.pointee.number)
        if connection.pointee.lastChannel == channel {
            connection.pointee.lastChannel = nil
        }
        let frames = channel.pointee.deferred
        self.freeChannel(channel)
        if connection.pointee.phase == .finishing || connection.pointee.isSocketLost {
            connection.pointee.deferredBytes -= frames.count
            self.finishTeardownIfDone(connection)
        } else {
            self.handleHeldBack(frames, connection)
        }
    }

    /// Frees a channel's memory.
    func freeChannel(_ channel: UnsafeMutablePointer<ChannelState>) {
        for consumer in channel.pointee.consumers {
            guard let consumer else { continue }
            consumer.deinitialize(count: 1)
            consumer.deallocate()
        }
        channel.deinitialize(count: 1)
        channel.deallocate()
    }

    /// A frame on a channel that is not open.
    func receiveOnClosedChannel(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        guard header.type == FrameType.method else {
            self.closeConnection(
                connection,
                .unexpectedFrame,
                "expected method frame, got non method frame instead",
                MethodID(classID: 0, methodID: 0)
            )
            return
        }
        guard let method = self.decodeMethod(connection, payload) else { return }
        switch method {
        case .basicAck, .basicNack, .basicReject:
            // Sent before the client could know that its channel was closed.
            if connection.pointee.closedInThisRead.contains(header.channel) { return }
        default:
            break
        }
        guard case .channelOpen = method else {
            self.closeConnection(connection, .channelError, "expected 'channel.open'", method.id)
            return
        }
        let limit = connection.pointee.channelMax
        guard connection.pointee.channelCount < limit else {
            self.closeConnection(
                connection,
                .notAllowed,
                "number of channels opened (\(connection.pointee.channelCount)) has reached the negotiated "
                    + "channel_max (\(limit))",
                MethodID(classID: 0, methodID: 0)
            )
            return
        }
        let channel = UnsafeMutablePointer<ChannelState>.allocate(capacity: 1)
        channel.initialize(
            to: ChannelState(number: header.channel, epoch: self.nextChannelEpoch, connection: connection)
        )
        channel.pointee.ledger = SparseRing(counting: self.ringMemory)
        self.nextChannelEpoch &+= 1
        connection.pointee.channels[header.channel] = channel
        connection.pointee.channelCount += 1
        self.sendOpenOk(channel)
        self.tellOpened(channel)
    }
}
