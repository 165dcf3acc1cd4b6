/// What is delivered of a group while something else of it is out, waits or is older.
extension FeatureJudge {
    /// A group is with one consumer at a time.
    func checkGroupLock(_ copy: FeatureCopy, _ queue: FeatureQueue, _ channel: FeatureChannel, _ what: String) {
        for other in self.companions(of: copy, queue) {
            if case .out(let holder, _) = other.place, holder !== channel {
                self.fail("\(what) comes while \(holder.name) has m\(other.message.id) of the same group")
            }
        }
    }

    /// Nothing of a group comes while something of it waits for another try, nor before what is older.
    func checkGroupOrder(_ copy: FeatureCopy, _ queue: FeatureQueue, _ what: String) {
        // Who does not acknowledge may have been sent what is older, and not have read it.
        let mayPass =
            queue.lossClock > copy.message.sentClock || self.channels.contains { $0.automaticQueues.contains(queue.id) }
        for other in self.companions(of: copy, queue) {
            let isWaiting = other.waitsUntil > self.now
            guard isWaiting || (!mayPass && self.isBefore(other, copy, queue)), self.hasBeenThere(other, queue) else {
                continue
            }
            let reason = isWaiting ? "waits until \(other.waitsUntil)" : "is older"
            self.fail("\(what) comes, but m\(other.message.id) of the same group \(reason)")
        }
    }

    /// What else of a copy's group may be in its queue.
    private func companions(of copy: FeatureCopy, _ queue: FeatureQueue) -> [FeatureCopy] {
        guard queue.declared.hasGroups, let group = copy.message.group else { return [] }
        return self.messages.filter { $0.group == group && $0 !== copy.message }.flatMap { message in
            message.orderedCopies.filter { $0.queue == queue.id }
        }
    }

    /// Whether a copy came to a queue before another one, and keeps its place.
    private func isBefore(_ copy: FeatureCopy, _ later: FeatureCopy, _ queue: FeatureQueue) -> Bool {
        guard copy.isRoot, later.isRoot, copy.message.delay == nil, later.message.delay == nil, queue.keepsPlaces else {
            return false
        }
        // What a channel that has ended sent last may still have been on its way then.
        if copy.message.verdict == .accepted && copy.message.handledClock < later.message.sentClock { return true }
        // What is deduplicated comes by a way of its own.
        return later.message.identity == nil && copy.message.publisher === later.message.publisher
            && copy.message.id < later.message.id
    }

    /// Whether a copy has certainly been in its queue since before anything that is read now was sent.
    ///
    /// It has not come back since nothing moved, or since a start, and nothing can have taken it away.
    private func hasBeenThere(_ copy: FeatureCopy, _ queue: FeatureQueue) -> Bool {
        guard case .queue = copy.place, copy.isRoot, copy.isCertain, copy.returns == copy.loggedReturns else {
            return false
        }
        return !copy.mayBeLost && !copy.wasAcknowledged && copy.message.identity == nil
            && queue.lossClock <= copy.message.sentClock && !self.isLoose(copy) && !self.mayHaveDied(copy, queue)
    }
}
