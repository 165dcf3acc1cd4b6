import NIOCore
import NIOEmbedded
import NIOPosix
import Synchronization
import Testing

@testable import BrokerServer

/// Batches between loops: in order, none lost, one wake-up for however many.
@Suite struct MailboxTests {
    /// The calls of a reader.
    private final class Reader: Sendable {
        let calls = Mutex<[[Int]]>([])

        var received: [[Int]] { self.calls.withLock { $0 } }

        func receive(_ batches: [Int]) {
            self.calls.withLock { $0.append(batches) }
        }
    }

    private let loop = EmbeddedEventLoop()
    private let reader = Reader()

    private func makeMailbox(isOpen: Bool = true) -> Mailbox<Int> {
        let mailbox = Mailbox<Int>(eventLoop: self.loop)
        if isOpen { self.open(mailbox) }
        return mailbox
    }

    private func open(_ mailbox: Mailbox<Int>) {
        let reader = self.reader
        mailbox.open { reader.receive($0) }
    }

    @Test func readsABurstWithOneCall() {
        let mailbox = self.makeMailbox()
        for number in 1...5 { mailbox.post(number) }
        #expect(self.reader.received.isEmpty)
        self.loop.run()
        #expect(self.reader.received == [[1, 2, 3, 4, 5]])
    }

    @Test func wakesAgainAfterABurst() {
        let mailbox = self.makeMailbox()
        mailbox.post(1)
        self.loop.run()
        mailbox.post(2)
        mailbox.post(3)
        self.loop.run()
        #expect(self.reader.received == [[1], [2, 3]])
    }

    @Test func keepsWhatComesBeforeItIsOpened() {
        let mailbox = self.makeMailbox(isOpen: false)
        mailbox.post(1)
        mailbox.post(2)
        self.loop.run()
        #expect(self.reader.received.isEmpty)
        self.open(mailbox)
        mailbox.post(3)
        self.loop.run()
        #expect(self.reader.received == [[1, 2, 3]])
    }

    @Test func openingWithNothingInsideWakesNobody() {
        _ = self.makeMailbox()
        self.loop.run()
        #expect(self.reader.received.isEmpty)
    }

    @Test func takesWhatItsReaderPosts() {
        let mailbox = Mailbox<Int>(eventLoop: self.loop)
        let reader = self.reader
        mailbox.open { batches in
            reader.receive(batches)
            if batches == [1] { mailbox.post(2) }
        }
        mailbox.post(1)
        self.loop.run()
        #expect(self.reader.received == [[1], [2]])
        mailbox.close()
    }

    @Test func dropsWhatWaitsWhenItIsClosed() {
        let mailbox = self.makeMailbox()
        mailbox.post(1)
        mailbox.close()
        self.loop.run()
        mailbox.post(2)
        self.loop.run()
        #expect(self.reader.received.isEmpty)
    }

    @Test(.timeLimit(.minutes(1)))
    func keepsTheOrderOfEachOfManySenders() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let mailbox = Mailbox<(sender: Int, number: Int)>(eventLoop: group.next())
        let received = Watched<[[Int]]>(Array(repeating: [], count: 4))
        mailbox.open { batches in
            received.update { lists in
                for batch in batches { lists[batch.sender].append(batch.number) }
            }
        }
        await withTaskGroup(of: Void.self) { tasks in
            for sender in 0..<4 {
                tasks.addTask {
                    for number in 0..<1_000 { mailbox.post((sender, number)) }
                }
            }
        }
        let lists = try await received.wait { $0.allSatisfy { $0.count == 1_000 } ? $0 : nil }
        #expect(lists == Array(repeating: Array(0..<1_000), count: 4))
        mailbox.close()
        try await group.shutdownGracefully()
    }
}
