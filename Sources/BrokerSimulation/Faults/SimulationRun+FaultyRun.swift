/// How the clients of a run notice what happens to their broker.
extension SimulationRun: FaultyRun {
    var comparesCounts: Bool { true }
    var step: Int { self.judge.step }
    var failure: String? { self.judge.failure }

    func note(_ line: String) { self.judge.note(line) }

    func fail(_ text: String) { self.judge.fail(text) }

    func somebodyReads() {
        if let actor = self.workload.pick(self.actors) { _ = actor.read() }
    }

    func someRead() {
        for actor in self.actors where self.random.oneIn(2) {
            _ = actor.read()
        }
    }

    func sayGoodbye() {
        self.judge.note("the broker stops")
        self.judge.isStopping = true
        self.broker.stop()
        for actor in self.actors {
            while actor.read() || self.broker.hasEvents {
                self.broker.run(self.random)
            }
        }
    }

    func brokerEnded(inOrder: Bool) {
        self.actors = []
        self.judge.brokerEnds(inOrder: inOrder)
    }

    func brokerStarted() {
        self.observer = SimulatedClient(self.broker, shard: 0).open()
    }
}
