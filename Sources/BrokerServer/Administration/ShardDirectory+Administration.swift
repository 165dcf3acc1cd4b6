internal import BrokerCore
internal import NIOCore

extension ShardDirectory: BrokerAdministration {
    func administer(_ request: AdministrationRequest) async -> AdministrationAnswer {
        let loops =
            switch request.place {
            case .everyShard: self.loops
            case .shard(let index): self.loops.indices.contains(index) ? [self.loops[index]] : []
            }
        // All are asked before the first has answered.
        let futures = loops.map { loop in
            loop.eventLoop.flatSubmit { loop.value.administer(request) }
        }
        var answers: [AdministrationAnswer] = []
        for future in futures {
            do {
                answers.append(try await future.get())
            } catch {
                answers.append(.failed(.unavailable("the broker is stopping")))
            }
        }
        return request.gather(answers)
    }

    func snapshot(in directory: String) async -> AsyncStream<SnapshotProgress> {
        guard let log = self.durableLog else {
            return SnapshotMaker.failing("this broker keeps everything in memory, there is nothing to copy")
        }
        return log.snapshot(in: directory)
    }
}
