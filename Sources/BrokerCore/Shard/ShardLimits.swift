/// Every bound of the core in one place; who reaches one is slowed or refused, never the others.
enum ShardLimits {
    /// Octets a socket may have sent before login that are not yet understood.
    static let preLoginBytes = 64 * 1024
    /// Largest frame before tuning, frame overhead included (long tokens fit into `start-ok`).
    static let preTuneFrameBytes = 8192
    /// Smallest frame size a client may ask for.
    static let minFrameBytes = 4096
    /// Octets over the negotiated frame size that are tolerated, as RabbitMQ does.
    static let frameTolerance = 8
    /// Octets written for a connection that the socket has not taken, above which it gets no deliveries.
    static let outputBytes = 256 * 1024
    /// First block lent to a connection in a turn.
    static let firstOutputBlock = 4 * 1024
    /// Later blocks.
    static let outputBlock = 128 * 1024
    /// Octets of deliveries under way to a consumer on another shard.
    static let consumerWindowBytes = 256 * 1024
    /// Octets of publishes of one connection under way to other shards and to the log, above which it is not read.
    static let publisherWindowBytes = 1 << 20
    /// The same, of all connections of a shard together, above which each of them has a small window.
    static let publisherWindowBytesOfAll = 32 << 20
    /// That small window.
    static let smallPublisherWindowBytes = 16 * 1024
    /// Octets of frames that a connection may have parked during an alarm and still be read.
    static let parkedBytes = 256 * 1024
    /// The same, of all connections of a shard together.
    static let parkedBytesOfAll = 32 << 20
    /// The same, for a connection that takes messages.
    static let drainingParkedBytes = 16 << 20
    /// The same, of all connections of a shard together, for those that take messages.
    static let drainingParkedBytesOfAll = 64 << 20
    /// How often a connection may have the memory limit, or the largest message, in bodies that have begun and are not
    /// complete, during the memory alarm.
    static let begunBodies: UInt64 = 2
    /// Parked octets between two looks at these limits, a power of two.
    static let parkedStepBytes = 32 * 1024
    /// Ready messages above which a queue with consumers has fallen behind.
    static let backlogMessages = 4096
    /// Octets of frames that wait on a connection's channels for an answer from another shard.
    static let deferredBytes = 256 * 1024
    /// Answers of a channel that wait for the log, above which its next declare or bind waits, too.
    static let heldAnswers = 1024
    /// Room of a batch for another shard to begin with.
    static let firstBatchBytes = 256
    /// Room a batch begins with at most; larger ones have grown.
    static let keptBatchBytes = 256 * 1024
    /// Messages that one queue drops in one go because they are due or beyond its limits.
    static let deathsPerTurn = 4096
    /// Octets of dead letters made in one go, see ``deadLetterCost``.
    static let deadLetterBytesPerTurn = 1 << 20
    /// What making a dead letter costs besides its octets, in octets copied.
    static let deadLetterCost = 2048
    /// Octets of publishes without a channel under way to other shards, above which dead messages wait.
    static let internalPublishBytes = 4 << 20
    /// Octets of the log that dead letters and messages whose time has come have and that are not durable, above which
    /// further ones wait.
    static let moveWindowBytes = 4 << 20
    /// Time between two reads of messages to be moved, during the memory alarm.
    static let alarmedMoveMilliseconds: UInt64 = 50
    /// Octets of traces and events in one turn and under way to other shards, above which further ones are left out.
    static let noticeBytes = 16 << 20
    /// Time after which dead messages that must arrive and could not are tried again.
    static let deadLetterRetryMilliseconds: UInt64 = 5_000
    /// Cycles of dead letters that are told.
    static let loggedCycles = 256
    /// Declarations of what is otherwise that are not told again.
    static let loggedRedeclarations = 1024
    /// The last instant, in milliseconds since 1970, until which a message waits for a header's sake: in the year 9999.
    static let lastDueMilliseconds: UInt64 = 253_402_300_799_999
    /// Ranges of settled messages in one record of the log.
    static let settledRanges = 1024
    /// Octets of messages told again to the log in one turn.
    static let snapshotBytes = 1 << 20
    /// Places of a queue with priorities that are told at once.
    static let snapshotPlaces: UInt64 = 1024
    /// Policies of a virtual host, and operator policies: each is looked at for every name.
    static let policies = 10_000
    /// Steps that patterns of policies may take in one turn; a step is a few nanoseconds.
    static let policySteps = 500_000
    /// What looking at a queue counts besides the steps of patterns.
    static let policyStepsPerQueue = 250
    /// Definitions in one record when they are told again.
    static let snapshotChanges = 1000
    /// Messages of a queue that are ready again in one turn after they have waited.
    static let retriedMessages = 4096
    /// Messages of a queue that find the places of other priorities in one turn.
    static let arrangedMessages = 8_192
    /// Messages of a queue with groups that are looked at in one turn.
    static let groupedMessages = 4096
    /// Consumers that are looked at for the least loaded one.
    static let fairConsumers = 64
    /// Open deliveries of a consumer beside others when the least loaded one gets the next message.
    static let fairDeliveries = 256
    /// First allocation for a body that arrives in pieces; grows with what arrives.
    static let firstBodyAllocation = 128 * 1024
    /// Octets of messages buffered in one transaction before the channel is refused.
    static let transactionBytes = 512 << 20
    /// Messages of deleted and purged queues that are let go in one turn.
    static let condemnedMessages = 4096
    /// Octets of cold messages that leave memory in one turn.
    static let pageOutBytes = 4 << 20
    /// Octets of messages that are being written to scratch files and still are in memory, above which no more are.
    static let pageWriteBytes = 16 << 20
    /// Time after a failed write to a scratch file before the next one is tried.
    static let scratchPauseMilliseconds: UInt64 = 1000
    /// Octets of messages that are read from disk at once.
    static let pageReadBytes = 512 * 1024
    /// How often a read that the disk refuses is tried again before those behind its messages go on without them.
    static let pageReadRetries = 6
    /// Time until a refused read is tried again; each further time twice as long.
    static let pageReadRetryMilliseconds: UInt64 = 100
    /// Time between two attempts to read messages that were given up.
    static let unreadMilliseconds: UInt64 = 30_000
    /// Messages that are read from disk at once.
    static let pageReadMessages = 8192
    /// Messages looked at in one turn when the log is told again.
    static let snapshotMessages = 20_000
    /// Pages of slots, of 4096 each, looked at in one turn when live messages are counted by files.
    static let censusPages = 8
    /// Time in which `close` is answered, or the socket closed behind `close-ok`, when no shorter heartbeat is agreed.
    static let closingMilliseconds: UInt64 = 30_000
    /// Further `close` of a connection that are answered, when its end takes time.
    static let owedCloseOks = 1024
    /// Routing keys taken from CC and BCC of one message.
    static let extraRoutingKeys = 4096
}
