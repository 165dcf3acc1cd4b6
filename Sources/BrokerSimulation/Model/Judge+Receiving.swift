internal import AMQPProtocol

/// Methods without content that clients receive on channels.
extension Judge {
    /// A method has come on a channel.
    func receives(_ method: Method, on channel: ModelChannel) {
        switch method {
        case .basicAck(let ack):
            self.note("\(channel.name) < ack \(ack.deliveryTag)\(ack.multiple ? " multiple" : "")")
            self.confirms(ack.deliveryTag, isMultiple: ack.multiple, on: channel)
        case .basicCancel(let cancel):
            self.note("\(channel.name) < cancel \(cancel.consumerTag)")
            self.cancels("\(cancel.consumerTag)", on: channel)
        case .channelClose(let close):
            self.note("\(channel.name) < channel.close \(close.replyCode) \(close.replyText)")
            self.refuses(channel, close)
        default:
            self.answers(method, on: channel)
        }
    }

    private func confirms(_ tag: UInt64, isMultiple: Bool, on channel: ModelChannel) {
        let covered = channel.unconfirmed.keys.filter { isMultiple ? $0 <= tag : $0 == tag }.sorted()
        guard tag <= channel.lastPublish, !covered.isEmpty else {
            return self.fail("\(channel.name): confirm \(tag)\(isMultiple ? " multiple" : "") of nothing that is open")
        }
        for tag in covered {
            guard let message = channel.unconfirmed.removeValue(forKey: tag) else { continue }
            self.isConfirmed(message, on: channel, askedAt: message.sentAt)
            let publish = channel.pending.first {
                if case .publish(message.id) = $0.operation { true } else { false }
            }
            if let publish {
                self.completeAll(before: publish.number + 1, on: channel)
            }
        }
    }

    private func cancels(_ tag: String, on channel: ModelChannel) {
        guard let consumer = channel.consumer(tag), consumer.state != .ended else {
            return self.fail("\(channel.name): cancel of consumer \(tag), which is not there")
        }
        guard !self.wasCertain(queue: consumer.queue, since: self.clock) else {
            return self.fail("\(channel.name): consumer \(tag) is cancelled, but its queue has not been deleted")
        }
        consumer.state = .ended
    }

    private func refuses(_ channel: ModelChannel, _ close: ChannelClose) {
        guard self.mayBeRefused(channel) else {
            return self.fail("\(channel.name) is closed without a reason: \(close.replyText)")
        }
        guard (403...406).contains(close.replyCode) else {
            return self.fail("\(channel.name) is closed with a code that means something else: \(close.replyText)")
        }
        // The client may be closing it, too; then it is still answered.
        let ownClose = channel.pending.last { if case .closeChannel = $0.operation { true } else { false } }
        self.startEnding(channel)
        self.abandon(channel)
        self.endChannel(channel)
        if let ownClose {
            channel.state = .closing
            channel.pending = [ownClose]
        }
    }

    // MARK: Answers

    /// Takes the oldest operation that waits for an answer, if this can be the answer; all before it is done.
    func takeAnswered(by method: Method, on channel: ModelChannel) -> PendingOperation? {
        guard let pending = channel.pending.first(where: \.operation.isAnswered) else {
            self.fail("\(channel.name) got \(method.id.name), but nothing waits for an answer")
            return nil
        }
        guard Self.isAnswer(method, to: pending.operation) else {
            self.fail("\(channel.name) got \(method.id.name) for \(self.describe(pending.operation))")
            return nil
        }
        self.completeAll(before: pending.number, on: channel)
        guard self.failure == nil else { return nil }
        channel.pending.removeFirst()
        return pending
    }

    private static func isAnswer(_ method: Method, to operation: Operation) -> Bool {
        switch (operation, method) {
        case (.openChannel, .channelOpenOk), (.closeChannel, .channelCloseOk), (.declareQueue, .queueDeclareOk),
            (.inspectQueue, .queueDeclareOk), (.deleteQueue, .queueDeleteOk), (.purgeQueue, .queuePurgeOk),
            (.declareExchange, .exchangeDeclareOk), (.deleteExchange, .exchangeDeleteOk),
            (.bind, .queueBindOk), (.bind, .exchangeBindOk), (.unbind, .queueUnbindOk), (.unbind, .exchangeUnbindOk),
            (.consume, .basicConsumeOk), (.cancel, .basicCancelOk), (.get, .basicGetOk), (.get, .basicGetEmpty),
            (.recover, .basicRecoverOk), (.qos, .basicQosOk), (.selectConfirms, .confirmSelectOk),
            (.selectTransactions, .txSelectOk), (.commit, .txCommitOk), (.rollBack, .txRollbackOk):
            true
        default:
            false
        }
    }

    private func answers(_ method: Method, on channel: ModelChannel) {
        self.note("\(channel.name) < \(method.id.name)")
        guard let pending = self.takeAnswered(by: method, on: channel) else { return }
        switch (pending.operation, method) {
        case (.declareQueue(let queue, _), .queueDeclareOk(let ok)),
            (.inspectQueue(let queue), .queueDeclareOk(let ok)):
            if "\(ok.queue)" != ModelQueue.name(queue) {
                self.fail("\(channel.name): declare-ok of \(ok.queue) for \(ModelQueue.name(queue))")
            }
            self.checkPlausible(ok.messageCount, queue, channel)
            self.checkVisible(Int(ok.messageCount), in: queue, to: pending, on: channel)
        case (.deleteQueue(let queue, _, _), .queueDeleteOk(let ok)):
            self.checkPlausible(ok.messageCount, queue, channel)
        case (.purgeQueue(let queue), .queuePurgeOk(let ok)):
            self.checkPlausible(ok.messageCount, queue, channel)
        case (.get(let queue, _), .basicGetEmpty):
            self.checkVisible(0, in: queue, to: pending, on: channel)
        case (.consume(let tag, _, _, _, _), .basicConsumeOk(let ok)):
            if "\(ok.consumerTag)" != tag {
                self.fail("\(channel.name): consume-ok \(ok.consumerTag) for \(tag)")
            }
        case (.cancel(let tag), .basicCancelOk(let ok)):
            if "\(ok.consumerTag)" != tag {
                self.fail("\(channel.name): cancel-ok \(ok.consumerTag) for \(tag)")
            }
        default:
            break
        }
        self.complete(pending, on: channel)
    }

    /// A queue never has more messages than may have been on it since nothing moved the last time.
    private func checkPlausible(_ count: UInt32, _ number: Int, _ channel: ModelChannel) {
        let possible = self.queues[number].messages.count { $0.certainty != .never && !$0.isReturned }
        if count > possible {
            self.fail(
                "\(channel.name): \(count) messages in \(ModelQueue.name(number)), where at most \(possible) can be"
            )
        }
    }
}
