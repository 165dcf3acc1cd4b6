/// What queues and messages one feature run has; each seed leaves some features out.
struct FeaturePlan {
    /// The queues, declared at the start.
    let queues: [FeatureQueue]
    /// Exchanges that lead to two queues.
    let pairs: [[Int]]
    let hasTransient: Bool
    let hasExpirations: Bool
    let hasDelays: Bool
    let hasUniqueKeys: Bool
    /// Queues are altered while they are used.
    let hasAlterations: Bool
    /// Publishers number messages.
    let hasNumbers: Bool
    let hasPolicies: Bool
    /// The first queue has groups of which something waits.
    let isAboutGroups: Bool
    /// How many groups messages belong to.
    let groupCount: Int
    /// Steps between two looks.
    let phaseLength: Int
    let clientLimit: Int

    /// `identity` chooses between stories without a draw, so that seeds go on doing what they did.
    init(_ random: SeededRandom, identity: UInt64) {
        var features = Set(Feature.allCases)
        // Few at a time show more of each.
        for feature in Feature.allCases where random.oneIn(2) { features.remove(feature) }
        let count = 2 + random.below(4)
        // From the last one on, so that each knows where its dead letters go.
        var queues: [FeatureQueue] = []
        for id in (0..<count).reversed() { queues.insert(Self.queue(id, of: count, features, queues, random), at: 0) }
        Self.emphasise(identity, in: &queues)
        self.hasNumbers = (identity >> 16) % 3 == 0
        self.hasAlterations = (identity >> 28) % 3 == 0
        self.isAboutGroups = identity % 10 == 1
        self.queues = queues
        self.pairs = (0..<2).map { _ in
            let first = random.below(count)
            return [first, (first + 1 + random.below(count - 1)) % count].sorted()
        }
        self.hasTransient = random.oneIn(3)
        self.hasExpirations = features.contains(.time) && random.oneIn(2)
        self.hasDelays = features.contains(.delay)
        self.hasUniqueKeys = features.contains(.unique)
        self.hasPolicies = features.contains(.policy)
        self.groupCount = 1 + random.below(4)
        self.phaseLength = 30 + random.below(120)
        self.clientLimit = 2 + random.below(4)
    }

    /// Has some stories be about what few would come to by chance.
    private static func emphasise(_ identity: UInt64, in queues: inout [FeatureQueue]) {
        let size = Int((identity >> 8) % 4)
        var settings = FeatureQueue.Settings()
        switch identity % 10 {
        case 0:
            // Dead letters that must arrive where there is seldom room.
            settings.maxLength = 4 + size
            settings.overflow = .rejectPublish
            settings.deadLettersTo = queues.count - 1
            settings.isAtLeastOnce = true
            settings.deliveryLimit = size
            queues[0] = FeatureQueue(id: 0, isQuorum: true, isSingleActive: false, declared: settings)
            var last = FeatureQueue.Settings()
            last.maxLength = 1 + size
            last.overflow = .rejectPublish
            queues[queues.count - 1] = FeatureQueue(
                id: queues.count - 1,
                isQuorum: false,
                isSingleActive: false,
                declared: last
            )
        case 1:
            // Groups of which something waits.
            settings.hasGroups = true
            settings.retry = FeatureQueue.Retry(min: 200, max: UInt64(400 + 1000 * size))
            queues[0] = FeatureQueue(id: 0, isQuorum: false, isSingleActive: false, declared: settings)
        default: break
        }
    }

    private enum Feature: CaseIterable {
        case time, limit, deadLetter, priority, deliveryLimit, retry, group, delay, unique, policy
    }

    private static func queue(
        _ id: Int,
        of count: Int,
        _ features: Set<Feature>,
        _ later: [FeatureQueue],
        _ random: SeededRandom
    ) -> FeatureQueue {
        func has(_ feature: Feature) -> Bool { features.contains(feature) && !random.oneIn(3) }
        let isQuorum = random.oneIn(4)
        var settings = FeatureQueue.Settings()
        if has(.time) {
            settings.timeToLive = random.oneIn(8) ? 0 : UInt64(20 + random.below(random.oneIn(2) ? 300 : 4000))
        }
        if has(.limit) {
            if !random.oneIn(4) { settings.maxLength = random.oneIn(10) ? 0 : 1 + random.below(8) }
            if settings.maxLength == nil || random.oneIn(4) { settings.maxBytes = 20 + random.below(300) }
            let modes: [FeatureQueue.Overflow] = [.dropHead, .rejectPublish, .rejectPublishDeadLetter]
            settings.overflow = modes[random.below(isQuorum ? 2 : 3)]
        }
        // To later ones only: no circles.
        if has(.deadLetter) && id + 1 < count {
            let target = later[random.below(later.count)]
            settings.deadLettersTo = target.id
            // A target that makes a dead letter of each try would get it again and again.
            settings.isAtLeastOnce =
                isQuorum && settings.overflow == .rejectPublish && !random.oneIn(4)
                && target.declared.overflow != .rejectPublishDeadLetter
        }
        if has(.priority) && !isQuorum { settings.maxPriority = UInt8(1 + random.below(9)) }
        if has(.deliveryLimit) { settings.deliveryLimit = random.below(4) }
        if has(.retry) {
            let shortest = UInt64(10 + random.below(400))
            settings.retry = FeatureQueue.Retry(min: shortest, max: shortest * UInt64(1 + random.below(4)))
        }
        settings.hasGroups = has(.group) && settings.maxPriority == nil
        return FeatureQueue(
            id: id,
            isQuorum: isQuorum,
            isSingleActive: random.oneIn(6),
            declared: settings
        )
    }
}
