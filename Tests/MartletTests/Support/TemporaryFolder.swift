import Foundation

/// A folder for one test.
struct TemporaryFolder {
    let path: String

    init() throws {
        let parent = FileManager.default.temporaryDirectory
        let url = parent.appendingPathComponent("martlet-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        self.path = url.path
    }

    /// Writes a file; returns its path.
    func write(_ text: String, to name: String) throws -> String {
        let file = "\(self.path)/\(name)"
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        return file
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: self.path)
    }
}
