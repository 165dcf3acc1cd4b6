import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A socket at which somebody answers one caller with given octets, whatever is asked.
final class FakeBroker: Sendable {
    /// Where it listens.
    let path: String
    private let folder: URL
    private let descriptor: CInt

    /// Answers the first caller; then ends the connection, or leaves it open without another word.
    init(_ answer: String, holds: Bool = false) throws {
        self.folder = FileManager.default.temporaryDirectory.appending(path: "m-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        self.path = self.folder.appending(path: "ctl.sock").path
        #if canImport(Glibc)
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        #else
        let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        self.descriptor = descriptor
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = self.path
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0, listen(descriptor, 1) == 0 else { throw CocoaError(.fileNoSuchFile) }
        Thread.detachNewThread {
            let caller = accept(descriptor, nil, nil)
            guard caller >= 0 else { return }
            var piece = [UInt8](repeating: 0, count: 4_096)
            _ = read(caller, &piece, piece.count)
            _ = Array(answer.utf8).withUnsafeBytes { write(caller, $0.baseAddress, $0.count) }
            // Until the caller goes.
            if holds { _ = read(caller, &piece, piece.count) }
            close(caller)
        }
    }

    /// Nobody listens there any more.
    func stop() {
        close(self.descriptor)
        try? FileManager.default.removeItem(at: self.folder)
    }
}
