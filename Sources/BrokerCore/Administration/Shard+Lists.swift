internal import AMQPProtocol

/// Telling operators what there is, in pages where there may be much of it: the loop has other things to do.
extension Shard {
    // MARK: Queues

    /// The next queues that live here.
    func queuePage(
        _ virtualHost: String?,
        from position: ListPosition
    ) throws(AdministrationFailure) -> AdministrationAnswer {
        var rows: [QueueSnapshot] = []
        let next = try self.walkQueues(virtualHost, from: position) { queue, _ in
            guard rows.count < ShardLimits.listedRows else { return 0 }
            rows.append(self.snapshot(of: queue))
            return nil
        }
        return .queues(rows, next: next)
    }

    /// Goes through the queues that live here until a page is full; says where the next page begins.
    ///
    /// `tell` gets a queue and the number of its items that have been told; it returns the number of the next item when
    /// there is no room for it on this page.
    private func walkQueues(
        _ virtualHost: String?,
        from position: ListPosition,
        _ tell: (UnsafeMutablePointer<QueueState>, _ item: Int) -> Int?
    ) throws(AdministrationFailure) -> ListPosition? {
        let host: VirtualHost? = if let virtualHost { try self.virtualHost(virtualHost) } else { nil }
        let start = max(position.slot, 0)
        let end = max(start, min(self.queues.count, start + ShardLimits.listedSlots))
        for slot in start..<end {
            guard let queue = self.queues[slot] else { continue }
            if let host, queue.pointee.info.virtualHostName != host.name { continue }
            if let item = tell(queue, slot == start ? position.item : 0) {
                return ListPosition(shard: Int(self.index), slot: slot, item: item)
            }
        }
        if end < self.queues.count { return ListPosition(shard: Int(self.index), slot: end, item: 0) }
        let next = Int(self.index) + 1
        return next < Int(self.count) ? ListPosition(shard: next, slot: 0, item: 0) : nil
    }

    private func snapshot(of queue: UnsafeMutablePointer<QueueState>) -> QueueSnapshot {
        let info = queue.pointee.info
        return QueueSnapshot(
            virtualHost: "\(info.virtualHostName)",
            name: "\(info.name)",
            type: "\(info.parsed.queueType.name)",
            isDurable: info.durable,
            isAutoDelete: info.autoDelete,
            isExclusive: info.exclusiveOwner != nil,
            arguments: info.arguments,
            policy: EffectivePolicy(queue.pointee.extra.policies),
            ready: queue.pointee.readyCount,
            unacknowledged: queue.pointee.unacknowledged,
            consumers: queue.pointee.consumerCount
        )
    }

    // MARK: Bindings

    /// The next bindings of queues that live here; before the first of all come those between exchanges.
    func bindingPage(
        _ virtualHost: String?,
        from position: ListPosition
    ) throws(AdministrationFailure) -> AdministrationAnswer {
        var rows = position == .start ? try self.bindingsBetweenExchanges(virtualHost) : []
        let end = rows.count + ShardLimits.listedRows
        let next = try self.walkQueues(virtualHost, from: position) { queue, first in
            let info = queue.pointee.info
            var item = first
            // The first is that of the default exchange, which every queue has.
            while item <= info.incoming.count {
                guard rows.count < end else { return item }
                rows.append(
                    item == 0
                        ? Self.defaultBinding(of: info)
                        : Self.snapshot(of: info.incoming[item - 1], in: info.virtualHostName)
                )
                item += 1
            }
            return nil
        }
        return .bindings(rows, next: next)
    }

    private func bindingsBetweenExchanges(_ virtualHost: String?) throws(AdministrationFailure) -> [BindingSnapshot] {
        try self.virtualHosts(virtualHost).flatMap { host in
            host.exchangeNames.compactMap { host.exchange(named: $0) }.flatMap { exchange in
                exchange.incoming.map { Self.snapshot(of: $0, in: host.name) }
            }
        }
    }

    private static func defaultBinding(of info: QueueInfo) -> BindingSnapshot {
        BindingSnapshot(
            virtualHost: "\(info.virtualHostName)",
            source: "",
            destination: "\(info.name)",
            isQueue: true,
            routingKey: "\(info.name)",
            arguments: .empty
        )
    }

    private static func snapshot(of binding: Binding, in virtualHost: ShortString) -> BindingSnapshot {
        BindingSnapshot(
            virtualHost: "\(virtualHost)",
            source: "\(binding.source.name)",
            destination: "\(binding.definition.destination)",
            isQueue: binding.definition.kind == .queue,
            routingKey: "\(binding.definition.routingKey)",
            arguments: binding.definition.arguments
        )
    }

    // MARK: Exchanges

    /// All exchanges in one go: there are few.
    func exchangeSnapshots(_ virtualHost: String?) throws(AdministrationFailure) -> [ExchangeSnapshot] {
        try self.virtualHosts(virtualHost).flatMap { host in
            host.exchangeNames.compactMap { host.exchange(named: $0) }.map { exchange in
                ExchangeSnapshot(
                    virtualHost: "\(host.name)",
                    name: "\(exchange.name)",
                    type: "\(exchange.definition.type.name)",
                    isDurable: exchange.definition.isDurable,
                    isAutoDelete: exchange.definition.isAutoDelete,
                    isInternal: exchange.definition.isInternal,
                    arguments: exchange.definition.arguments,
                    policy: EffectivePolicy(exchange.policies),
                    deduplication: self.deduplicationCounts(exchange)
                )
            }
        }
    }

    /// What has come to an exchange's window: nothing where it has not its home.
    private func deduplicationCounts(_ exchange: Exchange) -> DeduplicationCounts? {
        guard exchange.isDeduplicating, let station = exchange.station else { return nil }
        let counts = self.windows.counts[station.number] ?? DeduplicationWindows.Counts()
        return DeduplicationCounts(published: counts.published, duplicates: counts.duplicates)
    }
}

extension ShardLimits {
    /// Rows of one page of a list.
    static let listedRows = 512
    /// Places of queues looked at for one page.
    static let listedSlots = 8_192
}
