public import BrokerCore

/// The disk of a simulated broker as far as messages are read back from it: the log by positions, and scratch files.
final class SimulatedPager {
    /// Where the next batch stands in the log.
    private(set) var logEnd: UInt64 = 0
    /// Payloads by position.
    private var log: [UInt64: [UInt8]] = [:]
    /// Payloads by shard and position.
    private var scratch: [Int: [UInt64: [UInt8]]] = [:]
    private var requests: [(shard: Int, request: PageRequest)] = []
    /// Writes to scratch files fail while this is set.
    var isFull = false
    /// What was read and written, for tests.
    private(set) var readCount = 0
    private(set) var writeCount = 0

    var hasRequests: Bool { !self.requests.isEmpty }

    /// Payloads in scratch files.
    var scratchCount: Int { self.scratch.values.reduce(0) { $0 + $1.count } }

    /// A log with records, as a start finds it.
    func restart(with records: [DurableRecord]) {
        for record in records {
            self.log[self.logEnd] = record.payload
            self.logEnd += UInt64(LogRecords.size(payload: record.payload.count))
        }
    }

    /// A batch becomes durable; returns where it begins.
    func append(_ records: LogRecords) -> UInt64 {
        let start = self.logEnd
        records.forEach { _, payload in
            self.log[self.logEnd] = Array(payload)
            self.logEnd += UInt64(LogRecords.size(payload: payload.count))
        }
        return start
    }

    /// Everything before a position is gone.
    func trim(upTo floor: UInt64) {
        self.log = self.log.filter { $0.key >= floor }
    }

    /// Damages what stands in the log; for tests.
    func damageLog() {
        self.log = [:]
    }

    func take(from index: Int, _ shard: Shard) {
        for request in shard.takePageRequests() {
            self.requests.append((index, request))
        }
    }

    func carryOutAll(_ broker: SimulatedBroker) {
        while self.hasRequests {
            broker.carryOut(.page)
        }
    }

    /// Carries the oldest request out; returns whose it was.
    func carryOutNext(_ broker: SimulatedBroker) -> Int {
        let (index, request) = self.requests.removeFirst()
        let shard = broker.shards[index]
        switch request {
        case .read(let read):
            self.readCount += 1
            for (number, wanted) in read.wanted.enumerated() {
                let place = wanted.isScratch ? self.scratch[index] : self.log
                guard let payload = place?[wanted.position] else { continue }
                let buffer = read.allocate(payload.count)
                buffer.copyBytes(from: payload)
                read.found(number, UnsafeRawBufferPointer(buffer))
            }
            shard.pageLoaded(read, now: broker.now)
        case .write(let write):
            self.writeCount += 1
            guard !self.isFull else {
                shard.pageWritten(write, error: "no space", now: broker.now)
                break
            }
            var position = write.position
            write.records.forEach { _, payload in
                self.scratch[index, default: [:]][position] = Array(payload)
                position += UInt64(LogRecords.size(payload: payload.count))
            }
            shard.pageWritten(write, error: nil, now: broker.now)
        case .removeScratchFile(let number):
            let first = number * PageWrite.fileBytes
            self.scratch[index] = self.scratch[index]?.filter {
                $0.key < first || $0.key >= first + PageWrite.fileBytes
            }
        }
        return index
    }
}
