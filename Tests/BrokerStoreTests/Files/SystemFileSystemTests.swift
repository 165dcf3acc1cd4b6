import BrokerStore
import Foundation
import Testing

/// The machine's own files, in a fresh folder.
@Suite struct SystemFileSystemTests {
    private final class Folder {
        let path: String

        init() throws {
            let url = FileManager.default.temporaryDirectory.appending(path: "martlet-store-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            self.path = url.path
        }

        deinit {
            try? FileManager.default.removeItem(atPath: self.path)
        }
    }

    private let files = SystemFileSystem()

    @Test func readsWhatWasWritten() throws {
        let folder = try Folder()
        let path = folder.path + "/a"
        let file = try self.files.open(path, .create)
        try [1, 2, 3, 4].withUnsafeBytes { try file.write($0, at: 10) }
        try file.fillWithZeros(from: 42, to: 3_000_000)
        try file.sync()
        #expect(try file.size() == 3_000_000)
        var bytes = [UInt8](repeating: 0xFF, count: 40)
        let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 2_999_990) }
        #expect(count == 10)
        #expect(bytes[..<11] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF])
        try self.files.rename(path, to: folder.path + "/b")
        try self.files.syncDirectory(folder.path)
        #expect(try self.files.names(in: folder.path) == ["b"])
        try self.files.remove(folder.path + "/b")
        #expect(try self.files.names(in: folder.path) == [])
        #expect(try self.files.freeBytes(at: folder.path) > 0)
    }

    @Test func saysWhatFailedWhere() throws {
        let folder = try Folder()
        let path = folder.path + "/a"
        #expect(throws: StoreError(.missing, .open, path, "No such file or directory")) {
            try self.files.open(path, .readOnly)
        }
        _ = try self.files.open(path, .create)
        #expect(throws: StoreError(.exists, .create, path, "File exists")) { try self.files.open(path, .create) }
        #expect(throws: StoreError(.missing, .remove, path + "b", "No such file or directory")) {
            try self.files.remove(path + "b")
        }
        let error = #expect(throws: StoreError.self) { try self.files.names(in: path) }
        #expect(error?.description == "cannot list \(path): Not a directory")
        #expect(throws: StoreError.self) { try self.files.syncDirectory(folder.path + "/none") }
        #expect(throws: StoreError(.exists, .makeDirectory, folder.path, "File exists")) {
            try self.files.makeDirectory(folder.path)
        }
    }

    @Test func locksADirectoryNamingThisProcess() throws {
        let folder = try Folder()
        let path = folder.path + "/deep/data"
        do {
            let first = try DataDirectory.open(path, files: self.files, newIdentity: 3)
            let error = #expect(throws: StoreError.self) { try DataDirectory.open(path, files: self.files) }
            #expect(error?.reason == .locked(process: ProcessInfo.processInfo.processIdentifier))
            withExtendedLifetime(first) {}
        }
        #expect(try DataDirectory.open(path, files: self.files).identity == 3)
    }

    /// Fills, releases and reads a log of real files, through the writer's thread.
    @Test func keepsALog() throws {
        let folder = try Folder()
        let directory = try DataDirectory.open(folder.path, files: self.files)
        let options = CommitLogOptions(identity: directory.identity, fileBytes: 1 << 16)
        let first = CommitLog(files: self.files, directory: directory.path, options: options)
        #expect(try first.recover { _, _, _ in } == RecoveryReport())
        let writer = LogWriter(
            log: first,
            onCommitted: { _, _ in },
            onFull: { Issue.record("full: \($0)") },
            onFailure: { Issue.record("\($0)") }
        )
        for number in 0..<100 as Range<UInt64> {
            let batch = LogBatch()
            for size in [16, 1000, 3000] {
                LogWorkbench.payload(size, number).withUnsafeBytes { batch.append(type: 1, payload: $0) }
            }
            writer.submit(batch, from: 0)
        }
        try writer.stop()
        let second = CommitLog(files: self.files, directory: directory.path, options: options)
        var payloads: [[UInt8]] = []
        let report = try second.recover { _, _, payload in payloads.append(Array(payload)) }
        #expect(payloads.count == 300)
        for number in 0..<100 {
            let expected = [16, 1000, 3000].map { LogWorkbench.payload($0, UInt64(number)) }
            #expect(Array(payloads[(number * 3)..<(number * 3 + 3)]) == expected)
        }
        #expect(report.damages == [] && report.tornTail == nil)
        #expect(report.end == second.endPosition)
        try second.release(upTo: second.endPosition)
        #expect(second.heldBytes == 3 << 16)
    }
}
