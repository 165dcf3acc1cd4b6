/// Exchanges that go by themselves: those with auto-delete, with the last binding from them.
extension Judge {
    /// Doubts one auto-delete exchange that may have lost its last binding; returns whether there was one.
    func doubtAutoDeleteExchange() -> Bool {
        let index = self.topology.exchanges.indices.first { index in
            let exchange = self.topology.exchanges[index]
            guard exchange.isAutoDelete, exchange.existence == .certain else { return false }
            let bindings = self.topology.bindings.filter { $0.source == index && $0.wasRequested }
            return bindings.contains { self.mayHaveGone($0) }
                && !bindings.contains { $0.existence == .certain && !self.mayHaveGone($0) }
        }
        guard let index else { return false }
        self.topology.exchanges[index].existence = .doubtful
        self.exchangeDoubts[index] = self.clock
        return true
    }

    /// Whether a binding that somebody has asked for may have been there and may be gone.
    private func mayHaveGone(_ binding: ModelBinding) -> Bool {
        if binding.existence == .doubtful || binding.existence == .gone {
            return true
        }
        switch binding.target {
        case .queue(let queue):
            // An auto-delete queue may go before anybody sees why.
            return self.queues[queue].existence != .certain || self.queues[queue].isAutoDelete
        case .exchange(let exchange):
            return self.topology.exchanges[exchange].existence != .certain
        }
    }

    /// Somebody has looked for an exchange while nothing moved.
    package func observes(exchange number: Int, isThere: Bool) {
        guard self.failure == nil else { return }
        let exchange = self.topology.exchanges[number]
        if !isThere {
            guard exchange.existence != .certain else { return self.fail("exchange \(exchange.name) is gone") }
            self.topology.exchanges[number].existence = .gone
            self.topologyChanged()
            return
        }
        self.topology.exchanges[number].isLogged = true
        let bindings = self.topology.bindings.filter { $0.source == number }
        if exchange.isAutoDelete && bindings.contains(where: \.wasCertain) && !bindings.contains(where: self.isPossible)
        {
            return self.fail("exchange \(exchange.name) outlives its last binding")
        }
        if exchange.existence != .certain {
            self.topology.exchanges[number].existence = .certain
            self.exchangeDoubts[number] = self.clock
        }
    }

    private func isPossible(_ binding: ModelBinding) -> Bool {
        guard binding.existence.isPossible else { return false }
        switch binding.target {
        case .queue(let queue): return self.queues[queue].existence.isPossible
        case .exchange(let exchange): return self.topology.exchanges[exchange].existence.isPossible
        }
    }
}
