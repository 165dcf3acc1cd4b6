import AMQPProtocol

/// Routes to every binding, whatever the routing key.
final class FanoutExchange {
    private var bindings = BindingList()

    /// Makes an exchange without bindings.
    init() {}

    /// Adds a binding.
    func bind(_ binding: Binding) {
        self.bindings.insert(binding, as: .route)
    }

    /// Takes a binding away that was added.
    func unbind(_ binding: Binding) {
        self.bindings.remove(binding, as: .route)
    }

    /// Adds all destinations; says whether there was any binding.
    func route(into targets: inout RouteTargets) -> Bool {
        targets.add(self.bindings)
    }

    /// Any binding will do: keys and arguments are stored and mean nothing here.
    static func validate(_ binding: BindingDefinition) -> String? { nil }
}
