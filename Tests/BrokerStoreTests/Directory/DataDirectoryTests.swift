import BrokerStore
import Testing

/// What may be used as a data directory, and what is left alone.
@Suite struct DataDirectoryTests {
    @Test func makesAMissingDirectoryAndTheOnesAbove() throws {
        let disk = SimulatedFileSystem()
        let directory = try DataDirectory.open("var/lib/martlet/", files: disk, newIdentity: 7)
        #expect(directory.path == "var/lib/martlet")
        #expect(directory.identity == 7)
        #expect(try disk.names(in: "var/lib/martlet") == ["format", "lock"])
    }

    @Test func keepsItsIdentity() throws {
        let disk = SimulatedFileSystem()
        do { _ = try DataDirectory.open("data", files: disk, newIdentity: 7) }
        #expect(try DataDirectory.open("data", files: disk, newIdentity: 8).identity == 7)
        disk.losePower(seed: 1)
        #expect(try DataDirectory.open("data", files: disk, newIdentity: 9).identity == 7)
    }

    @Test func takesAnEmptyFileSystem() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("data")
        try disk.makeDirectory("data/lost+found")
        #expect(try DataDirectory.open("data", files: disk, newIdentity: 7).identity == 7)
    }

    /// Whatever a crash leaves of the first start, the next one starts; a directory that was ready keeps its identity.
    @Test func losingPowerAnywhereInTheFirstStartLeavesADirectoryThatStarts() throws {
        for change in 0..<12 {
            for seed in 0..<20 as Range<UInt64> {
                let disk = SimulatedFileSystem()
                disk.powerOff(afterChanges: change)
                let first = try? DataDirectory.open("data", files: disk, newIdentity: 7).identity
                disk.losePower(seed: seed)
                let second = try DataDirectory.open("data", files: disk, newIdentity: 8)
                if first != nil { #expect(second.identity == 7, "change \(change), seed \(seed)") }
                #expect(second.identity == 7 || second.identity == 8)
            }
        }
    }

    /// Whoever made the directory, and however an earlier start ended, it and those above it stay once it is in use.
    @Test(arguments: 0..<12) func aDirectoryInUseHasADurableName(_ change: Int) throws {
        for seed in 0..<20 as Range<UInt64> {
            let disk = SimulatedFileSystem()
            if change > 6 { try disk.makeDirectory("var") }
            if change > 9 { try disk.makeDirectory("var/data") }
            disk.powerOff(afterChanges: change)
            // Killed here, without a power cut.
            _ = try? DataDirectory.open("var/data", files: disk, newIdentity: 7)
            disk.powerOn()
            let identity = try DataDirectory.open("var/data", files: disk, newIdentity: 8).identity
            disk.losePower(seed: seed)
            #expect(
                try DataDirectory.open("var/data", files: disk, newIdentity: 9).identity == identity,
                "seed \(seed)"
            )
        }
    }

    @Test func aDirectoryAboveThatCannotBeReadIsLeftAlone() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("data")
        disk.fail(.syncDirectory, error: 13)
        #expect(try DataDirectory.open("data", files: disk, newIdentity: 7).identity == 7)
        let other = SimulatedFileSystem()
        try other.makeDirectory("data")
        other.fail(.syncDirectory, error: 5)
        #expect(throws: StoreError(.system(5), .syncDirectory, ".", "Input/output error")) {
            try DataDirectory.open("data", files: other)
        }
    }

    @Test func refusesOtherPeoplesDirectoriesAndLeavesNoTrace() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("home")
        disk.setContent(of: "home/thesis.tex", [1, 2, 3])
        #expect(
            throws: StoreError(
                .notOurs,
                .use,
                "home",
                "it is not a data directory and not empty: it has no file 'format', but 'thesis.tex'"
            )
        ) { try DataDirectory.open("home", files: disk) }
        #expect(try disk.names(in: "home") == ["thesis.tex"])
    }

    @Test func refusesAFormatFileOfSomebodyElse() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("home")
        disk.setContent(of: "home/format", Array("A4, two columns, please".utf8))
        #expect(throws: StoreError(.notOurs, .use, "home", "its file 'format' is not ours")) {
            try DataDirectory.open("home", files: disk)
        }
        #expect(try disk.names(in: "home") == ["format"])
        #expect(disk.content(of: "home/format") == Array("A4, two columns, please".utf8))
    }

    @Test func refusesANewerFormat() throws {
        let disk = SimulatedFileSystem()
        do { _ = try DataDirectory.open("data", files: disk) }
        var bytes = try #require(disk.content(of: "data/format"))
        bytes[8] = 9
        disk.setContent(of: "data/format", bytes)
        #expect(
            throws: StoreError(
                .newerFormat(9),
                .use,
                "data",
                "it was written by a newer version (format 9, this version reads up to 1)"
            )
        ) { try DataDirectory.open("data", files: disk) }
        #expect(disk.content(of: "data/format") == bytes)
    }

    @Test func refusesADamagedFormatFileAtEveryBitAndLength() throws {
        let disk = SimulatedFileSystem()
        do { _ = try DataDirectory.open("data", files: disk) }
        let whole = try #require(disk.content(of: "data/format"))
        #expect(whole.count == 32)
        for bit in 0..<(32 * 8) {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            disk.setContent(of: "data/format", bytes)
            #expect(throws: StoreError.self, "bit \(bit)") { try DataDirectory.open("data", files: disk) }
        }
        for count in 0..<32 {
            disk.setContent(of: "data/format", Array(whole[..<count]))
            #expect(throws: StoreError.self, "\(count) octets") { try DataDirectory.open("data", files: disk) }
        }
        disk.setContent(of: "data/format", whole)
        _ = try DataDirectory.open("data", files: disk)
    }

    @Test func refusesALockedDirectoryNamingTheProcess() throws {
        let disk = SimulatedFileSystem()
        let first = try DataDirectory.open("data", files: disk)
        let error = #expect(throws: StoreError.self) { try DataDirectory.open("data", files: disk) }
        guard case .locked(let process?) = error?.reason else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(process > 1)
        #expect(error?.description == "cannot use data: process \(process) is using it")
        withExtendedLifetime(first) {}
    }

    @Test func theLockEndsWithItsOwner() throws {
        let disk = SimulatedFileSystem()
        do { _ = try DataDirectory.open("data", files: disk) }
        _ = try DataDirectory.open("data", files: disk)
    }

    @Test func reportsWhatTheSystemRefuses() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("data")
        disk.fail(.read, error: 13)
        #expect(throws: StoreError(.system(13), .list, "data", "Permission denied")) {
            try DataDirectory.open("data", files: disk)
        }
        disk.fail(.open, error: 30)
        #expect(throws: StoreError(.system(30), .open, "data/lock", "Read-only file system")) {
            try DataDirectory.open("data", files: disk)
        }
    }
}
