import Foundation
import Testing

@testable import BrokerServer

/// The socket's file: whose it is, and what becomes of one that is there already.
@Suite struct ControlSocketTests {
    private func withFolder(_ name: String = "s", _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appending(path: name),
            withIntermediateDirectories: true
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.appending(path: name).path)
    }

    private func permissions(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    @Test func isForItsUserAlone() throws {
        try self.withFolder { folder in
            let socket = try ControlSocket.open("\(folder)/ctl.sock")
            defer { close(socket.descriptor) }
            #expect(try self.permissions("\(folder)/ctl.sock") == 0o600)
        }
    }

    @Test func takesThePlaceOfADeadOne() throws {
        try self.withFolder { folder in
            let path = "\(folder)/ctl.sock"
            // As a process leaves it that was killed: a name that nobody listens at.
            close(try ControlSocket.open(path).descriptor)
            let socket = try ControlSocket.open(path)
            defer { close(socket.descriptor) }
            #expect(FileManager.default.fileExists(atPath: path))
            socket.remove()
            #expect(!FileManager.default.fileExists(atPath: path))
            // What has come in its place is not removed.
            try "mine".write(toFile: path, atomically: false, encoding: .utf8)
            socket.remove()
            #expect(FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func leavesALivingOneAlone() throws {
        try self.withFolder { folder in
            let path = "\(folder)/ctl.sock"
            let living = try ControlSocket.open(path)
            defer { close(living.descriptor) }
            try #require(listen(living.descriptor, 1) == 0)
            // Until the line of callers is full, and beyond.
            for _ in 0..<4 {
                let failure = #expect(throws: StartFailure.self) { try ControlSocket.open(path) }
                #expect(failure?.description == "\(path): another process listens there")
            }
            #expect(FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func removesNothingButSockets() throws {
        try self.withFolder { folder in
            let path = "\(folder)/ctl.sock"
            try "mine".write(toFile: path, atomically: false, encoding: .utf8)
            let failure = #expect(throws: StartFailure.self) { try ControlSocket.open(path) }
            #expect(failure?.description == "\(path): there is something that is no socket")
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
        }
    }

    @Test func saysWhyThereIsNone() throws {
        try self.withFolder { folder in
            let path = "\(folder)/missing/ctl.sock"
            let failure = #expect(throws: StartFailure.self) { try ControlSocket.open(path) }
            #expect(failure?.description == "\(folder)/missing: No such file or directory")
        }
    }

    #if os(Linux)
    @Test func aLongPathIsNoObstacle() throws {
        let long = String(repeating: "d", count: 100)
        try self.withFolder("\(long)/\(long)") { folder in
            let path = "\(folder)/ctl.sock"
            let socket = try ControlSocket.open(path)
            defer { close(socket.descriptor) }
            #expect(FileManager.default.fileExists(atPath: path))
            #expect(try self.permissions(path) == 0o600)
            socket.remove()
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func aLongNameIsRefused() throws {
        try self.withFolder { folder in
            let path = "\(folder)/\(String(repeating: "n", count: 120))"
            let failure = #expect(throws: StartFailure.self) { try ControlSocket.open(path) }
            #expect(failure?.description == "\(path): the path is too long for a socket")
        }
    }
    #endif
}
