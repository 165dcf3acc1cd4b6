import Foundation
import Testing

@testable import martlet

/// What the defaults depend on, and the data directory.
@Suite struct MachineTests {
    @Test func hasMemory() {
        #expect(Machine.memoryBytes >= 64 << 20)
    }

    @Test func makesADirectoryThatIsNotThere() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let path = "\(folder.path)/one/two"
        #expect(Machine.whyUnusable(directory: path) == nil)
        var isDirectory: ObjCBool = false
        #expect(FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory))
        #expect(isDirectory.boolValue)
        #expect(Machine.whyUnusable(directory: path) == nil)
    }

    @Test func hasAPlaceForDurableThings() {
        let home = ["HOME": "/home/me", "XDG_DATA_HOME": "/data/me"]
        #expect(Machine.defaultDataDirectory(home, isRoot: true) == "/var/lib/martlet")
        #expect(Machine.defaultDataDirectory([:], isRoot: true) == "/var/lib/martlet")
        #expect(Machine.defaultDataDirectory(home, isRoot: false) == "/data/me/martlet")
        #if !canImport(Darwin)
        let plain = "/home/me/.local/share/martlet"
        #expect(Machine.defaultDataDirectory(["HOME": "/home/me"], isRoot: false) == plain)
        // Relative paths are ignored.
        #expect(Machine.defaultDataDirectory(["HOME": "/home/me", "XDG_DATA_HOME": "x"], isRoot: false) == plain)
        #endif
        #expect(Machine.defaultDataDirectory([:], isRoot: false) == nil)
        #expect(Machine.defaultDataDirectory(["HOME": ""], isRoot: false) == nil)
    }

    @Test func saysWhyADirectoryCannotBeUsed() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let file = try folder.write("", to: "file")
        #expect(Machine.whyUnusable(directory: file) == "Not a directory")
        #expect(Machine.whyUnusable(directory: "\(file)/below") == "Not a directory")
        #expect(Machine.whyUnusable(directory: "/proc/none") == "No such file or directory")
    }
}
