public import AMQPProtocol

/// Something an operator asks of the broker: by command line today, by HTTP tomorrow.
///
/// The front end gives it to the shards that ``place`` names, and gathers the answers.
public enum AdministrationRequest: Sendable {
    /// A new policy, or another one with its name.
    case setPolicy(PolicyRequest, isOperator: Bool)
    /// A policy goes.
    case clearPolicy(virtualHost: String, name: String, isOperator: Bool)
    /// The policies of a virtual host, or of all.
    case listPolicies(virtualHost: String?, isOperator: Bool)
    /// A page of the queues of a virtual host, or of all; the answer says where the next one begins.
    case listQueues(virtualHost: String?, from: ListPosition = .start)
    /// A queue that is there gets other arguments, or loses those whose value is void; its messages and consumers stay.
    case alterQueue(virtualHost: String, name: String, changes: FieldTable)
    /// The exchanges of a virtual host, or of all.
    case listExchanges(virtualHost: String?)
    /// A page of the bindings of a virtual host, or of all, those of the default exchange included.
    case listBindings(virtualHost: String?, from: ListPosition = .start)
    /// The names of the virtual hosts.
    case listVirtualHosts
    /// Copies of a virtual host's messages go to `amq.rabbitmq.trace`, or no longer; a restart ends it.
    case setTracing(virtualHost: String, isOn: Bool)
    /// The messages of a virtual host that wait for their time, in queues too, those whose time comes first.
    case listDelayedMessages(virtualHost: String, limit: Int)
    /// A message that waits, perhaps in a queue, is dropped.
    case cancelDelayedMessage(id: UInt64, in: QueueName? = nil)
    /// A message that waits, perhaps in a queue, gets another time.
    case rescheduleDelayedMessage(id: UInt64, dueEpochMilliseconds: UInt64, in: QueueName? = nil)
    /// What would become of a publish, and why; see ``RouteExplanation``.
    case explain(RouteQuestion)
    /// The last messages of a virtual host, or of all, that no queue got, the newest first.
    case listUnroutable(virtualHost: String?, limit: Int)

    /// Who has to do with it.
    public var place: AdministrationPlace {
        switch self {
        case .setPolicy, .clearPolicy, .alterQueue, .listPolicies, .listVirtualHosts: .shard(0)
        case .listQueues(_, let position), .listBindings(_, let position): .shard(position.shard)
        case .setTracing, .listDelayedMessages, .cancelDelayedMessage, .rescheduleDelayedMessage, .explain,
            .listUnroutable, .listExchanges:
            .everyShard
        }
    }
}

/// A queue that is meant.
public struct QueueName: Sendable, Hashable {
    /// Its virtual host.
    public var virtualHost: String
    /// Its name there.
    public var name: String

    /// Means a queue.
    public init(virtualHost: String, name: String) {
        self.virtualHost = virtualHost
        self.name = name
    }
}

/// The shards that a request is for.
public enum AdministrationPlace: Sendable, Equatable {
    /// One of them.
    case shard(Int)
    /// All: each has a part of the answer.
    case everyShard
}

/// How far a list has been told.
///
/// What is added or goes while a list is told may be in it or not; what stays is in it once.
public struct ListPosition: Sendable, Hashable {
    /// The shard whose queues are next.
    public var shard: Int
    /// The place of the queue there.
    var slot: Int
    /// How much of that queue has been told.
    var item: Int

    /// The beginning of a list.
    public static let start = ListPosition(shard: 0, slot: 0, item: 0)
}

/// A policy as it is asked for.
public struct PolicyRequest: Sendable {
    /// The virtual host it is to govern.
    public var virtualHost: String
    /// Its name.
    public var name: String
    /// A regular expression that is found in the names of what it governs.
    public var pattern: String
    /// The kinds of things it governs, in RabbitMQ's word.
    public var applyTo: String
    /// Of several policies that match, the one of highest priority counts.
    public var priority: Int64
    /// What it says.
    public var definition: FieldTable

    /// Asks for a policy.
    public init(
        virtualHost: String,
        name: String,
        pattern: String,
        applyTo: String = "all",
        priority: Int64 = 0,
        definition: FieldTable
    ) {
        self.virtualHost = virtualHost
        self.name = name
        self.pattern = pattern
        self.applyTo = applyTo
        self.priority = priority
        self.definition = definition
    }
}

/// What comes of an ``AdministrationRequest``.
public enum AdministrationAnswer: Sendable, Equatable {
    /// It is done: on every shard, and in the log if there is one.
    case done
    /// It is not, and nothing has changed.
    case failed(AdministrationFailure)
    /// Policies, those that count first in front.
    case policies([PolicySnapshot])
    /// Queues, and where the next page begins.
    case queues([QueueSnapshot], next: ListPosition?)
    /// Exchanges by virtual host and name.
    case exchanges([ExchangeSnapshot])
    /// Bindings, and where the next page begins.
    case bindings([BindingSnapshot], next: ListPosition?)
    /// Names.
    case names([String])
    /// Messages that wait, those whose time comes first.
    case delayedMessages([DelayedMessageInfo])
    /// What would become of a publish.
    case explanation(RouteExplanation)
    /// Messages that no queue got, the newest first.
    case unroutable([UnroutablePublish])
}

/// Why a request was not carried out.
public enum AdministrationFailure: Error, Sendable, Equatable {
    /// There is no virtual host of that name.
    case noVirtualHost(String)
    /// What it names is not there; with the words for a person.
    case notFound(String)
    /// What it asks for makes no sense; with the words for a person.
    case invalid(String)
    /// It cannot be carried out now; with the words for a person.
    case unavailable(String)
    /// It would make more of something than there may be; with the words for a person.
    case limit(String)
}
