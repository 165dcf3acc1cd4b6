internal import AMQPProtocol

/// `x-consumer-timeout`: a delivery that is not acknowledged in time goes back to its queue; its channel lives on.
///
/// Off unless a queue or a consumer asks for it. The client still holds what has lapsed, so its consumer gets nothing more
/// until it has answered all of that; the late answers change nothing else.
extension Shard {
    /// The timeout that a consumer's arguments ask for; nil when they do not say.
    ///
    /// RabbitMQ 3.10 takes any value of an argument that it does not know; so what is no positive number asks for nothing.
    static func consumerTimeout(_ arguments: FieldTable) -> UInt64? {
        arguments["x-consumer-timeout"]?.integerValue.flatMap { UInt64(exactly: $0) }
    }

    /// Sets the timeout of a consumer from its own wish or its queue's; whatever is open begins anew.
    func setTimeout(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ consumer: UnsafeMutablePointer<ConsumerState>
    ) {
        let wanted = consumer.pointee.ownTimeoutMilliseconds ?? queue.pointee.settings.consumerTimeoutMilliseconds
        let timeout = consumer.pointee.noAck ? 0 : wanted ?? 0
        guard timeout != consumer.pointee.times?.timeoutMilliseconds ?? 0 else { return }
        consumer.pointee.times = timeout == 0 ? nil : DeliveryTimes(timeoutMilliseconds: timeout)
        consumer.pointee.isTimed = timeout != 0
        if timeout != 0, let oldest = consumer.pointee.outstanding.firstKey {
            self.noteDeliveryTime(queue, consumer, oldest)
        }
    }

    /// A consumer with a timeout has got a delivery.
    @inline(never)
    func noteDeliveryTime(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ consumer: UnsafeMutablePointer<ConsumerState>,
        _ serial: UInt64
    ) {
        consumer.pointee.times?.note(serial, self.now)
        if let deadline = consumer.pointee.times?.deadline(of: self.now) {
            self.scheduleAckTimeouts(queue, deadline)
        }
    }

    /// Has the shard look at the queue at a deadline, unless it does so before.
    private func scheduleAckTimeouts(_ queue: UnsafeMutablePointer<QueueState>, _ deadline: BrokerInstant) {
        if let timer = queue.pointee.extra.ackTimer, timer <= deadline { return }
        queue.pointee.extra.ackTimer = deadline
        self.timers.schedule(at: deadline, .acknowledgements(queue.pointee.address))
    }

    /// Deliveries of a queue may have lapsed.
    func fireAckTimeouts(_ address: QueueAddress) {
        guard let queue = self.queue(address) else { return }
        if let timer = queue.pointee.extra.ackTimer, timer <= self.now {
            queue.pointee.extra.ackTimer = nil
        }
        var next: BrokerInstant?
        for consumer in queue.pointee.consumers {
            guard let consumer, consumer.pointee.isTimed else { continue }
            let count = self.lapse(queue, consumer, &next)
            if count > 0 {
                self.log(
                    .warning,
                    "queue",
                    "queue '\(queue.pointee.info.name)' in vhost '\(queue.pointee.info.virtualHostName)': \(count) "
                        + "deliveries were not acknowledged within \(consumer.pointee.times?.timeoutMilliseconds ?? 0) ms "
                        + "and go back; their consumer gets no others until it has answered"
                )
            }
        }
        if let next {
            self.scheduleAckTimeouts(queue, next)
        }
        self.dispatchTouchedQueues()
    }

    /// Takes a consumer's overdue deliveries back; returns how many there were.
    private func lapse(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ consumer: UnsafeMutablePointer<ConsumerState>,
        _ next: inout BrokerInstant?
    ) -> Int {
        var count = 0
        while let oldest = consumer.pointee.outstanding.firstKey,
            let deadline = consumer.pointee.times?.deadline(ofOldest: oldest)
        {
            guard deadline <= self.now else {
                next = min(next ?? deadline, deadline)
                break
            }
            guard let (_, delivery) = consumer.pointee.outstanding.removeFirst() else { break }
            queue.pointee.unacknowledged -= 1
            consumer.pointee.lapsed += 1
            count += 1
            self.takeBack(queue, delivery, .returned)
        }
        return count
    }

    /// The answer to a delivery that has lapsed.
    @inline(never)
    func settleLate(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ consumer: UnsafeMutablePointer<ConsumerState>
    ) {
        guard consumer.pointee.lapsed > 0 else { return }
        consumer.pointee.lapsed -= 1
        guard consumer.pointee.lapsed == 0 else { return }
        if consumer.pointee.isCancelled {
            self.freeIfSettled(queue, consumer)
        } else {
            self.makeReady(consumer, of: queue)
        }
    }
}
