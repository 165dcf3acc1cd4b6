internal import AMQPProtocol

/// Messages that clients receive.
extension Judge {
    /// A method with content has come on a channel.
    func receivesContent(
        _ method: Method,
        _ properties: BasicProperties,
        _ body: [UInt8],
        on channel: ModelChannel
    ) {
        guard let id = ModelMessage.id(inBody: body), self.messages.indices.contains(id) else {
            return self.fail("\(channel.name) got \(method.id.name) with a body that nobody has published")
        }
        let message = self.messages[id]
        guard body == message.body else {
            let sizes = "\(body.count) octets, not \(message.body.count)"
            return self.fail("\(channel.name) got m\(id) with another body than it was published with: \(sizes)")
        }
        switch method {
        case .basicDeliver(let deliver):
            let mark = deliver.redelivered ? " redelivered" : ""
            self.note("\(channel.name) < deliver \(deliver.consumerTag) #\(deliver.deliveryTag) m\(id)\(mark)")
            self.checkNames(message, deliver.exchange, deliver.routingKey, properties, on: channel)
            self.delivers(message, deliver, on: channel)
        case .basicGetOk(let ok):
            let mark = ok.redelivered ? " redelivered" : ""
            self.note("\(channel.name) < get-ok #\(ok.deliveryTag) m\(id)\(mark)")
            self.checkNames(message, ok.exchange, ok.routingKey, properties, on: channel)
            guard let pending = self.takeAnswered(by: method, on: channel),
                case .get(let queue, let noAck) = pending.operation
            else { return }
            self.complete(pending, on: channel)
            let delivery = ModelChannel.Delivery(tag: ok.deliveryTag, message: message, queue: queue, consumer: nil)
            self.take(delivery, noAck: noAck, isRedelivered: ok.redelivered, on: channel)
        case .basicReturn(let back):
            self.note("\(channel.name) < return m\(id)")
            self.checkNames(message, back.exchange, back.routingKey, properties, on: channel)
            self.returns(message, on: channel)
        default:
            self.fail("\(channel.name) got \(method.id.name) with content")
        }
    }

    private func checkNames(
        _ message: ModelMessage,
        _ exchange: ShortString,
        _ key: ShortString,
        _ properties: BasicProperties,
        on channel: ModelChannel
    ) {
        let name = message.exchange.map { self.topology.exchanges[$0].name } ?? ""
        if "\(exchange)" != name || "\(key)" != message.key {
            self.fail("\(channel.name): m\(message.id) came with exchange '\(exchange)' and key '\(key)'")
        }
        if properties.headers?["BCC"] != nil {
            self.fail("\(channel.name): m\(message.id) came with its BCC")
        }
        if properties != message.properties(isSent: false) {
            self.fail("\(channel.name): m\(message.id) came with other properties: \(properties)")
        }
    }

    // MARK: Returns

    private func returns(_ message: ModelMessage, on channel: ModelChannel) {
        guard message.publisher === channel, message.isMandatory else {
            return self.fail("\(channel.name): m\(message.id) is returned to somebody who has not asked for it")
        }
        guard !message.isReturned else { return self.fail("\(channel.name): m\(message.id) is returned twice") }
        // Before the answers that say it is done: in a transaction those to the commit.
        let isAwaited =
            message.isTransactional
            ? channel.committing.values.contains { $0.contains { $0 === message } }
            : channel.pending.contains { if case .publish(message.id) = $0.operation { true } else { false } }
        guard isAwaited else { return self.fail("\(channel.name): m\(message.id) is returned late") }
        let must = message.must.filter { self.wasCertain(queue: $0, since: message.sentAt) }
        guard must.isEmpty else {
            let names = must.sorted().map(ModelQueue.name)
            return self.fail("\(channel.name): m\(message.id) is returned, but \(names) should have it")
        }
        message.isReturned = true
    }

    // MARK: Deliveries

    private func delivers(_ message: ModelMessage, _ deliver: BasicDeliver, on channel: ModelChannel) {
        guard let consumer = channel.consumer("\(deliver.consumerTag)"), consumer.state != .ended else {
            return self.fail("\(channel.name): delivery for consumer \(deliver.consumerTag), which is not there")
        }
        if consumer.state == .starting {
            self.expectStarted(consumer, on: channel)
        }
        self.checkSingleActive(consumer, channel)
        let delivery = ModelChannel.Delivery(
            tag: deliver.deliveryTag,
            message: message,
            queue: consumer.queue,
            consumer: consumer
        )
        self.take(delivery, noAck: consumer.noAck, isRedelivered: deliver.redelivered, on: channel)
    }

    /// A delivery says that `basic.consume` has been carried out; without nowait the answer must have come first.
    private func expectStarted(_ consumer: ModelConsumer, on channel: ModelChannel) {
        let consume = channel.pending.first {
            if case .consume(consumer.tag, _, _, _, noWait: true) = $0.operation { true } else { false }
        }
        guard let consume else {
            return self.fail("\(channel.name): delivery to consumer \(consumer.tag) before its consume-ok")
        }
        self.completeAll(before: consume.number + 1, on: channel)
    }

    /// A single active consumer stays that until it leaves.
    private func checkSingleActive(_ consumer: ModelConsumer, _ channel: ModelChannel) {
        let queue = self.queues[consumer.queue]
        guard queue.isSingleActive, consumer.state == .active, !self.mayBeReturning(channel) else { return }
        if let active = queue.activeConsumer, active !== consumer, active.state == .active {
            let holder = self.channels.first { $0.consumers.contains { $0 === active } }
            if let holder, !self.mayBeReturning(holder) {
                self.fail("\(queue.name) delivers to \(consumer.tag) while \(active.tag) is its single active consumer")
            }
        }
        queue.activeConsumer = consumer
    }

    /// A copy arrives at a client.
    private func take(
        _ delivery: ModelChannel.Delivery,
        noAck: Bool,
        isRedelivered: Bool,
        on channel: ModelChannel
    ) {
        guard delivery.tag == channel.lastTag + 1 else {
            return self.fail("\(channel.name): delivery tag \(delivery.tag) after \(channel.lastTag)")
        }
        channel.lastTag = delivery.tag
        let message = delivery.message
        let queue = self.queues[delivery.queue]
        let what = "\(channel.name): m\(message.id) of \(queue.name)"
        guard message.certainty != .never else { return self.fail("\(what) was never published") }
        guard message.may.contains(queue.id), !message.isReturned else {
            return self.fail("\(what) should not be there: not routed to it")
        }
        var copy = message.copies[queue.id] ?? ModelMessage.Copy()
        // A channel that may have ended already shows what was on its way: the copy may be somewhere else by now.
        let mayBeOld = !noAck && self.mayBeReturning(channel)
        if !mayBeOld {
            self.checkPlace(copy.place, isRedelivered, what)
            self.checkMark(copy, isRedelivered, message, queue, what)
        }
        if !isRedelivered {
            self.checkOrder(message, queue, channel, what)
        }
        copy.place = self.placeAfter(delivery, copy.place, noAck: noAck, isRedelivered, mayBeOld, channel)
        if noAck {
            copy.takenAt = self.clock
        } else if !copy.wasSeen {
            copy.wasSeen = true
            copy.seenAt = self.clock
        }
        message.copies[queue.id] = copy
        self.lastTaken = message.id
        if message.era < self.era {
            self.survived(message, queue)
        }
        guard !noAck else { return }
        channel.unacknowledged.append(delivery)
        if let consumer = delivery.consumer {
            self.checkPrefetch(consumer, channel)
        }
    }

    /// Where a copy is after it has arrived at a client.
    private func placeAfter(
        _ delivery: ModelChannel.Delivery,
        _ place: ModelMessage.Place,
        noAck: Bool,
        _ isRedelivered: Bool,
        _ mayBeOld: Bool,
        _ channel: ModelChannel
    ) -> ModelMessage.Place {
        if mayBeOld {
            switch place {
            case .out(let holder, _), .settled(let holder, _):
                // Both may have had it last; without the mark it is the older delivery.
                return isRedelivered && self.mayBeReturning(holder) ? .doubtful : place
            case .doubtful, .consumed, .purged, .ended:
                return place
            case .queue:
                break
            }
        }
        return noAck ? .consumed : .out(channel, tag: delivery.tag)
    }

    private func checkPlace(_ place: ModelMessage.Place, _ isRedelivered: Bool, _ what: String) {
        switch place {
        case .queue, .doubtful:
            break
        case .out(let holder, let tag):
            if !(isRedelivered && self.mayBeReturning(holder)) {
                self.fail("\(what) is delivered while \(holder.name) has it as #\(tag)")
            }
        case .settled(let holder, let operation):
            let isOpen = holder.pending.contains { $0.number == operation }
            if !(isRedelivered && isOpen && self.mayBeReturning(holder)) {
                self.fail("\(what) comes back after \(holder.name) has settled it")
            }
        case .consumed:
            self.fail("\(what) is delivered again after somebody took it without acknowledgement")
        case .purged:
            self.fail("\(what) comes back after it was purged")
        case .ended:
            self.fail("\(what) outlives the broker, but nothing says that it should")
        }
    }

    private func checkMark(
        _ copy: ModelMessage.Copy,
        _ isRedelivered: Bool,
        _ message: ModelMessage,
        _ queue: ModelQueue,
        _ what: String
    ) {
        if copy.wasSeen && !isRedelivered {
            self.fail("\(what) comes again without being marked as redelivered")
        }
        if isRedelivered && !copy.wasSeen && !copy.mayBeMarked && !self.mayBeMarked(message, queue) {
            self.fail("\(what) is marked as redelivered, but nobody can have had it")
        }
    }

    private func mayBeMarked(_ message: ModelMessage, _ queue: ModelQueue) -> Bool {
        if self.returning.contains(queue.id) || message.sentAt < queue.mayBeMarkedBefore {
            return true
        }
        return self.channels.contains { channel in
            let mayHold =
                channel.consumers.contains { $0.queue == queue.id && !$0.noAck }
                || channel.pending.contains {
                    if case .get(queue.id, noAck: false) = $0.operation { true } else { false }
                }
            return mayHold && self.mayBeReturning(channel)
        }
    }

    private func checkOrder(_ message: ModelMessage, _ queue: ModelQueue, _ channel: ModelChannel, _ what: String) {
        let key = ModelClient.DeliveryOrder(queue: queue.id, publisher: ObjectIdentifier(message.publisher))
        if let last = channel.client.lastDelivered[key], last >= message.id {
            self.fail("\(what) comes after m\(last), which the same channel published later")
        }
        channel.client.lastDelivered[key] = message.id
    }

    private func checkPrefetch(_ consumer: ModelConsumer, _ channel: ModelChannel) {
        consumer.unacknowledged += 1
        channel.openDeliveries += 1
        if consumer.prefetch > 0 && consumer.unacknowledged > consumer.prefetch {
            self.fail(
                "\(channel.name): consumer \(consumer.tag) has \(consumer.unacknowledged) open deliveries, its prefetch "
                    + "is \(consumer.prefetch)"
            )
        }
        if let limit = channel.globalLimits.max(), !channel.globalLimits.contains(0), channel.openDeliveries > limit {
            self.fail(
                "\(channel.name) has \(channel.openDeliveries) open deliveries, the prefetch of all its consumers is "
                    + "\(limit)"
            )
        }
    }
}
