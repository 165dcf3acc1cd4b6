internal import AMQPProtocol

extension Topology {
    /// Everything durable, in an order in which it can be made again.
    var durableChanges: [RecoveredChange] {
        var changes: [RecoveredChange] = []
        for host in self.virtualHostNames.compactMap({ self.virtualHost(named: $0) }) {
            changes.append(.addVirtualHost(host.name))
            if let limit = host.maxQueues {
                changes.append(.limitQueues(virtualHost: host.name, limit))
            }
            for isOperator in [false, true] {
                for policy in host.policies.list(isOperator: isOperator) {
                    changes.append(.setPolicy(virtualHost: host.name, policy, isOperator: isOperator))
                }
            }
            let exchanges = host.exchangeNames.compactMap { host.exchange(named: $0) }
                .filter { $0.definition.isDurable }
            let queues = host.queueNames.compactMap { host.queue(named: $0) }.filter { $0.durableID != 0 }
            let predeclared = Set(VirtualHost.predeclared.map(\.name))
            for exchange in exchanges where !predeclared.contains(exchange.definition.name) {
                changes.append(.addExchange(virtualHost: host.name, exchange.definition))
            }
            for queue in queues {
                let durable = DurableQueue(
                    virtualHost: host.name,
                    name: queue.name,
                    durableID: queue.durableID,
                    isAutoDelete: queue.autoDelete,
                    arguments: queue.arguments
                )
                changes.append(.addQueue(durable))
            }
            for exchange in exchanges {
                for binding in exchange.outgoing where binding.destination.isDurable {
                    changes.append(.addBinding(virtualHost: host.name, binding.definition))
                }
            }
        }
        return changes
    }
}

extension Destination {
    /// Whether it survives a restart.
    fileprivate var isDurable: Bool {
        switch self {
        case .queue(let queue): queue.durableID != 0
        case .exchange(let exchange): exchange.definition.isDurable
        }
    }
}
