import BrokerStore
import Testing

/// Checkpoints: whole or not at all.
@Suite struct CheckpointsTests {
    private static func make(_ disk: SimulatedFileSystem, identity: UInt64 = 7) -> Checkpoints {
        Checkpoints(files: disk, directory: "data", identity: identity)
    }

    private static func makeDisk() throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("data")
        try disk.syncDirectory("")
        return disk
    }

    private static func write(_ checkpoints: Checkpoints, _ number: UInt64, _ size: Int) throws {
        try LogWorkbench.payload(size, number).withUnsafeBytes { try checkpoints.write(number, contents: $0) }
    }

    @Test(arguments: [0, 1, 47, 48, 5000])
    func givesBackTheNewestAndKeepsOnlyIt(_ size: Int) throws {
        let disk = try Self.makeDisk()
        let checkpoints = Self.make(disk)
        #expect(try checkpoints.newest() == nil)
        for number in [3, 0x1F, 0x100] as [UInt64] {
            try Self.write(checkpoints, number, size)
            let newest = try checkpoints.newest()
            #expect(newest?.number == number)
            #expect(newest?.contents == LogWorkbench.payload(size, number))
        }
        #expect(try disk.names(in: "data") == ["checkpoint-0000000000000100"])
    }

    @Test func powerLossLeavesTheOldOrTheNewOne() throws {
        for change in 0..<8 {
            for seed in 0..<30 as Range<UInt64> {
                let disk = try Self.makeDisk()
                let checkpoints = Self.make(disk)
                try Self.write(checkpoints, 1, 700)
                disk.powerOff(afterChanges: change)
                let isWritten = (try? Self.write(checkpoints, 2, 900)) != nil
                disk.losePower(seed: seed)
                var damages = 0
                let newest = try #require(try checkpoints.newest { _ in damages += 1 })
                #expect(damages == 0)
                #expect(newest.number == 2 || !isWritten, "change \(change), seed \(seed)")
                #expect(newest.contents == LogWorkbench.payload(newest.number == 1 ? 700 : 900, newest.number))
            }
        }
    }

    @Test func passesOverADamagedOneAndKeepsItAside() throws {
        let disk = try Self.makeDisk()
        let checkpoints = Self.make(disk)
        try Self.write(checkpoints, 2, 100)
        let newer = try #require(disk.content(of: "data/checkpoint-0000000000000002"))
        let older = try Self.makeDisk()
        try Self.write(Self.make(older), 1, 100)
        disk.setContent(
            of: "data/checkpoint-0000000000000001",
            try #require(older.content(of: "data/checkpoint-0000000000000001"))
        )
        for bit in stride(from: 0, to: newer.count * 8, by: 3) {
            var bytes = newer
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            disk.setContent(of: "data/checkpoint-0000000000000002", bytes)
            var damages: [StoreError] = []
            let newest = try checkpoints.newest { damages.append($0) }
            #expect(newest?.number == 1, "bit \(bit)")
            #expect(damages.map(\.file) == ["data/checkpoint-0000000000000002"])
            #expect(disk.content(of: "data/damaged-checkpoint-0000000000000002") == bytes)
        }
    }

    @Test func aFullDiskLeavesTheOldOneAndNoRest() throws {
        let disk = try Self.makeDisk()
        let checkpoints = Self.make(disk)
        try Self.write(checkpoints, 1, 500)
        disk.setCapacity(800)
        let error = #expect(throws: StoreError.self) { try Self.write(checkpoints, 2, 500) }
        #expect(error?.reason == .noSpace)
        #expect(try disk.names(in: "data") == ["checkpoint-0000000000000001"])
        disk.setCapacity(2000)
        try Self.write(checkpoints, 2, 500)
        #expect(try checkpoints.newest()?.number == 2)
    }

    @Test func refusesAnotherDirectorysCheckpoint() throws {
        let disk = try Self.makeDisk()
        try Self.write(Self.make(disk, identity: 8), 1, 10)
        let error = #expect(throws: StoreError.self) { try Self.make(disk).newest() }
        #expect(error?.reason == .notOurs)
        #expect(error?.file == "data/checkpoint-0000000000000001")
    }
}
