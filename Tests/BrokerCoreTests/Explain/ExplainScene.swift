import AMQPProtocol
import BrokerSimulation

@testable import BrokerCore

/// A broker that is asked what would become of publishes.
struct ExplainScene {
    let broker: SimulatedBroker
    let client: SimulatedClient

    init(shards: Int = 1, isDurable: Bool = false) {
        let scene = QueueScene(shards: shards, isDurable: isDurable)
        self.broker = scene.broker
        self.client = scene.client
    }

    func exchange(_ name: ShortString, _ type: ShortString, _ arguments: FieldTable = [:], isInternal: Bool = false) {
        self.client.call(ExchangeDeclare(exchange: name, type: type, internal: isInternal, arguments: arguments))
    }

    func queue(_ name: ShortString, _ arguments: FieldTable = [:], durable: Bool = false) {
        self.client.call(QueueDeclare(queue: name, durable: durable, arguments: arguments))
    }

    func bind(_ queue: ShortString, to exchange: ShortString, _ key: ShortString = "", _ arguments: FieldTable = [:]) {
        self.client.call(QueueBind(queue: queue, exchange: exchange, routingKey: key, arguments: arguments))
    }

    func bind(exchange: ShortString, to source: ShortString, _ key: ShortString = "", _ arguments: FieldTable = [:]) {
        self.client.call(
            ExchangeBind(destination: exchange, source: source, routingKey: key, arguments: arguments)
        )
    }

    /// What all shards say together.
    func explain(_ question: RouteQuestion) -> RouteExplanation {
        let request = AdministrationRequest.explain(question)
        guard case .explanation(let explanation) = request.gather(self.broker.administer(request)) else {
            return .init()
        }
        return explanation
    }

    func explain(
        _ exchange: String,
        _ key: String = "",
        _ headers: FieldTable? = nil,
        isMandatory: Bool = false
    ) -> RouteExplanation {
        self.explain(
            RouteQuestion(
                exchange: exchange,
                routingKey: key,
                properties: BasicProperties(headers: headers),
                isMandatory: isMandatory
            )
        )
    }

    /// The last messages that no queue got.
    func unroutable(limit: Int = 1000, virtualHost: String? = nil) -> [UnroutablePublish] {
        let request = AdministrationRequest.listUnroutable(virtualHost: virtualHost, limit: limit)
        guard case .unroutable(let publishes) = request.gather(self.broker.administer(request)) else { return [] }
        return publishes
    }
}

extension RouteExplanation {
    /// The exchanges in a line each: `a <- publish`.
    var path: [String] {
        self.exchanges.map { visit in
            switch visit.origin {
            case .publish: "\(visit.name) <- publish"
            case .binding(let source): "\(visit.name) <- binding of \(source)"
            case .alternate(let source): "\(visit.name) <- alternate of \(source)"
            }
        }
    }

    /// The names of the queues.
    var queueNames: [String] { self.queues.map(\.name) }
}
