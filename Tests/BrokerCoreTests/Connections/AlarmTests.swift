import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// Who is blocked during an alarm, who is told, and what goes on.
@Suite struct AlarmTests {
    /// A broker with a publisher and somebody who looks, and a queue "q" on either shard.
    private struct Scene {
        let broker: SimulatedBroker
        let publisher: SimulatedClient
        let other: SimulatedClient

        init(memoryLimitBytes: UInt64 = 1 << 32, isDurable: Bool = false) {
            var settings = BrokerSettings()
            settings.memoryLimitBytes = memoryLimitBytes
            settings.isDurable = isDurable
            self.broker = SimulatedBroker(shardCount: 2, settings: settings)
            self.publisher = SimulatedClient(self.broker, shard: 0).open()
            self.other = SimulatedClient(self.broker, shard: 1).open()
            self.other.call(QueueDeclare(queue: "q", durable: isDurable))
        }

        /// Messages in the queue.
        var depth: UInt32? { self.other.depth() }

        func publish(_ text: String, channel: UInt16 = 1) {
            self.publisher.publish(routingKey: "q", body: Array(text.utf8), channel: channel)
        }
    }

    // MARK: Who is told

    @Test func blocksWhoPublishesAndNobodyElse() {
        let scene = Scene()
        scene.publish("before")
        scene.broker.run()
        scene.broker.setDiskAlarm(true)
        // Neither who has published before, nor who is new, nor who consumes.
        #expect(scene.publisher.receive().lines == [])
        #expect(scene.other.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true)).count == 2)
        let new = SimulatedClient(scene.broker).open()
        #expect(new.receive().lines == [])
        scene.publish("during")
        #expect(scene.publisher.receive().lines == ["0 connection.blocked low on disk"])
        new.publish(routingKey: "q", body: [1])
        #expect(new.receive().lines == ["0 connection.blocked low on disk"])
        #expect(scene.other.receive().lines == [])
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked"])
        #expect(new.receive().lines == ["0 connection.unblocked"])
        #expect(scene.other.receive().compactMap(\.text).count == 2)
    }

    @Test func tellsOnceHoweverManyChannelsPublish() {
        let scene = Scene()
        scene.publisher.call(ChannelOpen(), channel: 2)
        scene.broker.setDiskAlarm(true)
        scene.publish("1")
        scene.publish("2", channel: 2)
        scene.publish("3")
        #expect(scene.publisher.receive().lines == ["0 connection.blocked low on disk"])
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked"])
        #expect(scene.depth == 3)
        // The next alarm is another one.
        scene.broker.setDiskAlarm(true)
        scene.publish("4")
        #expect(scene.publisher.receive().lines == ["0 connection.blocked low on disk"])
    }

    @Test func namesEveryResourceThatIsShort() {
        let scene = Scene(memoryLimitBytes: 8 << 20)
        let body = [UInt8](repeating: 1, count: 1_000_000)
        while scene.publisher.receive().isEmpty {
            scene.publisher.publish(routingKey: "q", body: body)
        }
        // The memory alarm holds; a second one is not told to who is blocked already.
        scene.broker.setDiskAlarm(true)
        #expect(scene.publisher.receive().lines == [])
        scene.other.publish(routingKey: "q", body: [1])
        #expect(scene.other.receive().lines == ["0 connection.blocked low on disk & memory"])
        // One of them ends: still blocked.
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == [])
        #expect(scene.other.receive().lines == [])
        let consumer = SimulatedClient(scene.broker).open()
        let purged = consumer.call(QueuePurge(queue: "q")).lines
        #expect(purged.count == 1)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked"])
        #expect(scene.other.receive().lines == ["0 connection.unblocked"])
    }

    @Test func blocksWithoutAWordWhoDoesNotWantToKnow() {
        let scene = Scene()
        let client = SimulatedClient(scene.broker)
        client.sendBytes([65, 77, 81, 80, 0, 0, 9, 1])
        client.call(
            ConnectionStartOk(mechanism: "PLAIN", response: Array("\0guest\0guest".utf8), locale: "en_US"),
            channel: 0
        )
        client.call(ConnectionTuneOk(channelMax: 10, frameMax: 131_072, heartbeat: 0), channel: 0)
        client.call(ConnectionOpen(virtualHost: "/"), channel: 0)
        #expect(client.call(ChannelOpen()).lines == ["1 channel.open-ok"])
        scene.broker.setDiskAlarm(true)
        client.publish(routingKey: "q", body: [1])
        #expect(client.receive().lines == [])
        #expect(scene.depth == 0)
        scene.broker.setDiskAlarm(false)
        #expect(client.receive().lines == [])
        #expect(scene.depth == 1)
    }

    @Test func theMemoryAlarmEndsBelowItsLimit() {
        let scene = Scene(memoryLimitBytes: 64 << 20)
        let body = [UInt8](repeating: 1, count: 1_000_000)
        while scene.publisher.receive().isEmpty {
            scene.publisher.publish(routingKey: "q", body: body)
        }
        let held = scene.depth ?? 0
        // One message less does not end it, some do.
        scene.other.call(BasicGet(queue: "q", noAck: true))
        scene.other.call(BasicGet(queue: "q", noAck: true))
        #expect(scene.publisher.receive().lines == [])
        for _ in 0..<6 { scene.other.call(BasicGet(queue: "q", noAck: true)) }
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked"])
        #expect(held > 60)
    }

    // MARK: What goes on

    @Test func whatWasSentDuringTheAlarmIsTakenAfterIt() {
        let scene = Scene()
        scene.publisher.call(ConfirmSelect())
        scene.broker.setDiskAlarm(true)
        for number in 1...3 { scene.publish("\(number)") }
        // Without an answer, and without leaving a trace.
        #expect(scene.publisher.receive().lines == ["0 connection.blocked low on disk"])
        #expect(scene.depth == 0)
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked", "1 ack 3 multiple"])
        scene.publish("4")
        #expect(scene.publisher.receive().lines == ["1 ack 4"])
        let got = scene.other.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true)).compactMap(\.text)
        #expect(got == ["1", "2", "3", "4"])
    }

    @Test func otherChannelsOfABlockedConnectionGoOn() {
        let scene = Scene()
        for channel: UInt16 in 2...3 { scene.publisher.call(ChannelOpen(), channel: channel) }
        scene.publish("1")
        scene.publish("2")
        scene.broker.run()
        scene.broker.setDiskAlarm(true)
        scene.publish("3")
        scene.publisher.receive()
        #expect(scene.publisher.call(BasicGet(queue: "q"), channel: 2).lines == ["2 get-ok #1 left 1 1"])
        scene.publisher.call(BasicAck(deliveryTag: 1), channel: 2)
        #expect(scene.publisher.call(QueueDeclare(queue: "r"), channel: 2).lines == ["2 queue.declare-ok 0 0"])
        #expect(scene.publisher.call(QueueDelete(queue: "r"), channel: 2).lines == ["2 queue.delete-ok 0"])
        #expect(scene.publisher.call(ChannelClose(replyCode: 200), channel: 2).lines == ["2 channel.close-ok"])
        #expect(scene.publisher.call(ChannelOpen(), channel: 2).lines == ["2 channel.open-ok"])
        let consumed = scene.publisher.call(BasicConsume(queue: "q", consumerTag: "c"), channel: 3).lines
        #expect(consumed == ["3 basic.consume-ok c", "3 deliver c #1 2"])
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked", "3 deliver c #2 3"])
    }

    /// The queue of a worker that takes from it and publishes results on the same channel must be able to run empty.
    @Test func acknowledgementsPassThePublishesOfTheirChannel() {
        let scene = Scene()
        for number in 1...6 { scene.other.publish(routingKey: "q", body: Array("\(number)".utf8)) }
        scene.broker.run()
        scene.publisher.call(QueueDeclare(queue: "results"))
        scene.publisher.call(BasicQos(prefetchCount: 2))
        #expect(scene.publisher.call(BasicConsume(queue: "q", consumerTag: "c")).count == 3)
        scene.broker.setDiskAlarm(true)
        scene.publisher.publish(routingKey: "results", body: [1])
        scene.publisher.send(BasicAck(deliveryTag: 1))
        #expect(scene.publisher.receive().lines == ["0 connection.blocked low on disk", "1 deliver c #3 3"])
        scene.publisher.publish(routingKey: "results", body: [2])
        scene.publisher.send(BasicNack(deliveryTag: 3, multiple: true, requeue: false))
        #expect(scene.publisher.receive().lines == ["1 deliver c #4 4", "1 deliver c #5 5"])
        scene.publisher.send(BasicReject(deliveryTag: 4, requeue: false))
        #expect(scene.publisher.receive().lines == ["1 deliver c #6 6"])
        #expect(scene.publisher.call(BasicQos(prefetchCount: 9)).lines == ["1 basic.qos-ok"])
        #expect(scene.publisher.call(BasicCancel(consumerTag: "c")).lines == ["1 basic.cancel-ok"])
        scene.publisher.call(BasicAck(deliveryTag: 0, multiple: true))
        #expect(scene.depth == 0)
        #expect(scene.other.call(QueueDelete(queue: "q")).lines == ["1 queue.delete-ok 0"])
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked"])
        #expect(scene.publisher.call(QueueDelete(queue: "results")).lines == ["1 queue.delete-ok 2"])
    }

    @Test func aConnectionDrainsItselfOutOfTheAlarm() {
        let scene = Scene(memoryLimitBytes: 8 << 20)
        let client = scene.publisher
        client.call(BasicQos(prefetchCount: 1))
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        let body = [UInt8](repeating: 1, count: 100_000)
        var lines: [String] = []
        var pending: [UInt64] = []
        func collect() {
            for received in client.receive() {
                if case .content(_, .basicDeliver(let deliver), _, _) = received {
                    pending.append(deliver.deliveryTag)
                } else {
                    lines.append(received.line)
                }
            }
        }
        var sent = 0
        while lines.isEmpty, sent < 200 {
            client.publish(routingKey: "q", body: body)
            sent += 1
            collect()
        }
        #expect(lines == ["0 connection.blocked low on memory"])
        // It goes on publishing a little, and acknowledges in between.
        var acknowledged = 0
        while acknowledged < sent + 20, let tag = pending.first {
            pending.removeFirst()
            client.send(BasicAck(deliveryTag: tag))
            acknowledged += 1
            if acknowledged <= 20 {
                client.publish(routingKey: "q", body: body)
            }
            collect()
        }
        #expect(acknowledged == sent + 20)
        #expect(lines.count { $0 == "0 connection.unblocked" } >= 1)
        #expect(lines.last == "0 connection.unblocked")
        #expect(scene.depth == 0)
    }

    // MARK: What keeps its place

    @Test func whatDependsOnThePublishWaitsBehindIt() {
        let scene = Scene()
        scene.publisher.call(ConfirmSelect())
        scene.broker.setDiskAlarm(true)
        scene.publish("1")
        scene.publisher.receive()
        // It would find the queue empty.
        #expect(scene.publisher.call(BasicGet(queue: "q", noAck: true)).lines == [])
        // It is wrong, and closes the channel after what came before.
        #expect(scene.publisher.call(BasicAck(deliveryTag: 7)).lines == [])
        scene.publish("lost")
        #expect(scene.publisher.receive().lines == [])
        scene.broker.setDiskAlarm(false)
        #expect(
            scene.publisher.receive().lines == [
                "0 connection.unblocked", "1 get-ok #1 left 0 1", "1 ack 1",
                "1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 7 (60/80)",
            ]
        )
        #expect(scene.depth == 0)
    }

    @Test func aTransactionWaitsAsAWhole() {
        let scene = Scene()
        scene.other.publish(routingKey: "q", body: Array("old".utf8))
        scene.broker.run()
        scene.publisher.call(TxSelect())
        #expect(scene.publisher.call(BasicGet(queue: "q")).lines == ["1 get-ok #1 left 0 old"])
        scene.broker.setDiskAlarm(true)
        scene.publish("new")
        scene.publisher.send(BasicAck(deliveryTag: 1))
        #expect(scene.publisher.call(TxCommit()).lines == ["0 connection.blocked low on disk"])
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked", "1 tx.commit-ok"])
        #expect(scene.depth == 1)
    }

    @Test(arguments: [false, true])
    func closesComeAfterWhatWasPublished(closesConnection: Bool) {
        let scene = Scene()
        scene.broker.setDiskAlarm(true)
        scene.publish("1")
        if closesConnection {
            scene.publisher.send(ConnectionClose(replyCode: 200), channel: 0)
        } else {
            scene.publisher.send(ChannelClose(replyCode: 200))
        }
        #expect(scene.publisher.receive().lines == ["0 connection.blocked low on disk"])
        scene.broker.setDiskAlarm(false)
        let closed = closesConnection ? "0 connection.close-ok" : "1 channel.close-ok"
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked", closed])
        #expect(scene.depth == 1)
    }

    @Test func whoGoesDuringTheAlarmLeavesNothing() {
        let scene = Scene()
        scene.broker.setDiskAlarm(true)
        scene.publish("1")
        scene.publisher.receive()
        scene.publisher.disconnect()
        scene.broker.setDiskAlarm(false)
        #expect(scene.depth == 0)
        #expect(scene.broker.shards[0].census.isEmpty)
    }

    @Test func theBrokerStopsWithBlockedPublishers() {
        let scene = Scene()
        scene.broker.setDiskAlarm(true)
        scene.publish("1")
        scene.publisher.receive()
        scene.broker.stop()
        #expect(scene.publisher.receive().lines.map { String($0.prefix(22)) } == ["0 connection.close 320"])
        scene.publisher.call(ConnectionCloseOk(), channel: 0)
        #expect(scene.publisher.socket.isClosed)
    }

    // MARK: Messages in pieces

    /// A message of many frames whose beginning came before the alarm, with an acknowledgement behind it.
    @Test(arguments: [1, 8, 4_000, .max])
    func contentUnderWayStopsAndAcknowledgementsBehindItGoOn(piece: Int) {
        let scene = Scene()
        scene.other.publish(routingKey: "q", body: Array("old".utf8))
        scene.broker.run()
        #expect(scene.publisher.call(BasicGet(queue: "q")).lines == ["1 get-ok #1 left 0 old"])
        scene.publisher.frameMaxBytes = 4096
        let body = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
        let bytes = scene.publisher.encodePublish(
            BasicPublish(exchange: "", routingKey: "q", mandatory: false, immediate: false),
            body: body
        )
        scene.publisher.sendBytes(Array(bytes[..<9_000]))
        #expect(scene.publisher.receive().lines == [])
        scene.broker.setDiskAlarm(true)
        var rest = Array(bytes[9_000...]) + SimulatedClient.frame(BasicAck(deliveryTag: 1), channel: 1)
        while !rest.isEmpty {
            scene.publisher.sendBytes(Array(rest.prefix(piece)))
            rest.removeFirst(min(piece, rest.count))
            scene.broker.run()
        }
        #expect(scene.publisher.receive().lines == ["0 connection.blocked low on disk"])
        #expect(scene.depth == 0)
        scene.broker.setDiskAlarm(false)
        #expect(scene.publisher.receive().lines == ["0 connection.unblocked"])
        let got = scene.other.call(BasicGet(queue: "q", noAck: true))
        guard case .content(_, .basicGetOk, _, let received)? = got.first else {
            Issue.record("\(got)")
            return
        }
        #expect(received == body)
        #expect(scene.broker.shards[1].census.messages == 0)
    }

    /// Whatever way the octets are cut, the same happens.
    @Test func theCutOfTheOctetsDoesNotMatter() {
        var transcripts: Set<[String]> = []
        for piece in [1, 2, 3, 5, 7, 11, 30, .max] {
            let scene = Scene()
            scene.publisher.call(ConfirmSelect())
            scene.publisher.call(ChannelOpen(), channel: 2)
            scene.broker.setDiskAlarm(true)
            var bytes: [UInt8] = []
            for number in 1...3 {
                bytes += scene.publisher.encodePublish(
                    BasicPublish(exchange: "", routingKey: "q", mandatory: false, immediate: false),
                    body: Array("\(number)".utf8)
                )
                bytes += SimulatedClient.frame(
                    QueueDeclare(queue: ShortString(truncating: "other \(number)")),
                    channel: 2
                )
            }
            bytes += SimulatedClient.frame(BasicGet(queue: "q", noAck: true), channel: 1)
            while !bytes.isEmpty {
                scene.publisher.sendBytes(Array(bytes.prefix(piece)))
                bytes.removeFirst(min(piece, bytes.count))
                scene.broker.run()
            }
            var lines = scene.publisher.receive().lines
            scene.broker.setDiskAlarm(false)
            lines += scene.publisher.receive().lines
            transcripts.insert(lines)
        }
        #expect(
            transcripts == [
                [
                    "0 connection.blocked low on disk", "2 queue.declare-ok 0 0", "2 queue.declare-ok 0 0",
                    "2 queue.declare-ok 0 0", "0 connection.unblocked", "1 get-ok #1 left 2 1", "1 ack 3 multiple",
                ]
            ]
        )
    }

    @Test func anAlarmThatComesBackParksWhatIsLeft() {
        let scene = Scene(memoryLimitBytes: 4 << 20)
        let body = [UInt8](repeating: 1, count: 100_000)
        for number in 0..<120 {
            scene.publisher.publish(routingKey: "q", body: Array("\(number) ".utf8) + body)
        }
        scene.publisher.receive()
        // Everything parked or unread comes through in order, by and by.
        var got: [Int] = []
        for _ in 0..<1_000 where got.count < 120 {
            let received = scene.other.call(BasicGet(queue: "q", noAck: true)).compactMap(\.text)
            got += received.compactMap { Int($0.prefix { $0 != " " }) }
            scene.broker.run()
        }
        #expect(got == Array(0..<120))
        let told = scene.publisher.receive().lines
        #expect(told.count > 2)
        #expect(told.last == "0 connection.unblocked")
    }
}
