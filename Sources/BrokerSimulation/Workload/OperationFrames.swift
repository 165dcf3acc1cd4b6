internal import AMQPProtocol

/// Encodes operations of the model for the wire.
struct OperationFrames {
    let judge: Judge
    let client: SimulatedClient

    /// The octets of an operation on a channel.
    func encode(_ operation: Operation, on channel: UInt16) -> [UInt8] {
        func frame(_ method: some EncodableMethod) -> [UInt8] {
            SimulatedClient.frame(method, channel: channel)
        }
        switch operation {
        case .openChannel: return frame(ChannelOpen())
        case .closeChannel: return frame(ChannelClose(replyCode: 200))
        case .declareQueue(let queue, let noWait): return frame(self.declare(self.judge.queues[queue], noWait))
        case .inspectQueue(let queue): return frame(QueueDeclare(queue: Self.name(queue), passive: true))
        case .deleteQueue(let queue, let ifUnused, let ifEmpty):
            return frame(QueueDelete(queue: Self.name(queue), ifUnused: ifUnused, ifEmpty: ifEmpty))
        case .purgeQueue(let queue): return frame(QueuePurge(queue: Self.name(queue)))
        case .declareExchange(let number):
            let exchange = self.judge.topology.exchanges[number]
            return frame(
                ExchangeDeclare(
                    exchange: Self.text(exchange.name),
                    type: Self.text(exchange.kind.rawValue),
                    durable: exchange.isDurable,
                    autoDelete: exchange.isAutoDelete
                )
            )
        case .deleteExchange(let exchange): return frame(ExchangeDelete(exchange: self.exchangeName(exchange)))
        case .bind(let number, let noWait):
            let binding = self.judge.topology.bindings[number]
            let source = self.exchangeName(binding.source)
            let key = Self.text(binding.key)
            let arguments = self.arguments(binding)
            switch binding.target {
            case .queue(let queue):
                return frame(
                    QueueBind(
                        queue: Self.name(queue),
                        exchange: source,
                        routingKey: key,
                        noWait: noWait,
                        arguments: arguments
                    )
                )
            case .exchange(let exchange):
                return frame(
                    ExchangeBind(
                        destination: self.exchangeName(exchange),
                        source: source,
                        routingKey: key,
                        noWait: noWait,
                        arguments: arguments
                    )
                )
            }
        case .unbind(let number):
            let binding = self.judge.topology.bindings[number]
            let source = self.exchangeName(binding.source)
            let key = Self.text(binding.key)
            let arguments = self.arguments(binding)
            switch binding.target {
            case .queue(let queue):
                return frame(
                    QueueUnbind(queue: Self.name(queue), exchange: source, routingKey: key, arguments: arguments)
                )
            case .exchange(let exchange):
                return frame(
                    ExchangeUnbind(
                        destination: self.exchangeName(exchange),
                        source: source,
                        routingKey: key,
                        arguments: arguments
                    )
                )
            }
        case .publish(let message): return self.publish(self.judge.messages[message], channel)
        case .consume(let tag, let queue, let noAck, let priority, let noWait):
            return frame(
                BasicConsume(
                    queue: Self.name(queue),
                    consumerTag: Self.text(tag),
                    noAck: noAck,
                    noWait: noWait,
                    arguments: priority == 0 ? .empty : FieldTable([("x-priority", .int32(Int32(priority)))])
                )
            )
        case .cancel(let tag): return frame(BasicCancel(consumerTag: Self.text(tag)))
        case .get(let queue, let noAck): return frame(BasicGet(queue: Self.name(queue), noAck: noAck))
        case .settle(let tag, let isMultiple, .acknowledge):
            return frame(BasicAck(deliveryTag: tag, multiple: isMultiple))
        case .settle(let tag, isMultiple: false, let outcome) where tag % 2 == 0:
            return frame(BasicReject(deliveryTag: tag, requeue: outcome == .requeue))
        case .settle(let tag, let isMultiple, let outcome):
            return frame(BasicNack(deliveryTag: tag, multiple: isMultiple, requeue: outcome == .requeue))
        case .recover: return frame(BasicRecover(requeue: true))
        case .qos(let count, let isGlobal): return frame(BasicQos(prefetchCount: UInt16(count), global: isGlobal))
        case .selectConfirms: return frame(ConfirmSelect())
        case .selectTransactions: return frame(TxSelect())
        case .commit: return frame(TxCommit())
        case .rollBack: return frame(TxRollback())
        }
    }

    private func declare(_ queue: ModelQueue, _ noWait: Bool) -> QueueDeclare {
        QueueDeclare(
            queue: Self.text(queue.name),
            durable: queue.isDurable,
            exclusive: queue.owner != nil,
            autoDelete: queue.isAutoDelete,
            noWait: noWait,
            arguments: queue.isSingleActive ? FieldTable([("x-single-active-consumer", .boolean(true))]) : .empty
        )
    }

    private func publish(_ message: ModelMessage, _ channel: UInt16) -> [UInt8] {
        self.client.encodePublish(
            BasicPublish(
                exchange: message.exchange.map { self.exchangeName($0) } ?? "",
                routingKey: Self.text(message.key),
                mandatory: message.isMandatory,
                immediate: false
            ),
            properties: message.properties(isSent: true),
            body: message.body,
            channel: channel
        )
    }

    private func arguments(_ binding: ModelBinding) -> FieldTable {
        guard self.judge.topology.exchanges[binding.source].kind == .headers else { return .empty }
        return FieldTable(
            [("x-match", .string(binding.needsAll ? "all" : "any"))] + ModelMessage.table(binding.headers)
        )
    }

    private func exchangeName(_ exchange: Int) -> ShortString {
        Self.text(self.judge.topology.exchanges[exchange].name)
    }

    private static func name(_ queue: Int) -> ShortString { self.text(ModelQueue.name(queue)) }

    private static func text(_ text: String) -> ShortString { ShortString(truncating: text) }
}
