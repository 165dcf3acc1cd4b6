internal import AMQPProtocol

/// Why a queue has refused a message.
struct PublishRefusal {
    /// What there was no room for.
    enum Limit {
        case messages
        case bytes
    }

    let queue: QueueAddress
    let limit: Limit
    let most: UInt64
    /// Octets of the body.
    let bodySize: Int

    /// Whether there will never be room for such a message.
    var isForEver: Bool { self.limit == .bytes && UInt64(self.bodySize) > self.most }
}

/// The reason for a `basic.nack`, for publishers that have announced the capability `x-nack-reason`.
///
/// It comes before the nack as a `basic.return` of the message: 311 when its body alone is larger than the queue may be,
/// so that trying again is in vain, otherwise 506. The text names limit, value and queue, in this order, since a long name
/// is cut. Of several queues of a shard the last to refuse is named.
///
/// A queue on another shard sends the message back along with the reason: nobody keeps it meanwhile. The publisher's
/// window bounds how much that is. What the window of an exchange has passed on comes back to whoever waits for it there.
///
/// A transaction has no nack: its refused messages come back before the channel is closed.
extension Shard {
    /// What a client announces to be told reasons.
    static let nackReasonCapability: ShortString = "x-nack-reason"

    /// A queue has refused a message.
    func noteRefusal(_ queue: UnsafeMutablePointer<QueueState>, _ limit: PublishRefusal.Limit, bodySize: Int) {
        let settings = queue.pointee.settings
        let most = limit == .messages ? settings.maxLength : settings.maxLengthBytes
        self.refusal = PublishRefusal(
            queue: queue.pointee.address,
            limit: limit,
            most: most ?? 0,
            bodySize: bodySize
        )
    }

    /// Returns a message that will get a nack to a publisher that wants to know why.
    @inline(never)
    func returnRefused(_ message: MessageView, _ channel: UnsafeMutablePointer<ChannelState>) {
        guard let refusal = self.refusal else { return }
        self.refusal = nil
        guard channel.pointee.mode != .plain, channel.pointee.connection.pointee.wantsNackReason,
            let (code, text) = self.reason(refusal)
        else { return }
        self.returnMessage(message, code, text, channel)
    }

    /// Code and text of a reason; nil when the queue is gone.
    private func reason(_ refusal: PublishRefusal) -> (ReplyCode, ShortString)? {
        guard let info = self.queue(refusal.queue)?.pointee.info else { return nil }
        let limit = refusal.limit == .messages ? "max-length" : "max-length-bytes"
        let name: ReplyText = "\(limit) \(refusal.most) of queue '\(info.name)' in vhost '\(info.virtualHostName)'"
        let text: ReplyText =
            refusal.isForEver
            ? "CONTENT_TOO_LARGE - \(refusal.bodySize) octets are more than \(name)"
            : "RESOURCE_ERROR - no room within \(name)"
        return (refusal.isForEver ? .contentTooLarge : .resourceError, text.shortString)
    }

    // MARK: Other shards

    private static let sentHeaderSize = 40

    /// Sends a message that queues of this shard have refused back to another shard's publisher, with the reason.
    ///
    /// `sequence` is the publisher's number for it: a shard that has passed it on knows by it for whom.
    @inline(never)
    func sendRefused(_ message: BatchedMessage, to origin: ChannelAddress, _ sequence: UInt64) {
        guard let refusal = self.refusal else { return }
        self.refusal = nil
        guard let (code, text) = self.reason(refusal) else { return }
        self.sendRefused(message, code, text, to: origin, sequence)
    }

    private func sendRefused(
        _ message: BatchedMessage,
        _ code: ReplyCode,
        _ text: ShortString,
        to origin: ChannelAddress,
        _ sequence: UInt64
    ) {
        let octets = text.bytes
        let headerSize = Self.sentHeaderSize + (octets.count + 7) & ~7
        let size = headerSize + BatchedMessage.size(of: message.view)
        let base = self.appendRecord(.refused, size: size, to: origin.shard)
        origin.write(at: base + 8)
        base.storeBytes(of: UInt32(code.rawValue), toByteOffset: 24, as: UInt32.self)
        base.storeBytes(of: UInt32(truncatingIfNeeded: octets.count), toByteOffset: 28, as: UInt32.self)
        base.storeBytes(of: sequence, toByteOffset: 32, as: UInt64.self)
        UnsafeMutableRawBufferPointer(start: base + Self.sentHeaderSize, count: octets.count).copyBytes(from: octets)
        BatchedMessage.write(message.view, flags: message.flags, at: base + headerSize)
    }

    /// Another shard has refused a publish of this shard's channel, or one that a window here has passed on.
    func applyRefused(_ record: UnsafeMutableRawPointer) {
        let rawCode = UInt16(record.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
        guard let code = ReplyCode(rawValue: rawCode) else { return }
        let count = Int(record.loadUnaligned(fromByteOffset: 28, as: UInt32.self))
        let text = ShortString(UnsafeRawBufferPointer(start: record + Self.sentHeaderSize, count: count))
        let message = BatchedMessage(record + (Self.sentHeaderSize + (count + 7) & ~7))
        let origin = ChannelAddress(readAt: record + 8)
        guard origin.isInternalOrigin else {
            self.returnRefused(message, code, text, to: origin)
            return
        }
        let ticket = record.loadUnaligned(fromByteOffset: 32, as: UInt64.self)
        guard case .unique(let first)? = self.internalPublishes.completion(of: ticket),
            let waiters = self.windows.pending[first]?.waiters
        else { return }
        for waiter in waiters where waiter.wantsReason {
            if waiter.channel.shard == self.index {
                self.returnRefused(message, code, text, to: waiter.channel)
            } else {
                self.sendRefused(message, code, text, to: waiter.channel, waiter.sequence)
            }
        }
    }

    private func returnRefused(
        _ message: BatchedMessage,
        _ code: ReplyCode,
        _ text: ShortString,
        to origin: ChannelAddress
    ) {
        guard let channel = self.channel(origin), channel.pointee.phase == .open, channel.pointee.mode != .plain else {
            return
        }
        self.returnMessage(message.view, code, text, channel)
    }
}
