import AMQPProtocol
import Testing

/// Methods against octets written out by hand, so that a mistake in the tables themselves shows.
@Suite struct MethodBytesTests {
    private func payload(_ method: some EncodableMethod) -> [UInt8] {
        written(method.encodedSize) { method.encode(into: &$0) }
    }

    @Test func startsAConnection() {
        let start = ConnectionStart(
            versionMajor: 0,
            versionMinor: 9,
            serverProperties: ["a": .string("b")],
            mechanisms: Array("PLAIN".utf8),
            locales: Array("en_US".utf8)
        )
        let properties: [UInt8] = [0, 0, 0, 8, 1, 0x61, 0x53, 0, 0, 0, 1, 0x62]
        let head: [UInt8] = [0, 10, 0, 10, 0, 9]
        #expect(
            self.payload(start) == head + properties + [0, 0, 0, 5] + Array("PLAIN".utf8) + [0, 0, 0, 5]
                + Array("en_US".utf8)
        )
    }

    @Test func tunes() {
        let tune = ConnectionTune(channelMax: 2047, frameMax: 131_072, heartbeat: 60)
        #expect(self.payload(tune) == [0, 10, 0, 30, 0x07, 0xFF, 0, 2, 0, 0, 0, 60])
    }

    @Test func writesReservedFieldsEmpty() {
        #expect(self.payload(ConnectionOpen(virtualHost: "/")) == [0, 10, 0, 40, 1, 0x2F, 0, 0])
        #expect(self.payload(ConnectionOpenOk()) == [0, 10, 0, 41, 0])
        #expect(self.payload(ChannelOpen()) == [0, 20, 0, 10, 0])
        #expect(self.payload(ChannelOpenOk()) == [0, 20, 0, 11, 0, 0, 0, 0])
        #expect(self.payload(BasicGetEmpty()) == [0, 60, 0, 72, 0])
        #expect(self.payload(QueuePurge(queue: "q")) == [0, 50, 0, 30, 0, 0, 1, 0x71, 0])
    }

    @Test func keepsTheTicketThatAccessRequestIsAnsweredWith() {
        #expect(self.payload(AccessRequestOk(ticket: 1)) == [0, 30, 0, 11, 0, 1])
    }

    @Test func numbersUnbindOkFiftyOne() {
        #expect(self.payload(ExchangeUnbindOk()) == [0, 40, 0, 51])
    }

    @Test func packsBitsFromTheLowest() {
        let declare = QueueDeclare(queue: "q", durable: true, noWait: true)
        #expect(self.payload(declare) == [0, 50, 0, 10, 0, 0, 1, 0x71, 0b10010, 0, 0, 0, 0])
        let nack = BasicNack(deliveryTag: 1, multiple: false, requeue: true)
        #expect(self.payload(nack) == [0, 60, 0, 120, 0, 0, 0, 0, 0, 0, 0, 1, 0b10])
        let access = AccessRequest(realm: "", exclusive: false, passive: false, active: true, write: true, read: true)
        #expect(self.payload(access) == [0, 30, 0, 10, 0, 0b11100])
    }

    @Test func putsABitBetweenOtherFieldsIntoItsOwnOctet() {
        let deliver = BasicDeliver(consumerTag: "c", deliveryTag: 2, redelivered: true, exchange: "", routingKey: "k")
        #expect(
            self.payload(deliver) == [0, 60, 0, 60, 1, 0x63, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 1, 0x6B]
        )
    }

    @Test func publishes() throws {
        let bytes: [UInt8] = [0, 60, 0, 40, 0, 0, 1, 0x78, 2, 0x72, 0x6B, 0b01]
        let publish = BasicPublish(exchange: "x", routingKey: "rk", mandatory: true, immediate: false)
        #expect(self.payload(publish) == bytes)
        #expect(try decodingMethod(bytes).get() == .basicPublish(publish))
    }

    @Test func closesAChannel() throws {
        let close = ChannelClose(
            replyCode: ReplyCode.notFound.rawValue,
            replyText: "NOT_FOUND",
            classID: 50,
            methodID: 10
        )
        let bytes: [UInt8] = [0, 20, 0, 40, 0x01, 0x94, 9] + Array("NOT_FOUND".utf8) + [0, 50, 0, 10]
        #expect(self.payload(close) == bytes)
        #expect(try decodingMethod(bytes).get() == .channelClose(close))
    }

    @Test func refusesATableInsideAMethodThatIsMalformed() {
        let bytes: [UInt8] = [0, 50, 0, 10, 0, 0, 1, 0x71, 0, 0, 0, 0, 3, 1, 0x61, 0x5A]
        #expect(throws: DecodeError.unknownFieldType(0x5A)) { try decodingMethod(bytes).get() }
    }
}
