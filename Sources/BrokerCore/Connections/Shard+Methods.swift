internal import AMQPProtocol

/// Frames and methods of open channels.
extension Shard {
    /// Decodes a method of a channel; answers what cannot be decoded and returns nil.
    func decodeMethod(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ payload: UnsafeRawBufferPointer
    ) -> Method? {
        // Shorter ones have been refused.
        guard payload.count >= 4 else { return nil }
        var reader = WireReader(payload)
        var id = MethodID(classID: 0, methodID: 0)
        do throws(DecodeError) {
            id = MethodID(classID: try reader.readUInt16(), methodID: try reader.readUInt16())
            return try self.decode(id, &reader, payload, connection)
        } catch {
            switch error {
            case .unknownMethod, .unknownFieldType, .malformedTable, .nestingTooDeep:
                self.dropConnection(connection, "undecodable method \(id.name): \(error)")
            case .invalidUTF8:
                self.closeConnection(
                    connection,
                    .frameError,
                    "Malformed UTF-8 in shortstr",
                    MethodID(classID: 0, methodID: 0)
                )
            case .truncated, .trailingBytes, .malformedProperties:
                let arguments = UnsafeRawBufferPointer(rebasing: payload[4...])
                self.closeConnection(
                    connection,
                    .frameError,
                    "cannot decode \(ErlangTerm.octets(arguments))",
                    id
                )
            }
            return nil
        }
    }

    /// A frame of an open channel whose turn it is.
    func receiveChannelFrame(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        let connection = channel.pointee.connection
        if channel.pointee.phase == .closing {
            self.receiveOnClosingChannel(channel, header, payload)
            return
        }
        if self.isAlarmed && self.park(channel, header, payload) { return }
        switch channel.pointee.content.phase {
        case .idle:
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
            self.receive(method, on: channel)
        case .header:
            self.receiveContentHeader(channel, header, payload)
        case .body:
            self.receiveBody(channel, header, payload)
        }
    }

    /// After our `channel.close`: everything but `close` and `close-ok` is ignored.
    private func receiveOnClosingChannel(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        guard header.type == FrameType.method, payload.count >= 4 else { return }
        let id = UInt32(bigEndian: payload.loadUnaligned(as: UInt32.self))
        if id == ChannelOpen.id.rawValue {
            self.closeConnection(
                channel.pointee.connection,
                .channelError,
                "second 'channel.open' seen",
                ChannelOpen.id
            )
        } else if id == ChannelClose.id.rawValue {
            self.sendMethod(ChannelCloseOk(), channel)
        } else if id == ChannelCloseOk.id.rawValue {
            self.endChannel(channel, owesCloseOk: false)
        }
    }

    /// One method.
    func receive(_ method: Method, on channel: UnsafeMutablePointer<ChannelState>) {
        switch method {
        case .basicPublish(let method):
            self.receivePublish(method, channel)
        case .basicAck(let method):
            self.receiveSettlement(
                channel,
                tag: method.deliveryTag,
                isMultiple: method.multiple,
                outcome: .acknowledge,
                BasicAck.id
            )
        case .basicNack(let method):
            self.receiveSettlement(
                channel,
                tag: method.deliveryTag,
                isMultiple: method.multiple,
                outcome: method.requeue ? .requeue : .reject,
                BasicNack.id
            )
        case .basicReject(let method):
            self.receiveSettlement(
                channel,
                tag: method.deliveryTag,
                isMultiple: false,
                outcome: method.requeue ? .requeue : .reject,
                BasicReject.id
            )
        case .basicGet(let method):
            self.receiveGet(method, channel)
        case .basicConsume(let method):
            self.receiveConsume(method, channel)
        case .basicCancel(let method):
            self.receiveCancel(method, channel)
        case .basicCancelOk:
            // The answer to our own `basic.cancel`.
            break
        case .basicQos(let method):
            self.receiveQos(method, channel)
        case .basicRecover(let method):
            self.receiveRecover(channel, requeue: method.requeue, isAsync: false)
        case .basicRecoverAsync(let method):
            self.receiveRecover(channel, requeue: method.requeue, isAsync: true)
        case .queueDeclare, .queueBind, .queueUnbind, .queueDelete, .exchangeDeclare, .exchangeDelete, .exchangeBind,
            .exchangeUnbind:
            self.receiveTopologyMethod(method, channel)
        case .queuePurge(let method):
            self.receivePurge(method, channel)
        case .confirmSelect(let method):
            self.receiveConfirmSelect(method, channel)
        case .txSelect:
            self.receiveTxSelect(channel)
        case .txCommit:
            self.receiveTxCommit(channel)
        case .txRollback:
            self.receiveTxRollback(channel)
        case .channelFlow(let method):
            if method.active {
                self.sendMethod(ChannelFlowOk(active: true), channel)
            } else {
                self.closeConnection(
                    channel.pointee.connection,
                    .notImplemented,
                    "active=false",
                    ChannelFlow.id
                )
            }
        case .channelClose:
            self.endChannel(channel, owesCloseOk: true)
        case .channelOpen:
            self.closeConnection(
                channel.pointee.connection,
                .channelError,
                "second 'channel.open' seen",
                ChannelOpen.id
            )
        case .accessRequest:
            self.sendMethod(AccessRequestOk(ticket: 1), channel)
        case .connectionStart, .connectionStartOk, .connectionSecure, .connectionSecureOk, .connectionTune,
            .connectionTuneOk, .connectionOpen, .connectionOpenOk, .connectionClose, .connectionCloseOk,
            .connectionBlocked, .connectionUnblocked, .connectionUpdateSecret, .connectionUpdateSecretOk,
            .channelOpenOk, .channelFlowOk, .channelCloseOk, .accessRequestOk, .exchangeDeclareOk, .exchangeDeleteOk,
            .exchangeBindOk, .exchangeUnbindOk, .queueDeclareOk, .queueBindOk, .queuePurgeOk, .queueDeleteOk,
            .queueUnbindOk, .basicQosOk, .basicConsumeOk, .basicReturn, .basicDeliver, .basicGetOk, .basicGetEmpty,
            .basicRecoverOk, .confirmSelectOk, .txSelectOk, .txCommitOk, .txRollbackOk:
            self.closeConnection(
                channel.pointee.connection,
                .commandInvalid,
                "unimplemented method",
                method.id
            )
        }
    }

    // MARK: Confirm mode

    private func receiveConfirmSelect(_ method: ConfirmSelect, _ channel: UnsafeMutablePointer<ChannelState>) {
        guard channel.pointee.mode != .transaction else {
            self.closeChannel(
                channel,
                .preconditionFailed,
                "cannot switch from tx to confirm mode",
                ConfirmSelect.id
            )
            return
        }
        channel.pointee.mode = .confirm
        if !method.noWait {
            self.sendMethod(ConfirmSelectOk(), channel)
        }
    }

    /// Notes that a channel has confirms to tell at the end of the turn.
    @inline(__always)
    func confirmsChanged(_ channel: UnsafeMutablePointer<ChannelState>) {
        if !channel.pointee.confirms.isDirty {
            channel.pointee.confirms.isDirty = true
            self.confirmDirty.append(self.address(of: channel))
        }
    }

    /// Tells publishers what has been settled in this turn, as few methods as possible.
    func flushConfirms() {
        guard !self.confirmDirty.isEmpty else { return }
        for address in self.confirmDirty {
            if let channel = self.channel(address) {
                self.flushConfirms(channel)
            }
        }
        self.confirmDirty.removeAll(keepingCapacity: true)
    }

    /// Tells one publisher what has been settled.
    func flushConfirms(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard channel.pointee.confirms.isDirty, channel.pointee.phase == .open else { return }
        channel.pointee.confirms.flush(into: &self.told)
        for told in self.told {
            if told.isAck {
                self.sendMethod(BasicAck(deliveryTag: told.sequence, multiple: told.isMultiple), channel)
            } else {
                self.sendMethod(
                    // RabbitMQ sets the last bit, which means nothing here.
                    BasicNack(deliveryTag: told.sequence, multiple: told.isMultiple, requeue: true),
                    channel
                )
            }
        }
        self.told.removeAll(keepingCapacity: true)
    }

    // MARK: Transactions

    private func receiveTxSelect(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard channel.pointee.mode != .confirm else {
            self.closeChannel(channel, .preconditionFailed, "cannot switch from confirm to tx mode", TxSelect.id)
            return
        }
        channel.pointee.mode = .transaction
        if channel.pointee.transaction == nil {
            channel.pointee.transaction = Transaction()
        }
        self.sendMethod(TxSelectOk(), channel)
    }

    private func receiveTxCommit(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard var transaction = channel.pointee.transaction else {
            self.closeChannel(channel, .preconditionFailed, "channel is not transactional", TxCommit.id)
            return
        }
        channel.pointee.transaction = Transaction(isCommitting: true)
        for publish in transaction.publishes {
            self.store.record(publish.slot).isKept = false
            if publish.isReturned || self.isWithoutQueue(publish, channel) {
                self.returnMessage(self.store.record(publish.slot).view, channel)
            }
            transaction.pendingAnswers += publish.targets.withUnsafeBufferPointer { targets in
                self.deliverStored(publish.slot, publish.flags, targets, from: channel)
            }
        }
        for settlement in transaction.settlements {
            self.settle(channel, settlement.entry, settlement.outcome)
        }
        channel.pointee.transaction?.pendingAnswers = transaction.pendingAnswers
        if transaction.pendingAnswers == 0 {
            self.finishCommit(channel)
        } else {
            channel.pointee.isWaiting = true
        }
    }

    /// Whether a mandatory message had queues when it was published, and has none any more.
    private func isWithoutQueue(_ publish: Transaction.Publish, _ channel: UnsafeMutablePointer<ChannelState>) -> Bool {
        guard !publish.queues.isEmpty, let host = channel.pointee.connection.pointee.virtualHost else { return false }
        return publish.queues.allSatisfy { host.queue(named: $0.name) !== $0 }
    }

    /// Queues of other shards have answered for a publish of a commit.
    func commitAnswered(_ channel: UnsafeMutablePointer<ChannelState>, isRejected: Bool) {
        guard var transaction = channel.pointee.transaction, transaction.isCommitting else { return }
        transaction.pendingAnswers -= 1
        transaction.isRejected = transaction.isRejected || isRejected
        channel.pointee.transaction = transaction
        if transaction.pendingAnswers == 0 {
            self.finishCommit(channel)
            self.resume(channel)
        }
    }

    private func finishCommit(_ channel: UnsafeMutablePointer<ChannelState>) {
        let isRejected = channel.pointee.transaction?.isRejected ?? false
        channel.pointee.transaction = Transaction()
        if isRejected {
            self.closeChannel(channel, .preconditionFailed, "partial tx completion", TxCommit.id)
        } else {
            self.sendMethod(TxCommitOk(), channel)
        }
    }

    private func receiveTxRollback(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard let transaction = channel.pointee.transaction else {
            self.closeChannel(channel, .preconditionFailed, "channel is not transactional", TxRollback.id)
            return
        }
        for publish in transaction.publishes {
            self.store.release(publish.slot)
        }
        self.restoreLedger(channel, transaction.settlements)
        channel.pointee.transaction = Transaction()
        self.sendMethod(TxRollbackOk(), channel)
    }

    /// Puts settlements that were taken back into the ledger, where their tags belong.
    private func restoreLedger(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ settlements: [Transaction.Settlement]
    ) {
        guard !settlements.isEmpty else { return }
        var entries = settlements.map { ($0.tag, $0.entry) }
        while let (tag, entry) = channel.pointee.ledger.removeFirst() {
            entries.append((tag, entry))
        }
        entries.sort { $0.0 < $1.0 }
        channel.pointee.ledger = SparseRing(counting: self.ringMemory)
        for (tag, entry) in entries {
            channel.pointee.ledger.append(tag, entry)
        }
    }
}
