import BrokerStore
import Synchronization
import Testing

@Suite struct SpaceTests {
    private static let limit: UInt64 = 50_000_000

    @Test func spaceIsShortBelowTheLimitAndEnoughAboveIt() {
        var gauge = SpaceGauge(limitBytes: Self.limit)
        #expect(gauge.note(freeBytes: Self.limit) == nil)
        #expect(gauge.note(freeBytes: Self.limit - 1) == true)
        #expect(gauge.note(freeBytes: 0) == nil)
        // Not by one octet more.
        #expect(gauge.note(freeBytes: Self.limit + 1) == nil)
        #expect(gauge.note(freeBytes: Self.limit / 20 * 21 - 1) == nil)
        #expect(gauge.note(freeBytes: Self.limit / 20 * 21) == false)
        #expect(!gauge.isShort)
    }

    @Test func aLimitOfZeroIsNeverReached() {
        var gauge = SpaceGauge(limitBytes: 0)
        #expect(gauge.note(freeBytes: 0) == nil)
    }

    @Test func aLimitBeyondEveryDiskIsNoTrap() {
        var gauge = SpaceGauge(limitBytes: .max)
        #expect(gauge.note(freeBytes: 1 << 50) == true)
        #expect(gauge.note(freeBytes: 1 << 60) == nil)
    }

    @Test func tellsWhatChangesAndWhatItCannotSee() async throws {
        let files = SimulatedFileSystem()
        files.setCapacity(10_000_000)
        let (changes, tell) = AsyncStream.makeStream(of: String.self)
        let watch = SpaceWatch(
            files: files,
            directory: "",
            limitBytes: 1_000_000,
            onChange: { isShort, free in tell.yield("\(isShort) \(free)") },
            onFailure: { error in tell.yield("\(error.operation.rawValue)") }
        )
        var iterator = changes.makeAsyncIterator()
        files.setCapacity(999_999)
        #expect(await iterator.next() == "true 999999")
        files.fail(.read)
        #expect(await iterator.next() == "find the free space of")
        files.setCapacity(20_000_000)
        #expect(await iterator.next() == "false 20000000")
        watch.stop()
    }

    @Test func aDiskThatIsFullFromTheStartIsToldAtOnce() {
        let files = SimulatedFileSystem()
        files.setCapacity(5)
        let told = Mutex<[Bool]>([])
        let watch = SpaceWatch(
            files: files,
            directory: "",
            limitBytes: 10,
            onChange: { isShort, _ in told.withLock { $0.append(isShort) } },
            onFailure: { _ in }
        )
        #expect(told.withLock { $0 } == [true])
        watch.stop()
    }
}
