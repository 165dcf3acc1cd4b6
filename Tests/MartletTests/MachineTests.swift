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

    @Test func saysWhyADirectoryCannotBeUsed() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let file = try folder.write("", to: "file")
        #expect(Machine.whyUnusable(directory: file) == "Not a directory")
        #expect(Machine.whyUnusable(directory: "\(file)/below") == "Not a directory")
        #expect(Machine.whyUnusable(directory: "/proc/none") == "No such file or directory")
    }
}
