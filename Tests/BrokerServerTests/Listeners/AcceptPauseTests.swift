import NIOCore
import NIOEmbedded
import Testing

@testable import BrokerServer

/// A listener without room for connections: one line and one attempt a second.
@Suite struct AcceptPauseTests {
    private let log = LogRecorder()

    private func makeListener() throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(handler: AcceptPause(logger: self.log.logger))
        try channel.bind(to: SocketAddress(ipAddress: "127.0.0.1", port: 5672)).wait()
        return channel
    }

    private func isReading(_ channel: EmbeddedChannel) -> Bool? {
        channel.options.last { $0.option is ChannelOptions.Types.AutoReadOption }?.value as? Bool
    }

    /// EMFILE, ENFILE, ENOBUFS and ENOMEM of Linux.
    @Test(arguments: [
        (24, "Too many open files"), (23, "Too many open files in system"), (105, "No buffer space available"),
        (12, "Cannot allocate memory"),
    ])
    func stopsForASecond(code: CInt, reason: String) throws {
        let listener = try self.makeListener()
        listener.pipeline.fireErrorCaught(IOError(errnoCode: code, reason: "accept"))
        #expect(self.isReading(listener) == false)
        #expect(self.log.lines == ["[error] cannot accept connections: \(reason); trying again in a second"])
        listener.embeddedEventLoop.advanceTime(by: .milliseconds(999))
        #expect(self.isReading(listener) == false)
        listener.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(self.isReading(listener) == true)
    }

    @Test func saysSoOnceAPause() throws {
        let listener = try self.makeListener()
        for _ in 0..<10 { listener.pipeline.fireErrorCaught(IOError(errnoCode: 24, reason: "accept")) }
        #expect(self.log.lines.count == 1)
        listener.embeddedEventLoop.advanceTime(by: .seconds(1))
        listener.pipeline.fireErrorCaught(IOError(errnoCode: 24, reason: "accept"))
        #expect(self.log.lines.count == 2)
        #expect(self.isReading(listener) == false)
    }

    /// ECONNABORTED and ECONNRESET of Linux: one client's trouble.
    @Test(arguments: [103, 104] as [CInt])
    func goesOnWhenAClientLeftEarly(code: CInt) throws {
        let listener = try self.makeListener()
        listener.pipeline.fireErrorCaught(IOError(errnoCode: code, reason: "accept"))
        #expect(self.isReading(listener) == nil)
        #expect(self.log.lines == [])
    }

    @Test func forgetsItsPauseWhenItIsClosed() throws {
        let listener = try self.makeListener()
        listener.pipeline.fireErrorCaught(IOError(errnoCode: 24, reason: "accept"))
        try listener.close().wait()
        listener.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(self.isReading(listener) == false)
    }
}
