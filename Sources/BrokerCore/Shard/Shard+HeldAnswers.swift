internal import AMQPProtocol
internal import DequeModule

/// Answers of one channel that are known and may not be given yet, in the order of the methods.
struct HeldAnswers {
    /// One of them.
    struct Answer {
        /// The number of the change that it waits for; the last one's for one that waits for nothing but its turn.
        let sequence: UInt64
        let method: MethodID
        let isSilent: Bool
        let reply: TopologyReply
        /// It waits for nothing but its turn.
        var isSettled: Bool
    }

    private var answers: Deque<Answer> = []
    /// Makes a line without answers.
    init() {}

    /// Whether no answer is held back.
    var isEmpty: Bool { self.answers.isEmpty }

    /// Whether there are answers that the next method may go ahead of.
    var mayGoAhead: Bool {
        guard let last = self.answers.last, self.answers.count < ShardLimits.heldAnswers else { return false }
        // A refusal ends the channel.
        if case .refused = last.reply { return false }
        return true
    }

    /// Whether one of them is that of such a method.
    func contains(_ method: MethodID) -> Bool { self.answers.contains { $0.method == method } }

    /// Adds an answer that waits for a change, or for its turn only.
    mutating func append(_ reply: TopologyReply, to method: MethodID, isSilent: Bool, until sequence: UInt64?) {
        self.answers.append(
            Answer(
                sequence: sequence ?? self.answers.last?.sequence ?? 0,
                method: method,
                isSilent: isSilent,
                reply: reply,
                isSettled: sequence == nil
            )
        )
    }

    /// The change with a number is done.
    mutating func settle(_ sequence: UInt64) {
        // Nearly always the first one: changes are done in order, but for those that the log is not told.
        guard let index = self.answers.firstIndex(where: { $0.sequence >= sequence }),
            self.answers[index].sequence == sequence
        else { return }
        self.answers[index].isSettled = true
    }

    /// Takes out the first answer if it may be given.
    mutating func removeSettled() -> Answer? {
        guard self.answers.first?.isSettled == true else { return nil }
        return self.answers.removeFirst()
    }
}

/// Declares, binds and deletes of one channel that share a sync of the log.
///
/// A channel waits while a method of it has no answer; but once it is decided what a change of the topology comes to, and
/// all that is missing is that other shards and the log have it, the channel goes on with further changes. Their answers
/// are held back, in order, each until its own change is done. Everything else, a publish or a consume, waits as before
/// until all answers have been given: what it does is never seen before what it builds on is safe.
///
/// ```
/// frame ─► methodAhead ─► receiveTopologyMethod ─► owner ─► topologyDecided ─► held ─► topologySettled ─► answered
///            │  no                                    └────► topologyReply: at once, or behind those that are held
///            └─► deferred until every answer has been given
/// ```
extension Shard {
    /// The method of a frame if it can be handled although the channel waits; nil when it cannot.
    func methodAhead(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) -> Method? {
        guard channel.pointee.answers.mayGoAhead, channel.pointee.pendingMethod == ChannelState.noMethod,
            channel.pointee.phase == .open, channel.pointee.parked.isEmpty, header.type == FrameType.method
        else { return nil }
        var reader = WireReader(payload)
        guard let classID = try? reader.readUInt16(),
            classID == QueueDeclare.id.classID || classID == ExchangeDeclare.id.classID,
            let methodID = try? reader.readUInt16(),
            // What is malformed is refused in its turn.
            let method = try? Method.decode(MethodID(classID: classID, methodID: methodID), &reader)
        else { return nil }
        let queue: ShortString
        switch method {
        case .exchangeDeclare, .exchangeDelete, .exchangeBind, .exchangeUnbind: return method
        case .queueDeclare(let declare):
            // A reply address is no change of the topology.
            if declare.queue.hasPrefix("amq.") { return nil }
            return method
        case .queueDelete(let delete): queue = delete.queue
        case .queueBind(let bind): queue = bind.queue
        case .queueUnbind(let unbind): queue = unbind.queue
        default: return nil
        }
        // Without a name it is that of the last queue; if there is none it is refused, in its turn.
        return queue.isEmpty && channel.pointee.lastQueue == nil ? nil : method
    }

    /// What a channel will be told when the change with that number is done.
    func topologyDecided(_ address: ChannelAddress, _ reply: TopologyReply, _ sequence: UInt64) {
        guard let channel = self.channel(address), channel.pointee.phase == .open else { return }
        if case .queueDeclared(let name, _, _) = reply {
            channel.pointee.lastQueue = name
        }
        self.hold(reply, of: channel, until: sequence)
    }

    /// Holds the answer of the method under way back, behind others; lets the next one go ahead.
    func hold(_ reply: TopologyReply, of channel: UnsafeMutablePointer<ChannelState>, until sequence: UInt64?) {
        channel.pointee.answers.append(
            reply,
            to: channel.pointee.pendingMethod,
            isSilent: channel.pointee.pendingNoWait,
            until: sequence
        )
        channel.pointee.pendingMethod = ChannelState.noMethod
        self.goAhead(channel)
    }

    private func goAhead(_ channel: UnsafeMutablePointer<ChannelState>) {
        if channel.pointee.answers.mayGoAhead && !channel.pointee.deferred.isEmpty {
            self.resumableChannels.append(self.address(of: channel))
        }
    }

    /// A change is done: answers that have waited for it are given.
    func topologySettled(_ address: ChannelAddress, _ sequence: UInt64) {
        guard let channel = self.channel(address), channel.pointee.phase == .open else { return }
        channel.pointee.answers.settle(sequence)
        while let answer = channel.pointee.answers.removeSettled() {
            self.answer(answer.reply, to: answer.method, isSilent: answer.isSilent, channel)
            // A refusal ends it.
            guard channel.pointee.phase == .open else { return }
        }
        self.tellGoneWithQueue(channel)
        if channel.pointee.answers.isEmpty && channel.pointee.pendingMethod == ChannelState.noMethod {
            self.resume(channel)
        } else {
            self.goAhead(channel)
        }
    }
}

extension ChannelState {
    /// Whether the client waits for a `delete-ok`.
    var isDeletingQueue: Bool {
        self.isWaiting && (self.pendingMethod == QueueDelete.id || self.answers.contains(QueueDelete.id))
    }
}
