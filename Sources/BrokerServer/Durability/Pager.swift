internal import BrokerCore
internal import BrokerStore
internal import Logging

/// What the disk has done for a shard.
enum PageAnswer: Sendable {
    case loaded(PageRead)
    case written(PageWrite, error: String?)
}

/// Carries out what shards ask of the disk, on a thread of its own: a slow disk slows those who wait for it, nobody else.
final class Pager: Sendable {
    private let worker = DiskWorker()
    private let log: LogReader
    /// Of each shard.
    private let scratch: [ScratchFiles]
    private let logger: Logger
    private let answer: @Sendable (_ shard: Int, PageAnswer) -> Void

    /// Begins to work; `answer` is called on the pager's thread.
    init(
        log: LogReader,
        directory: String,
        shards: Int,
        logger: Logger,
        answer: @escaping @Sendable (_ shard: Int, PageAnswer) -> Void
    ) {
        self.log = log
        self.logger = logger
        self.answer = answer
        let identity = UInt64.random(in: 1 ... .max)
        self.scratch = (0..<shards).map { shard in
            ScratchFiles(
                files: SystemFileSystem(),
                directory: directory,
                owner: shard,
                fileBytes: PageWrite.fileBytes,
                identity: identity &+ UInt64(shard)
            )
        }
    }

    /// Has a request carried out, reads before writes.
    func submit(_ request: PageRequest, from shard: Int) {
        switch request {
        case .read(let read):
            self.worker.submit(isRead: true) {
                self.carryOut(read, shard)
                self.answer(shard, .loaded(read))
            }
        case .write(let write):
            self.worker.submit(isRead: false) {
                self.answer(shard, .written(write, error: self.carryOut(write, shard)))
            }
        case .removeScratchFile(let number):
            self.worker.submit(isRead: false) {
                do throws(StoreError) {
                    try self.scratch[shard].remove(number)
                } catch {
                    self.logger.warning("a scratch file stays until the next start: \(error)")
                }
            }
        }
    }

    /// Ends the thread.
    func stop() {
        self.worker.stop()
    }

    /// Reads what is wanted, once: the shard tries again what the disk has refused.
    private func carryOut(_ read: PageRead, _ shard: Int) {
        for isScratch in [false, true] {
            let numbers = read.wanted.indices.filter { read.wanted[$0].isScratch == isScratch }
            guard !numbers.isEmpty else { continue }
            let places = numbers.map { RecordPlace(position: read.wanted[$0].position, size: read.wanted[$0].size) }
            let found = { (index: Int, payload: UnsafeRawBufferPointer) in read.found(numbers[index], payload) }
            let problems =
                isScratch
                ? self.scratch[shard].read(places, isSplit: read.isSplit, allocate: read.allocate, found: found)
                : self.log.read(places, isSplit: read.isSplit, allocate: read.allocate, found: found)
            for problem in problems {
                for record in problem.records { read.missed(numbers[record], PageMiss(problem)) }
            }
        }
    }

    /// Writes; returns why it failed, if it did.
    private func carryOut(_ write: PageWrite, _ shard: Int) -> String? {
        let records = write.records
        do throws(StoreError) {
            try self.scratch[shard].write(
                UnsafeMutableRawBufferPointer(start: records.base, count: records.count),
                at: write.position
            )
            return nil
        } catch {
            return "\(error)"
        }
    }
}

extension PageMiss {
    /// What a shard can do about it.
    fileprivate init(_ problem: ReadProblem) {
        let reason: Reason =
            switch problem.reason {
            case .damaged: .damaged
            case .refused: .refused
            case .shortage: .shortage
            }
        self.init(reason, problem.description)
    }
}
