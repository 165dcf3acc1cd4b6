internal import BrokerCore
internal import BrokerStore

/// Something around a broker that is not as it should be, without a word: who judges the broker must find out.
package enum Lie: String, CaseIterable, Sendable {
    /// Of the records that shards hand over, one in many never reaches the log.
    case losesRecords
    /// Of two records that follow each other the second one comes first, now and then.
    case swapsRecords
    /// The last octet of a record is another one, now and then.
    case changesRecords
    /// Whatever a shard hands over at a time reaches the log twice.
    ///
    /// That is none: every record is a fact that may be told again.
    case doublesRecords
    /// What settles messages, by a purge as well, is said to be in the log and comes there with what settles the next ones.
    case putsOffSettlements
    /// Nothing is durable, whatever is said about it.
    case ignoresSyncs
    /// What one shard sends to another is lost, now and then; not what changes the topology, over which the process ends.
    case losesBatches
    /// What one shard sends to another comes behind what it sends later, now and then; not what changes the topology.
    case swapsBatches
    /// A message that is read back from a scratch file is another one, now and then.
    case swapsPages
}

/// Tells lies, now and then: the same ones every time.
final class Liar {
    private let lie: Lie?
    private var occasions = 0
    /// What is in the log behind the next thing of its kind.
    private var putOff: DurableRecord?

    init(_ lie: Lie?) {
        self.lie = lie
    }

    /// Whether it is time for a lie; once in `count` occasions.
    func lies(_ lie: Lie, oneIn count: Int = 1) -> Bool {
        guard self.lie == lie else { return false }
        self.occasions += 1
        return self.occasions % count == 0
    }

    /// Whether it tells lies about records.
    var isAboutRecords: Bool {
        switch self.lie {
        case .losesRecords, .swapsRecords, .changesRecords, .doublesRecords, .putsOffSettlements: true
        case .ignoresSyncs, .losesBatches, .swapsBatches, .swapsPages, nil: false
        }
    }

    /// What becomes of records on their way to the log.
    func batch(of records: LogRecords) -> LogBatch {
        var told: [DurableRecord] = []
        records.forEach { type, payload in
            var payload = Array(payload)
            if type == LogRecordType.settle.rawValue && self.lies(.putsOffSettlements) {
                if let record = self.putOff { told.append(record) }
                self.putOff = DurableRecord(type: type, payload: payload)
                return
            }
            if self.lies(.losesRecords, oneIn: 40) { return }
            if !payload.isEmpty && self.lies(.changesRecords, oneIn: 40) { payload[payload.count - 1] ^= 1 }
            told.append(DurableRecord(type: type, payload: payload))
            if told.count > 1 && self.lies(.swapsRecords, oneIn: 10) { told.swapAt(told.count - 2, told.count - 1) }
        }
        if self.lies(.doublesRecords) { told += told }
        let batch = LogBatch()
        for record in told {
            record.payload.withUnsafeBytes { batch.append(type: record.type, payload: $0) }
        }
        return batch
    }
}
