import Foundation

/// What rabbitmqctl of RabbitMQ 3.10.8 has said; the scripts beside the recordings say how they came to be.
struct Recording {
    /// The words of the command line.
    let arguments: [String]
    /// What the process said at its end.
    let exit: Int32
    /// Its standard output.
    let output: String
    /// Its standard error.
    let error: String

    /// The command lines of a file, in their order.
    static func all(_ file: String) throws -> [Recording] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../Interop/ctl/recordings"
        )
        let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
        return text.components(separatedBy: "\n=== ").compactMap { self.read($0) }
    }

    private static func read(_ text: String) -> Recording? {
        let parts = text.components(separatedBy: "\n--err")
        guard parts.count == 2 else { return nil }
        let front = parts[0].components(separatedBy: "\n--out")
        let lines = front[0].components(separatedBy: "\nrc=")
        guard front.count == 2, lines.count == 2, let exit = Int32(lines[1]) else { return nil }
        let words = lines[0].hasPrefix("=== ") ? String(lines[0].dropFirst(4)) : lines[0]
        return Recording(
            arguments: words.components(separatedBy: " "),
            exit: exit,
            output: self.decode(front[1]),
            error: self.decode(parts[1])
        )
    }

    /// Takes back what `cat -A` has done.
    private static func decode(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: true).map { line in
            var line = String(line)
            if line.hasSuffix("$") { line = line.dropLast() + "\n" }
            for (shown, meant) in [("^I", "\t"), ("^[", "\u{1b}"), ("M-CM-)", "é")] {
                line = line.replacingOccurrences(of: shown, with: meant)
            }
            return line
        }.joined()
    }
}
