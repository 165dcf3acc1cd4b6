internal import AMQPProtocol

/// The address of a requester that consumes from `amq.rabbitmq.reply-to`: its channel and an unguessable number.
///
/// As a name it has RabbitMQ's form, which clients' tests look for: the prefix and two parts with a point between them, the
/// second with the end of base64.
struct ReplyAddress {
    /// What requesters consume from and put into `reply-to`.
    static let pseudoQueue: ShortString = "amq.rabbitmq.reply-to"
    fileprivate static let prefix: ShortString = "amq.rabbitmq.reply-to."
    private static let suffix: ShortString = "=="

    var channel: ChannelAddress
    var secret: UInt64

    init(channel: ChannelAddress, secret: UInt64) {
        self.channel = channel
        self.secret = secret
    }

    /// Reads an address as a routing key; nil if it is none.
    init?(_ routingKey: UnsafeRawBufferPointer) {
        let prefix = Self.prefix.bytes
        let suffix = Self.suffix.bytes
        guard routingKey.count == prefix.count + 49 + suffix.count, routingKey.starts(with: prefix),
            routingKey[prefix.count + 32] == UInt8(ascii: "."), routingKey.suffix(suffix.count).elementsEqual(suffix)
        else { return nil }
        var words: [UInt64] = []
        for start in [0, 16, 33] {
            var value: UInt64 = 0
            for offset in 0..<16 {
                guard let digit = Self.value(routingKey[prefix.count + start + offset]) else { return nil }
                value = value << 4 | digit
            }
            words.append(value)
        }
        self.channel = ChannelAddress(
            shard: UInt16(truncatingIfNeeded: words[1] >> 48),
            number: UInt16(truncatingIfNeeded: words[1] >> 32),
            epoch: UInt32(truncatingIfNeeded: words[1]),
            connection: words[0]
        )
        self.secret = words[2]
    }

    private static func value(_ digit: UInt8) -> UInt64? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(digit - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(digit - UInt8(ascii: "a")) + 10
        default: nil
        }
    }

    /// The address as a routing key.
    var name: ShortString {
        let place =
            UInt64(self.channel.shard) << 48 | UInt64(self.channel.number) << 32 | UInt64(self.channel.epoch)
        var bytes = Self.prefix.bytes
        for word in [self.channel.connection, place, self.secret] {
            if bytes.count == Self.prefix.bytes.count + 32 {
                bytes.append(UInt8(ascii: "."))
            }
            for shift in stride(from: 60, through: 0, by: -4) {
                let digit = UInt8(word >> UInt64(shift) & 15)
                bytes.append(digit < 10 ? digit + UInt8(ascii: "0") : digit - 10 + UInt8(ascii: "a"))
            }
        }
        return ShortString(bytes + Self.suffix.bytes) ?? ""
    }
}

/// Direct reply-to: answers go from the responder's channel to the requester's without a queue.
extension Shard {
    /// `basic.consume` from the pseudo queue.
    func receiveReplyConsume(_ method: BasicConsume, _ channel: UnsafeMutablePointer<ChannelState>) {
        guard method.noAck else {
            self.closeChannel(channel, .preconditionFailed, "reply consumer cannot acknowledge", BasicConsume.id)
            return
        }
        guard channel.pointee.replyConsumerTag == nil else {
            self.closeChannel(channel, .preconditionFailed, "reply consumer already set", BasicConsume.id)
            return
        }
        let tag = method.consumerTag.isEmpty ? self.makeName(prefix: "amq.ctag-") : method.consumerTag
        channel.pointee.replyConsumerTag = tag
        channel.pointee.replySecret = self.random.next()
        if !method.noWait {
            self.sendMethod(BasicConsumeOk(consumerTag: tag), channel)
        }
    }

    /// A message to a reply address.
    ///
    /// Returns whether the message's own buffer has been taken over.
    func publishReply(
        _ message: IncomingMessage,
        to reply: ReplyAddress,
        on channel: UnsafeMutablePointer<ChannelState>
    ) -> Bool {
        let slot = self.storeMessage(message, references: 1, hasLocation: false)
        if reply.channel.shard == self.index {
            self.deliverReply(slot, to: reply)
        } else if reply.channel.shard < self.count {
            let record = self.store.record(slot)
            let headerSize = 8 + ChannelAddress.batchedSize + 8
            let base = self.outbox(reply.channel.shard).append(
                .reply,
                size: headerSize + BatchedMessage.size(of: record.view)
            )
            reply.channel.write(at: base + 8)
            base.storeBytes(of: reply.secret, toByteOffset: 24, as: UInt64.self)
            BatchedMessage.write(record.view, flags: [], at: base + headerSize)
        }
        if message.isMandatory {
            // RabbitMQ returns a mandatory answer although it delivers it.
            self.returnMessage(message.view, channel)
        }
        self.store.release(slot)
        self.settlePublish(channel)
        return message.ownBuffer != nil
    }

    /// Delivers an answer to its requester, if it is still there.
    func deliverReply(_ slot: UInt32, to reply: ReplyAddress) {
        guard let channel = self.channel(reply.channel), channel.pointee.phase == .open,
            let tag = channel.pointee.replyConsumerTag, channel.pointee.replySecret == reply.secret
        else { return }
        let connection = channel.pointee.connection
        // There is no queue to wait in: a requester that does not read its answers loses those beyond its window.
        guard connection.pointee.pendingBytes < 4 * ShardLimits.outputBytes else { return }
        let record = self.store.record(slot)
        let exchange = ShortString(Array(record.exchange)) ?? ""
        let routingKey = ShortString(Array(record.routingKey)) ?? ""
        let tagNumber = channel.pointee.nextDeliveryTag
        channel.pointee.nextDeliveryTag += 1
        self.sendMethod(
            BasicDeliver(
                consumerTag: tag,
                deliveryTag: tagNumber,
                redelivered: false,
                exchange: exchange,
                routingKey: routingKey
            ),
            channel
        )
        self.writeContent(connection, channel: channel.pointee.number, record.view)
    }

    /// `queue.declare` of a reply address: tells whether the requester is still there.
    ///
    /// Returns false if the name is no reply address.
    func receiveReplyDeclare(_ method: QueueDeclare, _ channel: UnsafeMutablePointer<ChannelState>) -> Bool {
        if method.queue == ReplyAddress.pseudoQueue {
            if !method.noWait {
                self.sendMethod(
                    QueueDeclareOk(queue: method.queue, messageCount: 0, consumerCount: 1),
                    channel
                )
            }
            return true
        }
        guard let reply = method.queue.bytes.withUnsafeBytes({ ReplyAddress($0) }) else {
            guard method.queue.hasPrefix(ReplyAddress.prefix) else { return false }
            let host = channel.pointee.connection.pointee.virtualHost?.name ?? "/"
            self.closeChannel(channel, .notFound, "no queue '\(method.queue)' in vhost '\(host)'", QueueDeclare.id)
            return true
        }
        guard reply.channel != self.address(of: channel) else {
            self.closeConnection(
                channel.pointee.connection,
                .internalError,
                "",
                MethodID(classID: 0, methodID: 0)
            )
            return true
        }
        channel.pointee.isWaiting = true
        channel.pointee.pendingNoWait = method.noWait
        let asker = self.address(of: channel)
        let command = ShardCommand.findReplyConsumer(
            reply.channel,
            secret: reply.secret,
            name: method.queue,
            passive: method.passive,
            asker: asker
        )
        self.send(command, to: reply.channel.shard < self.count ? reply.channel.shard : self.index)
        return true
    }

    /// Answers whether a requester is there.
    func findReplyConsumer(_ address: ChannelAddress, secret: UInt64, name: ShortString, asker: ChannelAddress) {
        let isThere =
            self.channel(address).map { channel in
                channel.pointee.replyConsumerTag != nil && channel.pointee.replySecret == secret
                    && channel.pointee.phase == .open
            } ?? false
        let reply: TopologyReply =
            isThere
            ? .queueDeclared(name: name, messageCount: 0, consumerCount: 1)
            : .refused(.channel(.notFound, text: "no queue '\(name)' in vhost '/'", method: QueueDeclare.id))
        self.send(.topologyReply(asker, reply), to: asker.shard)
    }

    /// A server-made name: the prefix and 22 characters of URL-safe base 64, 128 random bits.
    func makeName(prefix: String) -> ShortString {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var name = Array(prefix.utf8)
        var words = [self.random.next(), self.random.next()]
        for position in 0..<22 {
            let word = position < 11 ? 0 : 1
            name.append(alphabet[Int(words[word] & 63)])
            words[word] >>= 6
        }
        return ShortString(name) ?? ""
    }
}
