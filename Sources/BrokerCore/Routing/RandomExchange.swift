import AMQPProtocol

/// Routes to one binding, chosen by chance; a queue that is bound twice is chosen twice as often.
final class RandomExchange {
    private let prefersLocal: Bool
    private var bindings = BindingList()

    /// Makes an exchange without bindings; `prefersLocal` keeps to queues of the publisher's shard if there are any.
    init(prefersLocal: Bool) {
        self.prefersLocal = prefersLocal
    }

    /// Adds a binding.
    func bind(_ binding: Binding) {
        self.bindings.insert(binding, as: .route)
    }

    /// Takes a binding away that was added.
    func unbind(_ binding: Binding) {
        self.bindings.remove(binding, as: .route)
    }

    /// Adds a destination; says whether there is any.
    func route(into targets: inout RouteTargets) -> Bool {
        guard !self.bindings.isEmpty else { return false }
        targets.doNotKeep()
        if self.prefersLocal {
            let count = self.bindings.count { targets.isLocal($0.destination) }
            if count > 0 {
                var number = targets.draw(below: count)
                for binding in self.bindings where targets.isLocal(binding.destination) {
                    if number == 0 {
                        targets.add(binding)
                        return true
                    }
                    number -= 1
                }
            }
        }
        targets.add(self.bindings[targets.draw(below: self.bindings.count)])
        return true
    }
}
