internal import AMQPProtocol

/// What shards ask and answer each other, apart from messages and their settlement (see ``ShardBatch``).
///
/// The same commands serve within one shard: a shard's commands to itself are carried out right after the frame that
/// caused them, so that there is one code path for both cases. Between two shards they arrive in the order they were
/// sent, messages included.
enum ShardCommand: Sendable {
    // MARK: Topology; the owner is shard 0.

    /// To the owner: a declare, delete, bind or unbind.
    case requestTopology(TopologyRequest, ChannelAddress)
    /// From the owner to all: changes to apply, numbered without gaps.
    case applyTopology(sequence: UInt64, changes: [TopologyChange])
    /// To the owner: this shard has applied the changes.
    case topologyApplied(sequence: UInt64)
    /// To the channel that asked.
    case topologyReply(ChannelAddress, TopologyReply)
    /// To the channel that asked: what it will be told when ``topologySettled(_:sequence:)`` comes.
    case topologyDecided(ChannelAddress, TopologyReply, sequence: UInt64)
    /// To the channel that asked: every shard has applied the change and, if it is durable, the log has it.
    case topologySettled(ChannelAddress, sequence: UInt64)
    /// To the channel that asked, before its answer: what it declares is there otherwise.
    case declaredOtherwise(ChannelAddress, Redeclaration)
    /// From the owner to a queue's home: the queue was declared again, answer with its counts; ask the owner once more
    /// if it is gone.
    case describeQueue(QueueAddress, TopologyRequest, ChannelAddress)
    /// From the owner to a queue's home.
    case deleteQueue(QueueAddress, ifUnused: Bool, ifEmpty: Bool, DeletionReason)
    /// To the owner: the queue is gone from its home.
    case queueRemoved(QueueAddress, messageCount: UInt32, DeletionReason)
    /// To the owner: take down what belongs to the connection.
    case endConnection(ConnectionAddress)
    /// From the owner: exclusive queues of the connection are gone everywhere.
    case connectionEnded(ConnectionAddress)

    // MARK: Queues

    /// To a queue's home.
    case consume(QueueAddress, ConsumerRequest)
    /// To the channel: the queue's number for the consumer, or a refusal.
    case consumeReply(ChannelAddress, channelIndex: UInt32, consumer: UInt32, refusal: Violation?)
    /// To a queue's home: no more deliveries; what is open stays open.
    case cancel(QueueAddress, consumer: UInt32, ChannelAddress, channelIndex: UInt32)
    /// To the channel.
    case cancelReply(ChannelAddress, channelIndex: UInt32)
    /// To the channel: the queue is gone.
    case consumerGone(ChannelAddress, channelIndex: UInt32)
    /// To a queue's home: the consumer's channel ends; what is open comes back.
    case detach(QueueAddress, consumer: UInt32, ChannelAddress)
    /// To the channel.
    case detachReply(ChannelAddress)
    /// To every other shard: the channel ends; answer with ``detachReply(_:)`` behind what it has published.
    case channelEnds(ChannelAddress)
    /// To a queue's home.
    case purge(QueueAddress, ChannelAddress)
    /// To the channel.
    case purgeReply(ChannelAddress, messageCount: UInt32)
    /// To a queue's home; `consumer` is nil for the first get of the channel with acknowledgement.
    case get(QueueAddress, ChannelAddress, channelIndex: UInt32, consumer: UInt32?, noAck: Bool)
    /// To the channel: nothing there, or the queue is gone.
    case getEmpty(ChannelAddress)

    /// To a queue's home: from now on the consumer's limit is another one.
    case changePrefetch(QueueAddress, consumer: UInt32, prefetchCount: UInt32)

    // MARK: Global prefetch

    /// To a queue's home: from now on the consumer needs a grant for each delivery.
    case limitConsumer(QueueAddress, consumer: UInt32)
    /// To the channel: the consumer could take a message if the channel's limit allows.
    case requestGrant(ChannelAddress, channelIndex: UInt32)
    /// To a queue's home: one message may be delivered.
    case grant(QueueAddress, consumer: UInt32, ChannelAddress, channelIndex: UInt32)
    /// To the channel: the grant was not needed.
    case returnGrant(QueueAddress, ChannelAddress, channelIndex: UInt32)

    // MARK: Direct reply-to

    /// To the shard of a reply address: is the requester still there?
    case findReplyConsumer(ChannelAddress, secret: UInt64, name: ShortString, passive: Bool, asker: ChannelAddress)

    // MARK: Memory

    /// To all: octets of message memory this shard holds.
    case memoryHeld(shard: UInt16, HeldMemory)
}

/// Why a queue is deleted, and so who waits for it.
enum DeletionReason: Sendable {
    /// `queue.delete` of a channel.
    case request(ChannelAddress)
    /// Its connection ended.
    case connection(ConnectionAddress)
    /// Its last consumer left.
    case unused
    /// Nobody used it for as long as it was declared with.
    case expired
}

/// What a channel is told about a declare, delete, bind or unbind.
enum TopologyReply: Sendable {
    case done
    /// The queue is there. Its home tells the counts; the channel's shard asks it, so that the question comes behind
    /// what the channel has published.
    indirect case queueExists(QueueAddress, TopologyRequest)
    /// The queue may be deleted if its home agrees; the channel's shard asks it, for the same reason.
    case mayDelete(QueueAddress, ifUnused: Bool, ifEmpty: Bool)
    case queueDeclared(name: ShortString, messageCount: UInt32, consumerCount: UInt32)
    case queueDeleted(messageCount: UInt32)
    case refused(Violation)
}

/// A `basic.consume` on its way to the queue.
struct ConsumerRequest: Sendable {
    var channel: ChannelAddress
    var channelIndex: UInt32
    var noAck: Bool
    var isExclusive: Bool
    var priority: Int32
    var prefetchCount: UInt32
    var isGlobalLimited: Bool
    /// How long acknowledgements may take, if the consumer's arguments say so; 0 is for ever.
    var timeoutMilliseconds: UInt64?
}
