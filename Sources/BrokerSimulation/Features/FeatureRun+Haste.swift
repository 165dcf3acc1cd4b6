/// A broker that ends while messages of groups wait for another try, and one that goes on with them.
extension FeatureRun {
    /// Whether this look is to end so; not drawn, so that other seeds go on doing what they did.
    var endsWhileGroupsWait: Bool {
        self.features.isAboutGroups && self.plan.isDurable && self.step % 3 != 0 && self.judge.failure == nil
    }

    /// Some of the first queue has just come back, and the rest is with the observer: whoever consumes after the start must
    /// wait for what waits, and gets what is older first.
    func endWhileGroupsWait() {
        self.crash()
        // Nobody may look until nothing waits any more.
        if self.random.oneIn(3) { self.advance(6000) }
        for _ in 0..<2 {
            self.connect()
            guard let client = self.clients.last else { continue }
            client.consume(self.features.queues[0], noAck: false, prefetch: 1 + self.random.below(4))
        }
        for _ in 0..<6 {
            if let client = self.pick(self.clients) { self.publish(client) }
            self.passTime()
            self.somebodyReads()
        }
    }
}
