/// How traces call things.
extension Judge {
    /// One operation in words.
    package func describe(_ operation: Operation) -> String {
        switch operation {
        case .openChannel: "open"
        case .closeChannel: "close"
        case .declareQueue(let queue, let noWait): "declare \(self.describe(queue: queue))\(noWait ? " nowait" : "")"
        case .inspectQueue(let queue): "declare \(ModelQueue.name(queue)) passive"
        case .deleteQueue(let queue, let ifUnused, let ifEmpty):
            "delete \(ModelQueue.name(queue))\(ifUnused ? " if-unused" : "")\(ifEmpty ? " if-empty" : "")"
        case .purgeQueue(let queue): "purge \(ModelQueue.name(queue))"
        case .declareExchange(let exchange):
            "declare \(self.topology.exchanges[exchange].name) \(self.topology.exchanges[exchange].kind)"
        case .deleteExchange(let exchange): "delete \(self.topology.exchanges[exchange].name)"
        case .bind(let binding, let noWait): "bind \(self.describe(binding: binding))\(noWait ? " nowait" : "")"
        case .unbind(let binding): "unbind \(self.describe(binding: binding))"
        case .publish(let message): "publish \(self.describe(message: message))"
        case .consume(let tag, let queue, let noAck, let priority, let noWait):
            "consume \(tag) \(ModelQueue.name(queue))\(noAck ? " no-ack" : "")\(noWait ? " nowait" : "")"
                + (priority == 0 ? "" : " priority \(priority)")
        case .cancel(let tag): "cancel \(tag)"
        case .get(let queue, let noAck): "get \(ModelQueue.name(queue))\(noAck ? " no-ack" : "")"
        case .settle(let tag, let isMultiple, let outcome): "\(outcome) #\(tag)\(isMultiple ? " multiple" : "")"
        case .recover: "recover"
        case .qos(let count, let isGlobal): "qos \(count)\(isGlobal ? " global" : "")"
        case .selectConfirms: "confirm.select"
        case .selectTransactions: "tx.select"
        case .commit: "tx.commit"
        case .rollBack: "tx.rollback"
        }
    }

    private func describe(queue: Int) -> String {
        let queue = self.queues[queue]
        return queue.name + (queue.owner == nil ? "" : " exclusive") + (queue.isAutoDelete ? " auto-delete" : "")
            + (queue.isSingleActive ? " single-active" : "")
    }

    private func describe(binding: Int) -> String {
        let binding = self.topology.bindings[binding]
        let target =
            switch binding.target {
            case .queue(let queue): ModelQueue.name(queue)
            case .exchange(let exchange): self.topology.exchanges[exchange].name
            }
        let headers = binding.headers.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        return "\(target) to \(self.topology.exchanges[binding.source].name) key '\(binding.key)'\(headers)"
            + (binding.headers.isEmpty || binding.needsAll ? "" : " any")
    }

    private func describe(message: Int) -> String {
        let message = self.messages[message]
        let exchange = message.exchange.map { self.topology.exchanges[$0].name } ?? "default"
        let headers = message.headers.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        return "m\(message.id) to \(exchange) key '\(message.key)'\(headers)"
            + (message.copiedTo.isEmpty ? "" : " cc \(message.copiedTo)")
            + (message.secretlyCopiedTo.isEmpty ? "" : " bcc \(message.secretlyCopiedTo)")
            + (message.isMandatory ? " mandatory" : "") + " \(message.bodySize) octets"
    }
}
