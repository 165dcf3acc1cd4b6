import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// A record as the log hands it over.
struct LoggedRecord: Equatable {
    var type: LogRecordType
    var payload: [UInt8]

    /// A message with its places; the exchange is `e`, the key `k`, and there are no properties but their flags.
    static func publish(_ body: String, _ places: [DurablePlace], persistent: Bool = true) -> LoggedRecord {
        let names = [1, UInt8(ascii: "e"), 1, UInt8(ascii: "k")]
        let payload = self.payload(
            PublishRecord.size(
                queues: places.count,
                isTimed: places.contains { $0.deadline != 0 },
                namesSize: names.count,
                propertiesSize: 2,
                bodySize: body.utf8.count
            )
        ) { base in
            (names + [0, 0] + Array(body.utf8)).withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                let view = MessageView(
                    names: start,
                    namesSize: names.count,
                    properties: start + names.count,
                    propertiesSize: 2,
                    body: start + names.count + 2,
                    bodySize: body.utf8.count
                )
                places.withUnsafeBufferPointer { places in
                    PublishRecord.write(
                        view,
                        flags: persistent ? .persistent : [],
                        places: places,
                        isTimed: places.contains { $0.deadline != 0 },
                        at: base
                    )
                }
            }
        }
        return LoggedRecord(type: .publish, payload: payload)
    }

    static func settle(_ queue: UInt64, _ ranges: [SequenceRange]) -> LoggedRecord {
        let payload = self.payload(SettleRecord.size(ranges: ranges.count)) {
            SettleRecord.write(queue: queue, ranges: ranges, at: $0)
        }
        return LoggedRecord(type: .settle, payload: payload)
    }

    static func delivered(_ queue: UInt64, upTo: UInt64) -> LoggedRecord {
        let payload = self.payload(DeliveredRecord.size) { DeliveredRecord.write(queue: queue, upTo: upTo, at: $0) }
        return LoggedRecord(type: .delivered, payload: payload)
    }

    static func purge(_ queue: UInt64, upTo: UInt64, kept: [SequenceRange] = []) -> LoggedRecord {
        let payload = self.payload(PurgeRecord.size(kept: kept.count)) {
            PurgeRecord.write(queue: queue, upTo: upTo, kept: kept, at: $0)
        }
        return LoggedRecord(type: .purge, payload: payload)
    }

    static func topology(_ changes: RecoveredChange...) -> LoggedRecord {
        LoggedRecord(type: .topology, payload: TopologyRecord.encode(changes) ?? [])
    }

    /// A queue in `/`.
    static func queue(_ name: String, _ durableID: UInt64) -> LoggedRecord {
        self.topology(
            .addQueue(
                DurableQueue(
                    virtualHost: "/",
                    name: name.short,
                    durableID: durableID,
                    isAutoDelete: false,
                    arguments: .empty
                )
            )
        )
    }

    /// Fills memory of exactly that size; what lies behind it must stay as it is.
    private static func payload(_ size: Int, _ write: (UnsafeMutableRawPointer) -> Void) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: size + 16)
        bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            write(base)
        }
        #expect(bytes[size...].allSatisfy { $0 == 0xEE }, "a record keeps to its size")
        return Array(bytes[..<size])
    }
}

extension SequenceRange {
    init(_ first: UInt64, _ count: UInt64) {
        self.init(first: first, count: count)
    }
}

extension BindingDefinition {
    static func toQueue(_ source: String, _ queue: String, _ key: String = "") -> BindingDefinition {
        BindingDefinition(
            source: source.short,
            kind: .queue,
            destination: queue.short,
            routingKey: key.short,
            arguments: .empty
        )
    }
}

extension ExchangeDefinition {
    static func durable(_ name: String) -> ExchangeDefinition {
        ExchangeDefinition(
            name: name.short,
            type: .topic,
            isDurable: true,
            isAutoDelete: false,
            isInternal: false,
            arguments: .empty
        )
    }
}

extension RecoveredState {
    mutating func apply(_ record: LoggedRecord) throws(RecordError) {
        try self.apply(record.type.rawValue, record.payload)
    }

    mutating func apply(_ type: UInt8, _ payload: [UInt8]) throws(RecordError) {
        let result = payload.withUnsafeBytes { bytes in
            Result<RecoveredState, RecordError> { () throws(RecordError) in
                var copy = self
                try copy.apply(type, bytes)
                return copy
            }
        }
        self = try result.get()
    }

    /// Everything there is, a line each.
    var listing: [String] {
        var lines = self.exchanges.map { "exchange \($0.virtualHost) \($0.definition.name)" }
        for queue in self.queues {
            lines.append(
                "queue \(queue.definition.virtualHost) \(queue.definition.name) id \(queue.definition.durableID) "
                    + "next \(queue.nextSequence) count \(queue.count)"
            )
            for message in queue.messages {
                let body = message.message.withView { view in
                    String(decoding: UnsafeRawBufferPointer(start: view.body, count: view.bodySize), as: UTF8.self)
                }
                let marks =
                    (message.isRedelivered ? " again" : "")
                    + (message.message.flags.contains(.persistent) ? "" : " transient")
                lines.append("\(message.sequence) \(body)\(marks)")
            }
        }
        lines += self.bindings.map {
            let binding = $0.definition
            return "binding \($0.virtualHost) \(binding.source) -> \(binding.kind) \(binding.destination) "
                + "\(binding.routingKey)"
        }
        return lines
    }
}
