internal import AMQPProtocol

/// One client of the simulation: what it sends goes to the broker and to the judge, what it receives to the judge.
final class SimulationActor {
    let model: ModelClient
    let client: SimulatedClient
    /// Seconds of its heartbeat; 0 is none.
    let heartbeatSeconds: Int
    /// Octets it takes from its socket at a time.
    let readLimit: Int
    private let judge: Judge
    private let frames: OperationFrames

    /// Connects, and sends everything that opens the connection.
    init(
        _ judge: Judge,
        _ broker: SimulatedBroker,
        shard: Int,
        frameMaxBytes: Int,
        heartbeatSeconds: Int,
        readLimit: Int
    ) {
        self.judge = judge
        self.model = judge.connects()
        self.client = SimulatedClient(broker, shard: shard)
        self.heartbeatSeconds = heartbeatSeconds
        self.readLimit = readLimit
        self.frames = OperationFrames(judge: judge, client: self.client)
        self.client.frameMaxBytes = frameMaxBytes
        self.client.sendBytes(
            SimulatedClient.greeting(
                frameMaxBytes: UInt32(frameMaxBytes),
                heartbeat: UInt16(heartbeatSeconds),
                channel: nil
            )
        )
    }

    /// Sends an operation on a channel.
    func send(_ operation: Operation, on channel: ModelChannel, mustFail: Bool = false) {
        self.client.sendBytes(self.frames.encode(operation, on: channel.number))
        self.judge.sends(operation, on: channel, mustFail: mustFail)
    }

    /// Opens a channel.
    func openChannel(_ number: UInt16) {
        let channel = ModelChannel(client: self.model, number: number)
        self.model.channels[number] = channel
        self.send(.openChannel, on: channel)
    }

    /// Sends `connection.close`.
    func close() {
        self.client.send(ConnectionClose(replyCode: 200), channel: 0)
        self.judge.closes(self.model)
    }

    /// Breaks the connection.
    func cut() {
        self.client.disconnect()
        self.judge.loses(self.model)
    }

    /// Shows that it lives.
    func sendHeartbeat() {
        self.client.sendBytes(SimulatedClient.frame(type: FrameType.heartbeat, channel: 0, payload: []))
    }

    /// Reads from its socket; returns whether anything came.
    func read(_ count: Int = .max) -> Bool {
        let before = self.client.socket.outbound.count
        self.client.collect(count)
        let received = self.client.takeInbox()
        for item in received {
            guard self.model.state != .ended else { break }
            self.judge.receives(item, client: self.model)
            switch item {
            case .method(let number, .channelClose):
                self.client.sendBytes(SimulatedClient.frame(ChannelCloseOk(), channel: number))
            case .method(_, .connectionClose):
                self.client.sendBytes(SimulatedClient.frame(ConnectionCloseOk(), channel: 0))
            case .method(_, .connectionCloseOk):
                // The broker leaves that to the client.
                self.client.disconnect()
            case .method, .content, .heartbeat, .protocolHeader:
                break
            }
        }
        if self.client.socket.isClosed && self.model.state != .ended && self.client.socket.outbound.isEmpty {
            if self.judge.isStopping && self.model.state != .open {
                // Who has not logged in, or is closing, need not be told why.
                self.judge.loses(self.model)
            } else {
                self.judge.fail("the broker has closed the socket of c\(self.model.id)")
            }
        }
        return before > 0
    }
}
