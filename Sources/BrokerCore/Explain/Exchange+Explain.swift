internal import AMQPProtocol

/// A message as a question has it, encoded once for all exchanges.
struct QuestionMessage {
    /// The routing key, and those of `CC` and `BCC`.
    let keys: [[UInt8]]
    /// The properties as they would come.
    let properties: [UInt8]
    /// The headers ordered by name.
    let headers: [(key: ShortString, value: FieldValue)]
    /// Whether it would be to outlive the broker.
    let isPersistent: Bool

    /// Calls `body` with the message as exchanges look at it.
    func withHeaders<Result>(_ body: (inout MessageHeaders) -> Result) -> Result {
        self.properties.withUnsafeBytes { octets in
            let range = (try? PropertyScan.scan(octets))?.headers
            var headers = MessageHeaders(
                encoded: range.map { UnsafeRawBufferPointer(rebasing: octets[$0]) },
                properties: octets
            )
            return body(&headers)
        }
    }
}

extension Exchange {
    /// What an exchange finds for a message, without leaving a trace in it.
    struct Finding {
        /// Bindings that match, or may, and those that do not, with the reasons.
        var bindings: [(binding: Binding, verdict: BindingVerdict)] = []
        /// Bindings that were not looked at.
        var unseen = 0

        /// Whether routing finds a binding, so that no alternate exchange is asked.
        var hasMatch: Bool { self.bindings.contains { $0.verdict.match != .no } }
    }

    /// Looks at up to `limit` bindings; those that a table or a hash finds are always among them.
    func explain(_ message: QuestionMessage, limit: Int) -> Finding {
        var finding = Finding()
        let all = self.outgoing
        let seen = all.prefix(max(limit, 0))
        finding.unseen = all.count - seen.count
        func add(_ binding: Binding, _ match: BindingVerdict.Match, _ reason: BindingReason) {
            let definition = binding.definition
            finding.bindings.append(
                (
                    binding,
                    BindingVerdict(
                        destination: "\(definition.destination)",
                        isQueue: definition.kind == .queue,
                        routingKey: "\(definition.routingKey)",
                        match: match,
                        reason: reason
                    )
                )
            )
        }
        func add(_ bindings: some Sequence<Binding>, _ judge: (BindingDefinition) -> (Bool, BindingReason)) {
            for binding in bindings {
                let (isMatched, reason) = judge(binding.definition)
                add(binding, isMatched ? .yes : .no, reason)
            }
        }
        switch self.router {
        case .fanout: add(seen) { _ in (true, .everything) }
        case .direct(let router):
            let matching = message.keys.flatMap { key in key.withUnsafeBytes { router.bindings(of: $0) } }
            let matched = Set(matching.map { ObjectIdentifier($0) })
            var told: Set<ObjectIdentifier> = []
            for binding in matching where told.insert(ObjectIdentifier(binding)).inserted {
                add(binding, .yes, .sameKey("\(binding.definition.routingKey)"))
            }
            finding.unseen -= matched.subtracting(seen.map { ObjectIdentifier($0) }).count
            let key = String(decoding: message.keys.first ?? [], as: UTF8.self)
            for binding in seen where !matched.contains(ObjectIdentifier(binding)) {
                add(binding, .no, .otherKey(key))
            }
        case .topic:
            add(seen) { definition in
                let results = message.keys.map { TopicTrie.explain(definition.routingKey, $0) }
                let best = results.first { $0.isMatched } ?? results.first
                return best.map { ($0.isMatched, $0.reason) } ?? (false, .tooFewWords(wanted: []))
            }
        case .headers: add(seen) { HeadersExchange.explain($0.arguments, message.headers) }
        case .consistentHash(let router):
            let choice = message.withHeaders { headers in
                (message.keys.first ?? []).withUnsafeBytes { router.choice($0, &headers) }
            }
            self.add(seen, choice?.binding, choice.map { ($0.bucket, $0.count) }, add) { router.bucket(of: $0) }
        case .modulusHash(let router):
            let choice = (message.keys.first ?? []).withUnsafeBytes { router.choice($0) }
            // In their own order: the place says which one a binding is.
            let places = Dictionary(
                uniqueKeysWithValues: router.ordered.prefix(max(limit, 0)).enumerated().map {
                    (ObjectIdentifier($0.element), $0.offset)
                }
            )
            let ordered = router.ordered.prefix(max(limit, 0))
            self.add(ordered, choice?.binding, choice.map { ($0.bucket, $0.count) }, add) {
                places[ObjectIdentifier($0)] ?? 0
            }
        case .chance:
            for binding in seen { add(binding, .maybe, .chance(of: all.count)) }
        }
        return finding
    }

    /// Tells the binding that a hash has chosen first, and which one it is.
    private func add(
        _ seen: some Sequence<Binding>,
        _ chosen: Binding?,
        _ choice: (bucket: Int, count: Int)?,
        _ add: (Binding, BindingVerdict.Match, BindingReason) -> Void,
        _ bucket: (Binding) -> Int
    ) {
        guard let chosen, let choice else { return }
        add(chosen, .yes, .hash(bucket: choice.bucket, of: choice.count))
        for binding in seen where binding !== chosen {
            add(binding, .no, .otherHash(bucket: bucket(binding), chosen: choice.bucket, of: choice.count))
        }
    }
}
