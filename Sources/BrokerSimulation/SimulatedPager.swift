internal import BrokerCore
internal import BrokerStore

/// The disk of a simulated broker as far as shards ask for it: the real log, and scratch files in memory.
final class SimulatedPager {
    /// Payloads in scratch files by shard and position.
    private var scratch: [Int: [UInt64: [UInt8]]] = [:]
    private var lastPayload: [UInt8]?
    private var requests: [(shard: Int, request: PageRequest)] = []
    /// Writes to scratch files fail while this is set.
    var isFull = false
    /// Nothing is found while this is set.
    var isDamaged = false
    /// So many reads of scratch files, and then no more, are refused.
    var refusals = 0
    /// Reads of the log that begin before this position are refused.
    var refusedLogEnd: UInt64 = 0
    /// Every read is refused until then.
    var refusesUntil = BrokerInstant(nanoseconds: 0)
    /// Reads that were refused since ``endRefusals()``.
    private(set) var refusedCount = 0
    /// Reads that shards have asked for.
    private(set) var readCount = 0
    /// Writes to scratch files so far.
    private(set) var writeCount = 0
    /// Who tells lies about what is read back.
    var liar = Liar(nil)

    var hasRequests: Bool { !self.requests.isEmpty }

    /// Octets of messages that are asked for and not read yet.
    var awaitedOctets: Int {
        self.requests.reduce(0) { sum, pending in
            if case .read(let read) = pending.request { sum + read.octets } else { sum }
        }
    }

    /// Payloads in scratch files.
    var scratchCount: Int { self.scratch.values.reduce(0) { $0 + $1.count } }

    /// Reads are carried out again.
    func endRefusals() {
        self.refusesUntil = BrokerInstant(nanoseconds: 0)
        self.refusedCount = 0
    }

    func take(from index: Int, _ shard: Shard) {
        for request in shard.takePageRequests() {
            self.requests.append((index, request))
        }
    }

    /// Carries the oldest request out; returns whose it was.
    func carryOutNext(_ broker: SimulatedBroker) -> Int? {
        guard !self.requests.isEmpty else { return nil }
        let (index, request) = self.requests.removeFirst()
        switch request {
        case .read(let read):
            if broker.now < self.refusesUntil {
                self.refuse(read)
            } else {
                self.read(read, index, broker.log?.reader)
            }
            broker.shards[index].pageLoaded(read, now: broker.now)
        case .write(let write):
            self.writeCount += 1
            if !self.isFull {
                var position = write.position
                write.records.forEach { _, payload in
                    self.scratch[index, default: [:]][position] = Array(payload)
                    position += UInt64(LogRecords.size(payload: payload.count))
                }
            }
            broker.shards[index].pageWritten(write, error: self.isFull ? "no space" : nil, now: broker.now)
        case .removeScratchFile(let number):
            let first = number * PageWrite.fileBytes
            self.scratch[index] = self.scratch[index]?.filter {
                $0.key < first || $0.key >= first + PageWrite.fileBytes
            }
        }
        return index
    }

    private func refuse(_ read: PageRead) {
        self.refusedCount += 1
        for number in read.wanted.indices {
            read.missed(number, PageMiss(.refused, "cannot read: Input/output error"))
        }
    }

    private func read(_ read: PageRead, _ index: Int, _ log: LogReader?) {
        self.readCount += 1
        guard !self.isDamaged else { return }
        var inLog: [Int] = []
        let isRefused = self.refusals > 0 && read.wanted.contains { $0.isScratch }
        if isRefused { self.refusals -= 1 }
        for (number, wanted) in read.wanted.enumerated() {
            guard wanted.isScratch else {
                if wanted.position < self.refusedLogEnd {
                    read.missed(number, PageMiss(.refused, "cannot read log-0: Input/output error"))
                } else {
                    inLog.append(number)
                }
                continue
            }
            if isRefused {
                read.missed(number, PageMiss(.refused, "cannot read scratch-\(index)-0: Input/output error"))
                continue
            }
            guard var payload = self.scratch[index]?[wanted.position] else { continue }
            if let other = self.lastPayload, other.count == payload.count, self.liar.lies(.swapsPages) {
                payload = other
            }
            self.lastPayload = payload
            let buffer = read.allocate(payload.count)
            buffer.copyBytes(from: payload)
            read.found(number, UnsafeRawBufferPointer(buffer))
        }
        guard let log, !inLog.isEmpty else { return }
        let places = inLog.map { RecordPlace(position: read.wanted[$0].position, size: read.wanted[$0].size) }
        let problems = log.read(places, isSplit: read.isSplit, allocate: read.allocate) { read.found(inLog[$0], $1) }
        for problem in problems {
            let reason: PageMiss.Reason =
                switch problem.reason {
                case .damaged: .damaged
                case .refused: .refused
                case .shortage: .shortage
                }
            for record in problem.records { read.missed(inLog[record], PageMiss(reason, problem.description)) }
        }
    }
}
