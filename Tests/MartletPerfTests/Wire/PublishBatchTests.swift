import AMQPProtocol
import NIOCore
import Testing

@testable import MartletPerf

@Suite struct PublishBatchTests {
    private func makeBatch(targets: Int = 1, bodyBytes: Int = 16, plant: PlantedError? = nil) -> PublishBatch {
        let templates = (0..<targets).map { target in
            MessageTemplate(
                publish: BasicPublish(routingKey: ShortString(truncating: "queue\(target * 9)")),
                properties: BasicProperties(deliveryMode: 1),
                channel: 1,
                bodyBytes: bodyBytes,
                frameMaxBytes: 131_072
            )
        }
        let tail = MessageTemplate.tail(channel: 1, bodyBytes: bodyBytes, frameMaxBytes: 131_072)
        var batch = PublishBatch(templates: [templates], bodyBytes: bodyBytes, tail: tail)
        batch.plant = plant
        return batch
    }

    private struct Sent: Equatable {
        var routingKey: String
        var sequence: UInt64
        var time: UInt64
    }

    /// Takes messages until `count` are out and reads them as a server would.
    private func send(
        _ count: UInt64,
        from batch: inout PublishBatch,
        publisher: Int = 3,
        step: UInt64 = .max,
        schedule: RateSchedule? = nil
    ) throws -> [Sent] {
        var sent: [Sent] = []
        while sent.count < count {
            let built = UInt64(sent.count)
            let slice = batch.take(
                limit: min(step, count - built),
                stamp: .init(publisher: publisher, now: 1000 + built, schedule: schedule, built: built)
            )
            #expect(slice.count > 0)
            var heads = slice.heads
            var bytes: [UInt8] = []
            for length in batch.headLengths(of: slice) {
                bytes += heads.readBytes(length: length) ?? []
                bytes += batch.tail.map { Array($0.readableBytesView) } ?? []
            }
            #expect(heads.readableBytes == 0)
            let parsed = ParsedFrames(bytes)
            #expect(parsed.rest.isEmpty)
            var publish: BasicPublish?
            for frame in parsed.frames {
                if frame.type == FrameType.method, case .basicPublish(let method) = try ParsedFrames.method(frame) {
                    publish = method
                } else if frame.type == FrameType.body, let method = publish {
                    let values = frame.payload.withUnsafeBytes { bytes in
                        (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                    }
                    #expect(BodyStamp.publisher(of: values.0) == publisher)
                    let sequence = BodyStamp.sequence(of: values.0)
                    sent.append(Sent(routingKey: "\(method.routingKey)", sequence: sequence, time: values.1))
                    publish = nil
                }
            }
        }
        return sent
    }

    @Test func numbersMessagesAcrossWrites() throws {
        var batch = self.makeBatch()
        let sent = try self.send(5000, from: &batch)
        #expect(sent.map { $0.sequence } == Array(0..<5000))
        #expect(batch.numbered == 5000)
    }

    @Test func takesTurnsOverTargetsWithNumbersOfTheirOwn() throws {
        var batch = self.makeBatch(targets: 3)
        let sent = try self.send(3000, from: &batch, step: 7)
        #expect(sent.enumerated().allSatisfy { $1.sequence == UInt64($0 / 3) })
        #expect(sent.enumerated().allSatisfy { $1.routingKey == "queue\($0 % 3 * 9)" })
    }

    @Test func keepsEarlierWritesAsTheyWere() throws {
        var batch = self.makeBatch()
        let first = batch.take(limit: 1, stamp: .init(publisher: 0, now: 1, schedule: nil, built: 0)).heads
        let before = Array(first.readableBytesView)
        // Comes round to the same place while the first slice is still held, as by a slow socket.
        for built in 1..<5000 {
            _ = batch.take(limit: 1, stamp: .init(publisher: 0, now: 2, schedule: nil, built: UInt64(built)))
        }
        #expect(Array(first.readableBytesView) == before)
    }

    @Test func boundsOneWrite() {
        var batch = self.makeBatch()
        let slice = batch.take(limit: .max, stamp: .init(publisher: 0, now: 1, schedule: nil, built: 0))
        #expect(slice.heads.readableBytes <= PerfLimits.batchBytes)
        #expect(slice.heads.readableBytes > PerfLimits.batchBytes / 2)
        var manyTargets = self.makeBatch(targets: 3000)
        let part = manyTargets.take(limit: .max, stamp: .init(publisher: 0, now: 1, schedule: nil, built: 0))
        #expect(part.heads.readableBytes <= PerfLimits.batchBytes)
        #expect(part.count > 100)
    }

    @Test func stampsTheTimeOfSending() throws {
        var batch = self.makeBatch()
        #expect(try self.send(3, from: &batch, step: 1).map { $0.time } == [1000, 1001, 1002])
    }

    @Test func stampsTheTimeEachMessageWasDue() throws {
        var batch = self.makeBatch()
        let schedule = RateSchedule(startNanoseconds: 500, rate: 1e8)
        #expect(try self.send(4, from: &batch, schedule: schedule).map { $0.time } == [500, 510, 520, 530])
    }

    @Test func sendsLargeBodies() throws {
        var batch = self.makeBatch(targets: 2, bodyBytes: 20_000)
        let sent = try self.send(10, from: &batch)
        #expect(sent.map { $0.sequence } == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
        let slice = batch.take(limit: .max, stamp: .init(publisher: 0, now: 1, schedule: nil, built: 10))
        #expect(slice.count <= 3)
    }

    @Test(arguments: [
        (PlantedError.lost, [999, 1001, 1002, 1003]),
        (.duplicated, [999, 999, 1000, 1001]),
        (.reordered, [999, 1001, 1000, 1002]),
    ])
    func commitsThePlantedError(plant: PlantedError, numbers: [UInt64]) throws {
        var batch = self.makeBatch(plant: plant)
        let sent = try self.send(2000, from: &batch)
        #expect(sent[999...1002].map { $0.sequence } == numbers)
        var track = SequenceTrack()
        for message in sent {
            track.receive(message.sequence)
        }
        #expect(track.missing == (plant == .lost ? 1 : 0))
        #expect(track.duplicated == (plant == .duplicated ? 1 : 0))
        #expect(track.late == (plant == .reordered ? 1 : 0))
        #expect(batch.numbered == track.distinct + track.missing)
    }

    @Test func kindsOfMessagesTakeTurnsWithinOneOrder() throws {
        let templates = [UInt8(1), 9].map { priority in
            [
                MessageTemplate(
                    publish: BasicPublish(routingKey: "q"),
                    properties: BasicProperties(priority: priority),
                    channel: 1,
                    bodyBytes: 16,
                    frameMaxBytes: 131_072
                )
            ]
        }
        var batch = PublishBatch(templates: templates, bodyBytes: 16, tail: nil)
        let sent = try self.send(5, from: &batch, step: 2)
        #expect(sent.map(\.sequence) == [0, 1, 2, 3, 4])
        var heads = batch.take(limit: 2, stamp: .init(publisher: 0, now: 0, schedule: nil, built: 5)).heads
        let frames = ParsedFrames(heads.readBytes(length: heads.readableBytes) ?? []).frames
        let priorities = frames.filter { $0.type == FrameType.header }.map(\.payload.last)
        #expect(priorities == [9, 1])
    }
}
